//! `ctpipe tag`: gives a run a name, removes a name, or lists the names.

use ctpipe_engine::Store;
use ctpipe_engine::history::resolve;
use ctpipe_engine::history::tags;

use crate::cli::{Global, Tag};
use crate::context;
use crate::terminal::{print_json, say, tell};

pub(crate) fn tag(global: &Global, args: &Tag) -> anyhow::Result<u8> {
    let store = Store::new(&context::pipeline(global)?.artifacts);
    if let Some(name) = &args.delete {
        tags::delete(&store, name)?;
        tell!("removed the tag {name}");
    } else if let Some(name) = &args.name {
        let run = resolve(&store, &args.run)?;
        tags::put(&store, name, &run)?;
        tell!("{name} names run {run}");
    }
    let whole = tags::list_whole(&store);
    if global.json {
        print_json(&whole)?;
    } else if args.name.is_none() && args.delete.is_none() {
        for (name, run) in whole {
            say!("{name} {run}");
        }
    }
    // A damaged tag is reported last, so that it does not hide the others.
    if args.name.is_none() && args.delete.is_none() {
        tags::list(&store)?;
    }
    Ok(0)
}
