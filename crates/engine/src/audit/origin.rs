//! Where artifacts come from: each input of each key is held by an artifact of the store, or by the user's data
//! as it is now. Reads no artifact.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::report::{FindingKind, Input, Link, Report};
use crate::audit::{Ground, Seen};
use crate::error::Result;
use crate::stat_cache::StatCache;
use crate::store::{Artifact, RELEASED};
use crate::tree::Tree;

/// All that an input can come from.
pub(super) struct Origins<'a> {
    ground: &'a Ground<'a>,
    /// Whole artifacts by their content, wherever they lie.
    by_content: HashMap<String, Vec<Artifact>>,
    /// What lies at a path of the user's now, read once.
    data: BTreeMap<String, Option<Arc<Tree>>>,
}

/// What is behind an input.
pub(super) enum Origin {
    Artifact(Box<Artifact>),
    Data(String, Arc<Tree>),
    /// The data is gone or changed: in words.
    Changed(String),
    /// Nothing that is there, in words.
    Unknown(String),
}

impl<'a> Origins<'a> {
    /// With `--run`, artifacts that other runs made count, too.
    pub(super) fn new(ground: &'a Ground<'a>, seen: &[Seen]) -> Origins<'a> {
        let mut by_content: HashMap<String, Vec<Artifact>> = HashMap::new();
        for (_, artifact, _) in seen.iter().filter(|(_, _, whole)| *whole) {
            by_content.entry(artifact.manifest.content.clone()).or_default().push(artifact.clone());
        }
        Origins { ground, by_content, data: BTreeMap::new() }
    }

    /// What the user's path holds now; `None` where nothing is there.
    fn data(&mut self, given: &str) -> Result<Option<Arc<Tree>>> {
        if let Some(known) = self.data.get(given) {
            return Ok(known.clone());
        }
        let path = self.ground.pipeline.root.join(given);
        let tree =
            if path.exists() { Some(Arc::new(Tree::of(&path, &StatCache::disabled())?)) } else { None };
        self.data.insert(given.to_owned(), tree.clone());
        Ok(tree)
    }

    /// What one input of an artifact comes from.
    pub(super) fn of(&mut self, artifact: &Artifact, port: &str, digest: &str) -> Result<Origin> {
        let manifest = &artifact.manifest;
        if let Some(given) = manifest.made.sources.get(port) {
            return Ok(match self.data(given)? {
                None => Origin::Changed(format!("{given} is gone")),
                Some(tree) if tree.digest() == digest => Origin::Data(given.clone(), tree),
                Some(_) => Origin::Changed(format!("{given} has changed")),
            });
        }
        let held = self.by_content.get(digest).map(Vec::as_slice).unwrap_or_default();
        let lineage = manifest.key.lineage.get(port);
        let fits = |candidate: &&Artifact| lineage.is_none_or(|key| *key == candidate.manifest.key_hash);
        Ok(match held.iter().find(fits) {
            Some(artifact) => Origin::Artifact(Box::new(artifact.clone())),
            None => Origin::Unknown(format!("no whole artifact that was looked at holds {digest}")),
        })
    }

    /// Follows every artifact back; those that are not current may be of earlier data, and their origins may be gone
    /// unless they are held.
    pub(super) fn trace(
        &mut self,
        current: &[&Seen],
        held: &BTreeSet<PathBuf>,
        seen: &[Seen],
        report: &mut Report,
    ) -> Result<()> {
        let store = self.ground.store;
        let released = store.released();
        let mut earlier: BTreeMap<String, u64> = BTreeMap::new();
        for item in seen {
            let (stage, artifact, whole) = item;
            let is_current = current.iter().any(|other| std::ptr::eq(*other, item));
            let is_released = !is_current && released.contains(&artifact.path);
            let place = self.ground.place(&artifact.path);
            let mut inputs = Vec::new();
            for (port, digest) in &artifact.manifest.key.inputs {
                let leads = match self.of(artifact, port, digest)? {
                    Origin::Artifact(artifact) => artifact.manifest.stage.clone(),
                    Origin::Data(given, _) => given,
                    Origin::Changed(text) if is_current => {
                        let text = format!("input {port}: {text} since it was made");
                        let advice =
                            "\"ctpipe run\" makes it anew; to audit the old one, bring the old data back";
                        report.finding(FindingKind::DataChanged, place.clone(), text.clone(), advice);
                        text
                    }
                    Origin::Unknown(text) if is_current || held.contains(&artifact.path) => {
                        let text = format!("input {port}: {text}");
                        let advice = "run the stages before it again, or restore that artifact from a backup";
                        report.finding(FindingKind::InputMissing, place.clone(), text.clone(), advice);
                        text
                    }
                    Origin::Changed(text) | Origin::Unknown(text) => {
                        *earlier.entry(text.clone()).or_default() += 1;
                        text
                    }
                };
                inputs.push(Input { port: port.clone(), leads_to: leads, digest: digest.clone() });
            }
            if is_current || (is_released && !held.is_empty()) {
                let made = &artifact.manifest.made;
                report.chain.push(Link {
                    stage: if is_current { stage.clone() } else { RELEASED.to_owned() },
                    key_hash: artifact.manifest.key_hash.clone(),
                    content: artifact.manifest.content.clone(),
                    made: format!(
                        "{} by ctpipe {} ({})",
                        made.started, made.by.version, made.by.instruction_set
                    ),
                    inputs,
                    whole: *whole,
                });
            }
        }
        let place =
            |link: &Link| current.iter().position(|(stage, _, _)| *stage == link.stage).unwrap_or(usize::MAX);
        report.chain.sort_by_key(place);
        for (text, count) in earlier {
            let text =
                format!("{text} since {count} earlier artifact{} used it", if count == 1 { "" } else { "s" });
            report.note(FindingKind::DataChanged, "store".to_owned(), text, "nothing has to be done");
        }
        Ok(())
    }
}
