//! The work list: the accepted series with their files in order, and which of them an earlier
//! artifact already has. Reads no pixels.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use ctpipe_ct::geometry::{Directions, Stack};
use ctpipe_ct::{Request, Source, Volume, VolumeError, build, to_path};
use ctpipe_stage::{Files, MadeFrom, Near, Previous, StageError, Task};
use ctpipe_tables::instances::Instance;
use ctpipe_tables::row_groups::{Grouped, Run};
use ctpipe_tables::shards::{FOLDER, Packed, ShardReader};
use ctpipe_tables::{InstanceRow, SeriesRow, Status, Table, VolumeRow};
use rayon::prelude::*;

/// Number of shards. It is fixed, so that adding a series changes one shard and leaves the others.
const SHARDS: u8 = 32;

/// The shard of a series, which does not depend on any other series.
fn shard_of(series_uid: &str) -> String {
    format!("{:02}.arrow", blake3::hash(series_uid.as_bytes()).as_bytes()[0] % SHARDS)
}

/// The result for one series.
pub(crate) struct Outcome {
    /// Its row; if the series was rejected, with the reasons.
    pub(crate) row: VolumeRow,
    /// Its volume, if it was built now; a volume that is taken over lies in the earlier artifact.
    pub(crate) packed: Option<Packed>,
}

/// One series of the work list.
pub(crate) struct Item {
    pub(crate) series_uid: String,
    pub(crate) shard: String,
    directions: Option<Directions>,
    size: [usize; 2],
    pixel_spacing: [f64; 2],
    /// Each slice with its position, in order; empty if the series is kept.
    slices: Vec<(Source, [f64; 3])>,
    /// A digest of all of the above and of the files' content; `None` if that is not known.
    pub(crate) made_from: Option<String>,
    /// The row of the earlier artifact, if it was made from the same files and geometry.
    pub(crate) kept: Option<VolumeRow>,
}

impl Item {
    pub(crate) fn build(&self, request: Request) -> Result<Volume, VolumeError> {
        let positions: Vec<[f64; 3]> = self.slices.iter().map(|(_, position)| *position).collect();
        let directions = self.directions.ok_or(VolumeError::Empty)?;
        let (stack, order) = Stack::new(directions, self.size, self.pixel_spacing, &positions);
        let sources: Vec<Source> = order.iter().map(|&index| self.slices[index].0.clone()).collect();
        build(&stack, &sources, request)
    }
}

/// The earlier artifact.
pub(crate) struct Earlier {
    previous: Arc<Previous>,
    rows: BTreeMap<String, VolumeRow>,
}

impl Earlier {
    /// The earlier artifact, if there is one that can be read.
    pub(crate) fn find(task: &Task<'_>) -> Option<Earlier> {
        let previous = task.previous()?;
        let rows = VolumeRow::read(previous.folder()).ok()?;
        let rows = rows.into_iter().map(|row| (row.series_uid.clone(), row)).collect();
        Some(Earlier { previous, rows })
    }

    /// Its row of a series, if that was made from what `made_from` sums up.
    fn row(&self, series_uid: &str, made_from: &str) -> Option<VolumeRow> {
        self.rows.get(series_uid).filter(|_| self.previous.has(series_uid, made_from)).cloned()
    }

    pub(crate) fn volumes_in(&self, shard: &str) -> usize {
        self.rows.values().filter(|row| row.shard == shard).count()
    }

    /// Path of its shard of that name.
    pub(crate) fn shard(&self, name: &str) -> PathBuf {
        self.previous.folder().join(FOLDER).join(name)
    }

    pub(crate) fn open(&self, shard: &str) -> Result<ShardReader, StageError> {
        ShardReader::open(&self.shard(shard)).map_err(StageError::failed)
    }
}

/// The columns of the instances that are read.
const COLUMNS: [&str; 7] =
    ["path", "member", "frame", "position_x", "position_y", "position_z", "slice_index"];

/// Accepted series with their files in order, sorted by shard and UID.
pub(crate) fn work(task: &Task<'_>, earlier: Option<&Earlier>) -> Result<Vec<Item>, StageError> {
    let series = task.input("series")?;
    let (rows, instances) =
        rayon::join(|| SeriesRow::read(series), || Grouped::<InstanceRow>::read(series, &COLUMNS));
    let (rows, instances) = (rows.map_err(StageError::failed)?, instances.map_err(StageError::failed)?);
    // In a table that was not written by ingest, the rows of a series may not be consecutive.
    let mut runs: HashMap<&str, Vec<Run<'_>>> = HashMap::new();
    instances.runs().for_each(|run| runs.entry(run.key).or_default().push(run));
    let files = task.files("dicom");
    let accepted = rows.par_iter().filter(|row| row.status == Status::Accepted.as_str());
    let item = |row: &SeriesRow| {
        let instances = runs.get(row.series_uid.as_str()).into_iter().flatten().flat_map(Run::instances);
        let mut slices: Vec<Instance<'_>> = instances.filter(|slice| slice.slice_index.is_some()).collect();
        slices.sort_by_key(|slice| slice.slice_index);
        item(task, files, row, &slices, earlier)
    };
    let mut items = accepted.map(item).collect::<Result<Vec<Item>, StageError>>()?;
    items.sort_by(|a, b| (&a.shard, &a.series_uid).cmp(&(&b.shard, &b.series_uid)));
    Ok(items)
}

fn item(
    task: &Task<'_>,
    files: Files<'_>,
    row: &SeriesRow,
    slices: &[Instance<'_>],
    earlier: Option<&Earlier>,
) -> Result<Item, StageError> {
    let dicom = task.input("dicom")?;
    let along_row = [row.along_row_x, row.along_row_y, row.along_row_z];
    let along_column = [row.along_column_x, row.along_column_y, row.along_column_z];
    let [a, b, c] = along_row.map(Option::unwrap_or_default);
    let [d, e, f] = along_column.map(Option::unwrap_or_default);
    let pixel_spacing = [row.row_spacing, row.column_spacing].map(Option::unwrap_or_default);
    let position = |slice: &Instance<'_>| slice.position.map(Option::unwrap_or_default);
    let mut made_from = MadeFrom::new();
    made_from.add(row.rows.to_le_bytes());
    made_from.add(row.columns.to_le_bytes());
    for number in [a, b, c, d, e, f].into_iter().chain(pixel_spacing) {
        made_from.add(number.to_le_bytes());
    }
    let (mut all_known, mut near) = (true, Near::default());
    for slice in slices {
        match files.place_near(slice.path, &mut near) {
            Some(place) => made_from.add(files.digest(place)),
            None => all_known = false,
        }
        made_from.add(slice.member.unwrap_or_default());
        made_from.add(slice.frame.to_le_bytes());
        for number in position(slice) {
            made_from.add(number.to_le_bytes());
        }
    }
    let made_from = all_known.then(|| made_from.digest());
    let kept = made_from.as_ref().and_then(|made_from| earlier?.row(&row.series_uid, made_from));
    // The files of a kept series are not opened.
    let opened = if kept.is_none() { slices } else { &[] };
    // Without an earlier artifact everything is read, and the engine checks afterwards that the
    // whole input is unchanged. Otherwise only the files named here are opened, and only they are
    // checked.
    if earlier.is_some() {
        task.opens("dicom", opened.iter().map(|slice| slice.path.to_owned()));
    }
    let slice = |slice: &Instance<'_>| {
        let (path, member) = (dicom.join(to_path(slice.path)), slice.member.map(str::to_owned));
        (Source { path, member, frame: slice.frame as usize }, position(slice))
    };
    Ok(Item {
        shard: shard_of(&row.series_uid),
        directions: Directions::new([a, b, c, d, e, f]),
        size: [row.rows as usize, row.columns as usize],
        pixel_spacing,
        slices: opened.iter().map(slice).collect(),
        made_from,
        kept,
        series_uid: row.series_uid.clone(),
    })
}

/// Consecutive batches of items, each with at most `most` that have to be built.
pub(crate) fn batches(mut items: &[Item], most: usize) -> impl Iterator<Item = &[Item]> {
    std::iter::from_fn(move || {
        let mut to_make = 0;
        let within = |item: &&Item| {
            to_make += usize::from(item.kept.is_none());
            to_make <= most
        };
        let (batch, rest) = items.split_at(items.iter().take_while(within).count());
        items = rest;
        (!batch.is_empty()).then_some(batch)
    })
}
