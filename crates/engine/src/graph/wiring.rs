//! Resolves the inputs of a node: stages and paths, one or several for each port.
//!
//! A port with several sources has an entry `port@label` for each. The label contains the axes in
//! which the sources differ, or the name or the position in a list. Code that iterates over a
//! node's inputs does not need to handle this case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ctpipe_stage::{Labelled, Port, Stage, did_you_mean};

use super::build::{Builder, Draft};
use super::node::Source;
use crate::instance::words;
use crate::layout::{ARTIFACTS, RELEASED, released_link};
use crate::spec::StageSpec;
use crate::spec::locate::Side;
use crate::spec::setting::{Given, Origin, Setting};

impl Builder<'_> {
    /// The inputs of a built-in stage.
    pub(super) fn wire(&mut self, draft: &Draft<'_>, stage: &dyn Stage) -> BTreeMap<String, Source> {
        let mut inputs = BTreeMap::new();
        for (name, setting) in &draft.inputs {
            if let Some(port) = stage.ports().iter().find(|port| port.name == name) {
                if let Given::One(given) = &setting.value
                    && let Some(link) = self.released(given)
                {
                    inputs
                        .extend(self.as_released(&link, port, setting).map(|source| (name.clone(), source)));
                    continue;
                }
                inputs.extend(self.sources(draft, name, port.many, setting));
            } else {
                let ports: Vec<&str> = stage.ports().iter().map(|p| p.name).collect();
                let hint = did_you_mean(name, ports.iter().copied());
                let message =
                    format!("{} has no input \"{name}\"{hint}; it has: {}", stage.kind(), ports.join(", "));
                self.complain(&setting.origin, Side::Key, message);
            }
        }
        for port in stage.ports().iter().filter(|port| !draft.inputs.contains_key(port.name)) {
            let origin = draft.written.origin.clone();
            if let Some(default) = port.default {
                let setting = Setting { value: Given::One(default.to_owned()), origin };
                inputs.extend(self.sources(draft, port.name, port.many, &setting));
            } else if !port.optional {
                let message =
                    format!("stage {} needs its input \"{}\": {}", draft.stage, port.name, port.doc);
                self.complain(&origin, Side::Key, message);
            }
        }
        inputs
    }

    /// The link for `released` (the last release) or `released.STAGE` (the artifact of STAGE that
    /// judged the release).
    fn released(&self, given: &str) -> Option<PathBuf> {
        let (word, stage) = given.split_once('.').map_or((given, None), |(word, stage)| (word, Some(stage)));
        let known =
            word == RELEASED && stage.is_none_or(|stage| self.instances.stages().any(|name| name == stage));
        let name = released_link(self.spec.profile.as_deref());
        let name = stage.map_or(name.clone(), |stage| format!("{name}.{stage}"));
        known.then(|| self.root.join(ARTIFACTS).join(name))
    }

    /// The artifact itself, which does not change when the link moves on. Before the first release,
    /// an optional port stays unconnected.
    fn as_released(&mut self, link: &Path, port: &Port, setting: &Setting<Given>) -> Option<Source> {
        let Ok(target) = std::fs::read_link(link) else {
            if !port.optional {
                let message = format!("nothing has been released yet, but {} is needed", port.name);
                self.complain(&setting.origin, Side::Value, message);
            }
            return None;
        };
        let given = Path::new(ARTIFACTS).join(target);
        let path = self.root.join(&given);
        Some(Source::Path { given: given.display().to_string(), path })
    }

    /// The entries of one port.
    pub(super) fn sources(
        &mut self,
        draft: &Draft<'_>,
        port: &str,
        many: bool,
        setting: &Setting<Given>,
    ) -> Vec<(String, Source)> {
        let found = match &setting.value {
            Given::One(given) => self.one(draft, given, &setting.origin),
            Given::Several(list) if !many => {
                let count = list.len();
                let message =
                    format!("input {port} takes one stage or path, found a list of {count}; name one");
                self.complain(&setting.origin, Side::Value, message);
                return Vec::new();
            }
            Given::Several(list) => self.several(draft, port, list, &setting.origin),
        };
        let Given::One(given) = &setting.value else { return entries(port, found) };
        let is_one = found.iter().all(|(label, _)| label.is_empty());
        if !is_one && !many {
            let (stage, count) = (Labelled::parse(given).name, found.len());
            let s = if count == 1 { "" } else { "s" };
            let one = self.instances.spelled(given, found.first().map_or("", |(label, _)| label));
            let message = format!(
                "input {port} takes one stage, but {given} has {count} instance{s}; name one, such as {one}, or give this stage the same matrix (matrix: {stage})"
            );
            self.complain(&setting.origin, Side::Value, message);
        }
        entries(port, found)
    }

    /// The sources that a single name or path stands for, with their labels. The label is empty
    /// where only one is possible.
    fn one(&mut self, draft: &Draft<'_>, given: &str, origin: &Origin) -> Vec<(String, Source)> {
        match self.instances.nodes(given, draft.point) {
            Ok(Some(nodes)) => {
                nodes.into_iter().map(|(label, index)| (label, Source::Stage(index))).collect()
            }
            Ok(None) => vec![(String::new(), self.path(given, origin))],
            Err(message) => {
                self.complain(origin, Side::Value, message);
                Vec::new()
            }
        }
    }

    fn several(
        &mut self,
        draft: &Draft<'_>,
        port: &str,
        list: &[Setting<String>],
        origin: &Origin,
    ) -> Vec<(String, Source)> {
        if list.is_empty() {
            self.complain(origin, Side::Value, format!("input {port} is empty; name a stage or a path"));
        }
        let mut all: BTreeMap<String, Source> = BTreeMap::new();
        for (position, Setting { value: given, origin }) in list.iter().enumerate() {
            for (label, source) in self.one(draft, given, origin) {
                // A stage is identified by its name. For a path, only its position may be part of a
                // key.
                let label = match &source {
                    Source::Path { .. } => (position + 1).to_string(),
                    Source::Stage(_) => self.instances.spelled(given, &label),
                };
                if all.insert(label.clone(), source).is_some() {
                    self.complain(origin, Side::Value, format!("{label} is given twice"));
                }
            }
        }
        all.into_iter().collect()
    }

    /// A path, unless the text looks like the name of a stage.
    fn path(&mut self, given: &str, origin: &Origin) -> Source {
        let path = self.root.join(given);
        let word = Labelled::parse(given).name;
        if !path.exists() && !word.contains(['/', '.']) {
            // A bare word that is neither a stage nor an existing path is probably a misspelt stage
            // name.
            let hint = did_you_mean(word, self.instances.stages());
            if !hint.is_empty() {
                let message = format!("\"{given}\" is neither a stage nor a path{hint}");
                self.complain(origin, Side::Value, message);
            }
        }
        Source::Path { given: given.to_owned(), path }
    }

    /// Whether `axis` belongs to a stage that this one reads and is left open by the name used for
    /// it.
    pub(super) fn reads_axis(&self, written: &StageSpec, axis: &str) -> bool {
        self.read(written).any(|(stage, named)| {
            let pinned = named.and_then(words).is_some_and(|w| w.iter().any(|(a, _)| *a == axis));
            !pinned && self.instances.axes(stage).is_some_and(|axes| axes.contains_key(axis))
        })
    }

    /// The axes of the stages that a stage reads, for a message.
    pub(super) fn read_axes(&self, written: &StageSpec) -> Vec<String> {
        let axes = self.read(written).filter_map(|(stage, _)| Some((stage, self.instances.axes(stage)?)));
        axes.map(|(stage, axes)| {
            let axes: Vec<&str> = axes.keys().map(String::as_str).collect();
            format!("{} ({stage})", axes.join(", "))
        })
        .collect()
    }

    fn read<'w>(&self, written: &'w StageSpec) -> impl Iterator<Item = (&'w str, Option<&'w str>)> {
        let given = written.inputs.values().flat_map(|setting| match &setting.value {
            Given::One(given) => vec![given],
            Given::Several(list) => list.iter().map(|setting| &setting.value).collect(),
        });
        given.filter_map(|given| self.instances.stage(given))
    }
}

fn entries(port: &str, found: Vec<(String, Source)>) -> Vec<(String, Source)> {
    found.into_iter().map(|(label, source)| (Labelled::new(port, &label).to_string(), source)).collect()
}
