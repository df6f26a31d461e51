//! The parameters of the stage.

use serde::Deserialize;

use crate::texts::Language;

/// The parameters of the report.
#[derive(Debug, Deserialize)]
pub(crate) struct Options {
    /// Heading of the page.
    pub(crate) title: String,
    /// Language of the page.
    pub(crate) language: Language,
    /// Number of example volumes of each class.
    pub(crate) examples: usize,
    /// Number of flagged volumes that are pictured.
    pub(crate) flagged: usize,
}
