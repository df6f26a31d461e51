//! How a JSON schema (draft 7) is written: records, lists, names. Knows no record.

use serde_json::{Map, Value, json};

/// A field of a record.
pub(crate) struct Field {
    name: &'static str,
    schema: Value,
    required: bool,
}

/// A field that is always there.
pub(crate) fn field(name: &'static str, schema: Value, doc: &str) -> Field {
    // What stands beside a reference is not looked at.
    let mut schema = if schema.get("$ref").is_some() { json!({ "allOf": [schema] }) } else { schema };
    if !doc.is_empty() {
        schema["description"] = doc.into();
    }
    Field { name, schema, required: true }
}

/// A field that may be left out.
pub(crate) fn optional(name: &'static str, schema: Value, doc: &str) -> Field {
    Field { required: false, ..field(name, schema, doc) }
}

/// An object with these fields and no others.
pub(crate) fn record(doc: &str, fields: Vec<Field>) -> Value {
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let properties: Map<String, Value> =
        fields.into_iter().map(|field| (field.name.to_owned(), field.schema)).collect();
    let mut record = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    if !doc.is_empty() {
        record["description"] = doc.into();
    }
    record
}

/// A record that tells its kind in the field `tag`.
pub(crate) fn tagged(tag: &'static str, kind: &str, doc: &str, fields: Vec<Field>) -> Value {
    record(doc, [field(tag, word(kind), "")].into_iter().chain(fields).collect())
}

/// An object with names of the user's own.
pub(crate) fn map_of(schema: Value) -> Value {
    let mut map = json!({ "type": "object" });
    map["additionalProperties"] = schema;
    map
}

pub(crate) fn list_of(schema: Value) -> Value {
    let mut list = json!({ "type": "array" });
    list["items"] = schema;
    list
}

pub(crate) fn or_null(schema: Value) -> Value {
    one_of(vec![schema, json!({ "type": "null" })])
}

pub(crate) fn one_of(schemas: Vec<Value>) -> Value {
    let mut any = json!({});
    any["oneOf"] = schemas.into();
    any
}

pub(crate) fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{definition}") })
}

pub(crate) fn text() -> Value {
    json!({ "type": "string" })
}

pub(crate) fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(crate) fn number() -> Value {
    json!({ "type": "number" })
}

pub(crate) fn truth() -> Value {
    json!({ "type": "boolean" })
}

/// One of these words.
pub(crate) fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

/// This very word.
pub(crate) fn word(word: &str) -> Value {
    json!({ "const": word })
}
