//! Runs a stage again in a temporary folder, from the inputs of its key, and compares the output
//! byte by byte. The new output is not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ctpipe_stage::{Assignment, ITEMS, Key, Labelled, Params, Stage, Tree};

use crate::audit::context::{Again, AuditContext, CheckedArtifact};
use crate::audit::origin::{Origin, Origins};
use crate::audit::report::{FindingKind, Report, Rerun};
use crate::content::{StatCache, tree_of};
use crate::error::{Error, Result, chain};
use crate::event::Heard;
use crate::graph::{Node, Pipeline};
use crate::history::RunRecord;
use crate::spec::limits::Limits;
use crate::stage::command::{Command, OUTPUTS, RUN, files_named};
use crate::stage::{Failure, execute};
use crate::store::Artifact;
use crate::sys::{files, machine};

/// The reason why a stage could not be run again.
struct Cannot(String);

/// The inputs of a stage, as they were when its artifact was made.
#[derive(Default)]
struct Inputs {
    paths: BTreeMap<String, PathBuf>,
    trees: BTreeMap<String, Arc<Tree>>,
}

/// The output of the new run.
struct Made {
    /// The temporary folder that holds `out`; dropping this value removes it.
    scratch: tempfile::TempDir,
    /// The list of items, if the stage keeps items.
    items: Option<String>,
    seconds: f64,
}

/// The stages to run again.
pub(super) enum Wanted {
    All,
    These(BTreeSet<String>),
}

/// The stages that a name refers to. If a run is audited, these are the run's stages, which the
/// pipeline may no longer have.
pub(super) fn wanted(pipeline: &Pipeline, record: Option<&RunRecord>, again: &Again) -> Result<Wanted> {
    let stage = match again {
        Again::Nothing => return Ok(Wanted::These(BTreeSet::new())),
        Again::All => return Ok(Wanted::All),
        Again::Stage(stage) => stage,
    };
    if let Some(record) = record {
        let names = record.known_stages()?.iter().map(|had| &had.stage);
        let meant = |name: &&String| *name == stage || Labelled::parse(name).name == stage;
        let had: BTreeSet<String> = names.filter(meant).cloned().collect();
        if !had.is_empty() {
            return Ok(Wanted::These(had));
        }
    }
    let nodes = pipeline.indices(stage)?;
    Ok(Wanted::These(nodes.into_iter().map(|index| pipeline.nodes[index].name.clone()).collect()))
}

/// Runs the selected stages again.
pub(super) fn rerun(
    context: &AuditContext<'_>,
    current: &[&CheckedArtifact],
    wanted: &Wanted,
    origins: &mut Origins<'_>,
    report: &mut Report,
) -> Result<()> {
    let wanted: BTreeSet<&str> = match wanted {
        Wanted::All => current.iter().map(|checked| checked.stage.as_str()).collect(),
        Wanted::These(names) => names.iter().map(String::as_str).collect(),
    };
    for &stage in wanted.iter().filter(|&&stage| !current.iter().any(|checked| checked.stage == stage)) {
        let text = "it has no artifact with a usable manifest".to_owned();
        report.finding(FindingKind::CannotRerun, stage.to_owned(), text, "\"ctpipe run\" makes one");
    }
    let chosen = current.iter().filter(|checked| wanted.contains(checked.stage.as_str()));
    for CheckedArtifact { stage, artifact, .. } in chosen {
        context.check_stop()?;
        let place = context.place(&artifact.path);
        match again(context, artifact, origins)? {
            Err(Cannot(why)) => {
                let text = format!("{stage} could not be run again: {why}");
                report.finding(FindingKind::CannotRerun, place, text, "correct that, then audit again");
            }
            Ok(made) => {
                let difference = first_difference(artifact, &made)?;
                let same = difference.is_none();
                let files = artifact.manifest.outputs.len();
                let key_hash = artifact.manifest.key_hash.clone();
                report.reruns.push(Rerun {
                    stage: stage.clone(),
                    key_hash,
                    same,
                    files,
                    seconds: made.seconds,
                });
                if let Some(difference) = difference {
                    let because = explain(context, stage, artifact).join("; ");
                    let text = format!("run again, {stage} made different bytes: {difference} ({because})");
                    let advice = "if nothing explains it, look for a clock, a random number or a thread order in the stage";
                    report.finding(FindingKind::NotReproduced, place, text, advice);
                }
            }
        }
    }
    Ok(())
}

fn again(
    context: &AuditContext<'_>,
    artifact: &Artifact,
    origins: &mut Origins<'_>,
) -> Result<std::result::Result<Made, Cannot>> {
    let manifest = &artifact.manifest;
    let stage = match stage_of(context, artifact) {
        Ok(stage) => stage,
        Err(cannot) => return Ok(Err(cannot)),
    };
    let mut inputs = Inputs::default();
    for (port, digest) in &manifest.key.inputs {
        let (path, tree) = match origins.of(artifact, port, digest) {
            Origin::Artifact(from) => (from.path.clone(), Arc::new(from.manifest.outputs.clone())),
            Origin::Data(given, tree) => (context.pipeline.root.join(given), tree),
            Origin::Changed(why) => return Ok(Err(Cannot(format!("input {port}: {why} since it was made")))),
            Origin::Unreadable(why) | Origin::Unknown(why) => {
                return Ok(Err(Cannot(format!("input {port}: {why}"))));
            }
        };
        inputs.paths.insert(port.clone(), path);
        inputs.trees.insert(port.clone(), tree);
    }
    let node = node_of(context, artifact);
    let params = params_of(node, stage.as_ref(), artifact);
    let limits = node.map(|node| node.limits).unwrap_or_default();
    work(context, limits, stage.as_ref(), artifact, &params, &inputs)
}

/// The stage implementation that made the artifact, if this program has it.
fn stage_of(context: &AuditContext<'_>, artifact: &Artifact) -> std::result::Result<Arc<dyn Stage>, Cannot> {
    let key = &artifact.manifest.key;
    if key.stage == RUN {
        let command = command_of(key, &context.pipeline.root);
        let command = command.ok_or_else(|| Cannot("its key contains no command".to_owned()))?;
        return Ok(Arc::new(command));
    }
    let (kind, made) = (&key.stage, key.version);
    let Some(stage) = context.pipeline.built_in.iter().find(|stage| stage.kind() == kind) else {
        return Err(Cannot(format!("this ctpipe has no {kind}")));
    };
    let version = stage.version();
    if version != made {
        return Err(Cannot(format!("version {made} of {kind} made it; this ctpipe has version {version}")));
    }
    Ok(stage.clone())
}

/// The command stage that a key describes, to be run in `folder`.
fn command_of(key: &Key, folder: &Path) -> Option<Command> {
    let line = key.params.get(RUN)?.as_str()?.to_owned();
    let outputs = key.params.get(OUTPUTS)?.as_array()?.iter();
    let outputs = outputs.filter_map(|output| output.as_str().map(str::to_owned)).collect();
    // Files named in the command line are inputs but not variables. A port with several inputs has
    // an entry for each.
    let named = files_named(folder, &line);
    let ports = key.inputs.keys().filter(|port| !named.contains(*port));
    let ports = ports.map(|port| Labelled::parse(port).name.to_owned()).collect();
    Some(Command { line, folder: folder.to_path_buf(), ports, outputs })
}

/// The stage with the artifact's name, if the pipeline still has it.
fn node_of<'a>(context: &AuditContext<'a>, artifact: &Artifact) -> Option<&'a Node> {
    context.pipeline.nodes.iter().find(|node| node.name == artifact.manifest.stage)
}

/// The parameters of the key. Parameters outside the key, such as the place of the work, come from
/// the pipeline or are defaults.
fn params_of(node: Option<&Node>, stage: &dyn Stage, artifact: &Artifact) -> Params {
    let by_default = stage.params().iter().map(|param| (param.name.to_owned(), param.default_value()));
    let mut params: Params = by_default.collect();
    let same = node.filter(|node| node.stage.kind() == stage.kind());
    params.extend(same.into_iter().flat_map(|node| node.params.clone()));
    params.retain(|name, _| stage.params_not_in_key().contains(&name.as_str()));
    params.extend(artifact.manifest.key.params.clone());
    params
}

fn work(
    context: &AuditContext<'_>,
    limits: Limits,
    stage: &dyn Stage,
    artifact: &Artifact,
    params: &Params,
    inputs: &Inputs,
) -> Result<std::result::Result<Made, Cannot>> {
    let failed = |e| Error::io("cannot make a folder in", &context.scratch, e);
    fs::create_dir_all(&context.scratch).map_err(failed)?;
    let scratch = tempfile::Builder::new()
        .prefix("audit-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(&context.scratch)
        .map_err(failed)?;
    let out = scratch.path().join("out");
    fs::create_dir(&out).map_err(failed)?;
    let mut gpus = machine::gpus();
    gpus.truncate(limits.gpus.unwrap_or_else(|| stage.gpus(params)) as usize);
    let clock = Instant::now();
    let assignment = Assignment {
        stage: &artifact.manifest.stage,
        params,
        seed: artifact.manifest.key.seed.unwrap_or(context.pipeline.seed),
        gpus: &gpus,
        inputs: inputs.paths.clone(),
        trees: inputs.trees.clone(),
        out: out.clone(),
        work: scratch.path().join("work"),
        live: scratch.path().join("live"),
        // No earlier items are reused; everything is made again.
        find_previous: &|| None,
        listener: &Heard(context.observer),
        stop: context.options.stop,
        deadline: limits.timeout.map(|timeout| clock + timeout),
        again: true,
    };
    let result = execute(stage, assignment);
    files::open_folders(scratch.path()).map_err(failed)?;
    let account = match result {
        Ok(account) => account,
        Err(Failure::Interrupted | Failure::Late) => {
            context.check_stop()?;
            return Ok(Err(Cannot("it took longer than its timeout".to_owned())));
        }
        Err(Failure::Failed(source)) => {
            let error = Error::Stage { stage: artifact.manifest.stage.clone(), source };
            return Ok(Err(Cannot(chain(&error))));
        }
    };
    for (port, given) in &artifact.manifest.made.sources {
        let now = tree_of(&context.pipeline.root.join(given), &StatCache::disabled());
        if now.ok().as_ref() != inputs.trees.get(port).map(Arc::as_ref) {
            return Ok(Err(Cannot(format!("{given} changed while it was read"))));
        }
    }
    let items = account.items.map(|(items, _)| blake3::hash(&items.to_json()).to_hex().to_string());
    Ok(Ok(Made { scratch, items, seconds: clock.elapsed().as_secs_f64() }))
}

/// The first file that differs, the position of the difference, and the number of other differing
/// files.
fn first_difference(artifact: &Artifact, made: &Made) -> Result<Option<String>> {
    let out = made.scratch.path().join("out");
    let now = tree_of(&out, &StatCache::disabled())?;
    let before = &artifact.manifest.outputs;
    let names: BTreeSet<&str> = before.paths().chain(now.paths()).collect();
    let mut differing = names.into_iter().filter(|name| before.get(name) != now.get(name));
    let Some(first) = differing.next() else {
        let other = (made.items != artifact.manifest.items).then(|| format!("{ITEMS} differs"));
        return Ok(other);
    };
    let mut text = match (before.get(first), now.get(first)) {
        (Some(_), None) => format!("{first} was not written"),
        (None, _) => format!("{first} is new"),
        (Some(old), Some(new)) => {
            let at = first_offset(&artifact.path.join(first), &out.join(first))?;
            let sizes = if old.size == new.size {
                String::new()
            } else {
                format!(", {} bytes instead of {}", new.size, old.size)
            };
            at.map_or_else(
                // The artifact differs from its manifest, but the new output matches the manifest.
                || format!("{first} equals the artifact's, but the manifest says otherwise"),
                |at| format!("{first} first differs at byte {at}{sizes}"),
            )
        }
    };
    let more = differing.count();
    if more > 0 {
        let _ = write!(text, ", and {more} more file{} differ", if more == 1 { "" } else { "s" });
    }
    Ok(Some(text))
}

/// The first byte that differs. If one file is a prefix of the other, this is the byte after the
/// prefix.
fn first_offset(old: &Path, new: &Path) -> Result<Option<u64>> {
    let failed = |path: &Path, e| Error::io("cannot read", path, e);
    let open = |path: &Path| File::open(path).map(BufReader::new).map_err(|e| failed(path, e));
    let (mut before, mut after) = (open(old)?, open(new)?);
    let mut at = 0;
    loop {
        let (a, b) = (before.fill_buf(), after.fill_buf());
        let (a, b) = (a.map_err(|e| failed(old, e))?, b.map_err(|e| failed(new, e))?);
        if let Some(place) = a.iter().zip(b).position(|(a, b)| a != b) {
            return Ok(Some(at + place as u64));
        }
        let same = a.len().min(b.len());
        if same == 0 {
            return Ok((a.len() != b.len()).then_some(at));
        }
        before.consume(same);
        after.consume(same);
        at += same as u64;
    }
}

/// The known causes of a different result.
fn explain(context: &AuditContext<'_>, name: &str, artifact: &Artifact) -> Vec<String> {
    let manifest = &artifact.manifest;
    let (before, now) = (&manifest.made.by, &context.options.maker);
    let mut because = Vec::new();
    for (what, before, now) in [
        ("instruction set", &before.instruction_set, &now.instruction_set),
        ("ctpipe's version", &before.version, &now.version),
        ("ctpipe's commit", &before.commit, &now.commit),
        ("compiler", &before.compiler, &now.compiler),
    ] {
        if before != now {
            because.push(format!("the {what} was {before} and is now {now}"));
        }
    }
    if let Ok(stage) = stage_of(context, artifact) {
        let params = params_of(node_of(context, artifact), stage.as_ref(), artifact);
        let facts = stage.facts(&params).unwrap_or_default();
        for (fact, value) in &manifest.key.facts {
            match facts.get(fact) {
                Some(now) if now != value => because.push(format!("{fact} was {value} and is now {now}")),
                _ => {}
            }
        }
        if stage.gpus(&params) > 0 {
            because.push("it computes on a GPU, which may add in a different order".to_owned());
        }
    }
    let others = context.store.all().into_iter().filter(|(stage, other)| {
        stage == name
            && other.manifest.key_hash == manifest.key_hash
            && other.manifest.content != manifest.content
    });
    if others.count() > 0 {
        because.push("a forced run made different bytes under this key before".to_owned());
    }
    if because.is_empty() {
        because.push("no known cause: the stage is not deterministic".to_owned());
    }
    because
}
