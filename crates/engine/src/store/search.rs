//! Finds artifacts: of a key, of a stage, behind a link.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ctpipe_stage::{Items, Key, Previous};

use super::Store;
use super::artifact::{Artifact, intact, number_of, open};
use crate::content::StatCache;
use crate::error::{Error, Result};
use crate::key::read_manifest;
use crate::layout::is_released;

impl Store {
    /// The first usable artifact of a key, current or not; forced runs may have made several.
    pub(crate) fn find(
        &self,
        stage: &str,
        key_hash: &str,
        serves: impl Fn(&Artifact) -> bool,
    ) -> Option<Artifact> {
        let entries = fs::read_dir(self.layout.home(stage)).into_iter().flatten().flatten();
        // Any of them, even the first, may have been removed since.
        let mut there: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| Some((number_of(entry.file_name().to_str()?, key_hash)?, entry.path())))
            .collect();
        there.sort();
        there.into_iter().filter_map(|(_, path)| open(path).ok()).find(serves)
    }

    /// Key hash to the stages that have an artifact with it, from the names of folders alone. One
    /// training of a grid and a single stage with the same parameters share a key, whatever their
    /// names are.
    pub(crate) fn stages_by_key(&self) -> BTreeMap<String, Vec<String>> {
        let mut stages: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (stage, folder) in self.folders() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            stages.entry(name.split('~').next().unwrap_or(&name).to_owned()).or_default().push(stage);
        }
        for stages in stages.values_mut() {
            stages.sort();
            stages.dedup();
        }
        stages
    }

    /// The keys of all artifacts, by kind of stage.
    pub(crate) fn keys(&self) -> BTreeMap<String, Vec<Key>> {
        let mut keys: BTreeMap<String, Vec<Key>> = BTreeMap::new();
        for artifact in self.folders().filter_map(|(_, folder)| open(folder).ok()) {
            keys.entry(artifact.manifest.key.stage.clone()).or_default().push(artifact.manifest.key);
        }
        keys
    }

    /// Every folder that may be an artifact, with its stage.
    fn folders(&self) -> impl Iterator<Item = (String, PathBuf)> {
        let below = |folder: PathBuf| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        };
        let stages = below(self.layout.store());
        stages.flat_map(move |(stage, path)| below(path).map(move |(_, path)| (stage.clone(), path)))
    }

    /// The artifact of a key with this content.
    pub(crate) fn holding(&self, stage: &str, key_hash: &str, content: &str) -> Option<Artifact> {
        self.find(stage, key_hash, |artifact| artifact.manifest.content == content)
    }

    /// Every artifact that lies where its manifest belongs, with its stage, but not those moved
    /// aside.
    pub(crate) fn all(&self) -> Vec<(String, Artifact)> {
        let opened = self.folders().filter_map(|(stage, path)| Some((stage, open(path).ok()?)));
        let named = |artifact: &Artifact| {
            let folder = artifact.path.file_name()?.to_str()?;
            number_of(folder, &artifact.manifest.key_hash)
        };
        opened.filter(|(stage, a)| *stage == a.manifest.stage && named(a).is_some()).collect()
    }

    /// Refuses a store with artifacts of a later ctpipe: what they depend on is not known.
    ///
    /// # Errors
    /// For the first such artifact.
    pub(crate) fn refuse_later(&self) -> Result<()> {
        let below = |folder: &Path| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        for folder in below(&self.layout.store()).iter().flat_map(|stage| below(stage)) {
            if let Err(error @ Error::Later { .. }) = read_manifest(&folder) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Where a link leads, as a path of this store; `None` if it leads nowhere or outside the
    /// store.
    pub(crate) fn led_to(&self, link: &Path) -> Option<PathBuf> {
        let (root, target) = (fs::canonicalize(self.root()).ok()?, fs::canonicalize(link).ok()?);
        if let Ok(below) = target.strip_prefix(root) {
            return Some(self.root().join(below));
        }
        // The store, or a stage's folder in it, may be a link to another folder.
        let store = self.layout.store();
        let stages = fs::read_dir(&store).into_iter().flatten().flatten().map(|entry| entry.path());
        let linked = std::iter::once(store).chain(stages).filter(|folder| folder.is_symlink());
        linked.into_iter().find_map(|folder| {
            let below = target.strip_prefix(fs::canonicalize(&folder).ok()?).ok()?;
            Some(folder.join(below))
        })
    }

    /// The folder of the artifact that a user's path leads to or into, through any links.
    pub(crate) fn artifact_at(&self, path: &Path) -> Option<PathBuf> {
        let store = self.layout.store();
        let led = self.led_to(path)?;
        let mut below = led.strip_prefix(&store).ok()?.components();
        let (stage, folder) = (below.next()?, below.next()?);
        Some(store.join(stage).join(folder))
    }

    /// Every artifact that a link to a released result leads to.
    pub(crate) fn released(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root()).into_iter().flatten().flatten();
        let links = entries.filter(|entry| is_released(&entry.file_name().to_string_lossy()));
        let mut folders: Vec<PathBuf> = links.filter_map(|link| self.artifact_at(&link.path())).collect();
        folders.sort();
        folders
    }

    /// Is there a result of a stage that agrees with the known parts of a key, some of whose inputs
    /// are unknown?
    pub(crate) fn may_hold(&self, stage: &str, known: &Key) -> bool {
        let entries = fs::read_dir(self.layout.home(stage)).into_iter().flatten().flatten();
        let mut keys = entries.filter_map(|entry| Some(open(entry.path()).ok()?.manifest.key));
        keys.any(|key| key.agrees_with(known))
    }

    /// The latest intact artifact of the same work on other inputs that has a list of items; the
    /// current artifact comes first.
    pub(crate) fn previous(&self, stage: &str, key: &Key, cache: &StatCache) -> Option<Previous> {
        let serves =
            |artifact: &Artifact| artifact.manifest.items.is_some() && artifact.manifest.key.same_work(key);
        let usable = |artifact: Artifact| {
            let items = Items::read(&artifact.path, artifact.manifest.items.as_deref()?)?;
            let outputs = artifact.manifest.outputs.clone();
            intact(&artifact, cache).is_none().then(|| Previous::new(artifact.path, items, outputs))
        };
        let current = self.current(stage).ok().flatten().filter(&serves);
        current.and_then(&usable).or_else(|| {
            let entries = fs::read_dir(self.layout.home(stage)).ok()?;
            let opened = entries.flatten().filter_map(|entry| open(entry.path()).ok());
            let mut earlier: Vec<Artifact> = opened.filter(serves).collect();
            earlier.sort_by(|a, b| b.manifest.made.started.cmp(&a.manifest.made.started));
            earlier.into_iter().find_map(usable)
        })
    }
}
