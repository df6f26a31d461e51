//! Section 2: the input data, which series were rejected and why, and which set each accepted
//! series went to. Shows no patient key and no free column of the labels.

use std::collections::{BTreeMap, HashMap};

use ctpipe_tables::{Part, SeriesRow, Status, VolumeRow};
use serde::Serialize;
use serde_json::{Value, json};

use super::figure::Figure;
use super::table::Table;
use crate::inputs::Inputs;
use crate::texts::Texts;
use crate::{formatting, reasons};

/// Number of rows of a list that are shown; the rest is only counted.
const SHOWN: usize = 200;

#[derive(Serialize)]
pub(super) struct View {
    figures: Vec<Figure>,
    totals: Table,
    parts: Table,
    method: String,
    split_notes: Vec<String>,
    /// How many patients are in more than one set, as a sentence; there must be none.
    leak: Option<String>,
    /// Number of series in all sets.
    split: u64,
    reasons: Option<Table>,
    warnings: Option<Table>,
    volume_reasons: Option<Table>,
    problems: Option<Table>,
    notes: Vec<String>,
    glossary: Table,
    count: usize,
    /// All series, for the script that sorts and searches them.
    series: Value,
}

pub(super) fn view(texts: &Texts, inputs: &Inputs, figures: Vec<Figure>) -> View {
    let mut by_code: BTreeMap<String, u64> = BTreeMap::new();
    for code in inputs.volumes.iter().flat_map(|row| &row.reasons) {
        *by_code.entry(code.clone()).or_default() += 1;
    }
    let leaking = inputs.patients_in_several_parts() as u64;
    View {
        figures,
        totals: totals(texts, inputs),
        parts: parts(texts, inputs),
        method: texts
            .find(&format!("split.{}", inputs.split.method))
            .map_or_else(|| inputs.split.method.clone(), str::to_owned),
        split_notes: reasons::notes(texts, &inputs.split.notes),
        leak: (leaking > 0).then(|| texts.counted("split.leak", leaking)),
        split: inputs.split_rows.len() as u64,
        reasons: codes(texts, "data.reasons", &inputs.ingest.reasons),
        warnings: codes(texts, "data.warnings", &inputs.ingest.warnings),
        volume_reasons: codes(texts, "data.volume_reasons", &by_code),
        problems: problems(texts, inputs).unless_empty(),
        notes: reasons::notes(texts, &inputs.ingest.notes),
        glossary: glossary(texts),
        count: inputs.series.len(),
        series: all_series(texts, inputs),
    }
}

fn totals(texts: &Texts, inputs: &Inputs) -> Table {
    let found = &inputs.ingest;
    let no_volume =
        inputs.volumes.iter().filter(|row| row.status != Status::Accepted.as_str()).count() as u64;
    let rejected = inputs.series.iter().filter(|row| row.status != Status::Accepted.as_str()).count() as u64;
    let rows = [
        ("totals.files", found.files),
        ("totals.not_dicom", found.not_dicom),
        ("totals.unreadable", found.unreadable),
        ("totals.series", found.series),
        ("totals.labels", found.labels),
        ("totals.accepted", found.accepted),
        ("totals.patients", found.patients),
        ("totals.rejected", rejected),
        ("totals.no_volume", no_volume),
        ("totals.volumes", inputs.volumes.len() as u64 - no_volume),
    ];
    let rows = rows.map(|(what, n)| vec![texts.say(what), texts.count(n)]).to_vec();
    Table::new(texts, "data.totals", &["head.what", "#head.count"], rows)
}

pub(super) fn codes(texts: &Texts, caption: &str, counts: &BTreeMap<String, u64>) -> Option<Table> {
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    // Most frequent first; ties stay ordered by code, because the map is and the sort is stable.
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let row = |(code, n): (&String, &u64)| {
        let meaning = formatting::meaning(texts, code).unwrap_or_else(|| texts.say("data.unknown_code"));
        vec![code.clone(), texts.count(*n), meaning]
    };
    let heads = ["head.code", "#head.series", "head.meaning"];
    Table::new(texts, caption, &heads, counts.into_iter().map(row).collect()).unless_empty()
}

/// Decoder messages for series that have no volume.
fn problems(texts: &Texts, inputs: &Inputs) -> Table {
    let said = |row: &VolumeRow| {
        let problem = row.problem.as_deref()?;
        let problem = if names_a_file(problem) { texts.say("data.names_a_file") } else { problem.to_owned() };
        Some(vec![uid(texts, &row.series_uid), problem])
    };
    let rows = inputs.volumes.iter().filter_map(said).collect();
    Table::new(texts, "data.problems", &["head.uid", "head.problem"], rows).at_most(texts, SHOWN)
}

/// A decoder's message may name a file, and files and folders may be named after people.
fn names_a_file(problem: &str) -> bool {
    let lower = problem.to_lowercase();
    lower.contains(['/', '\\', '^'])
        || [".dcm", ".dicom", ".ima", ".zip"].iter().any(|end| lower.contains(end))
}

/// Ages above this can identify a person (45 CFR 164.514), so they are shown as this.
const OLDEST: f64 = 90.0;

/// The UID of a series; a series whose headers could not be read has none.
fn uid(texts: &Texts, uid: &str) -> String {
    if uid.is_empty() { texts.say("data.no_uid") } else { uid.to_owned() }
}

/// For each set: series, patients, classes, sex and age.
fn parts(texts: &Texts, inputs: &Inputs) -> Table {
    let known: HashMap<&str, &SeriesRow> =
        inputs.series.iter().map(|row| (row.series_uid.as_str(), row)).collect();
    let row = |name: String, part: Option<Part>| {
        let in_part = |split: &str| part.is_none_or(|part| split == part.as_str());
        let rows: Vec<_> = inputs.split_rows.iter().filter(|row| in_part(&row.split)).collect();
        let of: Vec<&SeriesRow> =
            rows.iter().filter_map(|row| known.get(row.series_uid.as_str()).copied()).collect();
        let mut patients: Vec<&str> = rows.iter().map(|row| row.patient_key.as_str()).collect();
        patients.sort_unstable();
        patients.dedup();
        let labelled = |label| rows.iter().filter(|row| row.label == label).count() as u64;
        let sex = |wanted| texts.count(of.iter().filter(|row| row.sex.as_deref() == wanted).count() as u64);
        let count = |n: u64| texts.count(n);
        vec![
            name,
            count(rows.len() as u64),
            count(patients.len() as u64),
            count(labelled(0)),
            count(labelled(1)),
            sex(Some("F")),
            sex(Some("M")),
            sex(Some("O")),
            sex(None),
            ages(texts, &of),
        ]
    };
    let mut rows: Vec<Vec<String>> =
        Part::ALL.map(|part| row(formatting::part(texts, part.as_str()), Some(part))).to_vec();
    rows.push(row(texts.say("part.all"), None));
    let heads = [
        "head.part",
        "#head.series",
        "#head.patients",
        "#class.normal",
        "#class.pathology",
        "#head.female",
        "#head.male",
        "#head.other_sex",
        "#head.no_sex",
        "head.age",
    ];
    Table::new(texts, "data.parts", &heads, rows)
}

/// "median 61 (34 to 88); not given for 2".
fn ages(texts: &Texts, rows: &[&SeriesRow]) -> String {
    let known = rows.iter().filter_map(|row| row.age).filter(|age| age.is_finite());
    let mut ages: Vec<f64> = known.map(|age| age.min(OLDEST)).collect();
    ages.sort_by(f64::total_cmp);
    let (Some(youngest), Some(oldest)) = (ages.first(), ages.last()) else {
        return texts.say("age.none");
    };
    let median = f64::midpoint(ages[(ages.len() - 1) / 2], ages[ages.len() / 2]);
    let known = texts.fill(
        "age.median",
        &[
            ("median", &median.to_string()),
            ("low", &format!("{youngest:.0}")),
            ("high", &format!("{oldest:.0}")),
        ],
    );
    match rows.len() - ages.len() {
        0 => known,
        unknown => {
            format!("{known}; {}", texts.fill("age.missing", &[("n", &texts.count(unknown as u64))]))
        }
    }
}

fn glossary(texts: &Texts) -> Table {
    let kinds = [
        ("code", &formatting::CODES[..]),
        ("warning", &formatting::WARNINGS[..]),
        ("flag", &formatting::FLAGS[..]),
    ];
    let rows = kinds.iter().flat_map(|(kind, codes)| {
        codes.iter().map(move |code| {
            let meaning = formatting::meaning(texts, code).unwrap_or_default();
            vec![(*code).to_owned(), texts.say(&format!("kind.{kind}")), meaning]
        })
    });
    Table::new(texts, "data.glossary", &["head.code", "head.kind", "head.meaning"], rows.collect())
}

/// All series, as columns and rows; null means unknown.
fn all_series(texts: &Texts, inputs: &Inputs) -> Value {
    let parts: HashMap<&str, &str> =
        inputs.split_rows.iter().map(|row| (row.series_uid.as_str(), row.split.as_str())).collect();
    let volumes: HashMap<&str, &VolumeRow> =
        inputs.volumes.iter().map(|row| (row.series_uid.as_str(), row)).collect();
    let predictions: HashMap<&str, f64> =
        inputs.predictions.iter().map(|row| (row.series_uid.as_str(), row.probability)).collect();
    let rounded = |value: Option<f64>, digits: i32| {
        let by = 10_f64.powi(digits);
        value.map(|value| (value * by).round() / by)
    };
    let row = |row: &SeriesRow| {
        let key = row.series_uid.as_str();
        let volume = volumes.get(key);
        let mut codes = row.reasons.clone();
        codes.extend(volume.iter().flat_map(|volume| volume.reasons.iter().chain(&volume.flags).cloned()));
        codes.extend(row.warnings.clone());
        let accepted = row.status == Status::Accepted.as_str()
            && volume.is_none_or(|volume| volume.status == Status::Accepted.as_str());
        json!([
            uid(texts, key),
            texts.say(if accepted { "status.accepted" } else { "status.rejected" }),
            parts.get(key).map(|part| formatting::part(texts, part)),
            row.label.map(|label| formatting::class(texts, label)),
            rounded(predictions.get(key).copied(), 3),
            row.age.map(|age| age.min(OLDEST)),
            row.sex,
            row.slices,
            rounded(row.slice_thickness, 2),
            rounded(row.row_spacing, 3),
            row.manufacturer,
            rounded(volume.and_then(|volume| volume.noise_hu), 1),
            codes.join(", "),
        ])
    };
    let columns = [
        "head.uid",
        "head.status",
        "head.part",
        "head.label",
        "#head.probability",
        "#head.age",
        "head.sex",
        "#head.slices",
        "#head.thickness",
        "#head.pixel",
        "head.manufacturer",
        "#measure.noise",
        "head.codes",
    ];
    let columns = columns.map(|key| {
        let name = texts.say(key.trim_start_matches('#'));
        json!({ "name": name, "number": key.starts_with('#') })
    });
    json!({ "columns": columns, "rows": inputs.series.iter().map(row).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Language;

    #[test]
    fn a_problem_that_names_a_file_is_known_by_it() {
        assert!(!names_a_file("slice 3: the pixel data ends early"));
        assert!(names_a_file("slice 3: cannot read the file: Could not open file '/data/Doe^Jane/3.dcm'"));
        assert!(names_a_file("DOE_JANE.dcm ends early"));
    }

    #[test]
    fn an_even_number_of_ages_has_its_median_between_two() {
        let texts = Texts::new(Language::En);
        let at = |age: Option<f64>| SeriesRow { age, ..SeriesRow::default() };
        let rows = [at(Some(70.0)), at(Some(30.0)), at(None), at(Some(61.0)), at(Some(60.0))];
        assert_eq!(ages(&texts, &rows.iter().collect::<Vec<_>>()), "median 60.5 (30 to 70); not given for 1");
        assert_eq!(ages(&texts, &[]), "not given");
        assert_eq!(ages(&texts, &[&at(Some(97.0))]), "median 90 (90 to 90)");
    }
}
