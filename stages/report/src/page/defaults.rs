//! The defaults of every stage's parameters, from the schema of `pipeline.yaml`. Knows no value
//! that the user set.

use std::sync::LazyLock;

use serde_json::Value;

/// The output of `ctpipe stages --schema`; a test of the command line checks that it is current.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../schemas/pipeline.schema.json")).unwrap_or(Value::Null)
});

/// The default of a parameter of a kind of stage, if it has one.
pub(super) fn of(stage: &str, parameter: &str) -> Option<Value> {
    SCHEMA["definitions"][stage]["properties"]["params"]["properties"][parameter].get("default").cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_known_by_stage_and_name() {
        assert_eq!(of("train", "lr"), Some(Value::from(1e-4)));
        assert_eq!(of("evaluate", "n_bootstrap"), Some(Value::from(1000)));
        assert_eq!(of("train", "no_such_parameter"), None);
    }
}
