//! Traces the origin of artifacts: every input of a key must be the content of an artifact in the
//! store or the user's current data. Does not read the bytes of artifacts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use ctpipe_stage::Tree;

use crate::audit::context::{AuditContext, CheckedArtifact, Chosen};
use crate::audit::report::{FindingKind, Input, Link, Report};
use crate::content::{StatCache, tree_of};
use crate::error::chain;
use crate::graph::Source;
use crate::history::RunRecord;
use crate::layout::RELEASED;
use crate::store::Artifact;

/// All possible origins of an input.
pub(super) struct Origins<'a> {
    context: &'a AuditContext<'a>,
    /// Artifacts without findings by their content, wherever they lie.
    by_content: HashMap<String, Vec<Arc<Artifact>>>,
    /// The data at each of the user's paths, read once, or the reason why it cannot be read.
    data: BTreeMap<String, Data>,
    /// The stage that each port of a stage reads.
    wiring: BTreeMap<(String, String), String>,
    /// The selected artifacts. Of several artifacts with the same content, these were read.
    chosen: BTreeSet<PathBuf>,
}

/// A tree and its digest; `None` where the path does not exist.
type Data = std::result::Result<Option<(Arc<Tree>, String)>, String>;

/// The origin of an input.
pub(super) enum Origin {
    Artifact(Arc<Artifact>),
    Data(String, Arc<Tree>),
    /// The data is missing or changed; the text describes how.
    Changed(String),
    /// The data cannot be read; the text says why.
    Unreadable(String),
    /// No known origin; the text says so.
    Unknown(String),
}

impl<'a> Origins<'a> {
    /// With `--run`, artifacts of other runs count, too.
    pub(super) fn new(
        context: &'a AuditContext<'a>,
        record: Option<&RunRecord>,
        chosen: &Chosen,
        checked: &[CheckedArtifact],
    ) -> Origins<'a> {
        let pipeline = context.pipeline;
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
        for artifact in checked.iter().filter(|checked| checked.whole).map(|checked| &checked.artifact) {
            by_content.entry(artifact.manifest.content.clone()).or_default().push(Arc::new(artifact.clone()));
        }
        let chosen = chosen.values().cloned().collect();
        Origins { context, by_content, data: BTreeMap::new(), wiring, chosen }
    }

    /// The current content of the user's path; `None` where it does not exist.
    fn data(&mut self, given: &str) -> Data {
        if let Some(known) = self.data.get(given) {
            return known.clone();
        }
        let path = self.context.pipeline.root.join(given);
        let tree = if path.exists() {
            let with_digest = |tree: Tree| (tree.digest(), Arc::new(tree));
            let read = tree_of(&path, &StatCache::disabled()).map(with_digest);
            read.map(|(digest, tree)| Some((tree, digest))).map_err(|error| chain(&error))
        } else {
            Ok(None)
        };
        self.data.insert(given.to_owned(), tree.clone());
        tree
    }

    /// Finds the origin of one input of an artifact.
    pub(super) fn of(&mut self, artifact: &Artifact, port: &str, digest: &str) -> Origin {
        let manifest = &artifact.manifest;
        if let Some(given) = manifest.made.sources.get(port) {
            return match self.data(given) {
                Err(problem) => Origin::Unreadable(problem),
                Ok(None) => Origin::Changed(format!("{given} no longer exists")),
                Ok(Some((tree, now))) if now == digest => Origin::Data(given.clone(), tree),
                Ok(Some(_)) => Origin::Changed(format!("{given} has changed")),
            };
        }
        let lineage = manifest.key.lineage.get(port);
        let fits = |candidate: &&Arc<Artifact>| lineage.is_none_or(|key| *key == candidate.manifest.key_hash);
        let held = self.by_content.get(digest).map(Vec::as_slice).unwrap_or_default();
        let held: Vec<Arc<Artifact>> = held.iter().filter(fits).cloned().collect();
        // Several artifacts may have the same content. The input is valid if one of them has no
        // findings.
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
            None => Origin::Unknown(format!("no intact artifact has content {digest}")),
        }
    }

    /// Whether the user's data is unchanged since the artifact was made.
    fn is_of_today(&mut self, artifact: &Artifact) -> bool {
        let manifest = &artifact.manifest;
        manifest.made.sources.iter().all(|(port, given)| {
            self.data(given)
                .is_ok_and(|data| data.map(|(_, digest)| digest).as_ref() == manifest.key.inputs.get(port))
        })
    }

    /// The artifacts and all that they were made from.
    fn behind(&mut self, current: &[&CheckedArtifact]) -> BTreeSet<PathBuf> {
        let mut open: Vec<Arc<Artifact>> =
            current.iter().map(|checked| Arc::new(checked.artifact.clone())).collect();
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

    /// Traces every artifact back. An artifact that is not current may be from earlier data, and
    /// its origins may have been removed unless a release or a tag holds them.
    pub(super) fn trace(
        &mut self,
        current: &[&CheckedArtifact],
        held: &BTreeSet<PathBuf>,
        checked: &[CheckedArtifact],
        report: &mut Report,
    ) {
        let behind = self.behind(current);
        let released = self.context.store.released();
        let mut earlier: BTreeMap<String, u64> = BTreeMap::new();
        for item in checked {
            let path = &item.artifact.path;
            // A result is only as valid as its inputs, even if the links have moved on.
            let is_current = current.iter().any(|other| std::ptr::eq(*other, item)) || behind.contains(path);
            let standing = Standing { is_current, is_held: held.contains(path) };
            let inputs = self.inputs(&item.artifact, standing, &mut earlier, report);
            let is_released = !is_current && released.contains(path);
            if is_current || (is_released && !held.is_empty()) {
                report.chain.push(link(item, is_current, inputs));
            }
        }
        let place = |link: &Link| {
            current.iter().position(|checked| checked.stage == link.stage).unwrap_or(usize::MAX)
        };
        report.chain.sort_by_key(place);
        for (text, count) in earlier {
            let text =
                format!("{text} since {count} earlier artifact{} used it", if count == 1 { "" } else { "s" });
            report.note(FindingKind::DataChanged, "store".to_owned(), text, "no action is needed");
        }
    }

    /// Traces each input of an artifact. A problem is a finding, or is counted in `earlier` for an
    /// earlier artifact.
    fn inputs(
        &mut self,
        artifact: &Artifact,
        standing: Standing,
        earlier: &mut BTreeMap<String, u64>,
        report: &mut Report,
    ) -> Vec<Input> {
        let place = self.context.place(&artifact.path);
        let mut inputs = Vec::new();
        for (port, digest) in &artifact.manifest.key.inputs {
            let finding = |report: &mut Report, kind, text: &str, advice| {
                let text = format!("input {port}: {text}");
                report.finding(kind, place.clone(), text.clone(), advice);
                text
            };
            let leads_to = match self.of(artifact, port, digest) {
                Origin::Artifact(artifact) => artifact.manifest.stage.clone(),
                Origin::Data(given, _) => given,
                Origin::Changed(text) if standing.is_current => finding(
                    report,
                    FindingKind::DataChanged,
                    &format!("{text} since it was made"),
                    "\"ctpipe run\" makes a new one; to audit the old one, restore the old data",
                ),
                Origin::Unreadable(problem) => {
                    // A problem of a user's path is reported once, however many artifacts were made
                    // from it.
                    if report.findings.iter().any(|told| told.text.ends_with(&problem)) {
                        format!("input {port}: {problem}")
                    } else {
                        finding(
                            report,
                            FindingKind::Unreadable,
                            &problem,
                            "make it readable, then audit again",
                        )
                    }
                }
                Origin::Unknown(text) if standing.is_current || standing.is_held => finding(
                    report,
                    FindingKind::InputMissing,
                    &text,
                    "run the stages before it again, or restore that artifact from a backup",
                ),
                Origin::Changed(text) | Origin::Unknown(text) => {
                    *earlier.entry(text.clone()).or_default() += 1;
                    text
                }
            };
            inputs.push(Input { port: port.clone(), leads_to, digest: digest.clone() });
        }
        inputs
    }
}

/// How an artifact is used.
#[derive(Clone, Copy)]
struct Standing {
    /// Whether it is current or an ancestor of a current artifact.
    is_current: bool,
    /// Whether a release or a tag keeps it.
    is_held: bool,
}

/// A step on the way from a result back to the data.
fn link(checked: &CheckedArtifact, is_current: bool, inputs: Vec<Input>) -> Link {
    let manifest = &checked.artifact.manifest;
    let made = &manifest.made;
    Link {
        stage: if is_current { checked.stage.clone() } else { RELEASED.to_owned() },
        key_hash: manifest.key_hash.clone(),
        content: manifest.content.clone(),
        made: format!("{} by ctpipe {} ({})", made.started, made.by.version, made.by.instruction_set),
        inputs,
        whole: checked.whole,
    }
}
