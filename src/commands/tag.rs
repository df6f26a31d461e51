//! `ctpipe tag`: give a run a name, take one away, or list them.

use ctpipe_engine::history::resolve;
use ctpipe_engine::{Store, tags};

use crate::cli::{Global, Tag};
use crate::context;
use crate::terminal::{print_json, say, tell};

pub(crate) fn tag(global: &Global, args: &Tag) -> anyhow::Result<u8> {
    let store = Store::new(&context::pipeline(global)?.artifacts);
    if let Some(name) = &args.delete {
        tags::delete(&store, name)?;
        tell!("{name} is no longer a tag");
    } else if let Some(name) = &args.name {
        let run = resolve(&store, &args.run)?;
        tags::put(&store, name, &run)?;
        tell!("{name} is run {run}");
    }
    let whole = tags::list_whole(&store);
    if global.json {
        print_json(&whole)?;
    } else if args.name.is_none() && args.delete.is_none() {
        for (name, run) in whole {
            say!("{name} {run}");
        }
    }
    // Of one that is damaged it is said as well, but in no other one's way.
    if args.name.is_none() && args.delete.is_none() {
        tags::list(&store)?;
    }
    Ok(0)
}
