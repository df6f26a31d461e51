//! Of page 4: what the folds of a cross-validation come to. Computes no figure.

use ctpipe_tables::json::{Figure as Metric, Fold, FoldsFile};
use serde::Serialize;

use super::Figure;
use super::table::Table;
use crate::reasons;
use crate::texts::Texts;
use crate::words;

#[derive(Serialize)]
pub(super) struct View {
    words: String,
    /// What keeps it from being what it should be.
    notes: Vec<String>,
    figures: Vec<Figure>,
    table: Table,
}

pub(super) fn view(texts: &Texts, of: &FoldsFile, figures: Vec<Figure>) -> View {
    let auc = mean(texts, &of.mean.auc, &of.standard_deviation.auc);
    // Nothing is promised that is not so.
    let key = if of.notes.is_empty() { "folds.words" } else { "folds.words_plain" };
    let said = texts.fill(
        key,
        &[
            ("folds", &texts.counted("count.folds", of.folds.len() as u64)),
            ("auc", &auc),
            ("pooled", &words::figure(texts, &of.pooled.auc, of.confidence_level)),
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
            words::probability(one.threshold),
            words::short_figure(texts, &one.auc),
            words::short_figure(texts, &one.sensitivity),
            words::short_figure(texts, &one.specificity),
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
        words::short_figure(texts, &pooled.auc),
        words::short_figure(texts, &pooled.sensitivity),
        words::short_figure(texts, &pooled.specificity),
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
    let caption = texts.fill(caption, &[("level", &words::percent(of.confidence_level))]);
    Table::titled(texts, caption, &heads, rows)
}

/// What a fold is called: its label, which is empty for one alone.
pub(crate) fn fold(texts: &Texts, one: &Fold) -> String {
    if one.label.is_empty() { texts.say("folds.only") } else { one.label.clone() }
}

/// "0.81 ± 0.05", or why there is no such thing.
pub(crate) fn mean(texts: &Texts, mean: &Metric, deviation: &Metric) -> String {
    match (mean.value, deviation.value) {
        (Some(value), Some(deviation)) => format!("{} ± {deviation:.2}", words::share(value)),
        (Some(value), None) => format!("{} (± {})", words::share(value), words::why(texts, deviation)),
        (None, _) => words::why(texts, mean),
    }
}
