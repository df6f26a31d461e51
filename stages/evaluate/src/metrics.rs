//! From predictions to `metrics.json`: threshold, calibration, figures with intervals. Knows
//! nothing of the network but its loss.

use ctpipe_metrics::{
    Bootstrap, ClassificationReport, Criterion, Cut, Resampling as Drawn, Scheme, choose, confusion,
    decision_curve, delong, partial_auc, pr_band, precision_recall_curve, roc_band, roc_curve, summarise,
    threshold_spread,
};
use ctpipe_network::Loss;
use ctpipe_tables::json::{Figure, MetricsFile, PartMetrics, ThresholdFile};
use ctpipe_tables::{Note, Part, PredictionRow, Reason};
use serde_json::Value;

use crate::calibration::{Calibrators, calibrations};
use crate::columns::{Columns, reason, told, told_or_why};
use crate::config::{Config, Resampling, ThresholdBy};

/// Number of points of a confidence band.
const BAND: usize = 51;
/// Number of threshold probabilities of a decision curve: 0, 0.01 and so on.
const DECISIONS: usize = 100;

/// A figure without an interval.
fn plain(value: Result<f64, ctpipe_metrics::Undefined>) -> Result<Figure, serde_json::Error> {
    Ok(Figure {
        value: value.ok(),
        undefined: value.err().map(|undefined| undefined.to_string()),
        reason: value.err().map(reason).transpose()?,
        ..Figure::default()
    })
}

impl Config {
    pub(crate) fn scheme(&self, seed: u64) -> Scheme {
        let bootstrap =
            Bootstrap { replicates: self.n_bootstrap, confidence_level: self.confidence_level, seed };
        let resampling = match self.resampling {
            Resampling::Patients => Drawn::Patients,
            Resampling::Stratified => Drawn::StratifiedByLabel,
        };
        Scheme { bootstrap, resampling }
    }

    /// The criterion for the threshold, in words and as data; `None` if the threshold is fixed.
    fn criterion(&self) -> Option<(Criterion, Note)> {
        let criterion = match self.threshold_by {
            _ if !self.optimize_threshold => return None,
            ThresholdBy::Fixed => return None,
            ThresholdBy::F1 => (Criterion::F1, Note::new("f1", "f1", [])),
            ThresholdBy::Youden => (Criterion::Youden, Note::new("youden", "youden", [])),
            ThresholdBy::Cost => {
                let (false_positive, false_negative) = (self.cost_false_positive, self.cost_false_negative);
                let said = format!("cost (false positive {false_positive}, false negative {false_negative})");
                let values =
                    [("false_positive", false_positive.into()), ("false_negative", false_negative.into())];
                (Criterion::Cost { false_positive, false_negative }, Note::new("cost", said, values))
            }
            ThresholdBy::Sensitivity => {
                let at_least = self.sensitivity_at_least;
                let said = format!("sensitivity >= {at_least}");
                let said = Note::new("sensitivity", said, [("at_least", at_least.into())]);
                (Criterion::Sensitivity { at_least }, said)
            }
            ThresholdBy::Specificity => {
                let at_least = self.specificity_at_least;
                let said = format!("specificity >= {at_least}");
                let said = Note::new("specificity", said, [("at_least", at_least.into())]);
                (Criterion::Specificity { at_least }, said)
            }
        };
        Some(criterion)
    }
}

/// Chooses the threshold on the validation set only.
///
/// # Errors
/// If it does not fit the schema of `metrics.json`, which is a mistake in this crate.
pub fn choose_threshold(
    predictions: &[PredictionRow],
    config: &Config,
    seed: u64,
) -> Result<ThresholdFile, serde_json::Error> {
    let fixed =
        ThresholdFile { value: config.threshold, source: "fixed".to_owned(), ..ThresholdFile::default() };
    let Some((criterion, by)) = config.criterion() else {
        return Ok(fixed);
    };
    let said = by.text;
    let by = Reason { code: by.code, values: by.values };
    let val = Columns::part(predictions, Part::Val);
    match choose(&val.labels, &val.scores, criterion) {
        Ok(chosen) => {
            let spread = threshold_spread(&val.scored(), criterion, config.scheme(seed));
            Ok(ThresholdFile {
                value: chosen.threshold,
                source: format!("{said} on val"),
                criterion: Some(by),
                objective: chosen.objective,
                spread_undefined: spread.as_ref().err().map(|&undefined| why_not(undefined)).transpose()?,
                spread: spread.ok().map(told).transpose()?,
                note: None,
            })
        }
        Err(undefined) => {
            let taken = config.threshold;
            let text = format!("the threshold by {said} on val is {undefined}; {taken} is taken instead");
            let values = [("by", told(by)?), ("why", told(reason(undefined)?)?), ("threshold", taken.into())];
            let note = Some(Note::new("threshold_undefined", text, values));
            Ok(ThresholdFile { note, source: "fallback".to_owned(), ..fixed })
        }
    }
}

/// "undefined because ...", in words and as data.
fn why_not(undefined: ctpipe_metrics::Undefined) -> Result<Note, serde_json::Error> {
    let Reason { code, values } = reason(undefined)?;
    Ok(Note { text: undefined.to_string(), code, values })
}

/// Chooses the threshold, calibrates, makes the decisions and computes every figure of every set.
///
/// # Errors
/// If a figure does not fit the schema of `metrics.json`, which is a mistake in this crate.
pub fn evaluate(
    predictions: &mut [PredictionRow],
    config: &Config,
    seed: u64,
    loss: Option<Loss>,
) -> Result<MetricsFile, serde_json::Error> {
    let threshold = choose_threshold(predictions, config, seed)?;
    let calibrators = Calibrators::fit(&Columns::part(predictions, Part::Val));
    for row in predictions.iter_mut() {
        row.decision = row.probability >= threshold.value;
        row.calibrated =
            calibrators.apply(config.calibration, row.logit_pathology - row.logit_normal, row.probability);
    }
    let of = |part| {
        let columns = Columns::part(predictions, part);
        part_metrics(&columns, threshold.value, (config, seed), loss, &calibrators)
    };
    Ok(MetricsFile {
        schema_version: MetricsFile::SCHEMA_VERSION,
        train: of(Part::Train)?,
        val: of(Part::Val)?,
        test: of(Part::Test)?,
        n_bootstrap: config.n_bootstrap as u64,
        resampling: told(config.resampling)?,
        confidence_level: config.confidence_level,
        partial_auc_max_fpr: config.partial_auc_max_fpr,
        prevalence: (config.prevalence > 0.0).then_some(config.prevalence),
        calibrators: calibrators.told(config.calibration)?,
        threshold,
        subgroups: Vec::new(),
        comparison: None,
        cross_validation: None,
        doubts: Vec::new(),
    })
}

fn part_metrics(
    columns: &Columns,
    threshold: f64,
    (config, seed): (&Config, u64),
    loss: Option<Loss>,
    calibrators: &Calibrators,
) -> Result<PartMetrics, serde_json::Error> {
    let Columns { labels, scores, logits, .. } = columns;
    let (part, scheme) = (columns.scored(), config.scheme(seed));
    let prevalence = (config.prevalence > 0.0).then_some(config.prevalence);
    let summary = summarise(&part, Cut { threshold, prevalence }, scheme);
    let counts = confusion(labels, scores, threshold);
    let report = match &counts {
        Ok(counts) => serde_json::to_value(ClassificationReport::new(counts))?,
        Err(undefined) => Value::String(undefined.to_string()),
    };
    let grid =
        |points: usize, last: usize| -> Vec<f64> { (0..points).map(|at| at as f64 / last as f64).collect() };
    let band = grid(BAND, BAND - 1);
    // Net benefit reads a threshold as a probability, so the probabilities must be calibrated.
    let pairs = columns.differences().into_iter().zip(scores);
    let calibrated: Option<Vec<f64>> =
        pairs.map(|(difference, &score)| calibrators.apply(config.calibration, difference, score)).collect();
    let probabilities = calibrated.as_ref().unwrap_or(scores);
    let classes: Vec<u8> = labels.iter().map(|&label| u8::from(label)).collect();
    Ok(PartMetrics {
        samples: summary.samples as u64,
        patients: summary.patients as u64,
        confusion: summary.confusion.ok().map(told).transpose()?,
        auc: told(summary.auc)?,
        delong: told_or_why(delong(&part, config.confidence_level))?,
        partial_auc: plain(partial_auc(labels, scores, config.partial_auc_max_fpr))?,
        average_precision: told(summary.average_precision)?,
        sensitivity: told(summary.sensitivity)?,
        specificity: told(summary.specificity)?,
        precision: told(summary.precision)?,
        npv: told(summary.npv)?,
        f1: told(summary.f1)?,
        accuracy: told(summary.accuracy)?,
        balanced_accuracy: told(summary.balanced_accuracy)?,
        mcc: told(summary.mcc)?,
        positive_likelihood_ratio: told(summary.positive_likelihood_ratio)?,
        negative_likelihood_ratio: told(summary.negative_likelihood_ratio)?,
        ppv_at_prevalence: summary.ppv_at_prevalence.map(told).transpose()?,
        npv_at_prevalence: summary.npv_at_prevalence.map(told).transpose()?,
        brier: told(summary.brier)?,
        loss: loss.filter(|_| !logits.is_empty()).map(|loss| loss.on_host(logits, &classes)),
        classification_report: report,
        // An undefined curve is empty; the figure of the area under it says why.
        roc: told(roc_curve(labels, scores).unwrap_or_default())?,
        roc_band: told(roc_band(&part, &band, scheme).unwrap_or_default())?,
        pr: told(precision_recall_curve(labels, scores).unwrap_or_default())?,
        pr_band: told(pr_band(&part, &band, scheme).unwrap_or_default())?,
        calibration: calibrations(columns, config, calibrators)?,
        decision_curve: told(
            decision_curve(labels, probabilities, &grid(DECISIONS, DECISIONS)).unwrap_or_default(),
        )?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { n_bootstrap: 50, ..Config::default() }
    }

    fn rows(part: &str, scores: &[(u32, f64)]) -> Vec<PredictionRow> {
        let row = |(index, &(label, probability)): (usize, &(u32, f64))| PredictionRow {
            series_uid: format!("{part}.{index}"),
            patient_key: format!("{part}{index}"),
            split: part.into(),
            label,
            probability,
            ..PredictionRow::default()
        };
        scores.iter().enumerate().map(row).collect()
    }

    /// For every criterion, and for the calibration with it.
    #[test]
    fn the_threshold_and_the_calibration_come_from_val_and_test_cannot_move_them() {
        let val = rows("val", &[(0, 0.1), (0, 0.3), (1, 0.4), (0, 0.5), (1, 0.9)]);
        // By hand: F1 is 0.8 at 0.4. J is best at 0.4 (1 + 2/3 - 1 = 2/3; at 0.9 it is 1/2). If a
        // false positive costs three times as much as a false negative, 0.9 is cheapest. From 0.9
        // on, no normal series is predicted pathological.
        let expected = [
            (ThresholdBy::F1, 0.4, "f1 on val"),
            (ThresholdBy::Youden, 0.4, "youden on val"),
            (ThresholdBy::Cost, 0.9, "cost (false positive 3, false negative 1) on val"),
            (ThresholdBy::Sensitivity, 0.4, "sensitivity >= 0.9 on val"),
            (ThresholdBy::Specificity, 0.9, "specificity >= 0.9 on val"),
            (ThresholdBy::Fixed, 0.5, "fixed"),
        ];
        for (threshold_by, value, source) in expected {
            let config = Config { threshold_by, cost_false_positive: 3.0, ..config() };
            let alone = evaluate(&mut val.clone(), &config, 1, None).unwrap();
            assert_eq!((alone.threshold.value, alone.threshold.source.as_str()), (value, source));
            for test in [[(0, 0.9), (1, 0.1)], [(1, 0.2), (0, 0.21)]] {
                let mut all = val.clone();
                all.extend(rows("test", &test));
                all.extend(rows("train", &test));
                let together = evaluate(&mut all, &config, 1, None).unwrap();
                assert_eq!(together.threshold, alone.threshold);
                assert_eq!(together.calibrators, alone.calibrators);
                assert_eq!(together.val, alone.val);
            }
        }
    }

    #[test]
    fn an_empty_part_and_one_of_one_class_say_why_and_are_no_error() {
        let mut all = rows("val", &[(1, 0.2), (1, 0.8)]);
        let metrics = evaluate(&mut all, &config(), 1, None).unwrap();
        let why = |figure: &Figure| figure.undefined.clone().unwrap_or_default();
        assert!(why(&metrics.test.auc).starts_with("undefined because"));
        assert!(why(&metrics.val.auc).starts_with("undefined because"));
        assert!(metrics.val.delong.undefined.unwrap().starts_with("undefined because"));
        assert_eq!(metrics.val.sensitivity.value, Some(1.0));
        assert!(metrics.val.roc.is_empty() && metrics.val.roc_band.is_empty());
        assert_eq!(metrics.test.confusion, None);
        assert!(metrics.test.calibration.before.undefined.is_some());
        assert_eq!(metrics.calibrators.temperature, None);
    }

    #[test]
    fn without_val_the_fixed_threshold_is_taken_and_said() {
        let mut test = rows("test", &[(0, 0.2), (1, 0.8)]);
        let metrics = evaluate(&mut test, &config(), 1, None).unwrap();
        assert_eq!((metrics.threshold.value, metrics.threshold.source.as_str()), (0.5, "fallback"));
        assert!(metrics.threshold.note.unwrap().text.contains("undefined because"));
        assert_eq!(test.iter().map(|row| row.decision).collect::<Vec<_>>(), [false, true]);
    }
}
