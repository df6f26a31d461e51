//! A table as the template draws it: caption, headings, and rows whose first cell names the row.
//! Knows no section.

use serde::Serialize;

use crate::texts::Texts;

/// One table.
#[derive(Serialize)]
pub(super) struct Table {
    caption: String,
    heads: Vec<Head>,
    rows: Vec<Vec<String>>,
    /// A sentence below the table.
    note: Option<String>,
}

/// The heading of a column.
#[derive(Serialize)]
pub(super) struct Head {
    pub(super) text: String,
    /// Whether the column holds numbers, which are aligned to the right.
    pub(super) number: bool,
}

impl Table {
    /// Caption and headings are keys of the catalogue; the keys of number columns begin with `#`.
    pub(super) fn new(texts: &Texts, caption: &str, heads: &[&str], rows: Vec<Vec<String>>) -> Table {
        Table::titled(texts, texts.say(caption), heads, rows)
    }

    /// With a caption that is already a text.
    pub(super) fn titled(texts: &Texts, caption: String, heads: &[&str], rows: Vec<Vec<String>>) -> Table {
        let head = |head: &&str| {
            let number = head.strip_prefix('#');
            Head { text: texts.say(number.unwrap_or(head)), number: number.is_some() }
        };
        Table::headed(caption, heads.iter().map(head).collect(), rows)
    }

    /// With headings that are not in the catalogue, such as names of parameters.
    pub(super) fn headed(caption: String, heads: Vec<Head>, rows: Vec<Vec<String>>) -> Table {
        Table { caption, heads, rows, note: None }
    }

    /// Keeps the first `most` rows and says below the table how many more there are.
    pub(super) fn at_most(mut self, texts: &Texts, most: usize) -> Table {
        let more = self.rows.len().saturating_sub(most);
        if more > 0 {
            self.rows.truncate(most);
            let (shown, more) = (texts.count(most as u64), texts.count(more as u64));
            self.note = Some(texts.fill("table.more", &[("shown", &shown), ("more", &more)]));
        }
        self
    }

    /// `None` if the table has no rows.
    pub(super) fn unless_empty(self) -> Option<Table> {
        (!self.rows.is_empty()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Language;

    #[test]
    fn a_long_table_is_cut_and_counted() {
        let texts = Texts::new(Language::En);
        let rows = (0..7).map(|i| vec![i.to_string()]).collect();
        let table = Table::new(&texts, "head.series", &["#head.count"], rows).at_most(&texts, 5);
        assert_eq!(table.rows.len(), 5);
        assert_eq!(table.note.as_deref(), Some("The first 5 are shown; there are 2 more."));
        assert!(table.heads[0].number && table.heads[0].text == "Count");
    }
}
