//! `ctpipe why STAGE`: its state, each reason on a line of its own, and its key.

use ctpipe_engine::run::dry_run;
use ctpipe_engine::{Selection, State, describe};
use serde_json::json;

use crate::cli::{Global, Why};
use crate::context;
use crate::terminal::{print_json, say};

pub(crate) fn why(global: &Global, args: &Why) -> anyhow::Result<u8> {
    let pipeline = context::pipeline(global)?;
    let selection = Selection { stages: vec![args.stage.clone()], ..Selection::default() };
    let decisions = dry_run(&pipeline, &selection, false)?;
    let Some((name, decision)) = decisions.into_iter().find(|(name, _)| *name == args.stage) else {
        return Ok(2);
    };
    let current = decision.current.as_ref().map(|artifact| &artifact.manifest);
    if global.json {
        print_json(&json!({
            "stage": name,
            "decision": decision.state,
            "key_hash": decision.key.as_ref().map(ctpipe_engine::key::Key::hash),
            "key": decision.key,
            "current_key": current.map(|manifest| &manifest.key),
        }))?;
        return Ok(0);
    }
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
        return Ok(0);
    };
    say!("key {}", key.hash());
    print_json(key)?;
    Ok(0)
}
