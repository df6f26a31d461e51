//! The parameters of a stage, declared once: as a struct with its defaults, and as the engine needs them.

use crate::Kind;

/// Declares the parameters of a stage: a struct `Config` that is read from what was given, with its defaults, and `PARAMS`
/// for the engine. The two defaults of a parameter, of the struct and of its kind, are held against each other by
/// `same_defaults`, which a test of the stage calls.
#[macro_export]
macro_rules! parameters {
    ($(#[$meta:meta])* $($name:ident: $type:ty = $default:expr, $kind:expr, $unit:literal, $doc:literal;)*) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[allow(clippy::doc_markdown)] // the texts are shown on terminals, too
        pub struct Config {
            $(#[doc = $doc] pub $name: $type,)*
        }

        impl Default for Config {
            fn default() -> Config {
                Config { $($name: $default,)* }
            }
        }

        /// The same as the engine needs it.
        pub const PARAMS: &[$crate::Param] =
            &[$($crate::Param { name: stringify!($name), kind: $kind, unit: $unit, doc: $doc },)*];
    };
}

/// Whether what the engine is told is what a stage takes where nothing is given.
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
