//! Stage preprocess: turns the accepted series into shards of cubic volumes and `volumes.parquet`.
//! Knows no labels.

mod shards;
mod worklist;

use ctpipe_ct::{Fit, Quality, Request, VolumeError};
use ctpipe_stage::{Kind, Level, Output, Param, Params, Port, Stage, StageError, Task};
use ctpipe_tables::shards::Packed;
use ctpipe_tables::{Status, Table, VolumeRow};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::shards::Shards;
use crate::worklist::{Earlier, Item, Outcome, batches, work};

/// The stage.
pub struct Preprocess;

const PORTS: &[Port] = &[
    Port::required("series", "the artifact of ingest"),
    Port::required("dicom", "the folder with the DICOM files that ingest has read"),
];

const OUTPUTS: &[Output] = &[
    Output { path: "volumes/", doc: "shards of compressed volumes, 64 x 64 x 64 voxels by default" },
    Output { path: VolumeRow::FILE, doc: "where each volume is, and its quality" },
];

const PARAMS: &[Param] = &[
    Param {
        name: "size",
        kind: Kind::Int { default: 64, min: 16, max: 256 },
        unit: "voxels",
        doc: "edge length of a volume, a multiple of 16 (the network halves it three times)",
    },
    Param {
        name: "fit",
        kind: Kind::Choice { default: "stretch", options: Fit::NAMES },
        unit: "",
        doc: "what fills a volume: stretch (the whole series), isotropic (the whole series in true proportions, \
              with air around it), lungs (the lungs with a margin of 10 mm)",
    },
];

#[derive(Debug, Deserialize)]
struct Config {
    size: usize,
    fit: String,
}

impl Stage for Preprocess {
    fn kind(&self) -> &'static str {
        "preprocess"
    }
    fn version(&self) -> u32 {
        5
    }
    fn doc(&self) -> &'static str {
        "orders and decodes slices, converts them to HU, resamples them to a cube and windows -1000..400 HU to 0..1"
    }
    fn ports(&self) -> &'static [Port] {
        PORTS
    }
    fn params(&self) -> &'static [Param] {
        PARAMS
    }
    fn outputs(&self) -> &'static [Output] {
        OUTPUTS
    }

    fn check(&self, params: &Params) -> Result<(), String> {
        match params.get("size").and_then(Value::as_u64) {
            Some(size) if size % 16 != 0 => Err(format!("size {size} is not a multiple of 16")),
            _ => Ok(()),
        }
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let config: Config = task.params()?;
        let request = Request { size: config.size, fit: Fit::named(&config.fit).unwrap_or_default() };
        let earlier = Earlier::find(task);
        let work = work(task, earlier.as_ref())?;
        let total = work.len() as u64;
        let mut shards = Shards::new(task, earlier.as_ref(), &work)?;
        // Only two series per thread are in memory at once, so memory does not grow with the data
        // set, and no thread waits long for the slowest. While one batch is built, the previous one
        // is written; the order in the shards does not depend on which series is finished first.
        let build = |batch: &[Item]| -> Result<Vec<Outcome>, StageError> {
            batch.par_iter().map(|item| item.outcome(request)).collect()
        };
        let mut batches = batches(&work, 2 * rayon::current_num_threads());
        let mut batch = batches.next().unwrap_or_default();
        let mut built = build(batch)?;
        while !batch.is_empty() {
            task.check_stop()?;
            let next = batches.next().unwrap_or_default();
            let (written, next_built) = rayon::join(|| shards.write(built), || build(next));
            written?;
            (batch, built) = (next, next_built?);
            task.progress(shards.rows.len() as u64, total, "series", "");
        }
        let made_from = |item: &Item| Some((item.series_uid.clone(), item.made_from.clone()?));
        let reused = work.iter().filter(|item| item.kept.is_some()).count();
        task.keep_items(work.iter().filter_map(made_from).collect(), reused as u64);
        let mut rows = shards.finish()?;
        rows.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
        VolumeRow::write(&rows, task.out()).map_err(StageError::failed)?;
        let good = rows.iter().filter(|row| row.status == Status::Accepted.as_str()).count();
        task.log(Level::Info, format!("{good} volumes, {} series rejected", rows.len() - good));
        if good == 0 {
            return Err(StageError::failed(format!(
                "no volume could be made from {} series; {}",
                rows.len(),
                why(&rows)
            )));
        }
        Ok(())
    }
}

impl Item {
    fn outcome(&self, request: Request) -> Result<Outcome, StageError> {
        if let Some(row) = &self.kept {
            return Ok(Outcome { row: row.clone(), packed: None });
        }
        let volume = match self.build(request) {
            Ok(volume) => volume,
            Err(error) => return Ok(Outcome { row: rejected(self, &error), packed: None }),
        };
        let packed = Packed::new(&self.series_uid, volume.size as u32, &volume.voxels);
        let packed = packed.map_err(StageError::failed)?;
        Ok(Outcome { row: accepted(self, &volume.quality), packed: Some(packed) })
    }
}

/// The row of a volume; its position in the shard is filled in later.
fn accepted(item: &Item, quality: &Quality) -> VolumeRow {
    let [x, y, z] = quality.coverage_mm.map(Some);
    VolumeRow {
        series_uid: item.series_uid.clone(),
        shard: item.shard.clone(),
        min_hu: Some(f64::from(quality.min_hu)),
        max_hu: Some(f64::from(quality.max_hu)),
        mean_hu: Some(f64::from(quality.mean_hu)),
        padding_share: Some(quality.padding_share),
        air_share: Some(quality.air_share),
        soft_tissue_share: Some(quality.soft_tissue_share),
        air_hu: quality.air_hu,
        soft_tissue_hu: quality.soft_tissue_hu,
        noise_hu: quality.noise_hu,
        coverage_x_mm: x,
        coverage_y_mm: y,
        coverage_z_mm: z,
        flags: quality.flags.iter().map(|flag| flag.as_str().to_owned()).collect(),
        status: Status::Accepted.as_str().to_owned(),
        ..VolumeRow::default()
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
    first.map(|problem| format!("the first problem: {problem}")).unwrap_or_default()
}
