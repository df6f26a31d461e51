//! The release of a result by a run.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A result that was released because all gates passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Released {
    /// The link below `artifacts/` that leads to it: `released`, or `released@PROFILE` for a
    /// profile.
    pub link: String,
    /// The stage whose result it is.
    pub stage: String,
    /// The BLAKE3 digest of its key, or a prefix of it.
    pub key: String,
}

/// The end of the sentence with which ctpipe 0.1 recorded a release.
const SENTENCE: &str = ": all gates said yes";

impl Released {
    /// Parses the sentence of ctpipe 0.1 in a run's record: `released train 0123456789ab: all gates
    /// said yes`.
    pub(super) fn from_sentence(text: &str) -> Option<Released> {
        let mut words = text.strip_suffix(SENTENCE)?.split(' ').map(str::to_owned);
        let released = Released { link: words.next()?, stage: words.next()?, key: words.next()? };
        words.next().is_none().then_some(released)
    }

    /// A prefix of the key, for display.
    pub fn short_key(&self) -> &str {
        self.key.get(..12).unwrap_or(&self.key)
    }
}

impl fmt::Display for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is now {} {}: all gates passed", self.link, self.stage, self.short_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_of_an_earlier_ctpipe_is_read_and_no_other() {
        let released = Released::from_sentence("released@demo train 0123456789ab: all gates said yes");
        let expected =
            Released { link: "released@demo".into(), stage: "train".into(), key: "0123456789ab".into() };
        assert_eq!(released, Some(expected));
        for other in
            ["released train 01", "released train: all gates said yes", "a b c d: all gates said yes"]
        {
            assert_eq!(Released::from_sentence(other), None, "{other}");
        }
    }
}
