//! The files that the engine has listed, in the order of the listing. Opens none.

use ctpipe_ct::in_order;
use ctpipe_engine::Task;

/// Names and digests, [in order](in_order).
pub(crate) struct Files<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Files<'a> {
    pub(crate) fn of(task: &'a Task<'_>) -> Files<'a> {
        let mut files: Vec<(&str, &str)> = task.files("dicom").collect();
        files.sort_by(|(a, _), (b, _)| in_order(a, b));
        Files(files)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.0.iter().map(|(name, _)| *name)
    }

    pub(crate) fn digest(&self, place: usize) -> &'a str {
        self.0[place].1
    }

    /// Where the file of that name stands.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|(other, _)| in_order(other, name)).ok()
    }

    /// The same of names that come in order themselves, each looked for behind the one before it: `last` is where that
    /// was found.
    pub(crate) fn next_place(&self, name: &str, last: &mut usize) -> Option<usize> {
        let near = |place: usize| self.0.get(place).is_some_and(|(other, _)| *other == name);
        let found = [*last, *last + 1].into_iter().find(|&place| near(place)).or_else(|| self.place(name));
        *last = found.unwrap_or(*last);
        found
    }
}
