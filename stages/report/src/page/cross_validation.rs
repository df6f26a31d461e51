//! Part of section 4: the results of a cross-validation. Computes no figure.

use ctpipe_tables::json::{Figure as Metric, Fold, FoldsFile};
use serde::Serialize;

use super::Figure;
use super::table::Table;
use crate::formatting;
use crate::reasons;
use crate::texts::Texts;

#[derive(Serialize)]
pub(super) struct View {
    words: String,
    /// What is wrong with the cross-validation, such as missing folds.
    notes: Vec<String>,
    figures: Vec<Figure>,
    table: Table,
}

pub(super) fn view(texts: &Texts, of: &FoldsFile, figures: Vec<Figure>) -> View {
    let auc = mean(texts, &of.mean.auc, &of.standard_deviation.auc);
    // With notes, "every series is tested once" may be false: the plain text does not promise it.
    let key = if of.notes.is_empty() { "folds.words" } else { "folds.words_plain" };
    let said = texts.fill(
        key,
        &[
            ("folds", &texts.counted("count.folds", of.folds.len() as u64)),
            ("auc", &auc),
            ("pooled", &formatting::figure(texts, &of.pooled.auc, of.confidence_level)),
        ],
    );
    View { words: said, notes: reasons::notes(texts, &of.notes), figures, table: table(texts, of) }
}

fn table(texts: &Texts, of: &FoldsFile) -> Table {
    let row = |one: &Fold| {
        vec![
            fold(texts, one),
            texts.count(one.samples),
            texts.count(one.patients),
            formatting::probability(one.threshold),
            formatting::short_figure(texts, &one.auc),
            formatting::short_figure(texts, &one.sensitivity),
            formatting::short_figure(texts, &one.specificity),
        ]
    };
    let mut rows: Vec<Vec<String>> = of.folds.iter().map(row).collect();
    let (over, spread, pooled) = (&of.mean, &of.standard_deviation, &of.pooled);
    let nothing = String::new;
    rows.push(vec![
        texts.say("folds.mean"),
        nothing(),
        nothing(),
        nothing(),
        mean(texts, &over.auc, &spread.auc),
        mean(texts, &over.sensitivity, &spread.sensitivity),
        mean(texts, &over.specificity, &spread.specificity),
    ]);
    rows.push(vec![
        texts.say("folds.pooled"),
        texts.count(pooled.samples),
        texts.count(pooled.patients),
        texts.say("folds.own_threshold"),
        formatting::short_figure(texts, &pooled.auc),
        formatting::short_figure(texts, &pooled.sensitivity),
        formatting::short_figure(texts, &pooled.specificity),
    ]);
    let heads = [
        "head.fold",
        "#head.series",
        "#head.patients",
        "#threshold.name",
        "figure.auc",
        "figure.sensitivity",
        "figure.specificity",
    ];
    let caption = if of.notes.is_empty() { "folds.table" } else { "folds.table_plain" };
    let caption = texts.fill(caption, &[("level", &formatting::percent(of.confidence_level))]);
    Table::titled(texts, caption, &heads, rows)
}

/// The name of a fold: its label, which is empty if there is only one fold.
pub(crate) fn fold(texts: &Texts, one: &Fold) -> String {
    if one.label.is_empty() { texts.say("folds.only") } else { one.label.clone() }
}

/// "0.81 ± 0.05", or why the mean or the deviation is undefined.
pub(crate) fn mean(texts: &Texts, mean: &Metric, deviation: &Metric) -> String {
    match (mean.value, deviation.value) {
        (Some(value), Some(deviation)) => format!("{} ± {deviation:.2}", formatting::share(value)),
        (Some(value), None) => {
            format!("{} (± {})", formatting::share(value), formatting::why(texts, deviation))
        }
        (None, _) => formatting::why(texts, mean),
    }
}
