//! The weights of the two classes in the loss, and whether the three remedies against imbalance
//! together over-correct. Trains nothing.

use ctpipe_network::LossKind;

use ctpipe_tables::Note;

use crate::config::Config;

/// `n / (classes x count)` for each class ("balanced"), or 1 and 1.
pub(crate) fn class_weights(counts: [usize; 2], enabled: bool) -> [f32; 2] {
    if !enabled {
        return [1.0; 2];
    }
    let n = counts[0] + counts[1];
    counts.map(|count| if count == 0 { 1.0 } else { n as f32 / (2 * count) as f32 })
}

/// Beyond this factor, in either direction, the remedies count as over-correcting.
const TOLERATED: f64 = 1.5;

/// A note for the user if class weights, focal alpha and sampler together weigh a class by much
/// more or much less than the class ratio calls for.
pub(crate) fn over_correction(counts: [usize; 2], config: &Config) -> Option<Note> {
    let [normal, pathology] = counts.map(|count| count as f64);
    if normal == 0.0 || pathology == 0.0 {
        return None;
    }
    let asked = normal / pathology;
    let weights = if config.class_weights { asked } else { 1.0 };
    let sampler = if config.use_weighted_sampler { asked } else { 1.0 };
    let alpha = match config.loss {
        LossKind::Focal => config.focal_loss_alpha / (1.0 - config.focal_loss_alpha).max(1e-6),
        LossKind::CrossEntropy => 1.0,
    };
    let applied = weights * sampler * alpha;
    let ratio = applied / asked;
    if (1.0 / TOLERATED..=TOLERATED).contains(&ratio) {
        return None;
    }
    let text = format!(
        "a pathological series weighs {applied:.2} times a normal one (class_weights {weights:.2} x \
         use_weighted_sampler {sampler:.2} x focal_loss_alpha {alpha:.2}), where {normal} normal and \
         {pathology} pathological series ask for {asked:.2}: the remedies over-correct; switch some off, \
         or expect the threshold to move"
    );
    let two = |value: f64| format!("{value:.2}").into();
    let values = [
        ("applied", two(applied)),
        ("weights", two(weights)),
        ("sampler", two(sampler)),
        ("alpha", two(alpha)),
        ("normal", normal.into()),
        ("pathology", pathology.into()),
        ("asked", two(asked)),
    ];
    Some(Note::new("over_correction", text, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_are_scikit_learns() {
        // compute_class_weight("balanced", classes=[0, 1], y=[0] * 30 + [1] * 10) is [0.6667, 2.0].
        let [normal, pathology] = class_weights([30, 10], true);
        assert!((normal - 2.0 / 3.0).abs() < 1e-6 && (pathology - 2.0).abs() < 1e-6);
        assert_eq!(class_weights([30, 10], false), [1.0; 2]);
    }

    #[test]
    fn over_correction_is_told_and_a_single_fitting_remedy_is_not() {
        let config = Config::default();
        // 3 x 3 x 3, although 3 would be enough.
        let text = over_correction([30, 10], &config).unwrap_or_default().text;
        assert!(text.contains("weighs 27.00 times") && text.contains("ask for 3.00"), "{text}");
        let one = Config { class_weights: false, focal_loss_alpha: 0.5, ..config };
        assert_eq!(over_correction([30, 10], &one), None);
    }
}
