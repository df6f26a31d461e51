//! `ctpipe why STAGE`: its state, each reason on a line of its own, and its key.

use std::collections::BTreeSet;

use ctpipe_engine::locked::LockUse;
use ctpipe_engine::run::dry_run;
use ctpipe_engine::{Decision, Selection, State, describe};
use serde_json::{Value, json};

use crate::cli::{Global, Why};
use crate::context;
use crate::terminal::{print_json, say};

pub(crate) fn why(global: &Global, args: &Why) -> anyhow::Result<u8> {
    let pipeline = context::pipeline(global)?;
    let selection = Selection { stages: vec![args.stage.clone()], ..Selection::default() };
    let mut decisions = dry_run(&pipeline, &selection, false, LockUse::Update)?;
    let named = pipeline.indices(&args.stage)?;
    let meant: BTreeSet<&str> = named.iter().map(|&index| pipeline.nodes[index].name.as_str()).collect();
    decisions.retain(|(name, _)| meant.contains(name.as_str()));
    if global.json {
        let mut all: Vec<Value> = decisions.iter().map(|(name, decision)| as_json(name, decision)).collect();
        // All instances of a stage are a list, one stage is none.
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => print_json(&only)?,
            (last, _) => {
                all.extend(last);
                print_json(&all)?;
            }
        }
        return Ok(0);
    }
    decisions.iter().try_for_each(|(name, decision)| explain(name, decision))?;
    Ok(0)
}

fn as_json(name: &str, decision: &Decision) -> Value {
    let current = decision.current.as_ref().map(|artifact| &artifact.manifest);
    json!({
        "stage": name,
        "decision": decision.state,
        "key_hash": decision.key.as_ref().map(ctpipe_engine::key::Key::hash),
        "key": decision.key,
        "current_key": current.map(|manifest| &manifest.key),
    })
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
            say!("  depends on what {} makes", depends_on.join(", "));
            for reason in reasons {
                say!("  {reason}");
            }
        }
        State::Fresh => say!("{name}: {word}: {why}"),
    }
    let Some(key) = &decision.key else {
        say!("its key is not known before the stages that it reads have run");
        return Ok(());
    };
    say!("key {}", key.hash());
    print_json(key)
}
