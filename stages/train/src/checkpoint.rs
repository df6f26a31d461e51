//! Checkpoints on disk: a thread of their own writes them while the training continues. Each is
//! either complete or absent, and the last two are kept. Knows nothing about the training.
//!
//! A checkpoint is `NUMBER.safetensors` with every tensor, and `NUMBER.json`, which is written
//! last: first a line with the BLAKE3 of what follows, then the progress of the training and the
//! BLAKE3 of the file of tensors.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use ctpipe_network::{Counts, State, Weights};
use safetensors::View;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Number of checkpoints that are kept.
const KEPT: usize = 2;
/// Prefix of the names of the best epoch's weights.
const BEST: &str = "best.";
/// Prefix that tempfile gives to files that are not complete yet.
const DRAFT: &str = ".tmp";

/// Everything that a training continues from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checkpoint<C> {
    /// Later checkpoints have higher numbers.
    pub(crate) number: u64,
    /// The progress of the training.
    pub(crate) course: C,
    /// The state of the network and its optimiser.
    pub(crate) state: State,
    /// The weights of the best epoch so far, if there is one.
    pub(crate) best: Option<Arc<Weights>>,
}

#[derive(Serialize, Deserialize)]
struct Record<C> {
    /// The fingerprint of the training that it belongs to.
    fingerprint: String,
    /// BLAKE3 of the file of tensors.
    tensors: String,
    counts: Counts,
    /// Number of batches behind the running statistics of the best epoch.
    best_tracked: Option<i64>,
    course: C,
}

/// The checkpoints of one training in a folder.
pub(crate) struct Checkpoints {
    folder: PathBuf,
    /// The fingerprint of the training; checkpoints of another training are not used.
    fingerprint: String,
    writing: Option<JoinHandle<Result<(), String>>>,
}

impl Checkpoints {
    /// The checkpoints in `folder` of the training with this fingerprint. Removes what a killed
    /// training left half-written.
    pub(crate) fn new(folder: &Path, fingerprint: String) -> Checkpoints {
        sweep(folder);
        Checkpoints { folder: folder.to_path_buf(), fingerprint, writing: None }
    }

    /// The newest checkpoint that is complete and of this training; `damaged` is called for each
    /// newer one that is not.
    pub(crate) fn latest<C: DeserializeOwned>(
        &self,
        like: &Weights,
        mut damaged: impl FnMut(String),
    ) -> Option<Checkpoint<C>> {
        for number in numbers(&self.folder).into_iter().rev() {
            match read(&self.folder, number, &self.fingerprint, like) {
                Ok(checkpoint) => return Some(checkpoint),
                Err(why) => damaged(format!(
                    "the checkpoint {} is not used: {why}",
                    record_path(&self.folder, number).display()
                )),
            }
        }
        None
    }

    /// Path of the tensors of the newest checkpoint on disk.
    pub(crate) fn newest(&self) -> Option<PathBuf> {
        numbers(&self.folder).pop().map(|number| tensors_path(&self.folder, number))
    }

    /// Whether the last checkpoint is still being written.
    pub(crate) fn busy(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| !writing.is_finished())
    }

    /// Begins to write a checkpoint in the background, once the previous one is written.
    ///
    /// # Errors
    /// If the previous checkpoint could not be written.
    pub(crate) fn begin<C: Serialize + Send + 'static>(
        &mut self,
        checkpoint: Checkpoint<C>,
    ) -> Result<(), String> {
        let before = self.wait();
        let (folder, fingerprint) = (self.folder.clone(), self.fingerprint.clone());
        self.writing = Some(std::thread::spawn(move || write(&folder, &fingerprint, checkpoint)));
        before
    }

    /// Waits until the last checkpoint is on disk.
    ///
    /// # Errors
    /// If it could not be written.
    pub(crate) fn wait(&mut self) -> Result<(), String> {
        match self.writing.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(done)) => done,
            Some(Err(_)) => Err("the thread that writes checkpoints panicked".to_owned()),
        }
    }
}

fn record_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.json"))
}

fn tensors_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.safetensors"))
}

/// Removes drafts and tensors without a record.
fn sweep(folder: &Path) {
    let known = numbers(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let orphan = name.strip_suffix(".safetensors").and_then(|number| number.parse().ok());
        if name.starts_with(DRAFT) || orphan.is_some_and(|number: u64| !known.contains(&number)) {
            // A file that cannot be removed does no harm.
            let _ = fs::remove_file(path);
        }
    }
}

/// The numbers of the checkpoints in a folder, oldest first.
fn numbers(folder: &Path) -> Vec<u64> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let number = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".json")?.parse().ok();
    let mut numbers: Vec<u64> = names.filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Values in the form that safetensors takes, converted to bytes one tensor at a time.
struct Values<'a>(&'a [f32], Vec<usize>);

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.1
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }
    fn data_len(&self) -> usize {
        size_of_val(self.0)
    }
}

fn write<C: Serialize>(folder: &Path, fingerprint: &str, checkpoint: Checkpoint<C>) -> Result<(), String> {
    let Checkpoint { number, course, state, best } = checkpoint;
    let fail = |what: &dyn std::fmt::Display| {
        format!("a checkpoint could not be written to {}: {what}", folder.display())
    };
    let mut tensors = state.tensors();
    if let Some(best) = &best {
        tensors.extend(best.shaped().map(|(name, shape, values)| (format!("{BEST}{name}"), shape, values)));
    }
    let finite = tensors.iter().all(|(.., values)| values.iter().all(|value| value.is_finite()));
    if !finite {
        return Err(fail(&"some weights are no longer finite; the previous checkpoint is kept"));
    }
    let path = tensors_path(folder, number);
    let views = tensors.into_iter().map(|(name, shape, values)| (name, Values(values, shape)));
    let committed = || -> io::Result<()> {
        // This writes to a draft and renames it.
        safetensors::serialize_to_file(views, None::<HashMap<String, String>>, &path)
            .map_err(io::Error::other)?;
        File::open(&path)?.sync_all()?;
        let record = Record {
            fingerprint: fingerprint.to_owned(),
            tensors: digest(&path)?,
            counts: state.counts,
            best_tracked: best.as_ref().map(|best| best.tracked()),
            course,
        };
        let record = serde_json::to_string(&record)?;
        let text = format!("{}\n{record}\n", blake3::hash(record.as_bytes()).to_hex());
        let mut draft = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut draft, text.as_bytes())?;
        draft.as_file().sync_all()?;
        draft.persist(record_path(folder, number))?;
        File::open(folder)?.sync_all()
    };
    committed().map_err(|e| fail(&e))?;
    // A file that cannot be removed does no harm.
    let all = numbers(folder);
    for &number in &all[..all.len().saturating_sub(KEPT)] {
        let _ = fs::remove_file(record_path(folder, number));
        let _ = fs::remove_file(tensors_path(folder, number));
    }
    Ok(())
}

fn digest(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn read<C: DeserializeOwned>(
    folder: &Path,
    number: u64,
    fingerprint: &str,
    like: &Weights,
) -> Result<Checkpoint<C>, String> {
    let text = fs::read_to_string(record_path(folder, number)).map_err(|e| e.to_string())?;
    let (mark, record) = text.trim_end().split_once('\n').ok_or("it is truncated")?;
    if blake3::hash(record.as_bytes()).to_hex().as_str() != mark {
        return Err("it is damaged: its checksum does not match".to_owned());
    }
    let record: Record<C> = serde_json::from_str(record)
        .map_err(|e| format!("it was written by another version of ctpipe: {e}"))?;
    if record.fingerprint != fingerprint {
        return Err("it is a checkpoint of another training".to_owned());
    }
    let path = tensors_path(folder, number);
    let bytes = fs::read(&path).map_err(|e| format!("cannot read its tensors: {e}"))?;
    if blake3::hash(&bytes).to_hex().as_str() != record.tensors {
        return Err(format!("{} is damaged: its checksum does not match", path.display()));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
    let tensor = |name: &str| {
        let view = file.tensor(name).ok().filter(|view| view.dtype() == Dtype::F32)?;
        Some(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let state = State::from_tensors(like, record.counts, tensor)?;
    let best_of = |tracked| like.with_named(tracked, |name| tensor(&format!("{BEST}{name}"))).map(Arc::new);
    let best = record.best_tracked.and_then(best_of);
    if best.is_none() && record.best_tracked.is_some() {
        return Err("it lacks the best weights".to_owned());
    }
    Ok(Checkpoint { number, course: record.course, state, best })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ctpipe_network::{Batch, Config, Device, Learning, Loss, Trainer};

    use super::*;

    fn trained(learning: Learning, steps: usize) -> (Weights, State) {
        let config = Config { size: 16, width: 1, hidden_size: 3, ..Config::default() };
        let weights = Weights::init(&config, 7);
        let mut trainer = Trainer::new(&weights, learning, 7, Device::Cpu).unwrap();
        let volumes: Vec<Vec<u16>> =
            (0..2).map(|n| (0..4096).map(|i| (i * (n + 3)) as u16).collect()).collect();
        let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
        for _ in 0..steps {
            trainer.step(&Batch::of(&volumes, &[0, 1]), &Loss::default(), 1e-2).unwrap();
        }
        (weights, trainer.state())
    }

    fn checkpoint(steps: usize) -> (Weights, Checkpoint<u32>) {
        let learning = Learning { ema_decay: 0.9, ..Learning::default() };
        let (like, state) = trained(learning, steps);
        let best = Some(Arc::new(state.weights.clone()));
        (like, Checkpoint { number: steps as u64, course: steps as u32, state, best })
    }

    fn ignore(_: String) {}

    #[test]
    fn what_is_written_is_read_and_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Checkpoints::new(folder.path(), "a".to_owned());
        for steps in 0..4 {
            let (like, written) = checkpoint(steps);
            kept.begin(written.clone()).unwrap();
            kept.wait().unwrap();
            assert_eq!(kept.latest(&like, ignore), Some(written));
        }
        assert_eq!(numbers(folder.path()), [2, 3]);
        let (like, _) = checkpoint(0);
        let other = Checkpoints::new(folder.path(), "b".to_owned());
        let mut said = Vec::new();
        assert_eq!(other.latest::<u32>(&like, |text| said.push(text)), None);
        assert!(said[0].contains("of another training"), "{said:?}");
    }

    #[test]
    fn what_a_kill_left_half_written_is_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let (like, whole) = checkpoint(1);
        let mut kept = Checkpoints::new(folder.path(), "a".to_owned());
        kept.begin(whole.clone()).unwrap();
        kept.wait().unwrap();
        fs::write(folder.path().join(".tmpabc"), "half").unwrap();
        fs::write(tensors_path(folder.path(), 2), "without a record").unwrap();
        let kept = Checkpoints::new(folder.path(), "a".to_owned());
        assert_eq!(kept.latest(&like, ignore), Some(whole));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(kept.newest(), Some(tensors_path(folder.path(), 1)));
    }

    #[test]
    fn a_momentum_that_has_not_begun_and_one_that_has_survive() {
        let folder = tempfile::tempdir().unwrap();
        for optimizer in [ctpipe_network::OptimizerKind::Sgd, ctpipe_network::OptimizerKind::AdamW] {
            for steps in [0, 2] {
                let (like, state) = trained(Learning { optimizer, ..Learning::default() }, steps);
                let written = Checkpoint { number: steps as u64, course: 0_u32, state, best: None };
                let mut kept = Checkpoints::new(folder.path(), "a".to_owned());
                kept.begin(written.clone()).unwrap();
                kept.wait().unwrap();
                let found = read::<u32>(folder.path(), steps as u64, "a", &like).unwrap();
                assert_eq!(found, written);
            }
        }
    }

    /// One bit of every byte of the record, and of every 1009th byte of the tensors.
    #[test]
    fn any_damage_is_found_and_the_checkpoint_before_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Checkpoints::new(folder.path(), "a".to_owned());
        let (like, before) = checkpoint(1);
        kept.begin(before.clone()).unwrap();
        kept.begin(checkpoint(2).1).unwrap();
        kept.wait().unwrap();
        for (path, every) in [(record_path(folder.path(), 2), 1), (tensors_path(folder.path(), 2), 1009)] {
            let whole = fs::read(&path).unwrap();
            // The last byte of the record is only the end of its line.
            for index in (0..whole.len() - 1).step_by(every) {
                let mut bytes = whole.clone();
                bytes[index] ^= 1 << (index % 8);
                fs::write(&path, bytes).unwrap();
                let mut said = Vec::new();
                assert_eq!(kept.latest(&like, |text| said.push(text)), Some(before.clone()), "{index}");
                assert_eq!(said.len(), 1);
            }
            fs::write(&path, &whole[..whole.len() / 2]).unwrap();
            assert_eq!(kept.latest(&like, ignore), Some(before.clone()));
            fs::write(&path, whole).unwrap();
        }
        let (_, mut broken) = checkpoint(3);
        broken.best = None;
        kept.begin(broken.clone()).unwrap();
        kept.wait().unwrap();
        assert_eq!(kept.latest(&like, ignore), Some(broken));
    }
}
