//! Stage preprocess: the accepted series to shards of 64³ volumes and `volumes.parquet`. Knows no
//! labels.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ctpipe_ct::{SIZE, Volume, VolumeError, build};
use ctpipe_engine::{Level, Output, Param, Port, Stage, StageError, Task};
use ctpipe_tables::shards::{ShardWriter, make_folder};
use ctpipe_tables::{InstanceRow, SeriesRow, Status, Table, VolumeRow};
use rayon::prelude::*;

/// The stage.
pub struct Preprocess;

const PORTS: &[Port] = &[
    Port::required("series", "what ingest made"),
    Port::required("dicom", "the folder with the DICOM files that ingest read"),
];

const OUTPUTS: &[Output] = &[
    Output { path: "volumes/", doc: "shards of compressed 64 x 64 x 64 volumes" },
    Output { path: VolumeRow::FILE, doc: "where each volume is, and what it is like" },
];

/// Shards of an artifact. Fixed, so that adding a series touches one shard and leaves the rest.
const SHARDS: u8 = 32;

impl Stage for Preprocess {
    fn kind(&self) -> &'static str {
        "preprocess"
    }
    fn version(&self) -> u32 {
        1
    }
    fn doc(&self) -> &'static str {
        "orders, decodes, converts to HU, resamples to 64 x 64 x 64 and windows -1000..400 HU to 0..1"
    }
    fn ports(&self) -> &'static [Port] {
        PORTS
    }
    fn params(&self) -> &'static [Param] {
        &[]
    }
    fn outputs(&self) -> &'static [Output] {
        OUTPUTS
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let work = work(task)?;
        let folder = make_folder(task.out()).map_err(StageError::failed)?;
        let total = work.len() as u64;
        let mut rows = Vec::with_capacity(work.len());
        let mut shard: Option<(String, ShardWriter)> = None;
        // Two a thread in hand: memory does not grow with the data set, and no thread waits long for
        // the slowest. The order of the shards does not depend on who was first.
        for batch in work.chunks(2 * rayon::current_num_threads()) {
            let built: Vec<Result<Volume, VolumeError>> =
                batch.par_iter().map(|item| build(&item.slices)).collect();
            task.check_stop()?;
            for (item, result) in batch.iter().zip(built) {
                rows.push(match result {
                    Ok(volume) => {
                        let writer = match &mut shard {
                            Some((name, writer)) if *name == item.shard => writer,
                            other => {
                                if let Some((_, finished)) = other.take() {
                                    finished.finish().map_err(StageError::failed)?;
                                }
                                let writer = ShardWriter::create(&folder.join(&item.shard))
                                    .map_err(StageError::failed)?;
                                &mut other.insert((item.shard.clone(), writer)).1
                            }
                        };
                        let place = writer
                            .push(&item.series_uid, SIZE as u32, &volume.voxels)
                            .map_err(StageError::failed)?;
                        accepted(item, place, &volume)
                    }
                    Err(error) => {
                        task.log(Level::Warning, format!("series {}: {error}", item.series_uid));
                        rejected(item, &error)
                    }
                });
            }
            task.progress(rows.len() as u64, total, "series", "");
        }
        if let Some((_, writer)) = shard {
            writer.finish().map_err(StageError::failed)?;
        }
        rows.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
        VolumeRow::write(&rows, task.out()).map_err(StageError::failed)?;
        let good = rows.iter().filter(|row| row.status == Status::Accepted.as_str()).count();
        task.log(Level::Info, format!("{good} volumes, {} series rejected", rows.len() - good));
        if good == 0 {
            return Err(StageError::failed(format!(
                "no volume could be made of {} series; {}",
                rows.len(),
                why(&rows)
            )));
        }
        Ok(())
    }
}

/// One series to be done.
struct Item {
    series_uid: String,
    shard: String,
    slices: Vec<PathBuf>,
}

/// Accepted series with their files in order, sorted by shard and UID.
fn work(task: &Task<'_>) -> Result<Vec<Item>, StageError> {
    let series = task.input("series")?;
    let dicom = task.input("dicom")?;
    let mut slices: BTreeMap<String, BTreeMap<u32, PathBuf>> = BTreeMap::new();
    for row in InstanceRow::read(series).map_err(StageError::failed)? {
        if let Some(index) = row.slice_index {
            slices.entry(row.series_uid).or_default().insert(index, dicom.join(row.path));
        }
    }
    let mut items: Vec<Item> = SeriesRow::read(series)
        .map_err(StageError::failed)?
        .into_iter()
        .filter(|row| row.status == Status::Accepted.as_str())
        .map(|row| Item {
            shard: shard_of(&row.series_uid),
            slices: slices.remove(&row.series_uid).unwrap_or_default().into_values().collect(),
            series_uid: row.series_uid,
        })
        .collect();
    items.sort_by(|a, b| (&a.shard, &a.series_uid).cmp(&(&b.shard, &b.series_uid)));
    Ok(items)
}

/// A series stays in its shard whatever is added or removed beside it.
fn shard_of(series_uid: &str) -> String {
    format!("{:02}.arrow", blake3::hash(series_uid.as_bytes()).as_bytes()[0] % SHARDS)
}

fn accepted(item: &Item, batch: u32, volume: &Volume) -> VolumeRow {
    let quality = volume.quality;
    VolumeRow {
        series_uid: item.series_uid.clone(),
        shard: item.shard.clone(),
        batch,
        min_hu: Some(f64::from(quality.min_hu)),
        max_hu: Some(f64::from(quality.max_hu)),
        mean_hu: Some(f64::from(quality.mean_hu)),
        padding_share: Some(quality.padding_share),
        air_share: Some(quality.air_share),
        soft_tissue_share: Some(quality.soft_tissue_share),
        status: Status::Accepted.as_str().to_owned(),
        reasons: Vec::new(),
        problem: None,
    }
}

fn rejected(item: &Item, error: &VolumeError) -> VolumeRow {
    VolumeRow {
        series_uid: item.series_uid.clone(),
        status: Status::Rejected.as_str().to_owned(),
        reasons: vec![error.code().to_owned()],
        problem: Some(error.to_string()),
        ..VolumeRow::default()
    }
}

fn why(rows: &[VolumeRow]) -> String {
    let first = rows.iter().find_map(|row| row.problem.clone());
    first.map(|problem| format!("the first: {problem}")).unwrap_or_default()
}
