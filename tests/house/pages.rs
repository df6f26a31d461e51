//! The pages for people: their widths and lengths, and the targets of their links.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{files, root};

/// The widest line of prose in columns.
const WIDTH: usize = 100;

/// Every page of prose.
fn pages() -> Vec<PathBuf> {
    let mut pages = files(&root().join("docs"), "md");
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    pages.extend(["benches/README.md", "data/README.md", "deploy/README.md"].map(|page| root().join(page)));
    pages.sort();
    pages
}

/// The lines of prose of a page with their numbers, without code, tables, pictures and addresses.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code
            && !line.trim_start().starts_with(['|', '<', '['])
            && !line.contains("://")
            && !line.trim_start().starts_with("![")
        {
            lines.push((number + 1, line));
        }
    }
    lines
}

#[test]
fn no_line_of_prose_is_wider_than_a_hundred_columns() {
    let mut wide = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let of_page = prose(&text).into_iter().filter(|(_, line)| line.chars().count() > WIDTH);
        wide.extend(of_page.map(|(number, _)| format!("{}:{number}", page.display())));
    }
    assert!(wide.is_empty(), "wider than {WIDTH} columns:\n{}", wide.join("\n"));
}

#[test]
fn the_front_page_and_the_map_stay_short() {
    let read = |page: &str| fs::read_to_string(root().join(page)).unwrap();
    let (readme, map) = (read("README.md"), read("ARCHITECTURE.md"));
    assert!(readme.lines().count() <= 150, "README.md has {} lines", readme.lines().count());
    let words = readme.split_whitespace().count();
    assert!(words <= 1300, "README.md has {words} words");
    assert!(map.lines().count() <= 200, "ARCHITECTURE.md has {} lines", map.lines().count());
}

/// The targets of the links of a page.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for part in line.split("](").skip(1) {
            found
                .extend(part.split(')').next().map(|link| link.split(' ').next().unwrap_or(link).to_owned()));
        }
        for mark in ["src=\"", "srcset=\"", "href=\""] {
            found.extend(
                line.split(mark).skip(1).filter_map(|part| part.split('"').next()).map(str::to_owned),
            );
        }
    }
    found
}

/// The anchors of the headings of a page, as `MkDocs` and GitHub make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let heads = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |head: &str| {
        let words = head.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    heads.map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_head_of_it() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text).iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (file, head) =
                link.split_once('#').map_or((link.as_str(), None), |(file, head)| (file, Some(head)));
            let target = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap_or(Path::new(".")).join(file)
            };
            let there = target.exists();
            // Material shows a picture with such an ending in one colour scheme only.
            let has_head = head.is_none_or(|head| {
                head.starts_with("only-")
                    || fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(head))
            });
            if !there || !has_head {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn the_reference_pages_are_those_of_this_program() {
    let mut ctpipe = Command::new(env!("CARGO_BIN_EXE_ctpipe"));
    let said = ctpipe.args(["reference", "--check", "docs/reference"]).current_dir(root()).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
