//! Is a value what a JSON schema says? As much of draft 7 as our schemas of output use; a word that it does not know
//! fails, so that nothing is passed over. Another implementation judges the same in `tests/peers/schema.py`.

use serde_json::Value;

/// What is wrong with the value, the first thing found; `None` when nothing is.
pub(crate) fn fault(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    let Some(words) = schema.as_object() else { panic!("no schema: {schema}") };
    words.iter().find_map(|(word, given)| match word.as_str() {
        "$schema" | "title" | "description" | "definitions" => None,
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
        "const" => (value != given).then(|| format!("{value} is not {given}")),
        "enum" => {
            (!given.as_array().expect("words").contains(value)).then(|| format!("{value} is none of {given}"))
        }
        "type" => (!is(value, given.as_str().expect("a type"))).then(|| format!("{value} is no {given}")),
        "minimum" => (value.as_f64() < given.as_f64()).then(|| format!("{value} is less than {given}")),
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
