//! Where artifacts come from: each input of each key is held by an artifact of the store, or by the user's data
//! as it is now. Reads no artifact.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::report::{FindingKind, Input, Link, Report};
use crate::audit::{Chosen, Ground, Seen};
use crate::graph::Source;
use crate::history::RunRecord;
use crate::run::chain;
use crate::stat_cache::StatCache;
use crate::store::{Artifact, RELEASED};
use crate::tree::Tree;

/// All that an input can come from.
pub(super) struct Origins<'a> {
    ground: &'a Ground<'a>,
    /// Whole artifacts by their content, wherever they lie.
    by_content: HashMap<String, Vec<Arc<Artifact>>>,
    /// What lies at a path of the user's now, read once; in words, why it cannot be.
    data: BTreeMap<String, Data>,
    /// Which stage a stage reads at a port.
    wiring: BTreeMap<(String, String), String>,
    /// What was asked for: of several artifacts that hold the same, these were read.
    chosen: BTreeSet<PathBuf>,
}

/// A tree and its digest; `None` where nothing is there.
type Data = std::result::Result<Option<(Arc<Tree>, String)>, String>;

/// What is behind an input.
pub(super) enum Origin {
    Artifact(Arc<Artifact>),
    Data(String, Arc<Tree>),
    /// The data is gone or changed: in words.
    Changed(String),
    /// The data cannot be read: in words.
    Unreadable(String),
    /// Nothing that is there, in words.
    Unknown(String),
}

impl<'a> Origins<'a> {
    /// With `--run`, artifacts that other runs made count, too.
    pub(super) fn new(
        ground: &'a Ground<'a>,
        record: Option<&RunRecord>,
        chosen: &Chosen,
        seen: &[Seen],
    ) -> Origins<'a> {
        let pipeline = ground.pipeline;
        let mut wiring = BTreeMap::new();
        for node in &pipeline.nodes {
            for (port, source) in &node.inputs {
                if let Source::Stage(index) = source {
                    wiring.insert((node.name.clone(), port.clone()), pipeline.nodes[*index].name.clone());
                }
            }
        }
        for stage in record.iter().flat_map(|record| record.stages.iter().flatten()) {
            let reads = stage.reads.iter();
            wiring.extend(reads.map(|(port, of)| ((stage.stage.clone(), port.clone()), of.clone())));
        }
        let mut by_content: HashMap<String, Vec<Arc<Artifact>>> = HashMap::new();
        for (_, artifact, _) in seen.iter().filter(|(_, _, whole)| *whole) {
            by_content.entry(artifact.manifest.content.clone()).or_default().push(Arc::new(artifact.clone()));
        }
        let chosen = chosen.values().cloned().collect();
        Origins { ground, by_content, data: BTreeMap::new(), wiring, chosen }
    }

    /// What the user's path holds now; `None` where nothing is there.
    fn data(&mut self, given: &str) -> Data {
        if let Some(known) = self.data.get(given) {
            return known.clone();
        }
        let path = self.ground.pipeline.root.join(given);
        let tree = if path.exists() {
            let with_digest = |tree: Tree| (tree.digest(), Arc::new(tree));
            let read = Tree::of(&path, &StatCache::disabled()).map(with_digest);
            read.map(|(digest, tree)| Some((tree, digest))).map_err(|error| chain(&error))
        } else {
            Ok(None)
        };
        self.data.insert(given.to_owned(), tree.clone());
        tree
    }

    /// What one input of an artifact comes from.
    pub(super) fn of(&mut self, artifact: &Artifact, port: &str, digest: &str) -> Origin {
        let manifest = &artifact.manifest;
        if let Some(given) = manifest.made.sources.get(port) {
            return match self.data(given) {
                Err(problem) => Origin::Unreadable(problem),
                Ok(None) => Origin::Changed(format!("{given} is gone")),
                Ok(Some((tree, now))) if now == digest => Origin::Data(given.clone(), tree),
                Ok(Some(_)) => Origin::Changed(format!("{given} has changed")),
            };
        }
        let lineage = manifest.key.lineage.get(port);
        let fits = |candidate: &&Arc<Artifact>| lineage.is_none_or(|key| *key == candidate.manifest.key_hash);
        let held = self.by_content.get(digest).map(Vec::as_slice).unwrap_or_default();
        let held: Vec<Arc<Artifact>> = held.iter().filter(fits).cloned().collect();
        // Several may have made the same bytes: what reads them is in order where one of them is.
        let read = self.wiring.get(&(manifest.stage.clone(), port.to_owned())).cloned();
        let several = held.len() > 1;
        let mut unlikely = |candidate: &Artifact| {
            let is_chosen = self.chosen.contains(&candidate.path);
            (
                read.as_ref() != Some(&candidate.manifest.stage),
                !is_chosen,
                several && !self.is_of_today(candidate),
            )
        };
        match held.into_iter().min_by_key(|candidate| unlikely(candidate)) {
            Some(artifact) => Origin::Artifact(artifact),
            None => Origin::Unknown(format!("no whole artifact that was looked at holds {digest}")),
        }
    }

    /// Is the user's data that an artifact was made from as it was then?
    fn is_of_today(&mut self, artifact: &Artifact) -> bool {
        let manifest = &artifact.manifest;
        manifest.made.sources.iter().all(|(port, given)| {
            self.data(given)
                .is_ok_and(|data| data.map(|(_, digest)| digest).as_ref() == manifest.key.inputs.get(port))
        })
    }

    /// Artifacts, and all that they were made from.
    fn behind(&mut self, current: &[&Seen]) -> BTreeSet<PathBuf> {
        let mut open: Vec<Arc<Artifact>> =
            current.iter().map(|(_, artifact, _)| Arc::new(artifact.clone())).collect();
        let mut found: BTreeSet<PathBuf> = open.iter().map(|artifact| artifact.path.clone()).collect();
        while let Some(artifact) = open.pop() {
            for (port, digest) in &artifact.manifest.key.inputs {
                if let Origin::Artifact(from) = self.of(&artifact, port, digest)
                    && found.insert(from.path.clone())
                {
                    open.push(from);
                }
            }
        }
        found
    }

    /// Follows every artifact back; those that are not current may be of earlier data, and their origins may be gone
    /// unless they are held.
    pub(super) fn trace(
        &mut self,
        current: &[&Seen],
        held: &BTreeSet<PathBuf>,
        seen: &[Seen],
        report: &mut Report,
    ) {
        let behind = self.behind(current);
        let store = self.ground.store;
        let released = store.released();
        let mut earlier: BTreeMap<String, u64> = BTreeMap::new();
        for item in seen {
            let (stage, artifact, whole) = item;
            // A result is no better than what it was made from, wherever the links lead by now.
            let is_current =
                current.iter().any(|other| std::ptr::eq(*other, item)) || behind.contains(&artifact.path);
            let is_released = !is_current && released.contains(&artifact.path);
            let place = self.ground.place(&artifact.path);
            let mut inputs = Vec::new();
            for (port, digest) in &artifact.manifest.key.inputs {
                let leads = match self.of(artifact, port, digest) {
                    Origin::Artifact(artifact) => artifact.manifest.stage.clone(),
                    Origin::Data(given, _) => given,
                    Origin::Changed(text) if is_current => {
                        let text = format!("input {port}: {text} since it was made");
                        let advice =
                            "\"ctpipe run\" makes it anew; to audit the old one, bring the old data back";
                        report.finding(FindingKind::DataChanged, place.clone(), text.clone(), advice);
                        text
                    }
                    Origin::Unreadable(problem) => {
                        let text = format!("input {port}: {problem}");
                        // One of the user's paths is told once, whatever was made from it.
                        if !report.findings.iter().any(|told| told.text.ends_with(&problem)) {
                            let advice = "make it readable, and audit again";
                            report.finding(FindingKind::Unreadable, place.clone(), text.clone(), advice);
                        }
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
    }
}
