//! Section 1: the question and its answer on the test part. Computes no figure.

use ctpipe_tables::json::{Confusion, Figure, PartMetrics};
use serde::Serialize;

use crate::inputs::Inputs;
use crate::words;

#[derive(Serialize)]
pub(super) struct View {
    /// "40 series of 38 patients".
    samples: String,
    figures: Vec<Headline>,
    threshold: String,
    threshold_note: Option<String>,
    confusion: Matrix,
    words: String,
}

/// A figure in large type.
#[derive(Serialize)]
struct Headline {
    name: &'static str,
    /// `None` where it is undefined; then `detail` says why.
    value: Option<String>,
    detail: String,
}

/// The confusion matrix of a part.
#[derive(Serialize)]
pub(super) struct Matrix {
    caption: String,
    /// `None` where the part is empty.
    counts: Option<Confusion>,
}

/// The confusion matrix of the part called `name`.
pub(super) fn matrix(name: &str, part: &PartMetrics) -> Matrix {
    let caption =
        format!("Confusion matrix of the {name} part ({})", words::counted(part.samples, "series", "series"));
    Matrix { caption, counts: part.confusion }
}

pub(super) fn view(inputs: &Inputs) -> View {
    let metrics = &inputs.metrics;
    let test = &metrics.test;
    let level = words::percent(metrics.confidence_level);
    let headline = |name, figure: &Figure| {
        let detail = match (figure.value, figure.ci_low, figure.ci_high) {
            (None, ..) => words::why(figure),
            (_, Some(low), Some(high)) => {
                format!("{level} CI {} to {}", words::share(low), words::share(high))
            }
            _ => figure.undefined.clone().map_or("no interval".to_owned(), |why| format!("interval {why}")),
        };
        Headline { name, value: figure.value.map(words::share), detail }
    };
    View {
        samples: samples(test),
        figures: vec![
            headline("AUC", &test.auc),
            headline("Sensitivity", &test.sensitivity),
            headline("Specificity", &test.specificity),
        ],
        threshold: words::threshold(metrics),
        threshold_note: metrics.threshold.note.clone(),
        confusion: matrix("test", test),
        words: in_words(inputs),
    }
}

fn samples(part: &PartMetrics) -> String {
    let patients = words::counted(part.patients, "patient", "patients");
    format!("{} series of {patients}", words::count(part.samples))
}

fn in_words(inputs: &Inputs) -> String {
    let metrics = &inputs.metrics;
    let test = &metrics.test;
    if test.samples == 0 {
        return "The test part is empty, so nothing can be said about how the network does on series \
                that it has not seen. Every figure of the test part is undefined."
            .to_owned();
    }
    let learnt = if inputs.patients_in_several_parts() == 0 { "none of whom" } else { "some of whom" };
    let mut said =
        vec![format!("The network was tried once on {}, {learnt} it had learnt from.", samples(test))];
    said.push(match test.auc.value {
        Some(_) => format!(
            "Of one pathological and one normal series drawn at random, it ranks the pathological one higher \
             with a probability of {}. A coin would reach 0.50.",
            words::figure(&test.auc, metrics.confidence_level)
        ),
        None => format!("The AUC is {}.", words::why(&test.auc)),
    });
    if let Some(c) = test.confusion {
        said.push(format!(
            "At the threshold of {:.3} it finds {} of {} pathological series and calls {} of {} normal \
             series pathological by mistake.",
            metrics.threshold.value,
            words::count(c.tp),
            words::count(c.tp + c.r#fn),
            words::count(c.fp),
            words::count(c.fp + c.tn)
        ));
    }
    said.join(" ")
}
