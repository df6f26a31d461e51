//! Writes the two tables beside the series: the labels, which a pipeline may read, and the ground
//! truth, which it must not. Rows are in the order of the series UIDs, which are random.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Error;
use crate::cohort::Series;
use crate::lesion::Lesion;

pub(crate) const LABELS: &str = "training_data.csv";
pub(crate) const TRUTH: &str = "truth.csv";

/// The text of `training_data.csv`; pathology is 0 or 1, age in years.
pub(crate) fn labels(series: &[Series]) -> String {
    let mut text = String::from("study_uid,series_uid,pathology,age,sex\n");
    for one in by_uid(series) {
        let _ = writeln!(
            text,
            "{},{},{},{},{}",
            one.study_uid,
            one.uid,
            u8::from(one.pathological),
            one.patient.age,
            one.patient.sex.code()
        );
    }
    text
}

/// The text of `truth.csv`, with one row for each lesion; centre and semi-axes are in patient mm
/// (LPS). `lesions[i]` are the lesions of `series[i]`.
pub(crate) fn truth(series: &[Series], lesions: &[Vec<Lesion>]) -> String {
    let mut text = String::from("series_uid,kind,x_mm,y_mm,z_mm,semi_x_mm,semi_y_mm,semi_z_mm\n");
    for one in by_uid(series) {
        for lesion in lesions.get(one.index).into_iter().flatten() {
            let _ = write!(text, "{},{}", one.uid, lesion.kind());
            for value in lesion.centre.iter().chain(&lesion.half) {
                let _ = write!(text, ",{value:.2}");
            }
            text.push('\n');
        }
    }
    text
}

fn by_uid(series: &[Series]) -> Vec<&Series> {
    let mut sorted: Vec<_> = series.iter().collect();
    sorted.sort_by(|a, b| a.uid.cmp(&b.uid));
    sorted
}

/// Writes a file that is either complete or missing.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), Error> {
    let partial = path.with_extension("csv.partial");
    fs::write(&partial, text).map_err(Error::io("write", &partial))?;
    fs::rename(&partial, path).map_err(Error::io("rename to", path))
}
