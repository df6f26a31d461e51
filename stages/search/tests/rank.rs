//! Which model is chosen, worked out by hand.
#![allow(clippy::unwrap_used, missing_docs)]

use ctpipe_search::{By, Losses, candidate, rank};
use ctpipe_tables::EpochRow;
use ctpipe_tables::json::Candidate;

/// A training of two epochs, of which the first was kept; the second must not count.
fn model(label: &str, val_auc: Option<f64>, val_loss: Option<f64>) -> Candidate {
    let kept = EpochRow { epoch: 1, train_loss: 0.5, val_loss, val_auc, lr: 0.1, best: true };
    let last = EpochRow { epoch: 2, val_auc: Some(1.0), val_loss: Some(0.0), best: false, ..kept.clone() };
    candidate(label, &[kept, last])
}

fn labels(by: By, models: Vec<Candidate>) -> Vec<(Option<u32>, String)> {
    let ranked = rank(models, by, Losses::Alike).unwrap();
    assert_eq!(ranked.iter().filter(|candidate| candidate.chosen).count(), 1);
    assert!(ranked[0].chosen);
    ranked.into_iter().map(|candidate| (candidate.rank, candidate.label)).collect()
}

fn models() -> Vec<Candidate> {
    vec![
        model("lr=0.1", Some(0.7), Some(0.2)),
        model("lr=0.2", Some(0.9), Some(0.6)),
        model("lr=0.3", None, Some(0.1)),
        model("lr=0.4", Some(0.9), Some(0.5)),
        model("lr=0.5", Some(0.9), Some(0.5)),
        model("lr=0.6", None, None),
    ]
}

fn expected<const N: usize>(of: [(u32, &str); N]) -> Vec<(Option<u32>, String)> {
    of.map(|(rank, label)| ((rank > 0).then_some(rank), label.to_owned())).into()
}

#[test]
fn the_largest_auc_wins_then_the_smaller_loss_then_the_first() {
    let order = [(1, "lr=0.4"), (2, "lr=0.5"), (3, "lr=0.2"), (4, "lr=0.1"), (0, "lr=0.3"), (0, "lr=0.6")];
    assert_eq!(labels(By::ValAuc, models()), expected(order));
}

#[test]
fn losses_of_different_kinds_decide_nothing() {
    let ranked = rank(models(), By::ValAuc, Losses::OfDifferentKinds).unwrap();
    let labels: Vec<&str> = ranked.iter().map(|candidate| candidate.label.as_str()).collect();
    assert_eq!(labels, ["lr=0.2", "lr=0.4", "lr=0.5", "lr=0.1", "lr=0.3", "lr=0.6"]);
}

#[test]
fn by_loss_the_smallest_wins_and_no_auc_is_needed() {
    let order = [(1, "lr=0.3"), (2, "lr=0.1"), (3, "lr=0.4"), (4, "lr=0.5"), (5, "lr=0.2"), (0, "lr=0.6")];
    assert_eq!(labels(By::ValLoss, models()), expected(order));
}

#[test]
fn what_cannot_be_compared_says_why_and_nothing_to_compare_is_an_error() {
    let ranked = rank(models(), By::ValAuc, Losses::Alike).unwrap();
    let note = |label: &str| ranked.iter().find(|c| c.label == label).unwrap().note.clone().unwrap().code;
    assert_eq!((note("lr=0.3"), note("lr=0.6")), ("search_no_auc".into(), "search_no_val".into()));
    let none = vec![model("lr=0.3", None, Some(0.1)), model("lr=0.4", Some(f64::NAN), Some(0.2))];
    let error = rank(none.clone(), By::ValAuc, Losses::Alike).unwrap_err().to_string();
    assert!(error.contains("none of 2 models has a val_auc") && error.contains("val_size"), "{error}");
    assert_eq!(rank(none, By::ValLoss, Losses::Alike).unwrap()[0].label, "lr=0.3");
}

#[test]
fn axes_are_told_as_names_and_values() {
    let found = candidate("batch_size=4,lr=1e-5", &[]);
    let axes: Vec<(&str, &str)> = found.axes.iter().map(|a| (a.name.as_str(), a.value.as_str())).collect();
    assert_eq!(axes, [("batch_size", "4"), ("lr", "1e-5")]);
    let of_a_list = candidate("grid2@lr=1e-5", &[]);
    assert_eq!((of_a_list.axes[0].name.as_str(), of_a_list.label.as_str()), ("lr", "grid2@lr=1e-5"));
    assert!(candidate("", &[]).axes.is_empty() && candidate("old/model", &[]).axes.is_empty());
}
