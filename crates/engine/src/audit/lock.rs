//! Checks the lock against the current artifacts and against the store.

use crate::audit::context::{AuditContext, CheckedArtifact};
use crate::audit::report::{FindingKind, Report};
use crate::error::{Error, Result};
use crate::graph::{Pipeline, Source};
use crate::history::RunRecord;
use crate::lock::difference;
use crate::lock::file::{LockFile, all_beside};

/// Checks the selected artifacts against the lock, and the lock against the store.
pub(super) fn lock(
    context: &AuditContext<'_>,
    record: Option<&RunRecord>,
    current: &[&CheckedArtifact],
    report: &mut Report,
) -> Result<()> {
    for path in all_beside(&context.pipeline.lock) {
        let place = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = path.file_name() == context.pipeline.lock.file_name();
        let lock = match LockFile::read(&path) {
            Ok(lock) => lock.unwrap_or_default(),
            Err(error @ Error::Later { .. }) if ours => return Err(error),
            Err(Error::Damaged { problems, .. }) => {
                for problem in problems {
                    let advice = "restore it from git, or write it again: \"ctpipe run --lock\"";
                    report.finding(FindingKind::Lock, place.clone(), problem, advice);
                }
                continue;
            }
            Err(error) => {
                report.finding(FindingKind::Lock, place, error.to_string(), "correct it");
                continue;
            }
        };
        // The lock of another profile only has to be well-formed, because its results may never
        // have been made here.
        if !ours {
            continue;
        }
        for (stage, block) in &lock.blocks {
            if record.is_none() && context.store.holding(stage, &block.key.hash(), &block.content).is_none() {
                let text = format!("the store has no artifact of {stage} with content {}", block.content);
                let advice = "make it: \"ctpipe run --locked\"";
                report.finding(FindingKind::Lock, place.clone(), text, advice);
            }
        }
        if record.is_none() {
            for text in contradictions(context.pipeline, &lock) {
                let advice = "bring all stages up to date: \"ctpipe run\"";
                report.finding(FindingKind::Lock, place.clone(), text, advice);
            }
        }
        for CheckedArtifact { stage, artifact, .. } in current {
            let Some(difference) = difference(&lock, stage, &artifact.manifest) else { continue };
            let (place, text) = (place.clone(), difference.to_string());
            let advice = "\"ctpipe run --locked\" reproduces the lock; \"ctpipe run --lock\" locks the current results";
            // The lock changes over time, so an earlier run may still be correct.
            if record.is_some() {
                report.note(FindingKind::Lock, place, text, "no action is needed");
            } else {
                report.finding(FindingKind::Lock, place, text, advice);
            }
        }
    }
    Ok(())
}

/// Contradictions in the lock that no run can produce: blocks of unknown stages, and blocks whose
/// inputs differ from the locked content of the stages before them.
fn contradictions(pipeline: &Pipeline, lock: &LockFile) -> Vec<String> {
    let mut found = Vec::new();
    for (name, block) in &lock.blocks {
        let Some(node) = pipeline.nodes.iter().find(|node| node.name == *name) else {
            found.push(format!("{name} is in the lock but not in the pipeline"));
            continue;
        };
        for (port, digest) in &block.key.inputs {
            let Some(Source::Stage(index)) = node.inputs.get(port) else { continue };
            let before = &pipeline.nodes[*index].name;
            if let Some(held) = lock.blocks.get(before).filter(|held| held.content != *digest) {
                found.push(format!(
                    "{name} read {digest} from {before}, whose content is {} in the same lock",
                    held.content
                ));
            }
        }
    }
    found
}
