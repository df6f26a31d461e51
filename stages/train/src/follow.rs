//! What people see of a training while it runs: the bar and a line an epoch, TensorBoard's files, an MLflow server.
//! Nothing of it can stop a training or change what comes of it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ctpipe_engine::{Level, Task};

use crate::config::{Config, Tracking};
use crate::mlflow::{Metric, Tracker};
use crate::tensorboard::Events;
use crate::watcher::{Epoch, Flow, Plan, Step, Watcher};

/// Shows a training.
pub(crate) struct Follower<'a, 'b> {
    task: &'a Task<'b>,
    config: &'a Config,
    live: PathBuf,
    events: Option<Events>,
    tracker: Option<Tracker>,
    /// Not sent to the tracker yet.
    metrics: Vec<Metric>,
    plan: Plan,
    /// Of the last epoch, for the end of the bar.
    last: String,
    /// Where this process began, for the time that is left.
    begun: Instant,
    epoch_begun: Instant,
    epoch_volumes: usize,
    number: u64,
}

impl<'a, 'b> Follower<'a, 'b> {
    pub(crate) fn new(task: &'a Task<'b>, config: &'a Config, live: &Path) -> Self {
        let now = Instant::now();
        Follower {
            task,
            config,
            live: live.to_path_buf(),
            events: None,
            tracker: None,
            metrics: Vec::new(),
            plan: Plan { epochs: config.epochs, steps: 0, done: 0 },
            last: String::new(),
            begun: now,
            epoch_begun: now,
            epoch_volumes: 0,
            number: 0,
        }
    }

    /// The training is over; `files` are what came of it.
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

    /// The first failure ends the file, and is told.
    fn show(&mut self, write: impl FnOnce(&mut Events) -> std::io::Result<()>) {
        if let Some(Err(error)) = self.events.as_mut().map(write) {
            let live = self.live.display();
            self.task.log(Level::Warning, format!("TensorBoard's file in {live} ends here: {error}"));
            self.events = None;
        }
    }

    fn begin_events(&mut self, plan: &Plan) -> std::io::Result<()> {
        if plan.done == 0 && self.live.exists() {
            // Of an earlier training of this very key.
            std::fs::remove_dir_all(&self.live)?;
        }
        let first = if plan.done == 0 { 0 } else { plan.done + 1 };
        let mut events = Events::create(&self.live, first)?;
        if plan.done == 0 {
            events.text("parameters", &table(self.config))?;
        }
        self.events = Some(events);
        Ok(())
    }

    /// Volumes a second since the epoch began, or this process.
    fn speed(&self) -> f64 {
        self.epoch_volumes as f64 / self.epoch_begun.elapsed().as_secs_f64().max(1e-9)
    }

    /// How long the rest takes if every epoch runs.
    fn left(&self) -> String {
        let done = self.number.saturating_sub(self.plan.done).max(1);
        let all = u64::from(self.plan.epochs) * self.plan.steps as u64;
        let each = self.begun.elapsed().as_secs_f64() / done as f64;
        in_words(each * all.saturating_sub(self.number) as f64)
    }
}

impl Watcher for Follower<'_, '_> {
    fn begin(&mut self, plan: &Plan) {
        self.plan = *plan;
        self.number = plan.done;
        (self.begun, self.epoch_begun) = (Instant::now(), Instant::now());
        if let Err(error) = self.begin_events(plan) {
            let live = self.live.display();
            self.task.log(Level::Warning, format!("no TensorBoard files can be written to {live}: {error}"));
        }
        if self.config.tracking == Tracking::Mlflow {
            let name =
                self.live.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            match self.task.work() {
                Ok(work) => {
                    self.tracker =
                        Some(Tracker::begin(self.config, format!("{}-{name}", self.task.stage()), work));
                }
                Err(error) => self.task.log(Level::Warning, format!("no MLflow: {error}")),
            }
        }
    }

    fn step(&mut self, step: &Step) -> Flow {
        self.number = step.number;
        self.epoch_volumes += step.volumes;
        let total = u64::from(self.plan.epochs) * self.plan.steps as u64;
        let loss = step.loss.map(|loss| format!(", loss {loss:.4}")).unwrap_or_default();
        let note = format!(
            "epoch {}/{}{loss}, lr {:.1e}, {:.1} volumes/s{}",
            step.epoch,
            self.plan.epochs,
            step.lr,
            self.speed(),
            self.last
        );
        self.task.progress(step.number, total, "steps", &note);
        if self.task.stopping() { Flow::Stop } else { Flow::Go }
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
        let shown = |value: Option<f64>| value.map_or("undefined".to_owned(), |v| format!("{v:.4}"));
        let val = format!("val loss {}, val AUC {}", shown(row.val_loss), shown(row.val_auc));
        self.last = format!(", {val}");
        let (best, left) = (if epoch.best { " (the best so far)" } else { "" }, self.left());
        let left = if row.epoch < epoch.epochs { format!(", {left} left at most") } else { String::new() };
        self.task.log(
            Level::Info,
            format!(
                "epoch {}/{}: loss {:.4}, {val}{best}, lr {:.1e}, {speed:.1} volumes/s{left}",
                row.epoch, epoch.epochs, row.train_loss, row.lr
            ),
        );
        let mut values = vec![("loss/train", row.train_loss), ("lr", row.lr), ("volumes_per_second", speed)];
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
            for note in tracker.notes() {
                self.task.log(Level::Warning, note);
            }
        }
        (self.epoch_begun, self.epoch_volumes) = (Instant::now(), 0);
    }

    fn info(&mut self, text: &str) {
        self.task.log(Level::Info, text);
    }

    fn note(&mut self, text: &str) {
        self.task.log(Level::Warning, text);
    }
}

/// The parameters as a table in Markdown.
fn table(config: &Config) -> String {
    let config = serde_json::to_value(config).unwrap_or_default();
    let rows = config.as_object().into_iter().flatten();
    let rows: Vec<String> = rows.map(|(name, value)| format!("| {name} | {value} |")).collect();
    format!("| parameter | value |\n| --- | --- |\n{}", rows.join("\n"))
}

/// A time as people say it.
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
