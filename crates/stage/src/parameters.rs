//! Declares the parameters of a stage once, both as a struct with its defaults and as the engine
//! needs them.

use crate::Kind;

/// Declares the parameters of a stage: a struct `Config` with its defaults, which is read from the
/// given parameters, and `PARAMS` for the engine. Each parameter has two defaults, one in the
/// struct and one in its kind. A test of the stage compares them with `same_defaults`.
#[macro_export]
macro_rules! parameters {
    ($(#[$meta:meta])* $($name:ident: $type:ty = $default:expr, $kind:expr, $unit:literal, $doc:literal;)*) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[allow(clippy::doc_markdown)] // the texts are also shown on terminals
        pub struct Config {
            $(#[doc = $doc] pub $name: $type,)*
        }

        impl Default for Config {
            fn default() -> Config {
                Config { $($name: $default,)* }
            }
        }

        /// The same parameters as the engine needs them.
        pub const PARAMS: &[$crate::Param] =
            &[$($crate::Param { name: stringify!($name), kind: $kind, unit: $unit, doc: $doc },)*];
    };
}

/// Whether the defaults in `params` are those of the struct.
pub fn same_defaults<C: serde::de::DeserializeOwned + Default + PartialEq>(params: &[crate::Param]) -> bool {
    let told: serde_json::Map<String, serde_json::Value> =
        params.iter().map(|param| (param.name.to_owned(), param.default_value())).collect();
    serde_json::from_value(told.into()).is_ok_and(|read: C| read == C::default())
}

/// A whole number within a range.
pub const fn int(default: i64, min: i64, max: i64) -> Kind {
    Kind::Int { default, min, max }
}

/// A finite number within a range.
pub const fn float(default: f64, min: f64, max: f64) -> Kind {
    Kind::Float { default, min, max }
}

/// `true` or `false`.
pub const fn switch(default: bool) -> Kind {
    Kind::Bool { default }
}

/// One of several words; the first is the default.
pub const fn choice(options: &'static [&'static str]) -> Kind {
    Kind::Choice { default: options[0], options }
}

/// Any text.
pub const fn text(default: &'static str) -> Kind {
    Kind::Text { default }
}
