//! A table as the template draws it: caption, heads, rows whose first cell names the row. Knows no
//! section.

use serde::Serialize;

/// One table.
#[derive(Serialize)]
pub(super) struct Table {
    caption: String,
    heads: Vec<Head>,
    rows: Vec<Vec<String>>,
    /// Said below the table.
    note: Option<String>,
}

#[derive(Serialize)]
struct Head {
    text: String,
    /// Numbers stand to the right.
    number: bool,
}

impl Table {
    /// Heads of columns of numbers begin with `#`, which is not shown.
    pub(super) fn new(caption: impl Into<String>, heads: &[&str], rows: Vec<Vec<String>>) -> Table {
        let head = |head: &&str| {
            let number = head.strip_prefix('#');
            Head { text: number.unwrap_or(head).to_owned(), number: number.is_some() }
        };
        Table { caption: caption.into(), heads: heads.iter().map(head).collect(), rows, note: None }
    }

    /// Keeps the first `most` rows and counts the rest.
    pub(super) fn at_most(mut self, most: usize) -> Table {
        let more = self.rows.len().saturating_sub(most);
        if more > 0 {
            self.rows.truncate(most);
            self.note = Some(format!("The first {most} are shown; there are {more} more."));
        }
        self
    }

    /// `None` where there is nothing to show.
    pub(super) fn unless_empty(self) -> Option<Table> {
        (!self.rows.is_empty()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_table_is_cut_and_counted() {
        let rows = (0..7).map(|i| vec![i.to_string()]).collect();
        let table = Table::new("seven", &["#n"], rows).at_most(5);
        assert_eq!(table.rows.len(), 5);
        assert_eq!(table.note.as_deref(), Some("The first 5 are shown; there are 2 more."));
        assert!(table.heads[0].number && table.heads[0].text == "n");
    }
}
