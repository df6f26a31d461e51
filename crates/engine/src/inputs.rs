//! The files of a stage's input, by name and by their place among all. Opens none.

use crate::tree::Tree;

/// Names and digests when the run began, sorted by name: paths below the input with `/`, bytes that are no UTF-8 as
/// U+FFFD and two hexadecimal digits, and the empty name where the input is a file itself.
#[derive(Debug, Clone, Default)]
pub struct Files<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Files<'a> {
    pub(crate) fn of(tree: &'a Tree) -> Files<'a> {
        Files(tree.files.iter().map(|(name, file)| (name.as_str(), file.digest.as_str())).collect())
    }

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
        self.0.iter().map(|(name, _)| *name)
    }

    /// The name of the file that stands there.
    pub fn name(&self, place: usize) -> &'a str {
        self.0[place].0
    }

    /// What it holds, as BLAKE3 in hexadecimal: known without reading it again.
    pub fn digest(&self, place: usize) -> &'a str {
        self.0[place].1
    }

    /// Where the file of that name stands; `None` when it was not there.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|(other, _)| (*other).cmp(name)).ok()
    }

    /// The same of names of which one mostly stands beside the one before it, forwards or backwards: `last` is where
    /// that was found.
    pub fn place_near(&self, name: &str, last: &mut usize) -> Option<usize> {
        let is_there = |place: usize| self.0.get(place).is_some_and(|(other, _)| *other == name);
        let near = [*last, last.wrapping_add(1), last.wrapping_sub(1)];
        let found = near.into_iter().find(|&place| is_there(place)).or_else(|| self.place(name));
        *last = found.unwrap_or(*last);
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tree::FileDigest;

    #[test]
    fn a_file_is_found_wherever_the_one_before_it_was() {
        let names = ["", "a", "a b/1", "a/1", "b"];
        let files = names.map(|name| (name.to_owned(), FileDigest { size: 1, digest: name.to_uppercase() }));
        let tree = Tree { files: files.into() };
        let files = Files::of(&tree);
        assert_eq!(files.names().collect::<Vec<_>>(), names);
        for start in 0..names.len() {
            for (place, name) in names.iter().enumerate() {
                let mut last = start;
                assert_eq!((files.place_near(name, &mut last), last), (Some(place), place));
                assert_eq!((files.name(place), files.digest(place)), (*name, &*name.to_uppercase()));
            }
            let mut last = start;
            assert_eq!((files.place_near("c", &mut last), last), (None, start));
        }
        assert_eq!(Files::default().place_near("a", &mut 0), None);
    }
}
