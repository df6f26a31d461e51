//! The charts: what each shows, and what is to be read from it. Knows neither the page nor how a chart is drawn.

mod data;
mod folds;
mod pipeline;
mod results;
mod training;

pub(crate) use data::{ages, flow};
pub(crate) use folds::folds;
pub(crate) use pipeline::pipeline;
pub(crate) use results::{calibration, decision, forest, pr, roc};
pub(crate) use training::{learning_rate, loss, val_auc};
