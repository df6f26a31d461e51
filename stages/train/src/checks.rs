//! Checks of configuration and data before a training begins. Trains nothing.

use ctpipe_tables::Note;

use crate::balance::over_correction;
use crate::config::{Config, Watched};
use crate::data::{Dataset, class_counts};
use crate::error::TrainError;

/// Whether the training set can be trained on.
///
/// # Errors
/// If the training set lacks a class, or has fewer series than a step takes.
pub(crate) fn check(
    config: &Config,
    samples: usize,
    [normal, pathology]: [usize; 2],
) -> Result<(), TrainError> {
    if normal == 0 || pathology == 0 {
        return Err(TrainError::OneClass { normal, pathology });
    }
    let (batch_size, accumulate) = (config.batch_size, config.accumulate);
    if config.step_size() > samples {
        return Err(TrainError::BatchTooLarge { batch_size, accumulate, samples });
    }
    Ok(())
}

/// Notes for the user before anything is trained.
pub(crate) fn notes(config: &Config, data: &Dataset<'_>, counts: [usize; 2]) -> Vec<Note> {
    let mut notes: Vec<Note> = over_correction(counts, config).into_iter().collect();
    notes.extend(config.without_effect());
    if data.val.is_empty() {
        let text = "there is no validation part: the epoch is chosen by the training loss";
        notes.push(Note::new("no_val", text, []));
    } else if config.early_stopping_on == Watched::ValAuc && class_counts(&data.val).contains(&0) {
        let text = "the validation part has one class alone, so that there is no AUC: the epoch is chosen by the \
                    validation loss";
        notes.push(Note::new("no_val_auc", text, []));
    }
    notes
}
