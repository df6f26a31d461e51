//! Part of section 2: measurements of the volumes, and pictures of the flagged ones. Judges
//! nothing: the flags are those of preprocess.

use std::collections::BTreeMap;

use ctpipe_stage::StageError;
use ctpipe_tables::{SeriesRow, Status, VolumeRow};
use serde::Serialize;

use super::data::codes;
use super::examples::{Image, slices};
use super::table::Table;
use crate::error::failed;
use crate::inputs::Inputs;
use crate::texts::Texts;

#[derive(Serialize)]
pub(crate) struct View {
    volumes: usize,
    flagged: usize,
    geometry: Option<Table>,
    measures: Option<Table>,
    flags: Option<Table>,
    montage: Vec<Picture>,
    /// Number of flagged volumes without a picture.
    more: usize,
}

/// One flagged volume.
#[derive(Serialize)]
struct Picture {
    series_uid: String,
    flags: String,
    images: Vec<Image>,
}

/// A number of a row: the key of its name, how to get it, and its decimals.
type Number<R> = (&'static str, fn(&R) -> Option<f64>, usize);

const MEASURES: [Number<VolumeRow>; 7] = [
    ("measure.air", |row| row.air_hu, 0),
    ("measure.soft_tissue", |row| row.soft_tissue_hu, 0),
    ("measure.noise", |row| row.noise_hu, 1),
    ("measure.padding", |row| row.padding_share.map(|share| 100.0 * share), 1),
    ("measure.left_right", |row| row.coverage_x_mm, 0),
    ("measure.front_back", |row| row.coverage_y_mm, 0),
    ("measure.feet_head", |row| row.coverage_z_mm, 0),
];

const PROPERTIES: [Number<SeriesRow>; 6] = [
    ("head.slices", |row| Some(f64::from(row.slices)), 0),
    ("head.thickness", |row| row.slice_thickness, 2),
    ("geometry.spacing", |row| row.slice_spacing, 2),
    ("head.pixel", |row| row.row_spacing, 3),
    ("geometry.matrix", |row| Some(f64::from(row.rows)), 0),
    ("geometry.kvp", |row| row.kvp, 0),
];

/// Reads the volumes of the first `pictures` that are flagged; `go_on` is asked before each.
pub(crate) fn quality(
    texts: &Texts,
    inputs: &Inputs,
    pictures: usize,
    go_on: impl Fn() -> Result<(), StageError>,
) -> Result<View, StageError> {
    let mut rows: Vec<&VolumeRow> =
        inputs.volumes.iter().filter(|row| row.status == Status::Accepted.as_str()).collect();
    // Volumes with the most flags come first: they are the most worth looking at.
    rows.sort_by_key(|row| (std::cmp::Reverse(row.flags.len()), row.series_uid.as_str()));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for flag in rows.iter().flat_map(|row| &row.flags) {
        *counts.entry(flag.clone()).or_default() += 1;
    }
    let flagged: Vec<&VolumeRow> = rows.iter().copied().filter(|row| !row.flags.is_empty()).collect();
    let mut montage = Vec::new();
    for row in flagged.iter().take(pictures) {
        go_on()?;
        montage.push(Picture {
            series_uid: row.series_uid.clone(),
            flags: row.flags.join(", "),
            images: slices(texts, inputs, &row.series_uid).map_err(failed)?,
        });
    }
    Ok(View {
        volumes: rows.len(),
        flagged: flagged.len(),
        geometry: geometry(texts, inputs).unless_empty(),
        measures: measures(texts, &rows).unless_empty(),
        flags: codes(texts, "quality.flags", &counts),
        more: flagged.len() - montage.len(),
        montage,
    })
}

/// Median, range and missing values of each measure.
fn measures(texts: &Texts, rows: &[&VolumeRow]) -> Table {
    summary(texts, "quality.figures", &MEASURES, rows)
}

/// Acquisition of the accepted series.
fn geometry(texts: &Texts, inputs: &Inputs) -> Table {
    let accepted = inputs.series.iter().filter(|row| row.status == Status::Accepted.as_str());
    summary(texts, "quality.geometry", &PROPERTIES, &accepted.collect::<Vec<_>>())
}

/// Median, range and missing values of each number over some rows.
fn summary<R>(texts: &Texts, caption: &str, numbers: &[Number<R>], rows: &[&R]) -> Table {
    let row = |(head, number, decimals): &Number<R>| {
        let mut values: Vec<f64> = rows.iter().filter_map(|row| number(row)).collect();
        values.sort_by(f64::total_cmp);
        let (first, last) = (values.first()?, values.last()?);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        let number = |value: f64| format!("{value:.decimals$}");
        let missing = texts.count((rows.len() - values.len()) as u64);
        Some(vec![texts.say(head), number(median), number(*first), number(*last), missing])
    };
    let heads = ["head.measure", "#head.median", "#head.least", "#head.most", "#head.without"];
    Table::new(texts, caption, &heads, numbers.iter().filter_map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_is_said_with_its_median_and_range_and_how_often_it_is_missing() {
        let row = |air_hu| VolumeRow { air_hu, ..VolumeRow::default() };
        let rows = [row(Some(-1000.0)), row(Some(-990.0)), row(None), row(Some(-1024.0)), row(Some(-996.0))];
        let table = serde_json::to_value(measures(
            &Texts::new(crate::texts::Language::En),
            &rows.iter().collect::<Vec<_>>(),
        ))
        .unwrap_or_default();
        assert_eq!(table["rows"], serde_json::json!([["Air, HU", "-998", "-1024", "-990", "1"]]));
    }
}
