//! The charts: what each shows, and what its text alternative says. Knows neither the page nor how
//! a chart is drawn.

mod data;
mod folds;
mod pipeline;
mod results;
mod training;

use ctpipe_plot::Chart;
use ctpipe_tables::Part;
use ctpipe_tables::json::MetricsFile;

use crate::drawn::Charts;
use crate::inputs::Inputs;
use crate::texts::Texts;

use data::{ages, flow};
use folds::folds;
use pipeline::pipeline;
use results::{calibration, decision, forest, pr, roc};
use training::{learning_rate, loss, val_auc};

/// Draws every chart that can be drawn.
pub(crate) fn draw(texts: &Texts, inputs: &Inputs) -> Charts {
    let history = &inputs.history;
    let metrics = &inputs.metrics;
    let some = |charts: Vec<Option<Chart>>| charts.into_iter().flatten().collect();
    let of_parts = |draw: fn(&Texts, Part, &MetricsFile) -> Option<Chart>| {
        some([Part::Test, Part::Val, Part::Train].map(|part| draw(texts, part, metrics)).into())
    };
    Charts {
        data: some(vec![flow(texts, inputs), ages(texts, inputs)]),
        training: some(vec![loss(texts, history), val_auc(texts, history), learning_rate(texts, history)]),
        roc: of_parts(roc),
        pr: of_parts(pr),
        calibration: some(vec![calibration(texts, metrics)]),
        decision: some(vec![decision(texts, metrics)]),
        forest: some(vec![forest(texts, metrics)]),
        folds: some(vec![inputs.folds.as_ref().and_then(|found| folds(texts, found))]),
        pipeline: some(vec![pipeline(texts, inputs)]),
    }
}
