//! The test set by sex, age, scanner and slice thickness: does the model perform equally well for
//! everybody? Knows only the threshold that it is given.

use std::collections::{BTreeMap, HashMap};

use ctpipe_metrics::{Figure as Estimate, summarise};
use ctpipe_tables::json::{Figure, PartMetrics, Subgroup};
use ctpipe_tables::{Part, PredictionRow, Reason, SeriesRow};

use crate::columns::{Columns, told};
use crate::config::Config;

/// A group: its order among the groups of one property, and its name.
type Group = (usize, String);

/// A property, and how to get a series' group by it; `None` if the property is unknown.
type By = (&'static str, fn(&SeriesRow) -> Option<Group>);

/// The properties by which the test set is divided.
const BY: [By; 4] = [
    ("sex", |row| row.sex.clone().map(|sex| (0, sex))),
    ("age", |row| row.age.map(|age| band(age, &[40.0, 50.0, 60.0, 70.0], true))),
    ("manufacturer", |row| row.manufacturer.clone().map(|maker| (0, maker))),
    ("slice_thickness", |row| row.slice_thickness.map(|mm| band(mm, &[1.5, 3.0, 5.0], false))),
];

/// The range between these ends that a value is in; ranges of whole numbers are named by their
/// first and last number.
fn band(value: f64, ends: &[f64], whole: bool) -> Group {
    let above = ends.iter().take_while(|&&end| value >= end).count();
    let name = match (above.checked_sub(1).and_then(|below| ends.get(below)), ends.get(above)) {
        (Some(low), Some(high)) if whole => format!("{low}-{}", high - 1.0),
        (Some(low), Some(high)) => format!("{low}-<{high}"),
        (None, Some(high)) => format!("<{high}"),
        (Some(low), None) => format!(">={low}"),
        (None, None) => String::new(),
    };
    (above, name)
}

/// The groups by each property that has more than one. A group of fewer series than `subgroup_min`
/// has counts but no figures.
///
/// # Errors
/// If a figure does not fit the schema of `metrics.json`, which is a mistake in this crate.
pub fn subgroups(
    predictions: &[PredictionRow],
    series: &[SeriesRow],
    whole: &PartMetrics,
    threshold: f64,
    (config, seed): (&Config, u64),
) -> Result<Vec<Subgroup>, serde_json::Error> {
    let known: HashMap<&str, &SeriesRow> = series.iter().map(|row| (row.series_uid.as_str(), row)).collect();
    let mut found = Vec::new();
    for (by, group_of) in BY {
        let mut groups: BTreeMap<Group, Vec<&PredictionRow>> = BTreeMap::new();
        for row in predictions.iter().filter(|row| row.split == Part::Test.as_str()) {
            let group = known.get(row.series_uid.as_str()).and_then(|series| group_of(series));
            groups.entry(group.unwrap_or_else(|| (usize::MAX, "unknown".to_owned()))).or_default().push(row);
        }
        if groups.len() < 2 {
            continue;
        }
        for ((_, group), rows) in groups {
            let columns = Columns::of(rows.into_iter());
            let mut subgroup = Subgroup {
                by: by.to_owned(),
                group,
                samples: columns.labels.len() as u64,
                patients: columns.patients.iter().max().map_or(0, |last| *last as u64 + 1),
                pathology: columns.labels.iter().filter(|&&label| label).count() as u64,
                ..Subgroup::default()
            };
            if columns.labels.len() < config.subgroup_min {
                let few = too_few(columns.labels.len(), config.subgroup_min);
                subgroup.auc = few.clone();
                subgroup.sensitivity = few.clone();
                subgroup.specificity = few;
                found.push(subgroup);
                continue;
            }
            let summary = summarise(&columns.scored(), threshold, config.scheme(seed));
            let pairs = [
                ("auc", &summary.auc, &whole.auc),
                ("sensitivity", &summary.sensitivity, &whole.sensitivity),
                ("specificity", &summary.specificity, &whole.specificity),
            ];
            let differs = |(name, figure, whole): (&str, &Estimate, &Figure)| {
                // The resamples of a group that is ordered without error are so, too: such an
                // interval has no width and says nothing. A proportion then has Wilson's interval,
                // which the report shows instead.
                let wide = figure.interval.ok().filter(|interval| interval.low < interval.high);
                wide.or(figure.wilson_patients)?.excludes(whole.value?).then(|| name.to_owned())
            };
            subgroup.differs = pairs.into_iter().filter_map(differs).collect();
            subgroup.auc = told(summary.auc)?;
            subgroup.sensitivity = told(summary.sensitivity)?;
            subgroup.specificity = told(summary.specificity)?;
            found.push(subgroup);
        }
    }
    Ok(found)
}

/// The figure of a group that is too small.
fn too_few(samples: usize, wanted: usize) -> Figure {
    let values = [("samples", samples.into()), ("wanted", wanted.into())];
    let values = values.map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value)).into();
    Figure {
        undefined: Some(format!(
            "undefined because the group has {samples} series; subgroup_min asks for {wanted}"
        )),
        reason: Some(Reason { code: "group_too_small".to_owned(), values }),
        ..Figure::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_named_by_their_ends() {
        let age = |years| band(years, &[40.0, 50.0, 60.0, 70.0], true).1;
        assert_eq!([age(39.9), age(40.0), age(59.0), age(70.0)], ["<40", "40-49", "50-59", ">=70"]);
        let thickness = |mm| band(mm, &[1.5, 3.0, 5.0], false);
        let names = [1.0, 2.5, 3.0, 5.0].map(|mm| thickness(mm).1);
        assert_eq!(names, ["<1.5", "1.5-<3", "3-<5", ">=5"]);
        assert!(thickness(1.0) < thickness(2.5) && thickness(2.5) < thickness(5.0));
    }
}
