//! Writes the shards of an artifact, taking over from an earlier artifact the volumes that it
//! already has. Builds no volume.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use ctpipe_stage::{Level, StageError, Task};
use ctpipe_tables::VolumeRow;
use ctpipe_tables::shards::{ShardReader, ShardWriter, make_folder};

use crate::worklist::{Earlier, Item, Outcome};

/// What has been written, and the shard that is being written.
pub(crate) struct Shards<'a> {
    task: &'a Task<'a>,
    earlier: Option<&'a Earlier>,
    folder: PathBuf,
    /// Shards that hold exactly the volumes of the earlier artifact's shard of that name.
    unchanged: BTreeSet<String>,
    open: Option<Open>,
    pub(crate) rows: Vec<VolumeRow>,
}

/// The shard that is being written.
struct Open {
    name: String,
    /// `None` if the shard was taken over as a whole.
    writer: Option<ShardWriter>,
    /// The earlier artifact's shard of that name, once it has been opened.
    reader: Option<ShardReader>,
}

impl<'a> Shards<'a> {
    /// Before anything of `work`, which is sorted by shard, has been written.
    pub(crate) fn new(
        task: &'a Task<'a>,
        earlier: Option<&'a Earlier>,
        work: &[Item],
    ) -> Result<Shards<'a>, StageError> {
        let folder = make_folder(task.out()).map_err(StageError::failed)?;
        let mut unchanged = BTreeSet::new();
        for items in work.chunk_by(|a, b| a.shard == b.shard) {
            let shard = &items[0].shard;
            let had = earlier.map_or(0, |earlier| earlier.volumes_in(shard));
            let kept: Option<Vec<&VolumeRow>> = items.iter().map(|item| item.kept.as_ref()).collect();
            let same = |rows: Vec<&VolumeRow>| rows.iter().filter(|row| !row.shard.is_empty()).count() == had;
            if had > 0 && kept.is_some_and(same) {
                unchanged.insert(shard.clone());
            }
        }
        Ok(Shards { task, earlier, folder, unchanged, open: None, rows: Vec::with_capacity(work.len()) })
    }

    /// Writes the volumes of some series.
    pub(crate) fn write(&mut self, outcomes: Vec<Outcome>) -> Result<(), StageError> {
        for Outcome { mut row, packed } in outcomes {
            if let Some(problem) = &row.problem {
                self.task.log(Level::Warning, format!("series {}: {problem}", row.series_uid));
            }
            if !row.shard.is_empty() {
                let earlier = self.earlier;
                let shard = self.shard(&row.shard)?;
                if let Some(writer) = &mut shard.writer {
                    let packed = match (packed, earlier) {
                        (Some(packed), _) => packed,
                        (None, earlier) => {
                            let reader = match (shard.reader.take(), earlier) {
                                (None, Some(earlier)) => earlier.open(&shard.name)?,
                                (Some(reader), _) => reader,
                                (None, None) => return Err(StageError::failed("there is no earlier volume")),
                            };
                            shard.reader.insert(reader).take(row.batch).map_err(StageError::failed)?
                        }
                    };
                    row.batch = writer.push(&packed).map_err(StageError::failed)?;
                }
            }
            self.rows.push(row);
        }
        Ok(())
    }

    /// The shard of that name. If it is not the open one, closes that and begins or copies this
    /// one.
    fn shard(&mut self, name: &str) -> Result<&mut Open, StageError> {
        if self.open.as_ref().is_none_or(|open| open.name != name) {
            self.close()?;
            let path = self.folder.join(name);
            let writer = match self.earlier.filter(|_| self.unchanged.contains(name)) {
                Some(earlier) => {
                    // Artifacts are never written to again, so two can share a file. Some file
                    // systems have no hard links: then it is copied.
                    let from = earlier.shard(name);
                    fs::hard_link(&from, &path)
                        .or_else(|_| fs::copy(&from, &path).map(drop))
                        .map_err(StageError::failed)?;
                    None
                }
                None => Some(ShardWriter::create(&path).map_err(StageError::failed)?),
            };
            self.open = Some(Open { name: name.to_owned(), writer, reader: None });
        }
        self.open.as_mut().ok_or_else(|| StageError::failed("no shard is open"))
    }

    fn close(&mut self) -> Result<(), StageError> {
        let writer = self.open.take().and_then(|open| open.writer);
        writer.map_or(Ok(()), |writer| writer.finish().map_err(StageError::failed))
    }

    /// Closes the last shard and returns the rows of all.
    pub(crate) fn finish(mut self) -> Result<Vec<VolumeRow>, StageError> {
        self.close()?;
        Ok(self.rows)
    }
}
