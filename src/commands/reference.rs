//! `ctpipe reference DIR`: writes the reference pages of the book. It is hidden: users read the
//! book, and only the project's Makefile calls it.

use std::fs;

use anyhow::Context as _;

use crate::cli::Reference;
use crate::reference::pages;
use crate::terminal::tell;

pub(crate) fn reference(args: &Reference) -> anyhow::Result<u8> {
    let mut old = 0;
    if !args.check {
        fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    }
    for (name, text) in pages() {
        let path = args.dir.join(name);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if args.check {
            tell!("{} is out of date; run \"make reference\"", path.display());
            old += 1;
        } else {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(u8::from(old > 0))
}
