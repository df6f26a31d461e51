//! Diagnoses the course of a training: overfitting, underfitting, imbalance, still improving. Each
//! finding comes with the numbers behind it and the parameter to try next. These are rules of
//! thumb, and the page says so.

use serde::Serialize;

use crate::formatting;
use crate::inputs::Inputs;
use crate::texts::Texts;

/// Losses that differ by more than this share count as different, as do AUCs that differ by more.
const APART: f64 = 0.15;
/// A training AUC below this means that the network has learnt little.
const LITTLE: f64 = 0.75;
/// Sensitivity and specificity that differ by more than this are out of balance.
const UNEVEN: f64 = 0.3;

/// One observation.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    name: String,
    /// The reason, with the numbers behind it.
    because: String,
    /// What to try next.
    next: String,
}

pub(super) fn findings(texts: &Texts, inputs: &Inputs) -> Vec<Finding> {
    let finding = |key: &str, with: &[(&str, &str)]| Finding {
        name: texts.say(&format!("diagnosis.{key}.name")),
        because: texts.fill(&format!("diagnosis.{key}.because"), with),
        next: texts.say(&format!("diagnosis.{key}.next")),
    };
    let mut found = Vec::new();
    let (Some(last), Some(best)) = (inputs.history.last(), inputs.best_epoch()) else {
        return found;
    };
    let metrics = &inputs.metrics;
    let three = |value: f64| format!("{value:.3}");
    let (train_auc, val_auc) = (metrics.train.auc.value, metrics.val.auc.value);
    if let (Some(at_best), Some(at_last)) = (best.val_loss, last.val_loss)
        && at_last > at_best * (1.0 + APART)
        && last.train_loss < best.train_loss
    {
        found.push(finding(
            "over",
            &[
                ("epoch", &best.epoch.to_string()),
                ("best", &three(at_best)),
                ("last", &three(at_last)),
                ("train_best", &three(best.train_loss)),
                ("train_last", &three(last.train_loss)),
            ],
        ));
    } else if let (Some(train), Some(val)) = (train_auc, val_auc)
        && train - val > APART
    {
        found.push(finding("gap", &[("train", &formatting::share(train)), ("val", &formatting::share(val))]));
    }
    if let Some(train) = train_auc.filter(|&auc| auc < LITTLE) {
        found.push(finding("under", &[("train", &formatting::share(train))]));
    }
    if !inputs.model.stopped_early && best.epoch == last.epoch && inputs.history.len() > 1 {
        found.push(finding("improving", &[("epoch", &last.epoch.to_string())]));
    }
    if let (Some(sensitivity), Some(specificity)) =
        (metrics.val.sensitivity.value, metrics.val.specificity.value)
        && (sensitivity - specificity).abs() > UNEVEN
        && !["cost", "sensitivity", "specificity"].iter().any(|by| metrics.threshold.source.starts_with(by))
    {
        let mut imbalance = finding(
            "imbalance",
            &[
                ("sensitivity", &formatting::share(sensitivity)),
                ("specificity", &formatting::share(specificity)),
            ],
        );
        if metrics.threshold.source.starts_with("youden") {
            imbalance.next = texts.say("diagnosis.imbalance.next_youden");
        }
        found.push(imbalance);
    }
    if found.is_empty() {
        let judged = inputs.history.len() > 1 && train_auc.is_some() && val_auc.is_some();
        found.push(finding(if judged { "fine" } else { "unknown" }, &[]));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Language;
    use ctpipe_tables::EpochRow;

    fn diagnosed(losses: &[(f64, f64)], best: usize, aucs: [f64; 2], stopped_early: bool) -> Vec<String> {
        let mut inputs = Inputs::default();
        for (i, &(train_loss, val_loss)) in losses.iter().enumerate() {
            inputs.history.push(EpochRow {
                epoch: i as u32 + 1,
                train_loss,
                val_loss: Some(val_loss),
                best: i == best,
                ..EpochRow::default()
            });
        }
        inputs.model.stopped_early = stopped_early;
        inputs.metrics.train.auc.value = Some(aucs[0]);
        inputs.metrics.val.auc.value = Some(aucs[1]);
        findings(&Texts::new(Language::En), &inputs).into_iter().map(|finding| finding.name).collect()
    }

    #[test]
    fn each_course_is_called_by_its_name() {
        let falling = [(0.7, 0.7), (0.5, 0.55), (0.4, 0.5)];
        assert_eq!(diagnosed(&falling, 2, [0.9, 0.88], true), ["Nothing stands out"]);
        assert_eq!(diagnosed(&falling, 2, [0.9, 0.88], false), ["Still improving"]);
        assert_eq!(diagnosed(&[(0.7, 0.7), (0.4, 0.5), (0.1, 0.8)], 1, [1.0, 0.8], true), ["Overfitting"]);
        assert_eq!(diagnosed(&falling, 2, [0.99, 0.7], true), ["Overfitting"]);
        assert_eq!(diagnosed(&[(0.7, 0.7), (0.69, 0.7)], 0, [0.55, 0.5], true), ["Underfitting"]);
        assert_eq!(diagnosed(&[(0.7, 0.7)], 0, [0.9, 0.88], false), ["Undetermined"]);
    }
}
