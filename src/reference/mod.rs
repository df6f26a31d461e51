//! The reference pages of the book, derived from the program. `make reference` writes them, and
//! `make lint` fails when a page is out of date.

mod commands;
mod files;
mod markdown;
mod pipeline;
mod stages;
mod words;

/// The first line of every page.
const GENERATED: &str = "<!-- Written by `make reference`; do not edit. -->";

/// Every page: its file name and its text.
pub(crate) fn pages() -> Vec<(&'static str, String)> {
    let pages = [
        ("pipeline.md", pipeline::page()),
        ("stages.md", stages::page()),
        ("commands.md", commands::page()),
        ("files.md", files::page()),
        ("reasons.md", words::reasons()),
        ("exit-codes.md", words::exit_codes()),
        ("environment.md", words::environment()),
    ];
    pages.into_iter().map(|(name, text)| (name, format!("{GENERATED}\n\n{}\n", text.trim()))).collect()
}
