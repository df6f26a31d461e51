//! Reads the labels CSV: `study_uid, series_uid, pathology`, optionally `age, sex, split`, and
//! further columns on request. Whether a label fits a series is decided elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use csv::StringRecord;

use crate::delimited;
use crate::error::{Error, Result};
use crate::rows::Part;

/// Columns that must be present.
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
    /// Age in years.
    pub age: Option<f64>,
    /// As written.
    pub sex: Option<String>,
    /// The set that the row assigns the series to.
    pub split: Option<Part>,
    /// The text of the `split` column when it is neither empty nor train, val or test.
    pub bad_split: Option<String>,
    /// Further columns that were requested.
    pub kept: BTreeMap<String, String>,
}

/// Reads the labels, with the further columns in `keep`.
///
/// # Errors
/// When the file is missing, empty or not CSV, or a column is missing. The error for a missing
/// column lists the columns that were found.
pub fn read(path: &Path, keep: &[String]) -> Result<Vec<Label>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read the labels", path, e))?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        let expected = REQUIRED.join(", ");
        return Err(Error::format(
            path,
            format!("the labels are empty; expected a CSV with the columns {expected}"),
        ));
    }
    let text = delimited::decode(&bytes);
    let separator = delimited::separator(&text, &REQUIRED);
    let records = delimited::records(&text, separator);
    if let Some(problem) = misshapen(&records) {
        return Err(Error::format(path, problem));
    }
    let rows = parse(&records.text, separator)
        .map_err(|e| Error::format(path, format!("cannot be read as CSV: {e}")))?;
    let (header, rows) = rows.split_first().map_or((None, &[][..]), |(header, rows)| (Some(header), rows));
    let found: Vec<&str> = header.into_iter().flatten().map(str::trim).collect();
    let again = |(index, name): &(usize, &&str)| found[..*index].contains(*name);
    if let Some((_, twice)) = found.iter().enumerate().find(again) {
        return Err(Error::format(
            path,
            format!("the labels have the column \"{twice}\" more than once; keep one"),
        ));
    }
    for needed in REQUIRED.iter().copied().chain(keep.iter().map(String::as_str)) {
        if !found.contains(&needed) {
            let found = found.join(", ");
            let problem = format!("the labels have no column \"{needed}\"; they have: {found}");
            return Err(Error::format(path, problem));
        }
    }
    let columns: BTreeMap<&str, usize> = found.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let cell = |name: &str, row: usize| -> Option<String> {
        let text = rows[row].get(*columns.get(name)?)?.trim();
        (!text.is_empty()).then(|| text.to_owned())
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
    Ok((0..rows.len()).map(label).collect())
}

/// Why the records are not the rows of one table, with the line number.
fn misshapen(records: &delimited::Records) -> Option<String> {
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

/// 0 or 1, also written as `1.0`, as spreadsheets like to do.
fn class(text: &str) -> Option<u32> {
    match text.parse::<f64>() {
        Ok(0.0) => Some(0),
        Ok(1.0) => Some(1),
        _ => None,
    }
}

/// Every field as text: a UID is not a number, and a label that is neither 0 nor 1 must reach the
/// table as it was written.
fn parse(text: &str, separator: u8) -> std::result::Result<Vec<StringRecord>, csv::Error> {
    let mut reader = csv::ReaderBuilder::new();
    // A row with fewer fields than the header lacks the last ones.
    reader.delimiter(separator).has_headers(false).flexible(true);
    reader.from_reader(text.as_bytes()).into_records().collect()
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
