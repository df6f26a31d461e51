//! Quality gates: a number in a stage's `metrics.json`, compared with a bound.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde_json::Value;

use crate::event::Judged;
use crate::metrics::{self, Found};

/// How a number is compared with the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Than {
    AtLeast,
    Above,
    AtMost,
    Below,
}

/// Longer signs come first, so that `>=` is not read as `>`.
const SIGNS: [(&str, Than); 4] =
    [(">=", Than::AtLeast), ("<=", Than::AtMost), (">", Than::Above), ("<", Than::Below)];

/// `test.auc.ci_low >= 0.70`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// The dotted name in `metrics.json`.
    pub metric: String,
    than: Than,
    /// The bound of the metric.
    pub bound: f64,
    /// The gate applies only if this name exists: `comparison`, say, which a first run does not
    /// have.
    only_if: Option<String>,
    /// The gate as it is written.
    text: String,
}

/// A gate that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a gate; expected a metric, >= > <= or <, and a number, such as \"test.auc.ci_low >= 0.70\"; with \"if NAME\" after it, the gate applies only where metrics.json has NAME"
)]
pub struct NoGate(String);

impl FromStr for Gate {
    type Err = NoGate;

    fn from_str(text: &str) -> Result<Gate, NoGate> {
        let no_gate = || NoGate(text.to_owned());
        let (asked, only_if) = match text.rsplit_once(" if ") {
            Some((asked, name)) if !name.trim().is_empty() => (asked, Some(name.trim().to_owned())),
            Some(_) => return Err(no_gate()),
            None => (text, None),
        };
        let split = |(sign, than)| asked.split_once(sign).map(|(metric, bound)| (metric, than, bound));
        let (metric, than, bound) = SIGNS.into_iter().find_map(split).ok_or_else(no_gate)?;
        let metric = metric.trim();
        let bound: f64 = bound.trim().parse().map_err(|_| no_gate())?;
        let named = !metric.is_empty() && metric.split('.').all(|part| !part.trim().is_empty());
        if !named || !bound.is_finite() || metric.contains(['=', '<', '>']) {
            return Err(no_gate());
        }
        Ok(Gate { metric: metric.to_owned(), than, bound, only_if, text: text.trim().to_owned() })
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Gate {
    /// Compares the metrics of an artifact of `stage` with the bound.
    pub(crate) fn judge(&self, stage: &str, artifact: &Path) -> Judged {
        let metrics = metrics::try_read(artifact);
        if let (Some(name), Ok(metrics)) = (&self.only_if, &metrics) {
            let not_applicable = |passed, why| Judged {
                stage: stage.to_owned(),
                gate: self.text.clone(),
                passed,
                found: None,
                why: Some(why),
            };
            match metrics::stands_for_something(metrics, name) {
                Ok(true) => {}
                Ok(false) => return not_applicable(true, format!("does not apply: there is no {name}")),
                // A misspelt name must not switch a gate off.
                Err(hint) => return not_applicable(false, format!("there is no {name}{hint}")),
            }
        }
        let (found, why) = match &metrics {
            Err(problem) => (None, Some(format!("{stage} {problem}"))),
            Ok(metrics) => self.look(metrics),
        };
        let passed = found.is_some_and(|found| match self.than {
            Than::AtLeast => found >= self.bound,
            Than::Above => found > self.bound,
            Than::AtMost => found <= self.bound,
            Than::Below => found < self.bound,
        });
        Judged { stage: stage.to_owned(), gate: self.text.clone(), passed, found, why }
    }

    /// The value of the metric, or why there is none.
    fn look(&self, metrics: &Value) -> (Option<f64>, Option<String>) {
        let name = &self.metric;
        match metrics::lookup(metrics, name) {
            Found::Number(number) => (Some(number), None),
            Found::Null(Some(why)) => (None, Some(format!("{name} has no value: {why}"))),
            Found::Null(None) => (None, Some(format!("{name} has no value"))),
            Found::Empty(group) => (None, Some(format!("{name} has no value: {group} is empty"))),
            Found::Other(what) => (None, Some(format!("{name} is {what}, not a number"))),
            Found::Missing(hint) => (None, Some(format!("there is no metric \"{name}\"{hint}"))),
        }
    }

    /// A warning about a gate before the run, by the metrics of an earlier artifact.
    pub(crate) fn doubt(&self, artifact: &Path) -> Option<String> {
        let metrics = metrics::read(artifact)?;
        if let Some(name) = &self.only_if
            && let Err(hint) = metrics::stands_for_something(&metrics, name)
        {
            return Some(format!(
                "the gate \"{self}\" has the condition {name}, which is not in metrics.json so far{hint}"
            ));
        }
        let found = metrics::lookup(&metrics, &self.metric);
        match found {
            Found::Missing(hint) => {
                Some(format!("the gate \"{self}\" names a metric that is not in metrics.json so far{hint}"))
            }
            Found::Other(what) => Some(format!("the gate \"{self}\" names {what}, which is not a number")),
            Found::Number(_) | Found::Null(_) | Found::Empty(_) => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metrics::METRICS;

    fn judged(gate: &str, metrics: &Value) -> (bool, String) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(METRICS), metrics.to_string()).unwrap();
        let judged = gate.parse::<Gate>().unwrap().judge("evaluate", folder.path());
        (judged.passed, judged.to_string())
    }

    #[test]
    fn a_gate_is_read_as_people_write_it() {
        for text in ["test.auc.ci_low >= 0.70", "a<-2e-3", " a.b <= 5 ", "macro avg.precision > .5"] {
            assert_eq!(text.parse::<Gate>().unwrap().to_string(), text.trim());
        }
        assert_eq!("a > 1 if a.b".parse::<Gate>().unwrap().only_if.as_deref(), Some("a.b"));
        for text in [
            "a > 1 if ",
            "",
            "a",
            "a >=",
            ">= 1",
            "a == 1",
            "a >= b",
            "a >= nan",
            "a >= inf",
            "a..b > 1",
            "a => 1",
            "1 < a < 2",
        ] {
            assert!(text.parse::<Gate>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_sign_says_yes_and_no_where_it_should() {
        let metrics = json!({"a": 0.5});
        for (gate, passed) in [
            ("a >= 0.5", true),
            ("a > 0.5", false),
            ("a <= 0.5", true),
            ("a < 0.5", false),
            ("a > 0.49", true),
            ("a < 0.51", true),
            ("a >= 0.51", false),
            ("a <= 0.49", false),
        ] {
            assert_eq!(judged(gate, &metrics).0, passed, "{gate}");
        }
    }

    #[test]
    fn what_has_no_value_is_a_no_and_says_why() {
        let metrics = json!({
            "test": {"auc": {"value": 0.9, "ci_low": null, "undefined": "undefined because all samples are of one patient"}},
            "comparison": null,
            "method": "stretch",
        });
        for (gate, said) in [
            (
                "test.auc.ci_low >= 0.7",
                "gate failed: test.auc.ci_low >= 0.7 (test.auc.ci_low has no value: undefined because all samples are of one patient)",
            ),
            ("comparison.delta_auc.ci_high >= -0.02", "comparison is empty"),
            ("test.auc.ci_lwo >= 0.7", "did you mean \"test.auc.ci_low\"?"),
            ("method > 1", "not a number"),
        ] {
            let (passed, text) = judged(gate, &metrics);
            assert!(!passed && text.contains(said), "{text}");
        }
        for (gate, passed) in [
            ("comparison.delta_auc.ci_high >= -0.02 if comparison", true),
            ("comparison.delta_auc.ci_high >= -0.02 if test", false),
            ("test.auc.value >= 0.95 if test.auc", false),
            ("test.auc.value >= 0.85 if test.auc", true),
            // An undefined metric exists and fails the gate; a misspelt name does not switch a gate
            // off.
            ("test.auc.ci_low >= 0.7 if test.auc.ci_low", false),
            ("test.auc.value >= 0.85 if tets", false),
            ("test.auc.value >= 0.85 if comparision", false),
            ("test.auc.value >= 0.85 if test.acu", false),
            ("test.auc.value >= 0.95 if external_test", true),
            // A missing name may resemble an existing one.
            ("test.auc.value >= 0.95 if tess", true),
            ("test.auc.value >= 0.95 if test_2", true),
            ("test.auc.value >= 0.95 if test_b.auc", true),
            ("test.auc.value >= 0.95 if test.pauc.male", true),
        ] {
            assert_eq!(judged(gate, &metrics).0, passed, "{gate}");
        }
        let nowhere = "a > 1".parse::<Gate>().unwrap().judge("s", Path::new("/nonexistent"));
        assert!(!nowhere.passed && nowhere.to_string().contains("s wrote no metrics.json"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(METRICS), "{\"a\": 2,}").unwrap();
        let broken = "a > 1 if a".parse::<Gate>().unwrap().judge("s", folder.path());
        let said = broken.to_string();
        assert!(!broken.passed && said.contains("that is not JSON: trailing comma at line 1"), "{said}");
    }
}
