//! Section 5: how the network learnt, epoch by epoch. Draws nothing itself.

use serde::Serialize;

use super::Figure;
use super::table::Table;
use crate::inputs::Inputs;
use crate::words;

#[derive(Serialize)]
pub(super) struct View {
    words: String,
    figures: Vec<Figure>,
    facts: Table,
    history: Option<Table>,
    notes: Vec<String>,
}

pub(super) fn view(inputs: &Inputs, figures: Vec<Figure>) -> View {
    let model = &inputs.model;
    let [normal, pathology] = model.class_weights;
    let or_none = |text: &str| if text.is_empty() { "not recorded".to_owned() } else { text.to_owned() };
    let facts = [
        ("Architecture", or_none(&model.arch)),
        ("Parameters learnt", words::count(model.parameters)),
        ("Epochs run", model.epochs.to_string()),
        ("Epoch kept", if model.best_epoch == 0 { "none".to_owned() } else { model.best_epoch.to_string() }),
        ("Ended by early stopping", if model.stopped_early { "yes" } else { "no" }.to_owned()),
        ("Weight in the loss, normal", format!("{normal:.3}")),
        ("Weight in the loss, pathology", format!("{pathology:.3}")),
        ("Trained on", or_none(&model.device)),
    ];
    View {
        words: in_words(inputs),
        figures,
        facts: Table::new(
            "The network and its training",
            &["What", "Value"],
            facts.map(|(what, value)| vec![what.to_owned(), value]).to_vec(),
        ),
        history: history(inputs).unless_empty(),
        notes: model.notes.clone(),
    }
}

fn in_words(inputs: &Inputs) -> String {
    let model = &inputs.model;
    if inputs.history.is_empty() {
        return "No epoch was run: there is no history to show.".to_owned();
    }
    let epochs = words::counted(u64::from(model.epochs), "epoch", "epochs");
    let end =
        if model.stopped_early { "Early stopping ended the training after" } else { "It was trained for" };
    let kept = match inputs.best_epoch() {
        None => "No epoch is marked as the best.".to_owned(),
        Some(best) => {
            let auc = best.val_auc.map(|auc| format!("validation AUC {}", words::share(auc)));
            let loss = best.val_loss.map(|loss| format!("validation loss {loss:.3}"));
            let figures: Vec<String> = [auc, loss].into_iter().flatten().collect();
            let figures =
                if figures.is_empty() { String::new() } else { format!(" ({})", figures.join(", ")) };
            format!("The weights of epoch {}{figures} were kept.", best.epoch)
        }
    };
    format!("{end} {epochs}. {kept}")
}

fn history(inputs: &Inputs) -> Table {
    let undefined = |value: Option<f64>| value.map_or("undefined".to_owned(), |value| format!("{value:.4}"));
    let row = |row: &ctpipe_tables::EpochRow| {
        vec![
            row.epoch.to_string(),
            format!("{:.4}", row.train_loss),
            undefined(row.val_loss),
            undefined(row.val_auc),
            words::scientific(row.lr),
            if row.best { "kept" } else { "" }.to_owned(),
        ]
    };
    let heads =
        ["#Epoch", "#Training loss", "#Validation loss", "#Validation AUC", "#Learning rate", "Weights"];
    Table::new("Every epoch", &heads, inputs.history.iter().map(row).collect())
}
