//! Measures the bootstrap: all figures of a summary with their intervals, on synthetic scores where
//! each sample has its own patient. Prints the median of five runs.
//!
//! ```text
//! cargo run -p ctpipe-metrics --example bootstrap_speed
//! ```

use std::hint::black_box;
use std::time::Instant;

use ctpipe_metrics::{Bootstrap, Part, summarise};

fn main() {
    println!("{} threads", rayon::current_num_threads());
    for (replicates, scores) in [(1_000, 100_000), (100_000, 500)] {
        println!("{replicates} replicates of {scores} scores: {:.3} s", median_of_five(replicates, scores));
    }
}

fn median_of_five(replicates: usize, n: usize) -> f64 {
    // The fractional parts of multiples of the golden ratio: evenly spread, and no two are equal.
    let noise = |i: usize| (i as f64 * 0.618_033_988_749_894_9).fract();
    let labels: Vec<bool> = (0..n).map(|i| noise(7 * i) < 0.3).collect();
    let scores: Vec<f64> = (0..n).map(|i| 0.7 * noise(i) + 0.3 * f64::from(u8::from(labels[i]))).collect();
    let patients: Vec<usize> = (0..n).collect();
    let part = Part { labels: &labels, scores: &scores, patients: &patients };
    let bootstrap = Bootstrap { replicates, confidence_level: 0.95, seed: 42 };

    let mut seconds = [(); 5].map(|()| {
        let start = Instant::now();
        black_box(summarise(black_box(&part), 0.5, &bootstrap));
        start.elapsed().as_secs_f64()
    });
    seconds.sort_by(f64::total_cmp);
    seconds[2]
}
