//! The verdict of a quality gate.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The verdict of a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    /// The stage whose metrics were judged.
    pub stage: String,
    /// The gate as it is written.
    pub gate: String,
    /// Whether it passed.
    pub passed: bool,
    /// The number that was found, if any.
    pub found: Option<f64>,
    /// Why no number was found. The gate then fails, unless its condition does not apply.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.passed { "passed" } else { "failed" };
        write!(f, "gate {word}: {}", self.gate)?;
        match (&self.why, self.found) {
            (Some(why), _) => write!(f, " ({why})"),
            (None, Some(found)) => write!(f, " (it is {found})"),
            (None, None) => Ok(()),
        }
    }
}
