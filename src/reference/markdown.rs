//! Paragraphs and tables in Markdown.

/// The width of a line of prose in columns.
const WIDTH: usize = 100;

/// A paragraph, wrapped at [`WIDTH`] columns.
pub(super) fn paragraph(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

/// A table with these column heads; empty rows are left out.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&heads.map(str::to_owned));
    text += &line(&[(); N].map(|()| "---".to_owned()));
    for row in rows {
        text += &line(&row.map(|cell| cell.replace('|', "\\|").replace('\n', " ")));
    }
    text
}

/// A word of the program, in code type.
pub(super) fn code(text: impl std::fmt::Display) -> String {
    let text = text.to_string();
    if text.is_empty() { text } else { format!("`{text}`") }
}

/// A doc comment as a sentence, with a capital letter and a full stop.
pub(super) fn sentence(doc: &str) -> String {
    let doc = doc.trim();
    let mut letters = doc.chars();
    let Some(first) = letters.next() else { return String::new() };
    // A word of the program is not capitalised.
    let is_code =
        doc.starts_with('`') || doc.split(' ').next().is_some_and(|word| word.contains(['_', '.', '=']));
    let start = if is_code { first.to_string() } else { first.to_uppercase().to_string() };
    let end = if doc.ends_with(['.', '?', ':']) { "" } else { "." };
    format!("{start}{}{end}", letters.as_str())
}

/// Replaces rustdoc links by plain words: `[`Figure`]` becomes `Figure`.
pub(super) fn without_links(doc: &str) -> String {
    doc.replace("[`", "`").replace("`]", "`")
}
