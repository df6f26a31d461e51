//! What people see of a training while it runs: the progress bar and one line per epoch,
//! TensorBoard's event files, an MLflow server. A failure of any of these neither stops a training
//! nor changes its result.

use std::path::PathBuf;
use std::time::Instant;

use ctpipe_network::Device;
use ctpipe_stage::{Level, Task};

use crate::config::{Config, Tracking};
use crate::error::number;
use crate::mlflow::{Metric, Tracker};
use crate::observer::{Epoch, Flow, Plan, Step, Watcher};
use crate::tensorboard::Events;

/// Reports the progress of a training.
pub(crate) struct Follower<'a, 'b> {
    task: &'a Task<'b>,
    config: &'a Config,
    live: PathBuf,
    events: Option<Events>,
    tracker: Option<Tracker>,
    /// Metrics that have not been sent to the tracker yet.
    metrics: Vec<Metric>,
    plan: Plan,
    /// The figures of the last epoch, shown at the end of the bar.
    last: String,
    /// When this process began to train, for the estimate of the remaining time.
    begun: Instant,
    epoch_begun: Instant,
    /// When the last step ended, because validation does not count towards the speed.
    last_step: Instant,
    epoch_volumes: usize,
    number: u64,
    /// Seed and device, which are reported with the parameters.
    seed: u64,
    device: String,
}

impl<'a, 'b> Follower<'a, 'b> {
    pub(crate) fn new(task: &'a Task<'b>, config: &'a Config, device: Device) -> Self {
        let now = Instant::now();
        Follower {
            task,
            config,
            live: PathBuf::new(),
            events: None,
            tracker: None,
            metrics: Vec::new(),
            plan: Plan { epochs: config.epochs, steps: 0, done: 0 },
            last: String::new(),
            begun: now,
            epoch_begun: now,
            last_step: now,
            epoch_volumes: 0,
            number: 0,
            seed: task.seed(),
            device: device.to_string(),
        }
    }

    /// Ends the report of the training; `files` are its outputs.
    pub(crate) fn end(mut self, status: &'static str, files: Vec<PathBuf>) {
        if let Some(events) = &mut self.events {
            let _ = events.flush();
        }
        if let Some(tracker) = self.tracker.take() {
            tracker.metrics(std::mem::take(&mut self.metrics));
            for note in tracker.end(status, files) {
                self.task.log(Level::Warning, note);
            }
        }
    }

    /// Writes to the event file. The first failure is logged and ends the file.
    fn show(&mut self, write: impl FnOnce(&mut Events) -> std::io::Result<()>) {
        if let Some(Err(error)) = self.events.as_mut().map(write) {
            let live = self.live.display();
            self.task.log(Level::Warning, format!("TensorBoard's event file in {live} ends here: {error}"));
            self.events = None;
        }
    }

    fn begin_events(&mut self, plan: &Plan) -> std::io::Result<()> {
        self.live = self.task.live().map_err(std::io::Error::other)?.to_path_buf();
        if plan.done == 0 && self.live.exists() {
            // These files are of an earlier training with the same key.
            std::fs::remove_dir_all(&self.live)?;
        }
        let first = if plan.done == 0 { 0 } else { plan.done + 1 };
        let mut events = Events::create(&self.live, first)?;
        if plan.done == 0 {
            events.text("parameters", &table(&self.parameters()))?;
        }
        self.events = Some(events);
        Ok(())
    }

    /// Volumes per second in the steps of this epoch that this process did; `None` before the
    /// first.
    fn speed(&self) -> Option<f64> {
        let seconds = self.last_step.duration_since(self.epoch_begun).as_secs_f64();
        (self.epoch_volumes > 0).then(|| self.epoch_volumes as f64 / seconds.max(1e-9))
    }

    /// The parameters as texts for people and MLflow, with seed and device.
    fn parameters(&self) -> Vec<(String, String)> {
        let config = serde_json::to_value(self.config).unwrap_or_default();
        let text =
            |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let ours = config.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with("tracking"));
        let mut all: Vec<(String, String)> = ours.map(|(name, value)| (name.clone(), text(value))).collect();
        all.retain(|(name, _)| name != "device");
        all.push(("device".to_owned(), self.device.clone()));
        all.push(("seed".to_owned(), self.seed.to_string()));
        all
    }

    /// Logs the tracker's warnings.
    fn tell(&mut self) {
        let notes = self.tracker.as_ref().map(Tracker::notes).unwrap_or_default();
        for note in notes {
            self.task.log(Level::Warning, note);
        }
    }

    /// The remaining time if every epoch runs; `None` before the first step of this process and
    /// after the last.
    fn left(&self) -> Option<String> {
        let done = self.number.saturating_sub(self.plan.done);
        let left = (u64::from(self.plan.epochs) * self.plan.steps as u64).saturating_sub(self.number);
        let each = self.begun.elapsed().as_secs_f64() / done as f64;
        (done > 0 && left > 0).then(|| in_words(each * left as f64))
    }
}

impl Watcher for Follower<'_, '_> {
    fn begin(&mut self, plan: &Plan) {
        self.plan = *plan;
        self.number = plan.done;
        (self.begun, self.epoch_begun) = (Instant::now(), Instant::now());
        if let Err(error) = self.begin_events(plan) {
            self.task.log(Level::Warning, format!("no TensorBoard files can be written: {error}"));
        }
        if self.config.tracking == Tracking::Mlflow && !self.task.is_rerun() {
            let name =
                self.live.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let work = self.task.work().ok();
            let name = format!("{}-{name}", self.task.stage());
            self.tracker = Some(Tracker::begin(self.config, name, self.parameters(), work));
        }
    }

    fn step(&mut self, step: &Step) -> Flow {
        self.number = step.number;
        self.last_step = Instant::now();
        self.epoch_volumes += step.volumes;
        self.tell();
        let total = u64::from(self.plan.epochs) * self.plan.steps as u64;
        let loss = step.loss.map(|loss| format!(", loss {}", number(loss))).unwrap_or_default();
        let speed = self.speed().map(|speed| format!(", {speed:.1} volumes/s")).unwrap_or_default();
        let (epochs, last) = (self.plan.epochs, &self.last);
        let note = format!("epoch {}/{epochs}{loss}, lr {:.1e}{speed}{last}", step.epoch, step.lr);
        self.task.progress(step.number, total, "steps", &note);
        if self.task.stopping() { Flow::Stop } else { Flow::Go }
    }

    fn stopping(&mut self) -> bool {
        self.task.stopping()
    }

    fn losses(&mut self, first: u64, losses: &[f32]) {
        for (number, &loss) in (first..).zip(losses) {
            self.show(|events| events.scalars(number, &[("loss/step", f64::from(loss))]));
            if self.tracker.is_some() && loss.is_finite() {
                self.metrics.push(Metric::new("step_loss", f64::from(loss), number));
            }
        }
    }

    fn epoch(&mut self, epoch: &Epoch) {
        let row = &epoch.row;
        let speed = self.speed();
        let shown = |value: Option<f64>| value.map_or("undefined".to_owned(), number);
        let val = format!("val loss {}, val AUC {}", shown(row.val_loss), shown(row.val_auc));
        let shown_speed = speed.map(|speed| format!(", {speed:.1} volumes/s")).unwrap_or_default();
        self.last = format!(", {val}");
        let best = if epoch.best { " (best so far)" } else { "" };
        let left = self.left().map(|left| format!(", {left} left at most")).unwrap_or_default();
        self.task.log(
            Level::Info,
            format!(
                "epoch {}/{}: loss {}, {val}{best}, lr {:.1e}{shown_speed}{left}",
                row.epoch,
                epoch.epochs,
                number(row.train_loss),
                row.lr
            ),
        );
        let mut values = vec![("loss/train", row.train_loss), ("lr", row.lr)];
        values.extend(speed.map(|speed| ("volumes_per_second", speed)));
        values.extend(row.val_loss.map(|loss| ("loss/val", loss)));
        values.extend(row.val_auc.map(|auc| ("auc/val", auc)));
        self.show(|events| {
            events.scalars(epoch.steps, &values)?;
            events.flush()
        });
        if let Some(tracker) = &self.tracker {
            let number = u64::from(row.epoch);
            let named =
                values.iter().map(|(name, value)| Metric::new(&name.replace('/', "_"), *value, number));
            self.metrics.extend(named);
            tracker.metrics(std::mem::take(&mut self.metrics));
        }
        self.tell();
        (self.epoch_begun, self.epoch_volumes) = (Instant::now(), 0);
    }

    fn info(&mut self, text: &str) {
        self.task.log(Level::Info, text);
    }

    fn note(&mut self, text: &str) {
        self.task.log(Level::Warning, text);
    }
}

/// The parameters as a Markdown table.
fn table(parameters: &[(String, String)]) -> String {
    let rows: Vec<String> = parameters.iter().map(|(name, value)| format!("| {name} | {value} |")).collect();
    format!("| parameter | value |\n| --- | --- |\n{}", rows.join("\n"))
}

/// A duration in the unit that fits.
fn in_words(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn times_are_said_in_the_unit_that_fits() {
        assert_eq!([12.4, 90.0, 600.0, 9000.0].map(in_words), ["12 s", "2 min", "10 min", "2.5 h"]);
    }
}
