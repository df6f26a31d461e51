//! The predictions as a spreadsheet, for people who work with spreadsheets. Computes nothing.

use std::path::Path;

use ctpipe_tables::PredictionRow;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook};

use crate::error::Result;
use crate::formatting;
use crate::inputs::Inputs;
use crate::texts::Texts;

/// Name in the artifact.
pub(crate) const FILE: &str = "predictions.xlsx";

/// The columns: heading and width in characters.
const COLUMNS: [(&str, f64); 8] = [
    ("head.uid", 60.0),
    ("book.part", 26.0),
    ("head.label", 12.0),
    ("book.called", 18.0),
    ("head.probability", 22.0),
    ("head.calibrated", 28.0),
    ("head.logit_normal", 18.0),
    ("head.logit_pathology", 20.0),
];

/// Writes the file into the artifact at `out`.
pub(crate) fn write(texts: &Texts, inputs: &Inputs, out: &Path) -> Result<()> {
    let mut book = Workbook::new();
    // Equal predictions must give equal bytes, so the file does not say when it was made.
    let epoch = ExcelDateTime::from_ymd(2000, 1, 1)?;
    book.set_properties(&DocProperties::new().set_creation_datetime(&epoch));
    let sheet = book.add_worksheet();
    sheet.set_name(texts.say("book.sheet"))?;
    let bold = Format::new().set_bold();
    for (column, (head, width)) in COLUMNS.into_iter().enumerate() {
        sheet.write_with_format(0, column as u16, texts.say(head), &bold)?;
        sheet.set_column_width(column as u16, width)?;
    }
    for (index, row) in inputs.predictions.iter().enumerate() {
        let at = index as u32 + 1;
        let PredictionRow { series_uid, split, label, decision, .. } = row;
        let called = formatting::class(texts, u32::from(*decision));
        let words =
            [series_uid.clone(), formatting::part(texts, split), formatting::class(texts, *label), called];
        for (column, text) in words.into_iter().enumerate() {
            sheet.write(at, column as u16, text)?;
        }
        let numbers =
            [Some(row.probability), row.calibrated, Some(row.logit_normal), Some(row.logit_pathology)];
        for (column, number) in numbers.into_iter().enumerate() {
            if let Some(number) = number.filter(|number| number.is_finite()) {
                sheet.write(at, column as u16 + 4, number)?;
            }
        }
    }
    sheet.set_freeze_panes(1, 0)?;
    let last = inputs.predictions.len().max(1) as u32;
    sheet.autofilter(0, 0, last, COLUMNS.len() as u16 - 1)?;
    book.save(out.join(FILE))?;
    Ok(())
}
