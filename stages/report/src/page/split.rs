//! Section 4: how the series were dealt to the parts, and that no patient is in two. Splits nothing.

use ctpipe_tables::Part;
use ctpipe_tables::json::PartCounts;
use serde::Serialize;

use super::table::Table;
use crate::inputs::Inputs;
use crate::words;

#[derive(Serialize)]
pub(super) struct View {
    method: String,
    parts: Table,
    notes: Vec<String>,
    /// Patients in more than one part; there must be none.
    leak: usize,
    series: u64,
}

pub(super) fn view(inputs: &Inputs) -> View {
    let summary = &inputs.split;
    let none = PartCounts::default();
    let row = |name: &str, counts: &PartCounts| {
        let mut row = vec![name.to_owned()];
        row.extend([counts.series, counts.patients, counts.normal, counts.pathology].map(words::count));
        row
    };
    let mut all = PartCounts::default();
    let mut rows = Vec::new();
    for part in Part::ALL {
        let counts = summary.parts.get(&part).unwrap_or(&none);
        all.series += counts.series;
        all.patients += counts.patients;
        all.normal += counts.normal;
        all.pathology += counts.pathology;
        rows.push(row(words::part(part.as_str()), counts));
    }
    rows.push(row("all", &all));
    View {
        method: match summary.method.as_str() {
            "" => "The method is not recorded.".to_owned(),
            "labels" => "As the labels say (column split).".to_owned(),
            "balanced" => {
                "Balanced: patients are dealt so that each part has its share of both classes.".to_owned()
            }
            "stable" => "Stable: a patient's part does not change when others are added.".to_owned(),
            other => format!("Method: {other}."),
        },
        parts: Table::new(
            "Series, patients and classes of each part",
            &["Part", "#Series", "#Patients", "#Normal", "#Pathology"],
            rows,
        ),
        notes: summary.notes.clone(),
        leak: inputs.patients_in_several_parts(),
        series: all.series,
    }
}
