//! The stages that a command selects.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::graph::Pipeline;

/// The stages that a command selects. The name of a matrix stage means all its instances.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// These stages and what they need; all stages if it is empty and nothing else is given.
    pub stages: Vec<String>,
    /// This stage and all that follow it; earlier results are used as they are.
    pub from: Option<String>,
    /// Nothing after this stage.
    pub to: Option<String>,
    /// Run the selected stages even if they are fresh.
    pub force: bool,
}

/// A selection applied to a pipeline.
#[derive(Debug, Clone)]
pub struct Scope {
    /// To be brought up to date.
    pub run: BTreeSet<usize>,
    /// Read by those in `run`, and used as they are.
    pub as_is: BTreeSet<usize>,
    /// To be run even if fresh.
    pub forced: BTreeSet<usize>,
}

impl Selection {
    /// Applies the selection to a pipeline.
    ///
    /// # Errors
    /// If a stage is unknown or the selection is empty.
    pub fn scope(&self, pipeline: &Pipeline) -> Result<Scope> {
        let all: BTreeSet<usize> = (0..pipeline.nodes.len()).collect();
        let mut run = all.clone();
        let mut named = BTreeSet::new();
        if let Some(from) = &self.from {
            if !self.stages.is_empty() {
                return Err(Error::Usage("name stages or use --from, but not both".to_owned()));
            }
            run = pipeline.with_descendants(&pipeline.indices(from)?);
        }
        if !self.stages.is_empty() {
            for stage in &self.stages {
                named.extend(pipeline.indices(stage)?);
            }
            run = pipeline.with_ancestors(&named);
        }
        if let Some(to) = &self.to {
            let before = pipeline.with_ancestors(&pipeline.indices(to)?);
            run = &run & &before;
            if run.is_empty() {
                let from = self.from.clone().unwrap_or_else(|| self.stages.join(", "));
                let message = format!("there is nothing from {from} to {to}: {to} does not depend on it");
                return Err(Error::Usage(message));
            }
        }
        // `--from` says to use what comes before as it is; without it, nothing is left out.
        let as_is = run.iter().flat_map(|&i| pipeline.parents(i)).filter(|i| !run.contains(i)).collect();
        let forced = match (self.force, named.is_empty()) {
            (false, _) => BTreeSet::new(),
            (true, true) => run.clone(),
            (true, false) => named,
        };
        Ok(Scope { run, as_is, forced })
    }
}
