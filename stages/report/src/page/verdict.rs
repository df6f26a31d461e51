//! Section 1: the question and its answer on the test set. Computes no figure.

use ctpipe_tables::json::{Confusion, Figure, PartMetrics};
use serde::Serialize;

use crate::inputs::{Inputs, Learnt};
use crate::texts::Texts;
use crate::{formatting, reasons};

/// A test set with fewer patients than this counts as small.
const FEW_PATIENTS: u64 = 100;
/// So does one with fewer series of either class: Collins, Ogundimu and Altman (2016) ask for 100
/// of each.
const FEW_OF_A_CLASS: u64 = 100;

#[derive(Serialize)]
pub(super) struct View {
    tried_on: String,
    figures: Vec<Headline>,
    threshold: String,
    threshold_note: Option<String>,
    confusion: Matrix,
    /// The answer in sentences.
    words: Vec<String>,
    /// The limitations: what the answer does not show.
    limits: Vec<String>,
}

/// A figure in large type.
#[derive(Serialize)]
struct Headline {
    name: String,
    /// `None` if it is undefined; then `detail` says why.
    value: Option<String>,
    detail: String,
}

/// The confusion matrix of a set.
#[derive(Serialize)]
pub(super) struct Matrix {
    caption: String,
    /// `None` if there are no counts; then `why` says why.
    counts: Option<Confusion>,
    why: Option<String>,
}

/// The confusion matrix of a set.
pub(super) fn matrix(texts: &Texts, part: &str, metrics: &PartMetrics) -> Matrix {
    let series = texts.counted("count.series", metrics.samples);
    let caption =
        texts.fill("matrix.caption", &[("part", &formatting::part(texts, part)), ("series", &series)]);
    let why = metrics.confusion.is_none().then(|| formatting::why(texts, &metrics.accuracy));
    Matrix { caption, counts: metrics.confusion, why }
}

pub(super) fn view(texts: &Texts, inputs: &Inputs) -> View {
    let metrics = &inputs.metrics;
    let test = &metrics.test;
    let headline = |name: &str, figure: &Figure| {
        let detail = match (figure.value, formatting::interval(figure)) {
            (None, _) => formatting::why(texts, figure),
            (_, Some((low, high))) => {
                let range = texts.fill(
                    "figure.range",
                    &[("low", &formatting::share(low)), ("high", &formatting::share(high))],
                );
                let level = formatting::percent(metrics.confidence_level);
                format!("{} {range}", texts.fill("figure.ci", &[("level", &level)]))
            }
            _ => {
                let alike = || texts.say("figure.all_alike");
                let why = figure.undefined.as_ref().map(|_| formatting::why(texts, figure));
                format!("{} {}", texts.say("figure.interval"), why.unwrap_or_else(alike))
            }
        };
        Headline { name: texts.say(name), value: figure.value.map(formatting::share), detail }
    };
    View {
        tried_on: texts.fill("verdict.tried_on", &[("samples", &samples(texts, test))]),
        figures: vec![
            headline("figure.auc", &test.auc),
            headline("figure.sensitivity", &test.sensitivity),
            headline("figure.specificity", &test.specificity),
        ],
        threshold: formatting::threshold(texts, metrics),
        threshold_note: metrics.threshold.note.as_ref().map(|note| reasons::note(texts, note)),
        confusion: matrix(texts, "test", test),
        words: in_words(texts, inputs),
        limits: limits(texts, inputs),
    }
}

/// "40 series of 38 patients".
fn samples(texts: &Texts, part: &PartMetrics) -> String {
    let series = texts.counted("count.series", part.samples);
    texts.fill(
        "count.of",
        &[("series", &series), ("patients", &texts.counted("count.of_patients", part.patients))],
    )
}

fn in_words(texts: &Texts, inputs: &Inputs) -> Vec<String> {
    let metrics = &inputs.metrics;
    let test = &metrics.test;
    if test.samples == 0 {
        return vec![texts.say("verdict.empty")];
    }
    let learnt = match (inputs.learnt_from(), inputs.patients_in_several_parts()) {
        (Learnt::Elsewhere, _) => "verdict.tried_unknown",
        (_, 1..) => "verdict.tried_leaking",
        (Learnt::FromThisSplit, 0) => "verdict.tried",
        (Learnt::WithEarlierWeights, 0) => "verdict.tried_init_from",
        (Learnt::Untold, 0) => "verdict.tried_untold",
    };
    let mut said = vec![texts.fill(learnt, &[("samples", &samples(texts, test))])];
    // The sentence above already covers the split and the initial weights.
    let volumes = metrics.doubts.iter().filter(|doubt| doubt.code == "other_volumes");
    said.extend(volumes.map(|doubt| reasons::note(texts, doubt)));
    said.push(match test.auc.value {
        Some(_) => texts
            .fill("verdict.auc", &[("auc", &formatting::figure(texts, &test.auc, metrics.confidence_level))]),
        None => texts.fill("verdict.no_auc", &[("why", &formatting::why(texts, &test.auc))]),
    });
    if let Some(c) = test.confusion {
        let count = |n| texts.count(n);
        let key = match (c.tp + c.r#fn, c.fp + c.tn) {
            (0, _) => "verdict.at_threshold_normal",
            (_, 0) => "verdict.at_threshold_pathology",
            _ => "verdict.at_threshold",
        };
        said.push(texts.fill(
            key,
            &[
                ("threshold", &formatting::probability(metrics.threshold.value)),
                ("found", &count(c.tp)),
                ("pathological", &count(c.tp + c.r#fn)),
                ("mistaken", &count(c.fp)),
                ("normal", &count(c.fp + c.tn)),
            ],
        ));
    }
    said
}

/// What a reader might conclude from the results although they do not show it.
fn limits(texts: &Texts, inputs: &Inputs) -> Vec<String> {
    let test = &inputs.metrics.test;
    let mut limits = vec![texts.say("verdict.other_scanners"), texts.say("verdict.labels")];
    if let Some(c) = test.confusion.filter(|_| inputs.metrics.prevalence.is_none()) {
        let share = (c.tp + c.r#fn) as f64 / test.samples.max(1) as f64;
        limits.push(texts.fill(
            "verdict.prevalence",
            &[("share", &formatting::percent((share * 1000.0).round() / 1000.0))],
        ));
    }
    let pathological = test.confusion.map_or(0, |c| c.tp + c.r#fn);
    let rarer = pathological.min(test.samples - pathological.min(test.samples));
    if test.samples > 0 && (test.patients < FEW_PATIENTS || rarer < FEW_OF_A_CLASS) {
        let pathological = texts.count(pathological);
        limits.push(
            texts.fill("verdict.few", &[("samples", &samples(texts, test)), ("pathological", &pathological)]),
        );
    }
    limits
}
