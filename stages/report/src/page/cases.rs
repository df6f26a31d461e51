//! Part of section 4: the saliency maps. Draws the maps that evaluate made over the slices that
//! they belong to; computes none.

use ctpipe_stage::StageError;
use ctpipe_tables::SaliencyRow;
use serde::Serialize;

use crate::error::Error;
use crate::error::failed;
use crate::inputs::Inputs;
use crate::texts::Texts;
use crate::{formatting, images};

/// Number of series shown of each kind, so that the page stays small.
const SHOWN: usize = 4;
/// The `case` of the map over the whole test set.
const WHOLE: &str = "test";

#[derive(Serialize)]
pub(crate) struct View {
    kinds: Vec<Kind>,
    /// How many series have maps that are not shown here, as a sentence.
    more: Option<String>,
    /// Mean absolute gradient over the test set.
    whole: Option<Map>,
    /// How well the SmoothGrad map correlates with that of random weights, as a sentence.
    randomised: Option<String>,
}

/// Series that are explained for the same reason.
#[derive(Serialize)]
struct Kind {
    name: String,
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    /// Its position on the page, which makes names in the markup unique.
    number: usize,
    series_uid: String,
    said: String,
    maps: Vec<Map>,
}

#[derive(Serialize)]
struct Map {
    method: String,
    /// Where the map is largest.
    place: String,
    images: Vec<Image>,
}

#[derive(Serialize)]
struct Image {
    plane: String,
    uri: String,
    edge: u32,
}

/// Reads the volumes one by one; `go_on` is asked before each.
pub(crate) fn cases(
    texts: &Texts,
    inputs: &Inputs,
    go_on: impl Fn() -> Result<(), StageError>,
) -> Result<View, StageError> {
    let mut kinds: Vec<Kind> = Vec::new();
    let (mut last_case, mut number, mut more) = (String::new(), 0, 0_u64);
    for rows in inputs.saliency.chunk_by(|a, b| a.series_uid == b.series_uid) {
        let Some(first) = rows.first().filter(|row| row.case != WHOLE) else {
            continue;
        };
        go_on()?;
        if last_case == first.case && kinds.last().is_some_and(|kind| kind.cases.len() >= SHOWN) {
            more += 1;
            continue;
        }
        let voxels = inputs.voxels(&first.series_uid).map_err(failed)?;
        let maps: Result<Vec<Map>, Error> = rows.iter().map(|row| map(texts, row, Some(&voxels))).collect();
        if kinds.is_empty() || last_case != first.case {
            kinds.push(Kind { name: texts.say(&format!("case.{}", first.case)), cases: Vec::new() });
            last_case.clone_from(&first.case);
        }
        let case = Case {
            number,
            series_uid: first.series_uid.clone(),
            said: said(texts, inputs, &first.series_uid),
            maps: maps.map_err(failed)?,
        };
        if let Some(kind) = kinds.last_mut() {
            kind.cases.push(case);
        }
        number += 1;
    }
    let whole = inputs.saliency.iter().find(|row| row.case == WHOLE);
    Ok(View {
        kinds,
        more: (more > 0).then(|| texts.fill("cases.more", &[("n", &texts.count(more))])),
        whole: whole.map(|row| map(texts, row, None)).transpose().map_err(failed)?,
        randomised: inputs.saliency_file.randomised.as_ref().map(|found| {
            let key =
                if found.correlation.abs() < 0.5 { "cases.randomised" } else { "cases.randomised_alike" };
            texts.fill(key, &[("correlation", &format!("{:.2}", found.correlation))])
        }),
    })
}

/// "Label pathology, probability of pathology 0.93, predicted pathology."
fn said(texts: &Texts, inputs: &Inputs, series_uid: &str) -> String {
    let Some(row) = inputs.predictions.iter().find(|row| row.series_uid == series_uid) else {
        return String::new();
    };
    texts.fill(
        "cases.said",
        &[
            ("label", &formatting::class(texts, row.label)),
            ("probability", &formatting::probability(row.probability)),
            ("called", &formatting::class(texts, u32::from(row.decision))),
        ],
    )
}

/// A map drawn over the slices through its maximum, or over black without a volume.
fn map(texts: &Texts, row: &SaliencyRow, volume: Option<&[u16]>) -> Result<Map, Error> {
    let edge = row.size as usize;
    let count = edge.pow(3);
    if row.map.len() != count || volume.is_some_and(|volume| volume.len() != count) {
        return Err(Error::NotACube { series_uid: row.series_uid.clone(), voxels: row.map.len() });
    }
    let at = [row.x, row.y, row.z].map(|place| place as usize);
    let slices = images::overlaid(volume, &row.map, edge, at)
        .map_err(|source| Error::Image { series_uid: row.series_uid.clone(), source })?;
    let [x, y, z] = [row.x, row.y, row.z].map(|place| place.to_string());
    let image = |slice: images::Slice| Image {
        plane: texts.say(&format!("plane.{}", slice.plane)),
        uri: slice.uri,
        edge: slice.edge,
    };
    Ok(Map {
        method: texts.say(&format!("method.{}", row.method)),
        place: texts.fill("cases.place", &[("x", &x), ("y", &y), ("z", &z)]),
        images: slices.into_iter().map(image).collect(),
    })
}
