//! Section 2: what went in, what was turned away and why, and who the accepted series are. No
//! patient key and no free column of the labels is shown.

use std::collections::BTreeMap;

use ctpipe_tables::{SeriesRow, Status};
use serde::Serialize;

use super::table::Table;
use crate::inputs::Inputs;
use crate::words;

/// Rows of a list before the rest is counted.
pub(super) const SHOWN: usize = 200;

#[derive(Serialize)]
pub(super) struct View {
    totals: Table,
    overview: Table,
    accepted: Option<Table>,
    reasons: Option<Table>,
    rejected: Option<Table>,
    warnings: Option<Table>,
    volume_reasons: Option<Table>,
    volumes: Option<Table>,
    notes: Vec<String>,
    glossary: Table,
}

pub(super) fn view(inputs: &Inputs) -> View {
    let mut by_code: BTreeMap<String, u64> = BTreeMap::new();
    for code in inputs.volumes.iter().flat_map(|row| &row.reasons) {
        *by_code.entry(code.clone()).or_default() += 1;
    }
    View {
        totals: totals(inputs),
        overview: overview(&inputs.series),
        accepted: accepted(&inputs.series).unless_empty(),
        reasons: codes(
            "Why ingest rejected series; one with several reasons counts under each",
            &inputs.ingest.reasons,
        ),
        rejected: rejected(inputs).unless_empty(),
        warnings: codes("Warnings; series with a warning are used", &inputs.ingest.warnings),
        volume_reasons: codes("Why preprocess rejected series", &by_code),
        volumes: volumes(inputs).unless_empty(),
        notes: inputs.ingest.notes.clone(),
        glossary: glossary(),
    }
}

fn totals(inputs: &Inputs) -> Table {
    let found = &inputs.ingest;
    let no_volume =
        inputs.volumes.iter().filter(|row| row.status != Status::Accepted.as_str()).count() as u64;
    let rejected = inputs.series.iter().filter(|row| row.status != Status::Accepted.as_str()).count() as u64;
    let rows = [
        ("Files in the DICOM folder", found.files),
        ("of these not DICOM, ignored", found.not_dicom),
        ("of these DICOM with a header that cannot be read", found.unreadable),
        ("Series found", found.series),
        ("Rows of the labels", found.labels),
        ("Series accepted by ingest", found.accepted),
        ("Patients among them", found.patients),
        ("Series, or labels without a series, rejected by ingest", rejected),
        ("Accepted series that preprocess rejected", no_volume),
        ("Series with a volume", inputs.volumes.len() as u64 - no_volume),
    ];
    let rows = rows.map(|(what, n)| vec![what.to_owned(), words::count(n)]).to_vec();
    Table::new("What went in", &["What", "#Count"], rows)
}

pub(super) fn codes(caption: &str, counts: &BTreeMap<String, u64>) -> Option<Table> {
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    // Most frequent first; the map has them by code already.
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let row = |(code, n): (&String, &u64)| {
        vec![
            code.clone(),
            words::count(*n),
            words::meaning(code).unwrap_or("(this report has no words for it)").to_owned(),
        ]
    };
    Table::new(caption, &["Code", "#Series", "Meaning"], counts.into_iter().map(row).collect()).unless_empty()
}

fn rejected(inputs: &Inputs) -> Table {
    let rejected = inputs.series.iter().filter(|row| row.status != Status::Accepted.as_str());
    let row = |row: &SeriesRow| {
        vec![uid(&row.series_uid), words::count(u64::from(row.slices)), words::reasons(&row.reasons)]
    };
    Table::new(
        "Series that ingest rejected",
        &["Series UID", "#Files", "Reasons"],
        rejected.map(row).collect(),
    )
    .at_most(SHOWN)
}

fn volumes(inputs: &Inputs) -> Table {
    let rejected = inputs.volumes.iter().filter(|row| row.status != Status::Accepted.as_str());
    let row = |row: &ctpipe_tables::VolumeRow| {
        vec![
            uid(&row.series_uid),
            words::reasons(&row.reasons),
            row.problem.as_deref().map_or("", without_path).to_owned(),
        ]
    };
    let heads = ["Series UID", "Reasons", "In the decoder's words"];
    Table::new("Series that preprocess rejected", &heads, rejected.map(row).collect()).at_most(SHOWN)
}

/// What a decoder says may name the file, and folders are named after people.
fn without_path(problem: &str) -> &str {
    if problem.contains(['/', '\\']) { "(not shown: it names a path)" } else { problem }
}

/// A header that could not be read gives a series without a UID.
pub(super) fn uid(uid: &str) -> String {
    if uid.is_empty() { "(no UID)".to_owned() } else { uid.to_owned() }
}

/// Accepted series with their geometry.
fn accepted(series: &[SeriesRow]) -> Table {
    let mm = |value: Option<f64>| value.map_or("not given".to_owned(), |v| format!("{v:.2}"));
    let row = |row: &SeriesRow| {
        vec![
            uid(&row.series_uid),
            row.label.map_or("without a label", words::class).to_owned(),
            words::count(u64::from(row.slices)),
            format!("{} x {}", row.rows, row.columns),
            mm(row.row_spacing),
            mm(row.slice_spacing),
            mm(row.slice_thickness),
        ]
    };
    let accepted = series.iter().filter(|row| row.status == Status::Accepted.as_str());
    let heads =
        ["Series UID", "Class", "#Slices", "#Matrix", "#Pixel, mm", "#Slice distance, mm", "#Thickness, mm"];
    Table::new("Series that ingest accepted", &heads, accepted.map(row).collect()).at_most(SHOWN)
}

/// Accepted series by class: sex and age.
fn overview(series: &[SeriesRow]) -> Table {
    let accepted: Vec<&SeriesRow> =
        series.iter().filter(|row| row.status == Status::Accepted.as_str()).collect();
    let of =
        |label: Option<u32>| accepted.iter().copied().filter(|row| row.label == label).collect::<Vec<_>>();
    let mut rows = vec![class_row(words::class(0), &of(Some(0))), class_row(words::class(1), &of(Some(1)))];
    let unlabelled = of(None);
    if !unlabelled.is_empty() {
        rows.push(class_row("without a label", &unlabelled));
    }
    rows.push(class_row("all", &accepted));
    let heads = ["Class", "#Series", "#Female", "#Male", "#Other", "#Sex not given", "Age, years"];
    Table::new("Accepted series", &heads, rows)
}

fn class_row(name: &str, rows: &[&SeriesRow]) -> Vec<String> {
    let sex = |wanted: Option<&str>| {
        words::count(rows.iter().filter(|row| row.sex.as_deref() == wanted).count() as u64)
    };
    vec![
        name.to_owned(),
        words::count(rows.len() as u64),
        sex(Some("F")),
        sex(Some("M")),
        sex(Some("O")),
        sex(None),
        ages(rows),
    ]
}

/// "median 61 (34 to 88); not given for 2".
fn ages(rows: &[&SeriesRow]) -> String {
    let mut ages: Vec<f64> = rows.iter().filter_map(|row| row.age).filter(|age| age.is_finite()).collect();
    ages.sort_by(f64::total_cmp);
    let (Some(youngest), Some(oldest)) = (ages.first(), ages.last()) else {
        return "not given".to_owned();
    };
    let upper = ages.get(ages.len() / 2).copied().unwrap_or(*oldest);
    let lower = ages.get((ages.len() - 1) / 2).copied().unwrap_or(*youngest);
    let median = f64::midpoint(lower, upper);
    let known = format!("median {median} ({youngest:.0} to {oldest:.0})");
    match rows.len() - ages.len() {
        0 => known,
        unknown => format!("{known}; not given for {}", words::count(unknown as u64)),
    }
}

fn glossary() -> Table {
    let row = |kind: &str| {
        let kind = kind.to_owned();
        move |(code, meaning): &(&str, &str)| vec![(*code).to_owned(), kind.clone(), (*meaning).to_owned()]
    };
    let mut rows: Vec<Vec<String>> = words::CODES.iter().map(row("rejected")).collect();
    rows.extend(words::WARNINGS.iter().map(row("warning")));
    rows.extend(words::FLAGS.iter().map(row("flag of a volume")));
    Table::new("What each code means", &["Code", "Kind", "Meaning"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_that_names_a_path_is_not_shown() {
        assert_eq!(without_path("slice 3: the pixel data ends early"), "slice 3: the pixel data ends early");
        let named = "slice 3: cannot read the file: Could not open file '/data/Doe^Jane/3.dcm'";
        assert_eq!(without_path(named), "(not shown: it names a path)");
    }

    #[test]
    fn an_even_number_of_ages_has_its_median_between_two() {
        let at = |age: Option<f64>| SeriesRow { age, ..SeriesRow::default() };
        let rows = [at(Some(70.0)), at(Some(30.0)), at(None), at(Some(61.0)), at(Some(60.0))];
        assert_eq!(ages(&rows.iter().collect::<Vec<_>>()), "median 60.5 (30 to 70); not given for 1");
        assert_eq!(ages(&[]), "not given");
    }
}
