//! Assigns patients to the folds of a cross-validation. Knows neither which fold is tested nor how
//! the others are used.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::assign::{Assign, place, shuffle};
use crate::patients::Patient;

/// The random stream of the folds; the stream of the sets is 0.
const STREAM: u64 = 1;
/// Outweighs every sum of series, because a fold without a class has no AUC.
const LACKS_A_CLASS: f64 = 1e6;

/// The fold of each patient, from 0. It depends only on the patients, `k`, `assign` and the seed,
/// so that the stage's instances for all folds make the same folds.
pub(crate) fn deal(patients: &[Patient], k: u32, assign: Assign, seed: u64) -> Vec<u32> {
    match assign {
        Assign::Balanced => balanced(patients, k, seed),
        Assign::Stable => {
            let fold = |patient| (place("ctpipe 2026 stable fold", patient, seed) * f64::from(k)) as u32;
            patients.iter().map(fold).collect()
        }
    }
}

/// Assigns one patient after another to the fold that it brings closest to its share of both
/// classes. Patients with both classes come first, each to a fold that lacks both, and the rest
/// fill the gaps. So if each class has a patient for each fold, each fold gets one. Within these
/// two groups, patients with the most series come first, because they leave the least choice.
fn balanced(patients: &[Patient], k: u32, seed: u64) -> Vec<u32> {
    let mut order: Vec<usize> = (0..patients.len()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    shuffle(&mut order, &mut rng);
    let series = |labels: [u32; 2]| labels[0] + labels[1];
    order.sort_by_key(|&index| {
        let labels = patients[index].labels;
        let of_both = labels[0] > 0 && labels[1] > 0;
        // The sort is stable: patients of one type stay in shuffled order.
        (!of_both, std::cmp::Reverse(series(labels)), labels)
    });
    let mut have = vec![[0_u32; 2]; k as usize];
    let mut folds = vec![0; patients.len()];
    for index in order {
        let labels = patients[index].labels;
        // All folds have the same target share. The squared distance from it grows by this, up to
        // terms that are equal for all folds.
        let cost = |fold: &[u32; 2]| -> f64 {
            let of = |label: usize| match (labels[label], fold[label]) {
                (0, _) => 0.0,
                (_, 0) => -LACKS_A_CLASS,
                (more, there) => f64::from(more) * f64::from(there),
            };
            of(0) + of(1)
        };
        let best = (0..k as usize).min_by(|&a, &b| {
            let of = |fold: usize| (cost(&have[fold]), series(have[fold]));
            let ((cost_a, all_a), (cost_b, all_b)) = (of(a), of(b));
            cost_a.total_cmp(&cost_b).then(all_a.cmp(&all_b))
        });
        if let Some(best) = best {
            have[best] = [0, 1].map(|label| have[best][label] + labels[label]);
            folds[index] = best as u32;
        }
    }
    folds
}
