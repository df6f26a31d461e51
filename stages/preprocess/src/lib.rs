//! Stage preprocess: the accepted series to shards of cubes and `volumes.parquet`. Knows no labels.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ctpipe_ct::geometry::{Directions, Stack};
use ctpipe_ct::{Fit, Request, Source, Volume, VolumeError, build, to_path};
use ctpipe_engine::{Kind, Level, Output, Param, Params, Port, Stage, StageError, Task};
use ctpipe_tables::shards::{ShardWriter, make_folder};
use ctpipe_tables::{InstanceRow, SeriesRow, Status, Table, VolumeRow};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;

/// The stage.
pub struct Preprocess;

const PORTS: &[Port] = &[
    Port::required("series", "what ingest made"),
    Port::required("dicom", "the folder with the DICOM files that ingest read"),
];

const OUTPUTS: &[Output] = &[
    Output {
        path: "volumes/",
        doc: "shards of compressed volumes, 64 x 64 x 64 voxels unless another size is asked for",
    },
    Output { path: VolumeRow::FILE, doc: "where each volume is, and what it is like" },
];

const PARAMS: &[Param] = &[
    Param {
        name: "size",
        kind: Kind::Int { default: 64, min: 16, max: 256 },
        unit: "voxels",
        doc: "edge of a volume; a multiple of 16, which is what the network halves it by",
    },
    Param {
        name: "fit",
        kind: Kind::Choice { default: "stretch", options: Fit::NAMES },
        unit: "",
        doc: "what fills a volume: stretch (all of the series), isotropic (all of it in true proportions, \
              air around it), lungs (the lungs with a margin of 10 mm)",
    },
];

#[derive(Debug, Deserialize)]
struct Config {
    size: usize,
    fit: String,
}

/// Shards of an artifact. Fixed, so that adding a series touches one shard and leaves the rest.
const SHARDS: u8 = 32;

impl Stage for Preprocess {
    fn kind(&self) -> &'static str {
        "preprocess"
    }
    fn version(&self) -> u32 {
        2
    }
    fn doc(&self) -> &'static str {
        "orders, decodes, converts to HU, resamples to a cube and windows -1000..400 HU to 0..1"
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
        let work = work(task)?;
        let folder = make_folder(task.out()).map_err(StageError::failed)?;
        let total = work.len() as u64;
        let mut shards = Shards { folder, open: None, rows: Vec::with_capacity(work.len()) };
        // A few series in hand, two a thread: memory does not grow with the data set, and no thread waits
        // long for the slowest. While some are built, those before them are compressed and written; the
        // order in the shards does not depend on who was first.
        let build = |batch: &[Item]| batch.par_iter().map(|item| item.build(request)).collect();
        let mut batches = work.chunks(2 * rayon::current_num_threads());
        let mut batch = batches.next().unwrap_or_default();
        let mut built: Vec<Result<Volume, VolumeError>> = build(batch);
        while !batch.is_empty() {
            task.check_stop()?;
            let next = batches.next().unwrap_or_default();
            let (written, next_built) = rayon::join(|| shards.write(task, batch, &built), || build(next));
            written?;
            (batch, built) = (next, next_built);
            task.progress(shards.rows.len() as u64, total, "series", "");
        }
        let mut rows = shards.finish()?;
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

/// What has been written, and the shard that is being written.
struct Shards {
    folder: PathBuf,
    open: Option<(String, ShardWriter)>,
    rows: Vec<VolumeRow>,
}

impl Shards {
    /// Writes the volumes of some series; series come sorted by shard.
    fn write(
        &mut self,
        task: &Task<'_>,
        items: &[Item],
        built: &[Result<Volume, VolumeError>],
    ) -> Result<(), StageError> {
        for (item, result) in items.iter().zip(built) {
            let row = match result {
                Ok(volume) => {
                    let place = self
                        .writer(&item.shard)?
                        .push(&item.series_uid, volume.size as u32, &volume.voxels)
                        .map_err(StageError::failed)?;
                    accepted(item, place, volume)
                }
                Err(error) => {
                    task.log(Level::Warning, format!("series {}: {error}", item.series_uid));
                    rejected(item, error)
                }
            };
            self.rows.push(row);
        }
        Ok(())
    }

    fn writer(&mut self, shard: &str) -> Result<&mut ShardWriter, StageError> {
        if self.open.as_ref().is_none_or(|(name, _)| name != shard) {
            self.close()?;
            let writer = ShardWriter::create(&self.folder.join(shard)).map_err(StageError::failed)?;
            return Ok(&mut self.open.insert((shard.to_owned(), writer)).1);
        }
        self.open.as_mut().map(|(_, writer)| writer).ok_or_else(|| StageError::failed("no shard is open"))
    }

    fn close(&mut self) -> Result<(), StageError> {
        self.open.take().map_or(Ok(()), |(_, writer)| writer.finish().map_err(StageError::failed))
    }

    fn finish(mut self) -> Result<Vec<VolumeRow>, StageError> {
        self.close()?;
        Ok(self.rows)
    }
}

/// One series to be done.
struct Item {
    series_uid: String,
    shard: String,
    directions: Option<Directions>,
    size: [usize; 2],
    pixel_spacing: [f64; 2],
    /// Each slice with its position, in order.
    slices: Vec<(Source, [f64; 3])>,
}

impl Item {
    fn build(&self, request: Request) -> Result<Volume, VolumeError> {
        let positions: Vec<[f64; 3]> = self.slices.iter().map(|(_, position)| *position).collect();
        let directions = self.directions.ok_or(VolumeError::Empty)?;
        let (stack, order) = Stack::new(directions, self.size, self.pixel_spacing, &positions);
        let sources: Vec<Source> = order.iter().map(|&index| self.slices[index].0.clone()).collect();
        build(&stack, &sources, request)
    }
}

/// Accepted series with their files in order, sorted by shard and UID.
fn work(task: &Task<'_>) -> Result<Vec<Item>, StageError> {
    let series = task.input("series")?;
    let dicom = task.input("dicom")?;
    let mut slices: BTreeMap<String, BTreeMap<u32, (Source, [f64; 3])>> = BTreeMap::new();
    for row in InstanceRow::read(series).map_err(StageError::failed)? {
        let position = [row.position_x, row.position_y, row.position_z].map(Option::unwrap_or_default);
        if let Some(index) = row.slice_index {
            let path = dicom.join(to_path(&row.path));
            let source = Source { path, member: row.member, frame: row.frame as usize };
            slices.entry(row.series_uid).or_default().insert(index, (source, position));
        }
    }
    let mut items: Vec<Item> = SeriesRow::read(series)
        .map_err(StageError::failed)?
        .into_iter()
        .filter(|row| row.status == Status::Accepted.as_str())
        .map(|row| {
            let along_row = [row.along_row_x, row.along_row_y, row.along_row_z];
            let along_column = [row.along_column_x, row.along_column_y, row.along_column_z];
            let [a, b, c] = along_row.map(Option::unwrap_or_default);
            let [d, e, f] = along_column.map(Option::unwrap_or_default);
            Item {
                shard: shard_of(&row.series_uid),
                directions: Directions::new([a, b, c, d, e, f]),
                size: [row.rows as usize, row.columns as usize],
                pixel_spacing: [row.row_spacing, row.column_spacing].map(Option::unwrap_or_default),
                slices: slices.remove(&row.series_uid).unwrap_or_default().into_values().collect(),
                series_uid: row.series_uid,
            }
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
    let quality = &volume.quality;
    let [x, y, z] = quality.coverage_mm.map(Some);
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
        air_hu: quality.air_hu,
        soft_tissue_hu: quality.soft_tissue_hu,
        noise_hu: quality.noise_hu,
        coverage_x_mm: x,
        coverage_y_mm: y,
        coverage_z_mm: z,
        flags: quality.flags.iter().map(|flag| flag.as_str().to_owned()).collect(),
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
