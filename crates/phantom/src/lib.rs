//! Writes synthetic chest CTs as DICOM series, with labels and ground truth.
//!
//! Everything except the voxels (identifiers, names, sizes, geometry, noise, order) is drawn from
//! random streams that do not depend on the labels.

mod acquisition;
mod anatomy;
mod codec;
mod cohort;
mod dicom;
mod error;
mod lesion;
mod listing;
mod noise;
mod options;
mod plane;
mod pose;
mod random;
mod scene;
mod vessels;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

pub use codec::Syntax;
pub use error::Error;
pub use options::Options;

use cohort::Series;
use dicom::Instance;
use lesion::Lesion;
use random::{Purpose, Random};
use scene::Scene;

const SERIES_FOLDER: &str = "training_data";

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Number of series, each in a folder of its own.
    pub series: usize,
    /// Number of studies.
    pub studies: usize,
    /// Number of patients.
    pub patients: usize,
    /// Number of DICOM files.
    pub files: usize,
    /// Total size of the DICOM files in bytes.
    pub bytes: u64,
    /// Number of series with a lesion.
    pub pathological: usize,
}

/// Writes `dir/training_data/<study>/<series>/<file>.dcm`, then `dir/truth.csv`, and finally
/// `dir/training_data.csv`, which appears by a rename.
///
/// Runs on the caller's rayon pool and calls `progress(series done, total series)` from its
/// threads.
///
/// # Errors
///
/// [`Error::OutOfRange`] for options that no phantom can be made from, [`Error::Occupied`] when
/// `dir` already holds data, [`Error::Interrupted`] soon after `stop` becomes true, and
/// [`Error::Io`] or [`Error::Encode`] with the file. What was written before the error stays,
/// without `training_data.csv`.
pub fn write(
    dir: &Path,
    options: &Options,
    stop: &AtomicBool,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Summary, Error> {
    options.check()?;
    refuse_occupied(dir)?;
    let cohort = cohort::draw(options);
    let done = AtomicUsize::new(0);
    let written: Vec<Written> = cohort
        .par_iter()
        .map(|series| {
            let written = write_series(&dir.join(SERIES_FOLDER), series, options, stop)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, cohort.len());
            Ok(written)
        })
        .collect::<Result<_, Error>>()?;

    let studies: HashSet<&str> = cohort.iter().map(|s| s.study_uid.as_str()).collect();
    let summary = Summary {
        series: cohort.len(),
        studies: studies.len(),
        patients: options.patients,
        files: written.iter().map(|w| w.files).sum(),
        bytes: written.iter().map(|w| w.bytes).sum(),
        pathological: cohort.iter().filter(|s| s.pathological).count(),
    };
    let lesions: Vec<Vec<Lesion>> = written.into_iter().map(|w| w.lesions).collect();
    listing::write_whole(&dir.join(listing::TRUTH), &listing::truth(&cohort, &lesions))?;
    listing::write_whole(&dir.join(listing::LABELS), &listing::labels(&cohort))?;
    Ok(summary)
}

/// Refuses a folder that holds files with our names, because a user's data are never overwritten.
fn refuse_occupied(dir: &Path) -> Result<(), Error> {
    for name in [listing::LABELS, listing::TRUTH] {
        let path = dir.join(name);
        if path.try_exists().map_err(Error::io("look at", &path))? {
            return Err(Error::Occupied(path));
        }
    }
    let path = dir.join(SERIES_FOLDER);
    if path.try_exists().map_err(Error::io("look at", &path))? {
        let mut entries = fs::read_dir(&path).map_err(Error::io("list", &path))?;
        if entries.next().is_some() {
            return Err(Error::Occupied(path));
        }
    }
    Ok(())
}

struct Written {
    files: usize,
    bytes: u64,
    lesions: Vec<Lesion>,
}

fn write_series(
    root: &Path,
    series: &Series,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Written, Error> {
    let folder: PathBuf = root.join(&series.study_uid).join(&series.uid);
    fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;
    let scene = Scene::draw(series, options);
    let scan = &scene.acquisition;
    let mut names = Random::new(options.seed, Purpose::FileName, series.index, 0);
    let file_numbers = scan.file_numbers(&mut names);
    let mut bytes = 0;
    let drawn = if scan.implicit_vr { Syntax::Implicit } else { Syntax::Explicit };
    for slice in 0..scan.slices {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let number = file_numbers[scan.instance_number(slice) - 1];
        let path = folder.join(format!("IM{number:05}.dcm"));
        let instance = Instance {
            series,
            acquisition: scan,
            uid: cohort::instance_uid(options.seed, series.index, slice),
            slice,
            stored: scene.slice(slice),
            syntax: options.syntax.unwrap_or(drawn),
        };
        let file = dicom::encode(&instance, &path)?;
        fs::write(&path, &file).map_err(Error::io("write", &path))?;
        bytes += file.len() as u64;
    }
    Ok(Written { files: scan.slices, bytes, lesions: scene.lesions })
}
