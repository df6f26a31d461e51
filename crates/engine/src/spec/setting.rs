//! A value of the pipeline file with its place in the file.

/// Where a setting is written, so that a problem with it can be shown there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The keys from the root of the file.
    File(Vec<String>),
    /// A `--set` argument.
    Argument(String),
}

impl Origin {
    /// The origin of a key, or of an item by its position, below this one.
    pub(crate) fn below(&self, key: &str) -> Origin {
        match self {
            Origin::File(path) => Origin::File([path.as_slice(), &[key.to_owned()]].concat()),
            Origin::Argument(argument) => Origin::Argument(argument.clone()),
        }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// The sources of an input, each the name of a stage or a path.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    One(String),
    Several(Vec<Setting<String>>),
}
