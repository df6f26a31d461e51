//! The state of a stage before a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reason::Reason;

/// How many reasons or dependencies are named before the rest is counted.
const SHOWN: usize = 8;

/// What has to be done for a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Nothing: the current artifact is the right one.
    Fresh,
    /// An earlier artifact of the same key is made current.
    Restore {
        /// How the current artifact's key differs from the key of the earlier one.
        reasons: Vec<Reason>,
    },
    /// The stage will run.
    Will {
        /// The reasons.
        reasons: Vec<Reason>,
    },
    /// The stage runs unless the stages before it produce the same content as before.
    May {
        /// Those stages.
        depends_on: Vec<String>,
        /// The known differences from the current artifact's key; an earlier result may still be
        /// usable.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<Reason>,
    },
}

impl State {
    /// The same state without the names of the user's files.
    #[must_use]
    pub fn without_names(&self) -> State {
        let strip = |reasons: &[Reason]| reasons.iter().map(Reason::without_names).collect();
        match self {
            State::Restore { reasons } => State::Restore { reasons: strip(reasons) },
            State::Will { reasons } => State::Will { reasons: strip(reasons) },
            State::May { depends_on, reasons } => {
                State::May { depends_on: depends_on.clone(), reasons: strip(reasons) }
            }
            State::Fresh => State::Fresh,
        }
    }

    /// Whether something has or may have to be done.
    pub fn is_stale(&self) -> bool {
        !matches!(self, State::Fresh)
    }
}

/// A one-word description of a state, and the reason.
pub fn describe(state: &State) -> (&'static str, String) {
    let join = |reasons: &[Reason]| cut(&reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), "; ");
    match state {
        State::Fresh => ("fresh", "none of its inputs has changed".to_owned()),
        State::Restore { reasons } => ("restore", format!("made before; {}", join(reasons))),
        State::Will { reasons } => ("run", join(reasons)),
        State::May { depends_on, reasons } => {
            let depends = format!("depends on the output of {}", cut(depends_on, ", "));
            let known = if reasons.is_empty() { String::new() } else { format!("; {}", join(reasons)) };
            ("may run", depends + &known)
        }
    }
}

/// The first entries of a list and the number of the rest, because a stage may read a thousand
/// instances.
fn cut(list: &[String], separator: &str) -> String {
    let shown = list.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(separator);
    let more = list.len().saturating_sub(SHOWN);
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
