//! The imports between files, read from their `use` declarations.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::{files, root};

/// A module by its path in the crate: `["store", "layout"]`; empty for the root.
type Module = Vec<String>;

/// The modules of a crate with the text of their files, without tests.
fn modules(source: &Path) -> BTreeMap<Module, String> {
    let module = |path: &Path| {
        let below = path.strip_prefix(source).unwrap().with_extension("");
        let mut parts: Module = below.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if parts.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
            parts.pop();
        }
        parts
    };
    let text = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let code: String = text.split("#[cfg(test)]").next().unwrap().to_owned();
        let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n")
    };
    files(source, "rs").iter().map(|path| (module(path), text(path))).collect()
}

/// The paths that a `use` tree names: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inside)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let (mut parts, mut depth, mut part) = (Vec::new(), 0, String::new());
    for letter in inside.chars().chain([',']) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if letter == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(letter);
        }
    }
    let named = parts.iter().filter(|part| !part.trim().is_empty());
    named.flat_map(|part| paths(&format!("{before}{}", part.trim()))).collect()
}

/// Every `use` declaration of a text: whether it is public, and its tree.
fn declarations(text: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for statement in text.split(';') {
        let statement = statement.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
        let Some((before, tree)) = statement.rsplit_once("use ") else { continue };
        // `use` begins a statement; elsewhere it is part of other text.
        let is_start = before.is_empty() || before.ends_with([' ', '}', '{', ']']);
        let tree = tree.trim();
        if is_start && tree.starts_with(|c: char| c.is_ascii_lowercase()) {
            found.push((
                before.trim_end().ends_with("pub") || before.trim_end().ends_with(')'),
                tree.to_owned(),
            ));
        }
    }
    found
}

/// The modules of the crate with their imports; a re-exported name counts as its original module.
fn imports(source: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let modules = modules(source);
    let mut passed_on: BTreeMap<(Module, String), Module> = BTreeMap::new();
    let absolute = |module: &Module, path: &str| -> Option<Module> {
        let mut parts: Vec<&str> =
            path.split("::").filter(|part| !part.is_empty() && *part != "self").collect();
        let mut base = match *parts.first()? {
            "crate" => {
                parts.remove(0);
                Module::new()
            }
            "super" => module.clone(),
            first => {
                let mut child = module.clone();
                child.push(first.to_owned());
                if !modules.contains_key(&child) {
                    return None;
                }
                module.clone()
            }
        };
        while parts.first() == Some(&"super") {
            parts.remove(0);
            base.pop();
        }
        base.extend(parts.into_iter().map(str::to_owned));
        Some(base)
    };
    for (module, text) in &modules {
        for (_, tree) in declarations(text).into_iter().filter(|(public, _)| *public) {
            for path in paths(&tree).iter().filter_map(|path| absolute(module, path)) {
                let Some((name, from)) = path.split_last() else { continue };
                if modules.contains_key(from) && from != module.as_slice() {
                    passed_on.insert((module.clone(), name.clone()), from.to_vec());
                }
            }
        }
    }
    let resolve = |path: Module| {
        let longest = (0..=path.len()).rev().find(|&length| modules.contains_key(&path[..length]));
        let (module, rest) = path.split_at(longest.unwrap_or(0));
        let mut module = module.to_vec();
        if let Some(name) = rest.first() {
            while let Some(from) = passed_on.get(&(module.clone(), name.clone())) {
                module.clone_from(from);
            }
        }
        module
    };
    let of = |(module, text): (&Module, &String)| {
        let trees = declarations(text).into_iter().flat_map(|(_, tree)| paths(&tree));
        let imported = trees.filter_map(|path| absolute(module, &path)).map(resolve);
        (module.clone(), imported.filter(|other| other != module).collect())
    };
    modules.iter().map(of).collect()
}

/// Modules that import each other in a cycle.
fn circle(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<String>> {
    let mut open = imports.clone();
    // A module without remaining imports cannot be part of a cycle.
    loop {
        let done: Vec<Module> = open
            .iter()
            .filter(|(_, imported)| !imported.iter().any(|module| open.contains_key(module)))
            .map(|(module, _)| module.clone())
            .collect();
        if done.is_empty() {
            break;
        }
        for module in &done {
            open.remove(module);
        }
    }
    let mut walk = vec![open.keys().next()?.clone()];
    loop {
        let next = open[walk.last()?].iter().find(|module| open.contains_key(*module))?.clone();
        if let Some(start) = walk.iter().position(|module| *module == next) {
            walk.push(next);
            return Some(walk[start..].iter().map(|module| module.join("::")).collect());
        }
        walk.push(next);
    }
}

/// The folders of all crates.
fn crates() -> Vec<std::path::PathBuf> {
    let below = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.join("Cargo.toml").exists())
    };
    let mut crates: Vec<_> = below("crates").chain(below("stages")).chain([root().to_path_buf()]).collect();
    crates.sort();
    crates
}

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    for folder in crates() {
        let imports = imports(&folder.join("src"));
        assert!(imports.len() > 1, "{}: its modules were not found", folder.display());
        assert_eq!(circle(&imports), None, "{}", folder.display());
    }
}

#[test]
fn a_circle_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("lib.rs", "mod a;\nmod b;\nmod c;\npub use c::Third;\n");
    write("a.rs", "use crate::b::Second;\n");
    write("b.rs", "use std::fs;\n\nuse crate::{Third};\n");
    write("c.rs", "pub struct Third;\n");
    assert_eq!(circle(&imports(folder.path())), None);
    write("c.rs", "use super::a::First;\npub struct Third;\n");
    assert_eq!(circle(&imports(folder.path())).map(|circle| circle.len()), Some(4));
}

#[test]
fn a_stage_imports_no_engine_and_no_other_stage() {
    let manifest = |folder: &Path| fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let stages: Vec<_> =
        crates().into_iter().filter(|path| path.starts_with(root().join("stages"))).collect();
    assert!(stages.len() >= 8);
    let names: Vec<String> = stages
        .iter()
        .map(|stage| format!("ctpipe-{}.workspace", stage.file_name().unwrap().to_str().unwrap()))
        .chain(["ctpipe-engine.workspace".to_owned()])
        .collect();
    for stage in &stages {
        let text = manifest(stage);
        let own = text.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
        for name in &names {
            assert!(!own.contains(name.as_str()), "{} imports {name}", stage.display());
        }
    }
}
