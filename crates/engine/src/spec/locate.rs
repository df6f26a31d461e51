//! Finds the line and column of a key or a value in a YAML text.
//!
//! `serde_yaml` keeps no positions in its values, but it adds one to every error. So the text is
//! parsed once more, and parsing fails on purpose at the wanted place. Only a run that is about to
//! report a problem pays for this.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Whether the place of the last key of the path is wanted, or that of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Key,
    Value,
}

/// Line and column, both from 1, of `path` (keys and list indices from the root); `None` if the
/// text does not contain it.
pub(crate) fn locate(text: &str, path: &[String], side: Side) -> Option<(usize, usize)> {
    let seed = Seek { path, side };
    let error = seed.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    let place = error.location()?;
    error.to_string().contains(FOUND).then_some((place.line(), place.column()))
}

const FOUND: &str = "found the place";

#[derive(Clone, Copy)]
struct Seek<'a> {
    path: &'a [String],
    side: Side,
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.path.split_first() else {
            return Err(A::Error::custom(FOUND));
        };
        let key = Key { name: first, fail: rest.is_empty() && self.side == Side::Key };
        while let Some(here) = map.next_key_seed(key)? {
            if here {
                map.next_value_seed(Seek { path: rest, ..self })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.path.split_first() else {
            return Err(A::Error::custom(FOUND));
        };
        let wanted = first.parse::<usize>().ok();
        let mut index = 0;
        loop {
            let more = if wanted == Some(index) {
                seq.next_element_seed(Seek { path: rest, ..self })?.is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar()
    }
}

impl Seek<'_> {
    fn scalar<E: Error>(self) -> Result<(), E> {
        if self.path.is_empty() { Err(E::custom(FOUND)) } else { Ok(()) }
    }
}

/// Reads one key and checks whether it is the wanted one, and whether its own place is wanted.
#[derive(Clone, Copy)]
struct Key<'a> {
    name: &'a str,
    fail: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        if key == self.name && self.fail {
            return Err(E::custom(FOUND));
        }
        Ok(key == self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "seed: 1\nstages:\n  train:\n    params: { lr: 1e-4, epochs: 100 }\n  extra:\n    outputs: [a, b]\n";

    fn at(path: &[&str], side: Side) -> Option<(usize, usize)> {
        let path: Vec<String> = path.iter().map(|&s| s.to_owned()).collect();
        locate(TEXT, &path, side)
    }

    #[test]
    fn keys_values_and_list_items_are_found_where_an_editor_shows_them() {
        assert_eq!(at(&["seed"], Side::Key), Some((1, 1)));
        assert_eq!(at(&["seed"], Side::Value), Some((1, 7)));
        assert_eq!(at(&["stages", "train", "params", "epochs"], Side::Key), Some((4, 25)));
        assert_eq!(at(&["stages", "train", "params", "epochs"], Side::Value), Some((4, 33)));
        assert_eq!(at(&["stages", "extra", "outputs", "1"], Side::Value), Some((6, 18)));
        assert_eq!(at(&["stages", "none"], Side::Key), None);
    }
}
