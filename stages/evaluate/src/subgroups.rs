//! The test part by sex, age, scanner and slice thickness: does the model do as well for everybody? Knows no threshold but
//! the one that it is given.

use std::collections::{BTreeMap, HashMap};

use ctpipe_metrics::{Figure as Estimate, summarise};
use ctpipe_tables::json::{Figure, PartMetrics, Subgroup};
use ctpipe_tables::{Part, PredictionRow, SeriesRow};

use crate::config::Config;
use crate::metrics::{Columns, told};

/// What a group is by, and that of a series; `None` where it is not known.
type By = (&'static str, fn(&SeriesRow) -> Option<String>);

/// What the test part is divided by.
const BY: [By; 4] = [
    ("sex", |row| row.sex.clone()),
    ("age", |row| row.age.map(|age| band(age, &[40.0, 50.0, 60.0, 70.0], 1.0))),
    ("manufacturer", |row| row.manufacturer.clone()),
    ("slice_thickness", |row| row.slice_thickness.map(|mm| band(mm, &[1.5, 3.0, 5.0], 0.0))),
];

/// Which of the ranges between these a value is in; whole numbers are said from the first to the last of them.
fn band(value: f64, ends: &[f64], whole: f64) -> String {
    let above = ends.iter().take_while(|&&end| value >= end).count();
    match (above.checked_sub(1).and_then(|below| ends.get(below)), ends.get(above)) {
        (Some(low), Some(high)) => format!("{low}-{}", high - whole),
        (None, Some(high)) => format!("<{high}"),
        (Some(low), None) => format!(">={low}"),
        (None, None) => String::new(),
    }
}

/// Each group with enough series, but where there is one group alone.
///
/// # Errors
/// When a figure does not fit the schema of `metrics.json`, which is a mistake in this crate.
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
        let mut groups: BTreeMap<String, Vec<&PredictionRow>> = BTreeMap::new();
        for row in predictions.iter().filter(|row| row.split == Part::Test.as_str()) {
            let group = known.get(row.series_uid.as_str()).and_then(|series| group_of(series));
            groups.entry(group.unwrap_or_else(|| "unknown".to_owned())).or_default().push(row);
        }
        if groups.len() < 2 {
            continue;
        }
        for (group, rows) in groups {
            if rows.len() < config.subgroup_min {
                continue;
            }
            let columns = Columns::of(rows.into_iter());
            let summary = summarise(&columns.scored(), threshold, config.scheme(seed));
            let pairs = [
                ("auc", &summary.auc, &whole.auc),
                ("sensitivity", &summary.sensitivity, &whole.sensitivity),
                ("specificity", &summary.specificity, &whole.specificity),
            ];
            let differs = |(name, figure, whole): (&str, &Estimate, &Figure)| {
                // Resamples of a group that is ordered without error are, too: such an interval has no width, and
                // says nothing. A proportion has another one, which the report shows then.
                let wide = figure.interval.ok().filter(|interval| interval.low < interval.high);
                wide.or(figure.wilson)?.excludes(whole.value?).then(|| name.to_owned())
            };
            found.push(Subgroup {
                by: by.to_owned(),
                group,
                samples: summary.samples as u64,
                patients: summary.patients as u64,
                pathology: columns.labels.iter().filter(|&&label| label).count() as u64,
                differs: pairs.into_iter().filter_map(differs).collect(),
                auc: told(summary.auc)?,
                sensitivity: told(summary.sensitivity)?,
                specificity: told(summary.specificity)?,
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_named_by_their_ends() {
        let age = |years| band(years, &[40.0, 50.0, 60.0, 70.0], 1.0);
        assert_eq!([age(39.9), age(40.0), age(59.0), age(70.0)], ["<40", "40-49", "50-59", ">=70"]);
        let thickness = |mm| band(mm, &[1.5, 3.0, 5.0], 0.0);
        assert_eq!([thickness(1.0), thickness(2.5), thickness(5.0)], ["<1.5", "1.5-3", ">=5"]);
    }
}
