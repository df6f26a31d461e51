//! Records that know their JSON schema: declared once, for serde and for other programs. Knows no record.

use serde_json::{Map, Value, json};

/// Declares records that are written and read as they stand, and describe themselves. A field with a `serde` attribute may be
/// missing.
macro_rules! records {
    ($($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $doc:literal])+ $(#[serde($($serde:tt)*)])? $field:ident: $type:ty,)+
    })*) => {
        $($(#[doc = $about])+
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name { $($(#[doc = $doc])+ $(#[serde($($serde)*)])? pub $field: $type,)+ }

        impl $crate::described::Described for $name {
            fn schema(definitions: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
                let mut properties = serde_json::Map::new();
                let mut required = Vec::new();
                $(
                    let mut schema = <$type as $crate::described::Described>::schema(definitions);
                    if schema.get("$ref").is_some() {
                        // What stands beside a reference is not looked at.
                        schema = serde_json::json!({ "allOf": [schema] });
                    }
                    schema["description"] = concat!($($doc),+).trim().into();
                    properties.insert(stringify!($field).to_owned(), schema);
                    let optional: &[&str] = &[$(stringify!($($serde)*))?];
                    if optional.is_empty() {
                        required.push(serde_json::Value::from(stringify!($field)));
                    }
                )+
                let record = serde_json::json!({
                    "type": "object",
                    "description": concat!($($about),+).trim(),
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                });
                definitions.insert(stringify!($name).to_owned(), record);
                serde_json::json!({ "$ref": concat!("#/definitions/", stringify!($name)) })
            }
        })*
    };
}

pub(crate) use records;

/// A type that knows its JSON schema; records stand among the definitions.
pub(crate) trait Described {
    fn schema(definitions: &mut Map<String, Value>) -> Value;
}

/// The JSON schema (draft 7) of a file that holds one such record, of so high a version.
pub(crate) fn file_schema<T: Described>(name: &str, version: u32) -> Value {
    let mut definitions = Map::new();
    let mut schema = T::schema(&mut definitions);
    definitions[name]["properties"]["schema_version"]["const"] = version.into();
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["definitions"] = definitions.into();
    schema
}

macro_rules! described {
    ($($type:ty = $schema:tt,)*) => {
        $(impl $crate::described::Described for $type {
            fn schema(_: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
                serde_json::json!($schema)
            }
        })*
    };
}
pub(crate) use described;

described! {
    f64 = { "type": "number" },
    u64 = { "type": "integer" },
    u32 = { "type": "integer" },
    bool = { "type": "boolean" },
    String = { "type": "string" },
    // scikit-learn's report, or why there is none.
    Value = { "type": ["object", "string"] },
}

impl<T: Described> Described for Option<T> {
    fn schema(definitions: &mut Map<String, Value>) -> Value {
        json!({ "anyOf": [T::schema(definitions), { "type": "null" }] })
    }
}

impl<T: Described> Described for Vec<T> {
    fn schema(definitions: &mut Map<String, Value>) -> Value {
        json!({ "type": "array", "items": T::schema(definitions) })
    }
}
