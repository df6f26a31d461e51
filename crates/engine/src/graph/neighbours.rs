//! The other pipeline files of the folder, which share the same `artifacts/`.

use std::collections::BTreeSet;
use std::path::Path;

use ctpipe_stage::Labelled;

use super::instances::Instances;
use super::pipeline::Pipeline;
use crate::spec::Spec;

/// The maximum size of a pipeline file, in bytes.
const LARGEST: u64 = 1 << 20;

impl Pipeline {
    /// Whether `name` is an instance whose stage no longer has it under any profile, in any
    /// pipeline file of the folder, because a value was removed from the matrix. `elsewhere` is the
    /// result of [`Pipeline::names_elsewhere`].
    pub(crate) fn has_lost(&self, name: &str, elsewhere: Option<&BTreeSet<String>>) -> bool {
        let Labelled { name: stage, label: Some(_) } = Labelled::parse(name) else { return false };
        let of_stage = |known: &String| Labelled::parse(known).name == stage;
        let current = self.nodes.iter().any(|node| node.name == name);
        let lost = |names: &BTreeSet<String>| names.iter().any(of_stage) && !names.contains(name);
        !current
            && self.names.as_ref().is_some_and(lost)
            && elsewhere.is_some_and(|names| !names.contains(name))
    }

    /// The names of all nodes of the folder's other pipeline files, which share the same
    /// `artifacts/`; `None` where one of them cannot be parsed.
    pub(crate) fn names_elsewhere(&self) -> Option<BTreeSet<String>> {
        let folder = if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut names = BTreeSet::new();
        for file in entries.filter(|path| path.file_name() != self.file.file_name()) {
            if self.is_a_pipeline(&file) {
                let spec = Spec::load(&file, None, &[]).ok()?;
                names.extend(Instances::all_names(&spec)?);
            }
        }
        Some(names)
    }

    /// Whether a file may be a pipeline file, whatever its name. Files of other programs may have
    /// `stages:`, too (a list, or stages of another kind). A file that mentions stages but is not
    /// valid YAML may be a pipeline file.
    fn is_a_pipeline(&self, file: &Path) -> bool {
        let is_small =
            std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() < LARGEST);
        let text = if is_small { std::fs::read_to_string(file).unwrap_or_default() } else { String::new() };
        if !text.contains("stages") {
            return false;
        }
        let Ok(root) = serde_yaml::from_str::<serde_yaml::Value>(&text) else {
            let begins = |line: &str| line.trim_start_matches(['\u{feff}', '"', '\'']).starts_with("stages");
            return text.lines().any(begins);
        };
        let Some(stages) = root.get("stages").and_then(serde_yaml::Value::as_mapping) else { return false };
        stages.iter().any(|(name, stage)| {
            let is_built_in = self.built_in.iter().any(|known| name.as_str() == Some(known.kind()));
            is_built_in || ["run", "uses"].iter().any(|key| stage.get(key).is_some())
        })
    }
}
