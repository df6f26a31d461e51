//! An event in the record of a run: typed where this program knows it, unchanged JSON where it does
//! not.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::released::Released;
use super::stream::Event;

/// An event of a record. It is written back with the same bytes that were read.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    json: Value,
    event: Option<Event>,
}

impl RecordedEvent {
    /// The event; `None` for an event of another ctpipe that this one does not know.
    pub fn known(&self) -> Option<&Event> {
        self.event.as_ref()
    }

    /// The release that it reports; ctpipe 0.1 wrote a sentence instead of an event.
    pub(crate) fn released(&self) -> Option<Released> {
        match self.known()? {
            Event::Released { released } => Some(released.clone()),
            Event::Log { stage, text, .. } if stage.is_empty() => Released::from_sentence(text),
            _ => None,
        }
    }
}

impl From<&Event> for RecordedEvent {
    fn from(event: &Event) -> RecordedEvent {
        // An event has no map whose keys are not strings, so this cannot fail.
        let json = serde_json::to_value(event).unwrap_or_default();
        RecordedEvent { json, event: Some(event.clone()) }
    }
}

impl Serialize for RecordedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RecordedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RecordedEvent, D::Error> {
        let json = Value::deserialize(deserializer)?;
        let event = Event::deserialize(&json).ok();
        Ok(RecordedEvent { json, event })
    }
}

impl JsonSchema for RecordedEvent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RecordedEvent".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object", "required": ["event"] })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_later_ctpipe_is_kept_as_it_is() {
        let text = r#"{"a":1,"event":"from_the_future"}"#;
        let event: RecordedEvent = serde_json::from_str(text).unwrap();
        assert_eq!(event.known(), None);
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }

    #[test]
    fn a_known_event_is_typed_and_written_as_it_was_read() {
        // The field order of ctpipe 0.1, over which the checksum of its records was computed.
        let text = r#"{"event":"stage_started","stage":"train"}"#;
        let event: RecordedEvent = serde_json::from_str(text).unwrap();
        assert_eq!(event.known(), Some(&Event::StageStarted { stage: "train".into() }));
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }
}
