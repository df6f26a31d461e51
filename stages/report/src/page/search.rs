//! Part of section 3: the models that a search chose from. Ranks nothing itself.

use ctpipe_tables::json::{Candidate, SearchFile};
use serde::Serialize;

use super::table::{Head, Table};
use crate::reasons;
use crate::texts::Texts;

/// Number of models that are listed; the rest is only counted.
const SHOWN: usize = 100;

#[derive(Serialize)]
pub(super) struct View {
    words: String,
    caution: String,
    table: Table,
}

pub(super) fn view(texts: &Texts, of: &SearchFile) -> View {
    let models = of.candidates.len() as u64;
    let by = texts.find(&format!("search.by.{}", of.by)).unwrap_or(&of.by).to_owned();
    let with = [("models", texts.counted("count.models", models)), ("by", by), ("chosen", of.chosen.clone())];
    let with = with.each_ref().map(|(name, value)| (*name, value.as_str()));
    View {
        words: texts.fill("search.words", &with),
        caution: texts.fill("search.caution", &[("n", &texts.count(models))]),
        table: table(texts, of),
    }
}

/// The stage that a candidate's label names: the text before `@`, or the whole label if the
/// candidate has no axes.
fn stage(candidate: &Candidate) -> Option<&str> {
    match candidate.label.split_once('@') {
        Some((stage, _)) => Some(stage),
        None => candidate.axes.is_empty().then_some(candidate.label.as_str()),
    }
}

/// Best first, with one column per axis; a column of stages comes before them if there are several
/// stages.
fn table(texts: &Texts, of: &SearchFile) -> Table {
    let of_stages = of.candidates.iter().any(|candidate| stage(candidate).is_some());
    let mut axes: Vec<&str> = Vec::new();
    for axis in of.candidates.iter().flat_map(|candidate| &candidate.axes) {
        if !axes.contains(&axis.name.as_str()) {
            axes.push(&axis.name);
        }
    }
    let number =
        |value: Option<f64>| value.map_or_else(|| texts.say("word.undefined"), |value| format!("{value:.4}"));
    let row = |candidate: &Candidate| {
        let rank = candidate.rank.map_or_else(String::new, |rank| rank.to_string());
        let axis = |name: &&str| {
            let found = candidate.axes.iter().find(|axis| axis.name == **name);
            found.map_or_else(String::new, |axis| axis.value.clone())
        };
        let of_stage = of_stages.then(|| stage(candidate).unwrap_or_default().to_owned());
        let of_axes: Vec<String> = of_stage.into_iter().chain(axes.iter().map(axis)).collect();
        let said = match &candidate.note {
            Some(note) => reasons::note(texts, note),
            None if candidate.chosen => texts.say("search.is_chosen"),
            None => String::new(),
        };
        let figures = vec![
            number(candidate.val_auc),
            number(candidate.val_loss),
            number(candidate.train_loss),
            candidate.best_epoch.to_string(),
            candidate.epochs.to_string(),
            said,
        ];
        [vec![rank], of_axes, figures].concat()
    };
    let told = |key: &str| Head { text: texts.say(key), number: true };
    let plain = |text: String| Head { text, number: false };
    let of_axes = axes.iter().map(|axis| Head { text: (*axis).to_owned(), number: true });
    let named: Vec<Head> =
        of_stages.then(|| plain(texts.say("head.model"))).into_iter().chain(of_axes).collect();
    let figures =
        ["head.val_auc", "head.val_loss", "head.train_loss", "model.best", "model.epochs"].map(told);
    let mut heads = vec![told("head.rank")];
    heads.extend(named);
    heads.extend(figures);
    heads.push(plain(texts.say("head.remark")));
    let rows = of.candidates.iter().map(row).collect();
    Table::headed(texts.say("search.table"), heads, rows).at_most(texts, SHOWN)
}
