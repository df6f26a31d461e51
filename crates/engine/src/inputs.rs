//! The files of a stage's input, by name and by their place among all. Opens none.

use crate::tree::Tree;

/// Names and digests when the run began, sorted by name: paths below the input with `/`, bytes that are no UTF-8 as
/// U+FFFD and two hexadecimal digits, and the empty name where the input is a file itself.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a>(pub(crate) &'a Tree);

impl<'a> Files<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All names.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &'a str> + Clone {
        self.0.paths()
    }

    /// The name of the file that stands there.
    pub fn name(&self, place: usize) -> &'a str {
        self.0.path(place)
    }

    /// What it holds, as BLAKE3 in hexadecimal: known without reading it again.
    pub fn digest(&self, place: usize) -> &'a str {
        self.0.at(place).digest
    }

    /// Where the file of that name stands, of names that mostly follow each other, forwards or backwards; `None` when it
    /// was not there.
    pub fn place_near(&self, name: &str, near: &mut Near) -> Option<usize> {
        let is_there = |step: &isize| {
            let place = near.place.wrapping_add_signed(*step);
            place < self.len() && self.name(place) == name
        };
        // Where it was last, most often.
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

/// Where a name was found, and how far that was from the one before it.
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
