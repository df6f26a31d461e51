//! Ranks models by their figures on the validation set. Knows no file and no test set.

use std::cmp::Ordering;

use crate::criterion::By;
use crate::error::SearchError;
use ctpipe_tables::json::{AxisValue, Candidate};
use ctpipe_tables::{EpochRow, Note};

/// Whether the losses of the candidates can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Losses {
    /// All were trained with the same loss.
    Alike,
    /// Their losses are not on one scale.
    OfDifferentKinds,
}

/// A candidate from its label and its epochs.
pub fn candidate(label: &str, history: &[EpochRow]) -> Candidate {
    let best = history.iter().find(|row| row.best);
    // If the models come from several stages, each label begins with its stage and an `@`.
    let axes = label.rsplit('@').next().unwrap_or(label);
    let axes = axes.split(',').filter_map(|part| part.split_once('='));
    Candidate {
        label: label.to_owned(),
        axes: axes
            .map(|(name, value)| AxisValue { name: name.to_owned(), value: value.to_owned() })
            .collect(),
        val_auc: best.and_then(|row| row.val_auc),
        val_loss: best.and_then(|row| row.val_loss),
        train_loss: best.map(|row| row.train_loss),
        best_epoch: best.map_or(0, |row| row.epoch),
        epochs: history.len() as u32,
        ..Candidate::default()
    }
}

/// Sorts the candidates, best first, and marks the best. Those that cannot be compared come last,
/// with the reason. Equal ones are sorted by loss if losses can be compared, then stay in the given
/// order.
///
/// # Errors
/// If no candidate can be compared.
pub fn rank(mut candidates: Vec<Candidate>, by: By, losses: Losses) -> Result<Vec<Candidate>, SearchError> {
    for candidate in &mut candidates {
        candidate.note = by.of(candidate).is_none().then(|| why_not(candidate, by));
    }
    // The sort is stable, so equal candidates stay in order.
    candidates.sort_by(|a, b| {
        let first = larger_first(by.of(a), by.of(b));
        if losses == Losses::OfDifferentKinds {
            return first;
        }
        first.then_with(|| larger_first(By::ValLoss.of(a), By::ValLoss.of(b)))
    });
    for (rank, candidate) in (1..).zip(&mut candidates) {
        candidate.rank = candidate.note.is_none().then_some(rank);
        candidate.chosen = candidate.rank == Some(1);
    }
    if candidates.first().is_none_or(|first| !first.chosen) {
        let said = candidates.first().and_then(|first| first.note.as_ref()).map(|note| note.text.clone());
        let example = said.unwrap_or_else(|| "there is no model".to_owned());
        return Err(SearchError::NothingToCompare { candidates: candidates.len(), by, example });
    }
    Ok(candidates)
}

/// Larger values first; missing values last.
fn larger_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

fn why_not(candidate: &Candidate, by: By) -> Note {
    if candidate.best_epoch == 0 {
        return Note::new("search_no_epoch", "no epoch was kept", []);
    }
    match (by, candidate.val_loss) {
        (_, None) => Note::new("search_no_val", "val is empty", []),
        (By::ValAuc, Some(_)) => {
            let text = "its AUC on val is undefined: val has one class, or all of its scores are equal";
            Note::new("search_no_auc", text, [])
        }
        (By::ValLoss, Some(_)) => Note::new("search_no_loss", "its loss on val is no number", []),
    }
}
