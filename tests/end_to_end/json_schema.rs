//! Checks a value against a JSON schema. It supports the part of draft 7 that our schemas of output
//! use; an unknown keyword fails, so that nothing is ignored. `tests/peers/schema.py` does the same
//! check with another implementation.

use serde_json::Value;

/// The first error in the value; `None` if it is valid.
pub(crate) fn fault(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(anything) = schema.as_bool() {
        return (!anything).then(|| format!("nothing fits, and {value} is there"));
    }
    let Some(words) = schema.as_object() else { panic!("no schema: {schema}") };
    words.iter().find_map(|(word, given)| match word.as_str() {
        "$schema" | "title" | "description" | "definitions" | "default" => None,
        "$ref" => {
            let pointer = given.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference");
            let schema = root.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer}"));
            fault(root, schema, value)
        }
        "allOf" => given.as_array().expect("schemas").iter().find_map(|schema| fault(root, schema, value)),
        "oneOf" => {
            let faults: Vec<_> =
                given.as_array().expect("schemas").iter().map(|schema| fault(root, schema, value)).collect();
            let right = faults.iter().filter(|fault| fault.is_none()).count();
            (right != 1).then(|| format!("{right} of {} fit {value}: {faults:?}", faults.len()))
        }
        "anyOf" => {
            let schemas = given.as_array().expect("schemas").iter();
            let faults: Vec<_> = schemas.map(|schema| fault(root, schema, value)).collect();
            let fits = faults.iter().any(Option::is_none);
            (!fits).then(|| format!("none of {} fits {value}: {faults:?}", faults.len()))
        }
        "const" => (value != given).then(|| format!("{value} is not {given}")),
        "enum" => {
            (!given.as_array().expect("words").contains(value)).then(|| format!("{value} is none of {given}"))
        }
        "type" => {
            let is_one = |kind: &Value| is(value, kind.as_str().expect("a type"));
            let fits = given.as_array().map_or_else(|| is_one(given), |kinds| kinds.iter().any(is_one));
            (!fits).then(|| format!("{value} is no {given}"))
        }
        // Bounds apply to numbers only.
        "minimum" => (value.is_number() && value.as_f64() < given.as_f64())
            .then(|| format!("{value} is less than {given}")),
        "maximum" => (value.is_number() && value.as_f64() > given.as_f64())
            .then(|| format!("{value} is more than {given}")),
        "required" => given.as_array().expect("names").iter().find_map(|name| {
            value
                .get(name.as_str().expect("a name"))
                .is_none()
                .then(|| format!("{name} is missing in {value}"))
        }),
        "properties" => given.as_object().expect("fields").iter().find_map(|(name, schema)| {
            fault(root, schema, value.get(name)?).map(|fault| format!("{name}: {fault}"))
        }),
        "additionalProperties" => {
            let known = words.get("properties").and_then(Value::as_object);
            let fields = value.as_object().into_iter().flatten();
            fields.filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name))).find_map(
                |(name, value)| match given {
                    Value::Bool(false) => Some(format!("{name} is not known")),
                    schema => fault(root, schema, value).map(|fault| format!("{name}: {fault}")),
                },
            )
        }
        "items" => value.as_array().into_iter().flatten().find_map(|value| fault(root, given, value)),
        other => panic!("this check does not know {other}"),
    })
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no such type: {other}"),
    }
}

#[test]
fn the_check_finds_what_is_wrong() {
    let schema = serde_json::json!({
        "definitions": { "n": { "type": "integer", "minimum": 0 } },
        "oneOf": [
            { "type": "object", "properties": { "a": { "const": "x" }, "b": { "type": "array", "items": { "$ref": "#/definitions/n" } } },
              "required": ["a"], "additionalProperties": false },
            { "type": "null" },
        ],
    });
    for good in [r#"{"a":"x"}"#, r#"{"a":"x","b":[]}"#, r#"{"a":"x","b":[0,7]}"#, "null"] {
        assert_eq!(fault(&schema, &schema, &serde_json::from_str(good).unwrap()), None, "{good}");
    }
    for bad in
        ["{}", r#"{"a":"y"}"#, r#"{"a":"x","c":1}"#, r#"{"a":"x","b":[-1]}"#, r#"{"a":"x","b":["1"]}"#, "[]"]
    {
        assert!(fault(&schema, &schema, &serde_json::from_str(bad).unwrap()).is_some(), "{bad}");
    }
}
