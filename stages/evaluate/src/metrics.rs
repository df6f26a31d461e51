//! From predictions to `metrics.json`: threshold, figures, intervals. Knows no network but its loss.

use std::collections::BTreeMap;

use ctpipe_metrics::{
    Bootstrap, ClassificationReport, Part as Scored, best_f1, confusion, roc_curve, summarise,
};
use ctpipe_network::Loss;
use ctpipe_tables::json::{MetricsFile, PartMetrics, RocPoint, ThresholdFile};
use ctpipe_tables::{Part, PredictionRow};
use serde_json::Value;

/// How to evaluate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Choose the threshold on val, by F1.
    pub optimize_threshold: bool,
    /// Taken otherwise, and where val does not define one.
    pub threshold: f64,
    /// Replicates of the bootstrap.
    pub n_bootstrap: usize,
    /// Of every interval.
    pub confidence_level: f64,
    /// Of the bootstrap.
    pub seed: u64,
}

/// The predictions of one part, in the form that the statistics take.
struct Columns {
    labels: Vec<bool>,
    scores: Vec<f64>,
    patients: Vec<usize>,
    logits: Vec<[f32; 2]>,
}

impl Columns {
    fn of(predictions: &[PredictionRow], part: Part) -> Columns {
        let rows: Vec<&PredictionRow> = predictions.iter().filter(|row| row.split == part.as_str()).collect();
        // Patients are numbered as they come: nothing depends on the value of their key.
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let patients = rows
            .iter()
            .map(|row| {
                let next = numbers.len();
                *numbers.entry(&row.patient_key).or_insert(next)
            })
            .collect();
        Columns {
            labels: rows.iter().map(|row| row.label == 1).collect(),
            scores: rows.iter().map(|row| row.probability).collect(),
            patients,
            logits: rows.iter().map(|row| [row.logit_normal as f32, row.logit_pathology as f32]).collect(),
        }
    }
}

/// The threshold. Only val is asked.
pub fn choose_threshold(predictions: &[PredictionRow], settings: &Settings) -> ThresholdFile {
    let fixed = ThresholdFile { value: settings.threshold, source: "fixed".to_owned(), note: None };
    if !settings.optimize_threshold {
        return fixed;
    }
    let val = Columns::of(predictions, Part::Val);
    match best_f1(&val.labels, &val.scores) {
        Ok(best) => ThresholdFile { value: best.threshold, source: "f1 on val".to_owned(), note: None },
        Err(undefined) => ThresholdFile {
            note: Some(format!(
                "the best threshold on val is {undefined}; {} is taken instead",
                settings.threshold
            )),
            ..fixed
        },
    }
}

/// Chooses the threshold, makes the decisions and computes every figure of every part.
///
/// # Errors
/// When a figure does not fit the schema of `metrics.json`, which is a mistake in this crate.
pub fn evaluate(
    predictions: &mut [PredictionRow],
    settings: &Settings,
    loss: Option<Loss>,
) -> Result<MetricsFile, serde_json::Error> {
    let threshold = choose_threshold(predictions, settings);
    for row in predictions.iter_mut() {
        row.decision = row.probability >= threshold.value;
    }
    let of = |part| part_metrics(&Columns::of(predictions, part), threshold.value, settings, loss);
    Ok(MetricsFile {
        train: of(Part::Train)?,
        val: of(Part::Val)?,
        test: of(Part::Test)?,
        n_bootstrap: settings.n_bootstrap as u64,
        confidence_level: settings.confidence_level,
        threshold,
    })
}

fn part_metrics(
    columns: &Columns,
    threshold: f64,
    settings: &Settings,
    loss: Option<Loss>,
) -> Result<PartMetrics, serde_json::Error> {
    let Columns { labels, scores, patients, logits } = columns;
    let bootstrap = Bootstrap {
        replicates: settings.n_bootstrap,
        confidence_level: settings.confidence_level,
        seed: settings.seed,
    };
    let summary = summarise(&Scored { labels, scores, patients }, threshold, &bootstrap);
    // By way of JSON, so that the two crates agree on what is written and neither knows the other.
    let figure = |figure: &ctpipe_metrics::Figure| serde_json::from_value(serde_json::to_value(figure)?);
    let report = match confusion(labels, scores, threshold) {
        Ok(counts) => serde_json::to_value(ClassificationReport::new(&counts))?,
        Err(undefined) => Value::String(undefined.to_string()),
    };
    let roc: Vec<RocPoint> = match roc_curve(labels, scores) {
        Ok(points) => serde_json::from_value(serde_json::to_value(points)?)?,
        Err(_) => Vec::new(),
    };
    let classes: Vec<u8> = labels.iter().map(|&label| u8::from(label)).collect();
    Ok(PartMetrics {
        samples: summary.samples as u64,
        patients: summary.patients as u64,
        confusion: summary
            .confusion
            .ok()
            .map(serde_json::to_value)
            .transpose()?
            .map(serde_json::from_value)
            .transpose()?,
        auc: figure(&summary.auc)?,
        sensitivity: figure(&summary.sensitivity)?,
        specificity: figure(&summary.specificity)?,
        precision: figure(&summary.precision)?,
        f1: figure(&summary.f1)?,
        accuracy: figure(&summary.accuracy)?,
        loss: loss.filter(|_| !logits.is_empty()).map(|loss| loss.on_host(logits, &classes)),
        classification_report: report,
        roc,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        optimize_threshold: true,
        threshold: 0.5,
        n_bootstrap: 50,
        confidence_level: 0.95,
        seed: 1,
    };

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

    #[test]
    fn the_threshold_comes_from_val_and_test_cannot_move_it() {
        let val = rows("val", &[(0, 0.1), (0, 0.3), (1, 0.4), (1, 0.9)]);
        let chosen = choose_threshold(&val, &SETTINGS);
        assert_eq!((chosen.value, chosen.source.as_str()), (0.4, "f1 on val"));
        for test in [[(0, 0.9), (1, 0.1)], [(1, 0.2), (0, 0.21)]] {
            let mut all = val.clone();
            all.extend(rows("test", &test));
            assert_eq!(choose_threshold(&all, &SETTINGS), chosen);
        }
    }

    #[test]
    fn an_empty_part_and_one_of_one_class_say_why_and_are_no_error() {
        let mut all = rows("val", &[(1, 0.2), (1, 0.8)]);
        let metrics = evaluate(&mut all, &SETTINGS, None).unwrap();
        let why = |figure: &ctpipe_tables::json::Figure| figure.undefined.clone().unwrap_or_default();
        assert!(why(&metrics.test.auc).starts_with("undefined because"));
        assert!(why(&metrics.val.auc).starts_with("undefined because"));
        assert_eq!(metrics.val.sensitivity.value, Some(1.0));
        assert!(metrics.val.roc.is_empty());
        assert_eq!(metrics.test.confusion, None);
    }

    #[test]
    fn without_val_the_fixed_threshold_is_taken_and_said() {
        let mut test = rows("test", &[(0, 0.2), (1, 0.8)]);
        let metrics = evaluate(&mut test, &SETTINGS, None).unwrap();
        assert_eq!((metrics.threshold.value, metrics.threshold.source.as_str()), (0.5, "fixed"));
        assert!(metrics.threshold.note.unwrap().contains("undefined because"));
        assert_eq!(test.iter().map(|row| row.decision).collect::<Vec<_>>(), [false, true]);
    }
}
