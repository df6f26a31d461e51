//! The remembered content of inputs, so that a later difference can name files.

use std::fs;
use std::path::PathBuf;

use ctpipe_stage::Tree;

use super::Store;
use crate::error::{Error, Result};
use crate::sys::files;

impl Store {
    /// Remembers the content of an input, so that a later difference can name files.
    pub(crate) fn remember_tree(&self, digest: &str, tree: &Tree) -> Result<()> {
        let path = self.tree_path(digest);
        // A file with other bytes was left by a power cut.
        if self.tree_bytes(digest).is_some() {
            return Ok(());
        }
        files::write_checked(&path, &tree.to_bytes()).map_err(|e| Error::io("cannot write", &path, e))
    }

    pub(crate) fn recall_tree(&self, digest: &str) -> Option<Tree> {
        Tree::from_bytes(&self.tree_bytes(digest)?)
    }

    /// The bytes of a remembered tree. `None` also if they are damaged: the name of the file is its
    /// digest.
    pub(crate) fn tree_bytes(&self, digest: &str) -> Option<Vec<u8>> {
        let bytes = fs::read(self.tree_path(digest)).ok()?;
        (blake3::hash(&bytes).to_hex().as_str() == digest).then_some(bytes)
    }

    fn tree_path(&self, digest: &str) -> PathBuf {
        self.layout.trees().join(digest)
    }
}
