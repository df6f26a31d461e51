//! Part of section 5: a checklist of points before, during and after training, with what was done
//! for each. Judges only by the artifacts, and says "undefined" if they do not tell.

use ctpipe_tables::Status;

use super::table::Table;
use crate::formatting;
use crate::inputs::Inputs;
use crate::texts::Texts;

pub(super) fn table(texts: &Texts, inputs: &Inputs) -> Table {
    let metrics = &inputs.metrics;
    let model = &inputs.model;
    let count = |n: u64| texts.count(n);
    let rejected = inputs.series.iter().filter(|row| row.status != Status::Accepted.as_str()).count() as u64;
    let flagged = inputs.volumes.iter().filter(|row| !row.flags.is_empty()).count() as u64;
    let labelled = |label| inputs.split_rows.iter().filter(|row| row.label == label).count() as u64;
    let training = |name: &str| {
        let value = model.training.get(name);
        value.map_or_else(|| texts.say("word.undefined"), |value| value.to_string().replace('"', ""))
    };
    let calibrated = &metrics.test.calibration;
    let error =
        |found: Option<f64>| found.map_or_else(|| texts.say("word.undefined"), |error| format!("{error:.3}"));
    let after = match metrics.calibrators.used.as_str() {
        "temperature" => calibrated.temperature.as_ref(),
        "isotonic" => calibrated.isotonic.as_ref(),
        _ => None,
    };
    let after = match after {
        Some(after) => {
            let how = texts.say(&format!("calibration.{}", metrics.calibrators.used));
            format!("{how} {}", error(after.expected_calibration_error))
        }
        None => texts.say("calibration.none"),
    };
    let resampling = texts.find(&format!("resampling.{}", metrics.resampling));
    let resampling = resampling.map_or_else(|| texts.say("resampling.patients"), str::to_owned);
    // Without a validation set or its AUC, train watches another figure and notes why.
    let noted = |code: &str| model.notes.iter().any(|note| note.code == code);
    let watched = if noted("no_val") {
        "train_loss".to_owned()
    } else if noted("no_val_auc") {
        "val_loss".to_owned()
    } else {
        training("early_stopping_on")
    };
    let kept = inputs.best_epoch().map_or_else(|| texts.say("word.none"), |best| best.epoch.to_string());
    let judged = metrics.subgroups.iter().filter(|group| group.auc.value.is_some()).count() as u64;
    let differing = metrics.subgroups.iter().filter(|group| !group.differs.is_empty()).count() as u64;
    let rows = [
        ("before", "data", vec![("n", count(inputs.series.len() as u64)), ("rejected", count(rejected))]),
        ("before", "quality", vec![("flagged", count(flagged))]),
        ("before", "leak", vec![("n", count(inputs.patients_in_several_parts() as u64))]),
        ("before", "balance", vec![("normal", count(labelled(0))), ("pathology", count(labelled(1)))]),
        ("during", "loss", vec![("loss", training("loss")), ("sampler", training("use_weighted_sampler"))]),
        ("during", "watched", vec![("by", watched), ("epochs", model.epochs.to_string())]),
        ("during", "kept", vec![("epoch", kept)]),
        ("after", "threshold", vec![("threshold", formatting::threshold(texts, metrics))]),
        ("after", "once", vec![("n", count(metrics.test.samples))]),
        ("after", "intervals", vec![("n", count(metrics.n_bootstrap)), ("resampling", resampling)]),
        (
            "after",
            "calibration",
            vec![("before", error(calibrated.before.expected_calibration_error)), ("after", after)],
        ),
        ("after", "subgroups", vec![("n", count(judged)), ("differ", count(differing))]),
        ("after", "saliency", vec![("n", count(inputs.explained() as u64))]),
        ("after", "again", Vec::new()),
    ];
    let rows = rows.into_iter().map(|(when, what, with)| {
        let with: Vec<(&str, &str)> = with.iter().map(|(name, value)| (*name, value.as_str())).collect();
        vec![
            texts.say(&format!("checklist.{what}.point")),
            texts.say(&format!("when.{when}")),
            texts.fill(&format!("checklist.{what}.done"), &with),
        ]
    });
    Table::new(texts, "provenance.checklist", &["head.point", "head.when", "head.done"], rows.collect())
}
