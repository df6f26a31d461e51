//! Part of section 2: some volumes of each class, chosen by set and UID and not by their
//! appearance. Cuts no slice itself.

use std::collections::{BTreeMap, HashMap};

use ctpipe_stage::StageError;
use ctpipe_tables::{Part, Status};
use serde::Serialize;

use crate::error::Error;
use crate::error::failed;
use crate::inputs::Inputs;
use crate::texts::Texts;
use crate::{formatting, images};

#[derive(Serialize)]
pub(crate) struct View {
    asked: usize,
    classes: Vec<Class>,
}

#[derive(Serialize)]
struct Class {
    name: String,
    examples: Vec<Example>,
}

#[derive(Serialize)]
struct Example {
    series_uid: String,
    said: String,
    images: Vec<Image>,
}

#[derive(Serialize)]
pub(super) struct Image {
    plane: String,
    uri: String,
    edge: u32,
}

/// Reads the volumes one by one; `go_on` is asked before each.
pub(crate) fn examples(
    texts: &Texts,
    inputs: &Inputs,
    asked: usize,
    go_on: impl Fn() -> Result<(), StageError>,
) -> Result<View, StageError> {
    let predictions: HashMap<&str, _> =
        inputs.predictions.iter().map(|row| (row.series_uid.as_str(), row)).collect();
    let mut classes = Vec::new();
    for label in [0, 1] {
        let mut examples = Vec::new();
        for (series_uid, part) in chosen(inputs, label, asked) {
            go_on()?;
            let part = part.map_or_else(|| texts.say("part.none"), |part| formatting::part(texts, part));
            let label = formatting::class(texts, label);
            let said = match predictions.get(series_uid) {
                Some(row) => texts.fill(
                    "examples.said",
                    &[
                        ("part", &part),
                        ("label", &label),
                        ("probability", &format!("{:.3}", row.probability)),
                        ("called", &formatting::class(texts, u32::from(row.decision))),
                    ],
                ),
                None => texts.fill("examples.without", &[("part", &part), ("label", &label)]),
            };
            let images = slices(texts, inputs, series_uid).map_err(failed)?;
            examples.push(Example { series_uid: series_uid.to_owned(), said, images });
        }
        classes.push(Class { name: formatting::class(texts, label), examples });
    }
    Ok(View { asked, classes })
}

/// Series of a class that have a volume: the test set first, then the validation and training sets;
/// by UID within each.
fn chosen(inputs: &Inputs, label: u32, asked: usize) -> Vec<(&str, Option<&str>)> {
    let parts: BTreeMap<&str, &str> =
        inputs.split_rows.iter().map(|row| (row.series_uid.as_str(), row.split.as_str())).collect();
    let labels: HashMap<&str, u32> = inputs
        .series
        .iter()
        .filter_map(|row| Some((row.series_uid.as_str(), row.label?)))
        // The split's label takes precedence: it is the one that the network was trained with.
        .chain(inputs.split_rows.iter().map(|row| (row.series_uid.as_str(), row.label)))
        .collect();
    let rank = |part: Option<&str>| {
        [Part::Test, Part::Val, Part::Train].iter().position(|p| Some(p.as_str()) == part).unwrap_or(3)
    };
    let mut chosen: Vec<(&str, Option<&str>)> = inputs
        .volumes
        .iter()
        .filter(|row| row.status == Status::Accepted.as_str() && !row.shard.is_empty())
        .filter(|row| labels.get(row.series_uid.as_str()) == Some(&label))
        .map(|row| (row.series_uid.as_str(), parts.get(row.series_uid.as_str()).copied()))
        .collect();
    chosen.sort_by_key(|&(uid, part)| (rank(part), uid));
    chosen.truncate(asked);
    chosen
}

pub(super) fn slices(texts: &Texts, inputs: &Inputs, series_uid: &str) -> Result<Vec<Image>, Error> {
    let voxels = inputs.voxels(series_uid)?;
    let edge = images::edge(voxels.len())
        .ok_or_else(|| Error::NotACube { series_uid: series_uid.to_owned(), voxels: voxels.len() })?;
    let slices = images::middle_slices(&voxels, edge)
        .map_err(|source| Error::Image { series_uid: series_uid.to_owned(), source })?;
    let image = |slice: images::Slice| Image {
        plane: texts.say(&format!("plane.{}", slice.plane)),
        uri: slice.uri,
        edge: slice.edge,
    };
    Ok(slices.into_iter().map(image).collect())
}
