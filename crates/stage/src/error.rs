//! Why a stage has no result.

use std::error::Error as StdError;
use std::fmt::Write as _;

/// Why a stage did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The stage noticed [`Task::stopping`] and stopped.
    #[error("interrupted")]
    Interrupted,
    /// The stage cannot do its work; the error says what to do.
    #[error(transparent)]
    Failed(#[from] Box<dyn StdError + Send + Sync>),
}

impl StageError {
    /// A failure of the stage from any error; intended for `map_err`.
    pub fn failed(error: impl Into<Box<dyn StdError + Send + Sync>>) -> StageError {
        StageError::Failed(error.into())
    }
}

/// An error and its causes in one line, from general to specific.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Transparent wrappers repeat the text that they wrap.
        if !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = inner.source();
    }
    text
}
