//! Calibration of probabilities: fitted on the validation set, measured on every set. The fit never
//! sees the test set.

use ctpipe_metrics::{
    Isotonic, Temperature, Undefined, brier_decomposition, expected_calibration_error, log_loss,
    reliability_curve,
};
use ctpipe_tables::{Note, json};

use crate::columns::{Columns, reason, told};
use crate::config::{CalibrateBy, Config};

/// Both calibration methods, fitted.
pub(crate) struct Calibrators {
    temperature: Result<Temperature, Undefined>,
    isotonic: Result<Isotonic, Undefined>,
}

impl Calibrators {
    pub(crate) fn fit(val: &Columns) -> Calibrators {
        Calibrators {
            temperature: Temperature::fit(&val.labels, &val.differences()),
            isotonic: Isotonic::fit(&val.labels, &val.scores),
        }
    }

    /// A calibrated probability; `None` if none is wanted or the method could not be fitted.
    pub(crate) fn apply(&self, by: CalibrateBy, difference: f64, probability: f64) -> Option<f64> {
        match by {
            CalibrateBy::None => None,
            CalibrateBy::Temperature => self.temperature.as_ref().ok()?.apply(difference).ok(),
            CalibrateBy::Isotonic => self.isotonic.as_ref().ok()?.apply(probability).ok(),
        }
    }

    pub(crate) fn told(&self, used: CalibrateBy) -> Result<json::Calibrators, serde_json::Error> {
        let mut notes = Vec::new();
        match &self.temperature {
            Err(undefined) => {
                let text = format!("the temperature is {undefined}");
                notes.push(Note::new("no_temperature", text, [("why", told(reason(*undefined)?)?)]));
            }
            Ok(fitted) if fitted.at_bound => {
                let temperature = fitted.temperature;
                // Towards 0 every probability becomes 0 or 1; towards infinity all become one half.
                let (code, why) = if temperature < 1.0 {
                    (
                        "temperature_low",
                        "val is ordered without error, or nearly so, and says too little to fit one",
                    )
                } else {
                    ("temperature_high", "on val the scores tell nothing of the label, or its opposite")
                };
                let text = format!("the temperature is at the end of its range, {temperature}: {why}");
                notes.push(Note::new(code, text, [("temperature", temperature.into())]));
            }
            Ok(_) => {}
        }
        if let Err(undefined) = &self.isotonic {
            let text = format!("the isotonic calibration is {undefined}");
            notes.push(Note::new("no_isotonic", text, [("why", told(reason(*undefined)?)?)]));
        }
        Ok(json::Calibrators {
            used: told(used)?,
            temperature: self.temperature.as_ref().ok().map(|fitted| fitted.temperature),
            isotonic: self.isotonic.as_ref().ok().map(|fitted| told(fitted.knots())).transpose()?,
            notes,
        })
    }
}

/// How well the probabilities of a set are calibrated, before and after each method.
pub(crate) fn calibrations(
    columns: &Columns,
    config: &Config,
    calibrators: &Calibrators,
) -> Result<json::Calibrations, serde_json::Error> {
    let after = |by: CalibrateBy| -> Result<Option<json::Calibration>, serde_json::Error> {
        let differences = columns.differences();
        let pairs = differences.iter().zip(&columns.scores);
        let scores: Option<Vec<f64>> =
            pairs.map(|(&difference, &score)| calibrators.apply(by, difference, score)).collect();
        scores.map(|scores| calibration(columns, &scores, config)).transpose()
    };
    Ok(json::Calibrations {
        before: calibration(columns, &columns.scores, config)?,
        temperature: after(CalibrateBy::Temperature)?,
        isotonic: after(CalibrateBy::Isotonic)?,
    })
}

fn calibration(
    columns: &Columns,
    probabilities: &[f64],
    config: &Config,
) -> Result<json::Calibration, serde_json::Error> {
    let (labels, bins) = (&columns.labels, config.calibration_bins);
    let brier = brier_decomposition(labels, probabilities, bins);
    Ok(json::Calibration {
        undefined: brier.err().map(|undefined| undefined.to_string()),
        reason: brier.err().map(reason).transpose()?,
        brier: brier.ok().map(told).transpose()?,
        log_loss: log_loss(labels, probabilities).ok(),
        expected_calibration_error: expected_calibration_error(labels, probabilities, bins).ok(),
        curve: told(
            reliability_curve(labels, probabilities, bins, config.confidence_level).unwrap_or_default(),
        )?,
    })
}
