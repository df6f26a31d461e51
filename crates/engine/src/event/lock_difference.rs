//! How a stage differs from `pipeline.lock`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The fact in which a stage differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockedFact {
    /// The key.
    Key,
    /// The content of its artifact.
    Content,
    /// The stage itself: it is in only one of the two.
    Stage,
}

impl fmt::Display for LockedFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LockedFact::Key => "key",
            LockedFact::Content => "content",
            LockedFact::Stage => "stage",
        })
    }
}

/// A stage that differs from the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockDifference {
    /// The stage.
    pub stage: String,
    /// What differs.
    pub what: LockedFact,
    /// The value in the lock; empty where the lock has none.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// The known causes.
    pub because: Vec<String>,
}

impl fmt::Display for LockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LockDifference { stage, what, expected, found, because } = self;
        match (expected.is_empty(), found.is_empty()) {
            (true, _) => write!(f, "{stage} is not in the lock")?,
            (_, true) => write!(f, "{stage} is in the lock but not in the pipeline")?,
            _ => {
                let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
                let (found, expected) = (short(found), short(expected));
                write!(f, "{stage}: its {what} is {found}, but {expected} in the lock")?;
            }
        }
        if because.is_empty() { Ok(()) } else { write!(f, " ({})", because.join("; ")) }
    }
}
