//! The folds of a cross-validation as a forest plot: the AUC of each beside the pooled AUC.

use ctpipe_plot::{Axis, Chart, Forest, Row};
use ctpipe_tables::json::FoldsFile;

use crate::formatting;
use crate::page::cross_validation::{fold, mean};
use crate::texts::Texts;

/// `None` if no fold has an AUC.
pub(crate) fn folds(texts: &Texts, of: &FoldsFile) -> Option<Chart> {
    if of.folds.iter().all(|fold| fold.auc.value.is_none()) {
        return None;
    }
    let axis = Axis::new(texts.say("figure.auc")).at_most(1.0);
    let mut forest = Forest::new("folds", texts.say("chart.folds"), axis)
        .columns(texts.say("head.fold"), texts.say("figure.auc"));
    let pooled = of.pooled.auc.value;
    if let Some(pooled) = pooled {
        forest = forest.whole(pooled, texts.say("folds.pooled"));
    }
    for one in &of.folds {
        let n = texts.counted("count.series", one.samples);
        let said = one.auc.value.map_or_else(|| texts.say("word.undefined"), formatting::share);
        let mut row = Row::new(format!("{} ({n})", fold(texts, one)), one.auc.value, said);
        if let Some((low, high)) = formatting::interval(&one.auc) {
            row = row.interval(low, high);
        }
        forest = forest.with(row.hover(formatting::short_figure(texts, &one.auc)));
    }
    let mean = mean(texts, &of.mean.auc, &of.standard_deviation.auc);
    let pooled = formatting::figure(texts, &of.pooled.auc, of.confidence_level);
    let said = texts.fill("chart.folds.said", &[("mean", &mean), ("pooled", &pooled)]);
    Some(forest.alternative(said).draw())
}
