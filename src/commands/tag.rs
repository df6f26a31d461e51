//! `ctpipe tag`: give a run a name, take one away, or list them.

use ctpipe_engine::history::resolve;
use ctpipe_engine::{Store, tags};

use crate::cli::{Global, Tag};
use crate::context;
use crate::terminal::{print_json, say};

pub(crate) fn tag(global: &Global, args: &Tag) -> anyhow::Result<u8> {
    let store = Store::new(&context::pipeline(global)?.artifacts);
    if let Some(name) = &args.delete {
        tags::delete(&store, name)?;
        eprintln!("{name} is no longer a tag");
    } else if let Some(name) = &args.name {
        let run = resolve(&store, &args.run)?;
        tags::put(&store, name, &run)?;
        eprintln!("{name} is run {run}");
    }
    let tags = tags::list(&store)?;
    if global.json {
        print_json(&tags)?;
    } else if args.name.is_none() && args.delete.is_none() {
        for (name, run) in tags {
            say!("{name} {run}");
        }
    }
    Ok(0)
}
