//! The labels CSV: `study_uid, series_uid, pathology`, optionally `age, sex, split` and further
//! columns on request. Reads; does not judge whether a label fits a series.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use polars::prelude::{CsvParseOptions, CsvReadOptions, DataFrame, SerReader};

use crate::csv;
use crate::error::{Error, Result};
use crate::rows::Part;

/// Columns that must be there.
pub const REQUIRED: [&str; 3] = ["study_uid", "series_uid", "pathology"];

/// One row of the CSV.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Label {
    /// Line number in the file; the header is line 1.
    pub line: usize,
    /// As written.
    pub study_uid: String,
    /// As written.
    pub series_uid: String,
    /// 0 or 1; `None` when it is neither.
    pub pathology: Option<u32>,
    /// Years.
    pub age: Option<f64>,
    /// As written.
    pub sex: Option<String>,
    /// The row's own split.
    pub split: Option<Part>,
    /// What stands in the `split` column when it is not empty and none of train, val, test.
    pub bad_split: Option<String>,
    /// Further columns that were asked for.
    pub kept: BTreeMap<String, String>,
}

/// Reads the labels, with the further columns `keep`.
///
/// # Errors
/// When the file is missing, empty or not CSV, or a column is missing; the error names those
/// that were found.
pub fn read(path: &Path, keep: &[String]) -> Result<Vec<Label>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read the labels", path, e))?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        let expected = REQUIRED.join(", ");
        return Err(Error::format(
            path,
            format!("the labels are empty; expected a CSV with the columns {expected}"),
        ));
    }
    let text = csv::decode(&bytes);
    let separator = csv::separator(&text, &REQUIRED);
    let records = csv::records(&text, separator);
    if let Some(problem) = misshapen(&records) {
        return Err(Error::format(path, problem));
    }
    let frame = parse(&records.text, separator)
        .map_err(|e| Error::format(path, format!("not a CSV that can be read: {e}")))?;
    let found: Vec<String> = frame.get_column_names().iter().map(|n| n.trim().to_owned()).collect();
    if let Some(twice) = found.iter().find_map(|name| name.strip_suffix("_duplicated_0")) {
        return Err(Error::format(
            path,
            format!("the labels have the column \"{twice}\" more than once; keep one"),
        ));
    }
    for needed in REQUIRED.iter().copied().chain(keep.iter().map(String::as_str)) {
        if !found.iter().any(|name| name == needed) {
            let found = found.join(", ");
            let problem = format!("the labels have no column \"{needed}\"; they have: {found}");
            return Err(Error::format(path, problem));
        }
    }
    let columns: BTreeMap<&str, Vec<Option<String>>> = found
        .iter()
        .map(String::as_str)
        .zip(frame.columns().iter().map(|column| {
            let texts =
                column.str().map(|texts| texts.iter().map(|t| t.map(|t| t.trim().to_owned())).collect());
            texts.unwrap_or_default()
        }))
        .collect();
    let cell = |name: &str, row: usize| -> Option<String> {
        columns.get(name)?.get(row)?.clone().filter(|text| !text.is_empty())
    };
    let label = |row: usize| {
        let split = cell("split", row);
        let part: Option<Part> = split.as_deref().and_then(|text| text.parse().ok());
        Label {
            line: records.each.get(row + 1).map_or(row + 2, |(line, _)| *line),
            study_uid: cell("study_uid", row).unwrap_or_default(),
            series_uid: cell("series_uid", row).unwrap_or_default(),
            pathology: cell("pathology", row).and_then(|text| class(&text)),
            age: cell("age", row)
                .and_then(|text| text.replace(',', ".").parse().ok())
                .filter(|age: &f64| age.is_finite()),
            sex: cell("sex", row),
            bad_split: split.filter(|_| part.is_none()),
            split: part,
            kept: keep.iter().map(|name| (name.clone(), cell(name, row).unwrap_or_default())).collect(),
        }
    };
    Ok((0..frame.height()).map(label).collect())
}

/// What keeps records from being rows of one table, with the line where it is.
fn misshapen(records: &csv::Records) -> Option<String> {
    if let Some(line) = records.open {
        return Some(format!("line {line}: a quote is opened and never closed"));
    }
    let columns = records.each.first()?.1;
    let (line, fields) = records.each.iter().find(|(_, fields)| *fields > columns)?;
    Some(format!(
        "line {line} has {fields} fields, more fields than the header has columns ({columns}); check separators \
         and quotes"
    ))
}

/// 0 or 1, also as `1.0`, which spreadsheets like to write.
fn class(text: &str) -> Option<u32> {
    match text.parse::<f64>() {
        Ok(0.0) => Some(0),
        Ok(1.0) => Some(1),
        _ => None,
    }
}

/// Every column as text: a UID is not a number, and a label that is neither 0 nor 1 must reach the
/// table as it is written.
fn parse(text: &str, separator: u8) -> polars::prelude::PolarsResult<DataFrame> {
    CsvReadOptions::default()
        .with_infer_schema_length(Some(0))
        .with_has_header(true)
        .with_n_threads(Some(1))
        .with_parse_options(CsvParseOptions::default().with_missing_is_null(true).with_separator(separator))
        .into_reader_with_file_handle(Cursor::new(text.as_bytes().to_vec()))
        .finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn from(text: &str, keep: &[&str]) -> Result<Vec<Label>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, &keep.iter().map(|&k| k.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn columns_are_found_by_name_and_uids_stay_text() {
        let text = "pathology,series_uid,study_uid,age,sex,split\n1,1.20,1.10,61,F,train\n0.0,1.30,1.10,,,\n";
        let labels = from(text, &[]).unwrap();
        assert_eq!(
            (labels[0].series_uid.as_str(), labels[0].pathology, labels[0].line),
            ("1.20", Some(1), 2)
        );
        assert_eq!((labels[0].age, labels[0].sex.as_deref()), (Some(61.0), Some("F")));
        assert_eq!(labels[0].split, Some(Part::Train));
        assert_eq!((labels[1].pathology, labels[1].age, labels[1].split), (Some(0), None, None));
    }

    #[test]
    fn what_is_neither_0_nor_1_is_no_label_and_a_strange_split_is_kept_to_be_named() {
        let text = "study_uid,series_uid,pathology,split\n1,2,2,train\n1,3,yes,holdout\n1,4,,\n";
        let labels = from(text, &[]).unwrap();
        assert!(labels.iter().all(|label| label.pathology.is_none()));
        assert_eq!(labels[1].bad_split.as_deref(), Some("holdout"));
    }

    #[test]
    fn further_columns_are_kept_only_on_request() {
        let text = "study_uid,series_uid,pathology,site,name\n1,2,1,Riga,Secret\n";
        assert!(from(text, &[]).unwrap()[0].kept.is_empty());
        let kept = &from(text, &["site"]).unwrap()[0].kept;
        assert_eq!(kept.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["site=Riga"]);
    }

    #[test]
    fn a_missing_column_is_named_with_those_that_were_found() {
        let error = from("study_uid,series_uid,label\n1,2,1\n", &[]).unwrap_err().to_string();
        assert!(
            error.contains("no column \"pathology\"; they have: study_uid, series_uid, label"),
            "{error}"
        );
        let error = from("study_uid,series_uid,pathology,pathology\n1,2,1,0\n", &[]).unwrap_err().to_string();
        assert!(error.contains("the column \"pathology\" more than once"), "{error}");
        let error = from("study_uid,series_uid,pathology\n1,2,1,0\n", &[]).unwrap_err().to_string();
        assert!(error.contains("more fields than the header has columns"), "{error}");
        assert!(from("", &[]).unwrap_err().to_string().contains("the labels are empty"));
        assert!(from("study_uid,series_uid,pathology\n", &[]).unwrap().is_empty());
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
        let labels = from("\u{feff}study_uid,series_uid,pathology\r\n1,2,1\r\n", &[]).unwrap();
        assert_eq!((labels[0].study_uid.as_str(), labels[0].pathology), ("1", Some(1)));
    }

    #[test]
    fn semicolons_and_quoted_line_breaks_are_read_and_lines_are_the_files() {
        let text = "study_uid;series_uid;pathology;age;note\n1;2;1;61,5;\"two\nlines\"\n\n3;4;0;;\n";
        let labels = from(text, &["note"]).unwrap();
        assert_eq!((labels[0].line, labels[0].age), (2, Some(61.5)));
        assert_eq!((labels[1].line, labels[1].pathology), (5, Some(0)));
        let error = from("study_uid,series_uid,pathology\n1,2,1\n1,3,\"1\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 3: a quote is opened and never closed"), "{error}");
        let error = from("study_uid,series_uid,pathology\n1,2,1\n1,3,1,0\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 3 has 4 fields"), "{error}");
    }
}
