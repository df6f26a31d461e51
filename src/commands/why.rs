//! `ctpipe why STAGE`: shows the state of a stage, one reason per line, and its key.

use std::collections::BTreeSet;

use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::dry_run;
use ctpipe_engine::{Decision, Selection, State, describe};
use ctpipe_stage::Key;

use crate::cli::{self, Global};
use crate::context;
use crate::printed::{Why, WhyRow};
use crate::terminal::{print_json, say};

pub(crate) fn why(global: &Global, args: &cli::Why) -> anyhow::Result<u8> {
    let pipeline = context::pipeline(global)?;
    let selection = Selection { stages: vec![args.stage.clone()], ..Selection::default() };
    let mut decisions = dry_run(&pipeline, &selection, false, LockUse::Update)?;
    let named = pipeline.indices(&args.stage)?;
    let meant: BTreeSet<&str> = named.iter().map(|&index| pipeline.nodes[index].name.as_str()).collect();
    decisions.retain(|(name, _)| meant.contains(name.as_str()));
    if global.json {
        let mut all: Vec<WhyRow> = decisions.iter().map(|(name, decision)| row(name, decision)).collect();
        // All instances of a stage are printed as a list, a single stage as an object.
        let printed = match (all.pop(), all.is_empty()) {
            (Some(only), true) => Why::One(Box::new(only)),
            (last, _) => {
                all.extend(last);
                Why::Instances(all)
            }
        };
        print_json(&printed)?;
        return Ok(0);
    }
    decisions.iter().try_for_each(|(name, decision)| explain(name, decision))?;
    Ok(0)
}

fn row(name: &str, decision: &Decision) -> WhyRow {
    let current = decision.current.as_ref().map(|artifact| &artifact.manifest);
    WhyRow {
        stage: name.to_owned(),
        decision: decision.state.clone(),
        key_hash: decision.key.as_ref().map(Key::hash),
        key: decision.key.clone(),
        current_key: current.map(|manifest| manifest.key.clone()),
    }
}

fn explain(name: &str, decision: &Decision) -> anyhow::Result<()> {
    let (word, why) = describe(&decision.state);
    match &decision.state {
        State::Will { reasons } | State::Restore { reasons } => {
            say!("{name}: {word}");
            for reason in reasons {
                say!("  {reason}");
            }
        }
        State::May { depends_on, reasons } => {
            say!("{name}: {word}");
            say!("  depends on the output of {}", depends_on.join(", "));
            for reason in reasons {
                say!("  {reason}");
            }
        }
        State::Fresh => say!("{name}: {word}: {why}"),
    }
    let Some(key) = &decision.key else {
        say!("its key is unknown until the stages that it reads have run");
        return Ok(());
    };
    say!("key {}", key.hash());
    print_json(key)
}
