//! Section 3: the network, its training, and the diagnosis of that training. Draws nothing itself.

use serde::Serialize;

use super::table::Table;
use super::{Figure, diagnosis, search};
use crate::inputs::Inputs;
use crate::texts::Texts;
use crate::{formatting, reasons};

#[derive(Serialize)]
pub(super) struct View {
    words: String,
    search: Option<search::View>,
    layers: Option<Table>,
    figures: Vec<Figure>,
    facts: Table,
    diagnosis: Vec<diagnosis::Finding>,
    history: Option<Table>,
    notes: Vec<String>,
}

pub(super) fn view(texts: &Texts, inputs: &Inputs, figures: Vec<Figure>) -> View {
    let model = &inputs.model;
    let [normal, pathology] = model.class_weights;
    let or_none =
        |text: &str| if text.is_empty() { texts.say("model.not_recorded") } else { text.to_owned() };
    let best = if model.best_epoch == 0 { texts.say("model.none") } else { model.best_epoch.to_string() };
    let facts = [
        ("model.arch", or_none(&model.arch)),
        ("model.parameters", texts.count(model.parameters)),
        ("model.epochs", model.epochs.to_string()),
        ("model.best", best),
        ("model.stopped_early", texts.say(if model.stopped_early { "word.yes" } else { "word.no" })),
        ("model.weight_normal", format!("{normal:.3}")),
        ("model.weight_pathology", format!("{pathology:.3}")),
        ("model.device", or_none(&model.device)),
    ];
    let facts = facts.map(|(what, value)| vec![texts.say(what), value]).to_vec();
    View {
        words: in_words(texts, inputs),
        search: inputs.search.as_ref().map(|found| search::view(texts, found)),
        layers: layers(texts, inputs).unless_empty(),
        figures,
        facts: Table::new(texts, "model.facts", &["head.what", "head.value"], facts),
        diagnosis: diagnosis::findings(texts, inputs),
        history: history(texts, inputs).unless_empty(),
        notes: reasons::notes(texts, &model.notes),
    }
}

fn layers(texts: &Texts, inputs: &Inputs) -> Table {
    let row = |layer: &ctpipe_tables::json::LayerFile| {
        let shape: Vec<String> = layer.output.iter().map(ToString::to_string).collect();
        vec![layer.name.clone(), shape.join(" × "), texts.count(layer.parameters)]
    };
    let heads = ["head.layer", "head.output", "#head.parameters"];
    Table::new(texts, "model.layers", &heads, inputs.model.layers.iter().map(row).collect())
}

fn in_words(texts: &Texts, inputs: &Inputs) -> String {
    let model = &inputs.model;
    if inputs.history.is_empty() {
        return texts.say("model.no_epoch");
    }
    let epochs = texts.counted("count.epochs", u64::from(model.epochs));
    let end = if model.stopped_early { "model.ended_early" } else { "model.ended" };
    let end = texts.fill(end, &[("epochs", &epochs)]);
    let kept = match inputs.best_epoch() {
        None => texts.say("model.no_best"),
        Some(best) => {
            let number = |value: Option<f64>| {
                value.map_or_else(|| texts.say("word.undefined"), |value| format!("{value:.3}"))
            };
            texts.fill(
                "model.kept",
                &[
                    ("epoch", &best.epoch.to_string()),
                    ("auc", &number(best.val_auc)),
                    ("loss", &number(best.val_loss)),
                ],
            )
        }
    };
    format!("{end} {kept}")
}

fn history(texts: &Texts, inputs: &Inputs) -> Table {
    let undefined =
        |value: Option<f64>| value.map_or_else(|| texts.say("word.undefined"), |value| format!("{value:.4}"));
    let row = |row: &ctpipe_tables::EpochRow| {
        vec![
            row.epoch.to_string(),
            format!("{:.4}", row.train_loss),
            undefined(row.val_loss),
            undefined(row.val_auc),
            formatting::scientific(row.lr),
            if row.best { texts.say("model.is_kept") } else { String::new() },
        ]
    };
    let heads =
        ["#head.epoch", "#head.train_loss", "#head.val_loss", "#head.val_auc", "#head.lr", "head.weights"];
    Table::new(texts, "model.history", &heads, inputs.history.iter().map(row).collect())
}
