//! The width of words, and where a line of them breaks. Widths are slightly above those of the
//! usual sans-serif fonts, so that words do not overlap in any font.

/// Width of `text` in a font of `size`.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(share_of_em).sum::<f64>() * size
}

/// Width of bold `text`.
pub(super) fn bold_width(text: &str, size: f64) -> f64 {
    width(text, size) * 1.09
}

/// Width of a letter relative to the height of the font.
fn share_of_em(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | 'I' | ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '\u{a0}' | '\u{202f}' => {
            0.31
        }
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' | '"' | '·' | '°' => 0.41,
        's' | 'c' | 'z' | 'k' | 'v' | 'x' | 'y' | 'г' | 'с' | 'з' | 'э' | 'т' => 0.53,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '—' | '…' => 0.91,
        'ж' | 'м' | 'ш' | 'щ' | 'ф' | 'ы' | 'ю' | 'ъ' => 0.83,
        'Ж' | 'М' | 'Ш' | 'Щ' | 'Ф' | 'Ы' | 'Ю' | 'Д' => 0.95,
        '\u{300}'..='\u{36f}' => 0.0,
        '\u{2e80}'.. => 1.0,
        _ if letter.is_uppercase() => 0.69,
        _ => 0.60,
    }
}

/// `text` in lines of at most `room`, which also end at its own line breaks; a word that is too
/// long by itself is broken.
pub(super) fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    text.lines().flat_map(|line| wrap_line(line, size, room.max(size * 2.0))).collect()
}

fn wrap_line(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split([' ', '\t']).filter(|word| !word.is_empty()) {
        if !line.is_empty() && width(&line, size) + width(" ", size) + width(word, size) > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for letter in word.chars() {
            if width(&line, size) + share_of_em(letter) * size > room && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line.push(letter);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// `text` escaped for an element or an attribute of XML.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' => safe.push('\n'),
            '\t' => safe.push(' '),
            // XML does not allow these characters.
            '\u{fffe}' | '\u{ffff}' => {}
            _ if letter.is_control() => {}
            _ => safe.push(letter),
        }
    }
    safe
}

/// `name` as the start of an id.
pub(super) fn id(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let id: String = name.chars().map(fits).collect();
    if id.starts_with(|c: char| c.is_ascii_alphabetic()) { id } else { format!("c{id}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_within() {
        assert_eq!(wrap("one two three", 10.0, 45.0), ["one two", "three"]);
        assert!(wrap("Рентгеноэлектрокардиографический", 10.0, 60.0).len() > 2);
        assert!(wrap("  ", 10.0, 60.0).is_empty());
        for line in wrap("a long sentence of words that are to be set in lines", 10.0, 60.0) {
            assert!(width(&line, 10.0) <= 60.0, "{line}");
        }
    }

    #[test]
    fn no_letter_ends_an_element() {
        assert_eq!(escape("<a href=\"x\">&'\u{1}"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(id("roc test/1"), "roc_test_1");
        assert_eq!(id("1st"), "c1st");
    }
}
