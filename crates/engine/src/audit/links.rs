//! Checks the links in `artifacts/` to the current and the released artifacts.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;

use crate::audit::context::{AuditContext, CheckedArtifact, Chosen};
use crate::audit::report::{FindingKind, Report};
use crate::event::RecordedEvent;
use crate::history::{RunRecord, StageRecord, ids};
use crate::layout::{RESERVED, is_released};
use crate::store::Artifact;

/// Follows every link in `artifacts/` and returns the current artifact of each stage. Artifacts of
/// stages that the pipeline no longer has are not current.
pub(super) fn links(context: &AuditContext<'_>, report: &mut Report) -> Chosen {
    let (store, root) = (context.store, context.store.root());
    let mut current = Chosen::new();
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    // The store's own folders may lie on another disk.
    let is_ours = |name: &OsStr| RESERVED.iter().any(|ours| name == *ours && !is_released(ours));
    let mut links: Vec<_> =
        entries.filter(|entry| entry.path().is_symlink() && !is_ours(&entry.file_name())).collect();
    links.sort_by_key(fs::DirEntry::file_name);
    for link in links {
        let name = link.file_name().to_string_lossy().into_owned();
        let target = fs::read_link(link.path()).unwrap_or_default();
        let home = store.layout.home(&name);
        let advice = "\"ctpipe run\" sets it";
        let Some(folder) = store.led_to(&link.path()).filter(|folder| folder.is_dir()) else {
            let text = format!("it leads to {}, which does not exist", target.display());
            report.finding(FindingKind::Link, name, text, advice);
            continue;
        };
        let right = if is_released(&name) {
            folder.starts_with(store.layout.store())
        } else {
            folder.parent() == Some(&home)
        };
        if !right {
            let text = format!("it leads to {}, which is not an artifact of this stage", target.display());
            report.finding(FindingKind::Link, name, text, advice);
        } else if context.pipeline.nodes.iter().any(|node| node.name == name) {
            current.insert(name, folder);
        }
    }
    for node in &context.pipeline.nodes {
        let path = root.join(&node.name);
        if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_symlink()) {
            let text = "it should be a link to an artifact, but is something else".to_owned();
            report.finding(FindingKind::Link, node.name.clone(), text, "move it away");
        }
    }
    current
}

/// Checks that the released artifact is the one that the last release recorded, and that the stage
/// recorded as its judge has read it. Only the records contain this.
pub(super) fn released(context: &AuditContext<'_>, seen: &[CheckedArtifact], report: &mut Report) {
    let store = context.store;
    let entries = fs::read_dir(store.root()).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let links: BTreeSet<String> = names.filter(|name| is_released(name)).collect();
    let led_to = |link: &str| {
        let folder = store.artifact_at(&store.layout.link(link))?;
        seen.iter().map(|checked| &checked.artifact).find(|artifact| artifact.path == folder)
    };
    let of = |link: &str| {
        let longer = |of: &&String| link.strip_prefix(of.as_str()).is_some_and(|rest| rest.starts_with('.'));
        links.iter().filter(longer).max_by_key(|of| of.len())
    };
    for link in links.iter().filter(|link| of(link).is_none()) {
        let Some(released) = led_to(link) else { continue };
        if !released_last(context, link, released, report) {
            continue;
        }
        let content = &released.manifest.content;
        let judged: Vec<&String> = links.iter().filter(|judge| of(judge) == Some(link)).collect();
        let has_judged = |judge: &&&String| {
            led_to(judge).is_none_or(|artifact| {
                let manifest = &artifact.manifest;
                manifest.content == *content || manifest.key.inputs.values().any(|read| read == content)
            })
        };
        // Not every gated stage has to read the released artifact itself.
        if let Some(first) = judged.first().filter(|_| !judged.iter().any(|judge| has_judged(&judge))) {
            let text = format!("it leads to a result that was not made from what {link} leads to");
            let advice = "restore it, or release again: \"ctpipe run\"";
            report.finding(FindingKind::Link, (*first).clone(), text, advice);
        }
    }
}

/// Whether a link is correct, as far as the records show.
fn released_last(context: &AuditContext<'_>, link: &str, artifact: &Artifact, report: &mut Report) -> bool {
    let (store, manifest) = (context.store, &artifact.manifest);
    let mut before: Option<String> = None;
    for id in ids(store).iter().rev() {
        // A run whose record was removed may have released something.
        if before.as_ref().is_some_and(|before| before != id) {
            break;
        }
        let Ok(record) = RunRecord::read_whole(store, id) else { continue };
        before.clone_from(&record.after);
        let mut said = record.events.iter().filter_map(RecordedEvent::released);
        let Some(said) = said.rfind(|said| said.link == link) else { continue };
        let same = |used: &StageRecord| {
            used.stage == said.stage
                && used.key_hash.starts_with(&said.key)
                && used.content == manifest.content
        };
        let is_it = manifest.stage == said.stage
            && manifest.key_hash.starts_with(&said.key)
            && record.stages.iter().flatten().any(same);
        if !is_it {
            let text = format!(
                "it leads to {} {}, but run {id} released last, and that was {} {}",
                manifest.stage,
                manifest.key_hash.get(..12).unwrap_or_default(),
                said.stage,
                said.short_key()
            );
            let advice = "restore it, or release again: \"ctpipe run\"";
            report.finding(FindingKind::Link, link.to_owned(), text, advice);
        }
        return is_it;
    }
    let text = "the record of the run that released it no longer exists".to_owned();
    report.note(FindingKind::Link, link.to_owned(), text, "no action is needed");
    true
}
