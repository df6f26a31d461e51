//! The files of a stage's input, by name and by index; none of them is opened here.

use crate::tree::Tree;

/// Names and digests at the start of the run, sorted by name. Names are paths below the input with
/// `/`; bytes that are not UTF-8 appear as U+FFFD and two hexadecimal digits. The name is empty
/// where the input is a single file.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a>(pub(crate) &'a Tree);

impl<'a> Files<'a> {
    /// Number of files.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All names.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &'a str> + Clone {
        self.0.paths()
    }

    /// The name of the file at an index.
    pub fn name(&self, place: usize) -> &'a str {
        self.0.path(place)
    }

    /// The content digest of the file at an index: BLAKE3 in hexadecimal, known without reading the
    /// file.
    pub fn digest(&self, place: usize) -> &'a str {
        self.0.at(place).digest
    }

    /// The index of the file with this name; `None` when there was no such file. It is fast where
    /// names are looked up mostly in order, forwards or backwards.
    pub fn place_near(&self, name: &str, near: &mut Near) -> Option<usize> {
        let is_there = |step: &isize| {
            let place = near.place.wrapping_add_signed(*step);
            place < self.len() && self.name(place) == name
        };
        // Usually the step is the same as the last one.
        let found = match [near.step, 1, 0, -1].into_iter().find(is_there) {
            Some(step) => {
                near.step = step;
                Some(near.place.wrapping_add_signed(step))
            }
            None => self.0.place(name),
        };
        near.place = found.unwrap_or(near.place);
        found
    }
}

/// Where the last name was found, and how far it was from the one before it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Near {
    place: usize,
    step: isize,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_wherever_the_one_before_it_was() {
        let names = ["", "a", "a b/1", "a/1", "b"];
        let mut tree = Tree::default();
        for name in names {
            tree.push(name, 1, &name.to_uppercase());
        }
        let files = Files(&tree);
        assert_eq!(files.names().collect::<Vec<_>>(), names);
        for start in 0..names.len() {
            for (place, name) in names.iter().enumerate() {
                for step in [-1, 0, 1] {
                    let mut near = Near { place: start, step };
                    assert_eq!((files.place_near(name, &mut near), near.place), (Some(place), place));
                }
                assert_eq!((files.name(place), files.digest(place)), (*name, &*name.to_uppercase()));
            }
            let mut near = Near { place: start, step: 1 };
            assert_eq!((files.place_near("c", &mut near), near.place), (None, start));
        }
        assert_eq!(Files(&Tree::default()).place_near("a", &mut Near::default()), None);
    }
}
