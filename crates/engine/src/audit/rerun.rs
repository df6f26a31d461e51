//! A stage run again in a scratch place, from the very inputs of its key, and compared byte by byte. Keeps
//! nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use crate::audit::origin::{Origin, Origins};
use crate::audit::report::{FindingKind, Report, Rerun};
use crate::audit::{Again, Ground, Seen};
use crate::command::{Command, RUN};
use crate::error::{Error, Result};
use crate::files;
use crate::graph::{Node, Pipeline};
use crate::history::RunRecord;
use crate::items::ITEMS;
use crate::limits::Limits;
use crate::machine;
use crate::param::Params;
use crate::run::chain;
use crate::stage::{Stage, StageError, Task};
use crate::stat_cache::StatCache;
use crate::store::Artifact;
use crate::tree::Tree;

/// Why a stage could not be run again, in words.
struct Cannot(String);

/// What a stage reads, as it was when its artifact was made.
#[derive(Default)]
struct Inputs {
    paths: BTreeMap<String, PathBuf>,
    trees: BTreeMap<String, Arc<Tree>>,
}

/// What came of the work.
struct Made {
    /// Holds `out`, and goes with this.
    scratch: tempfile::TempDir,
    /// The list of items, where the stage keeps some.
    items: Option<String>,
    seconds: f64,
}

/// What is to be run again.
pub(super) enum Wanted {
    All,
    These(BTreeSet<String>),
}

/// The stages that a name means: where a run is audited those that it had, which the pipeline may have no longer.
pub(super) fn wanted(pipeline: &Pipeline, record: Option<&RunRecord>, again: &Again) -> Result<Wanted> {
    let stage = match again {
        Again::Nothing => return Ok(Wanted::These(BTreeSet::new())),
        Again::All => return Ok(Wanted::All),
        Again::Stage(stage) => stage,
    };
    if let Some(record) = record {
        let names = record.known_stages()?.iter().map(|had| &had.stage);
        let meant = |name: &&String| *name == stage || name.split('@').next() == Some(stage.as_str());
        let had: BTreeSet<String> = names.filter(meant).cloned().collect();
        if !had.is_empty() {
            return Ok(Wanted::These(had));
        }
    }
    let nodes = pipeline.indices(stage)?;
    Ok(Wanted::These(nodes.into_iter().map(|index| pipeline.nodes[index].name.clone()).collect()))
}

/// Runs again what was asked for.
pub(super) fn rerun(
    ground: &Ground<'_>,
    current: &[&Seen],
    wanted: &Wanted,
    origins: &mut Origins<'_>,
    report: &mut Report,
) -> Result<()> {
    let wanted: BTreeSet<&str> = match wanted {
        Wanted::All => current.iter().map(|(name, _, _)| name.as_str()).collect(),
        Wanted::These(names) => names.iter().map(String::as_str).collect(),
    };
    for &stage in wanted.iter().filter(|&&stage| !current.iter().any(|(name, _, _)| name == stage)) {
        let text = "there is no artifact of it whose manifest can be used".to_owned();
        report.finding(FindingKind::CannotRerun, stage.to_owned(), text, "\"ctpipe run\" makes one");
    }
    for (stage, artifact, _) in current.iter().filter(|(stage, _, _)| wanted.contains(stage.as_str())) {
        ground.check_stop()?;
        let place = ground.place(&artifact.path);
        match again(ground, artifact, origins)? {
            Err(Cannot(why)) => {
                let text = format!("{stage} could not be run again: {why}");
                report.finding(FindingKind::CannotRerun, place, text, "mend that, and audit again");
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
                    let because = explain(ground, stage, artifact).join("; ");
                    let text = format!("run again, {stage} made other bytes: {difference} ({because})");
                    let advice = "where nothing explains it: look for a clock, a random number or an order of threads in the stage";
                    report.finding(FindingKind::NotReproduced, place, text, advice);
                }
            }
        }
    }
    Ok(())
}

fn again(
    ground: &Ground<'_>,
    artifact: &Artifact,
    origins: &mut Origins<'_>,
) -> Result<std::result::Result<Made, Cannot>> {
    let manifest = &artifact.manifest;
    let stage = match stage_of(ground, artifact) {
        Ok(stage) => stage,
        Err(cannot) => return Ok(Err(cannot)),
    };
    let mut inputs = Inputs::default();
    for (port, digest) in &manifest.key.inputs {
        let (path, tree) = match origins.of(artifact, port, digest) {
            Origin::Artifact(from) => (from.path.clone(), Arc::new(from.manifest.outputs.clone())),
            Origin::Data(given, tree) => (ground.pipeline.root.join(given), tree),
            Origin::Changed(why) => return Ok(Err(Cannot(format!("input {port}: {why} since it was made")))),
            Origin::Unreadable(why) | Origin::Unknown(why) => {
                return Ok(Err(Cannot(format!("input {port}: {why}"))));
            }
        };
        inputs.paths.insert(port.clone(), path);
        inputs.trees.insert(port.clone(), tree);
    }
    let node = node_of(ground, artifact);
    let params = params_of(node, stage.as_ref(), artifact);
    let limits = node.map(|node| node.limits).unwrap_or_default();
    work(ground, limits, stage.as_ref(), artifact, &params, &inputs)
}

/// The stage that made the artifact, if this program has it.
fn stage_of(ground: &Ground<'_>, artifact: &Artifact) -> std::result::Result<Arc<dyn Stage>, Cannot> {
    let key = &artifact.manifest.key;
    if key.stage == RUN {
        let command = Command::of_key(key, &ground.pipeline.root);
        let command = command.ok_or_else(|| Cannot("its key holds no command".to_owned()))?;
        return Ok(Arc::new(command));
    }
    let (kind, made) = (&key.stage, key.version);
    let Some(stage) = ground.pipeline.built_in.iter().find(|stage| stage.kind() == kind) else {
        return Err(Cannot(format!("this ctpipe has no {kind}")));
    };
    let version = stage.version();
    if version != made {
        return Err(Cannot(format!(
            "version {made} of {kind} made it, and this ctpipe has version {version}"
        )));
    }
    Ok(stage.clone())
}

/// The stage of the artifact's name, where the pipeline still has it.
fn node_of<'a>(ground: &Ground<'a>, artifact: &Artifact) -> Option<&'a Node> {
    ground.pipeline.nodes.iter().find(|node| node.name == artifact.manifest.stage)
}

/// Those of the key; what is no part of it (where the work is done) as the pipeline says now, or as by default.
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
    ground: &Ground<'_>,
    limits: Limits,
    stage: &dyn Stage,
    artifact: &Artifact,
    params: &Params,
    inputs: &Inputs,
) -> Result<std::result::Result<Made, Cannot>> {
    let failed = |e| Error::io("cannot make a folder in", &ground.scratch, e);
    fs::create_dir_all(&ground.scratch).map_err(failed)?;
    let scratch = tempfile::Builder::new()
        .prefix("audit-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(&ground.scratch)
        .map_err(failed)?;
    let out = scratch.path().join("out");
    fs::create_dir(&out).map_err(failed)?;
    let mut gpus = machine::gpus();
    gpus.truncate(limits.gpus.unwrap_or_else(|| stage.gpus(params)) as usize);
    let clock = Instant::now();
    let task = Task {
        stage: &artifact.manifest.stage,
        params,
        seed: artifact.manifest.key.seed.unwrap_or(ground.pipeline.seed),
        gpus: &gpus,
        inputs: inputs.paths.clone(),
        trees: inputs.trees.clone(),
        // Nothing is taken over: the whole is made.
        find_previous: &|| None,
        previous: OnceLock::new(),
        items: Mutex::new(None),
        opened: Mutex::default(),
        out: out.clone(),
        work: scratch.path().join("work"),
        live: scratch.path().join("live"),
        observer: ground.observer,
        stop: ground.options.stop,
        deadline: limits.timeout.map(|timeout| clock + timeout),
        again: true,
    };
    let result = catch_unwind(AssertUnwindSafe(|| stage.run(&task)))
        .unwrap_or_else(|_| Err(StageError::failed("a mistake in ctpipe; please report it")));
    files::open_folders(scratch.path()).map_err(failed)?;
    match result {
        Ok(()) => {}
        Err(StageError::Interrupted) => {
            ground.check_stop()?;
            return Ok(Err(Cannot("it took longer than its timeout".to_owned())));
        }
        Err(StageError::Failed(source)) => {
            let error = Error::Stage { stage: artifact.manifest.stage.clone(), source };
            return Ok(Err(Cannot(chain(&error))));
        }
    }
    for (port, given) in &artifact.manifest.made.sources {
        let now = Tree::of(&ground.pipeline.root.join(given), &StatCache::disabled());
        if now.ok().as_ref() != inputs.trees.get(port).map(Arc::as_ref) {
            return Ok(Err(Cannot(format!("{given} changed while it was read"))));
        }
    }
    let items = task.items.into_inner().unwrap_or_default();
    let items = items.map(|(items, _)| blake3::hash(&items.to_json()).to_hex().to_string());
    Ok(Ok(Made { scratch, items, seconds: clock.elapsed().as_secs_f64() }))
}

/// The first file that differs, and where; how many more do.
fn first_difference(artifact: &Artifact, made: &Made) -> Result<Option<String>> {
    let out = made.scratch.path().join("out");
    let now = Tree::of(&out, &StatCache::disabled())?;
    let before = &artifact.manifest.outputs;
    let names: BTreeSet<&str> = before.paths().chain(now.paths()).collect();
    let mut differing = names.into_iter().filter(|name| before.get(name) != now.get(name));
    let Some(first) = differing.next() else {
        let other = (made.items != artifact.manifest.items).then(|| format!("{ITEMS} is another"));
        return Ok(other);
    };
    let mut text = match (before.get(first), now.get(first)) {
        (Some(_), None) => format!("{first} was not written"),
        (None, _) => format!("{first} was not there before"),
        (Some(old), Some(new)) => {
            let at = first_offset(&artifact.path.join(first), &out.join(first))?;
            let sizes = if old.size == new.size {
                String::new()
            } else {
                format!(", {} bytes instead of {}", new.size, old.size)
            };
            at.map_or_else(
                // What the artifact holds is not what its manifest says, and what was made now is the same.
                || format!("{first} is as the artifact has it, and not as its manifest says"),
                |at| format!("{first} differs first at byte {at}{sizes}"),
            )
        }
    };
    let more = differing.count();
    if more > 0 {
        let _ = write!(text, ", and {more} more file{} differ", if more == 1 { "" } else { "s" });
    }
    Ok(Some(text))
}

/// The first byte that differs; where one file is the beginning of the other, the byte after it.
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

/// What is known of why the same work gave other bytes.
fn explain(ground: &Ground<'_>, name: &str, artifact: &Artifact) -> Vec<String> {
    let manifest = &artifact.manifest;
    let (before, now) = (&manifest.made.by, &ground.options.maker);
    let mut because = Vec::new();
    for (what, before, now) in [
        ("instruction set", &before.instruction_set, &now.instruction_set),
        ("ctpipe's version", &before.version, &now.version),
        ("ctpipe's commit", &before.commit, &now.commit),
        ("compiler", &before.compiler, &now.compiler),
    ] {
        if before != now {
            because.push(format!("the {what} was {before} and is {now}"));
        }
    }
    if let Ok(stage) = stage_of(ground, artifact) {
        let params = params_of(node_of(ground, artifact), stage.as_ref(), artifact);
        let facts = stage.facts(&params).unwrap_or_default();
        for (fact, value) in &manifest.key.facts {
            match facts.get(fact) {
                Some(now) if now != value => because.push(format!("{fact} was {value} and is {now}")),
                _ => {}
            }
        }
        if stage.gpus(&params) > 0 {
            because.push("it computes on a GPU, which may add in another order".to_owned());
        }
    }
    let others = ground.store.all().into_iter().filter(|(stage, other)| {
        stage == name
            && other.manifest.key_hash == manifest.key_hash
            && other.manifest.content != manifest.content
    });
    if others.count() > 0 {
        because.push("a forced run has made other bytes under this key before".to_owned());
    }
    if because.is_empty() {
        because.push("nothing is known that explains it: the stage is not deterministic".to_owned());
    }
    because
}
