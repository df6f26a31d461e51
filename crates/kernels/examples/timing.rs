//! Shows where the time of a training step goes: milliseconds per volume for each operation at a
//! given width.
//!
//! `cargo run --example timing -- WIDTH [BATCH [residual]]`
#![allow(clippy::pedantic, clippy::print_stdout)]

use std::time::Instant;

use ctpipe_kernels::adam::{Step, adam};
use ctpipe_kernels::{Block, Extent, Isa, Keep, Layout, Statistics, Volumes, block, buffers, linear};

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i as u64).wrapping_mul(2_654_435_761) % 1000) as f32 / 1000.0 - 0.3).collect()
}

/// Median of a few runs, in milliseconds per volume; the time of `prepare` is not counted.
fn time<T>(name: &str, batch: usize, mut prepare: impl FnMut() -> T, mut run: impl FnMut(T)) {
    run(prepare());
    let mut seconds: Vec<f64> = (0..5)
        .map(|_| {
            let input = prepare();
            let start = Instant::now();
            run(input);
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!("{name:32} {:8.2} ms/volume", seconds[2] * 1e3 / batch as f64);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let width = args.next().unwrap_or(Ok(64))?;
    let batch = args.next().unwrap_or(Ok(8))?;
    let residual = args.next().is_some();
    let isa = Isa::chosen()?;
    println!(
        "{isa:?}, width {width}, batch {batch}, residual {residual}, {} threads",
        rayon::current_num_threads()
    );
    for (index, (from, to)) in
        [(1, width), (width, 2 * width), (2 * width, 4 * width)].into_iter().enumerate()
    {
        let extent = Extent { n: batch, size: [64 >> index; 3] };
        let layout = if index == 0 { Layout::ChannelsFirst } else { Layout::ChannelsLast };
        let x = values(extent.len(from, layout));
        let (weight, one) = (values(to * from * 27), vec![1.0; to]);
        let (projection, zero) = (values(to * from), vec![0.0; to]);
        let skip = residual.then_some([projection.as_slice(), zero.as_slice()]);
        let learnt = Block { from, to, weight: &weight, bias: &zero, gamma: &one, beta: &zero, skip };
        let x = Volumes { values: &x, layout };
        let dz = values(extent.pooled().len(to, Layout::ChannelsLast));
        let dz = Volumes { values: &dz, layout: Layout::ChannelsLast };
        let keep = if index == 0 { Keep::Weights } else { Keep::Input };
        let run = |statistics, keep| {
            block::forward(isa, extent, x, &learnt, statistics, keep, Layout::ChannelsLast)
        };
        time(
            &format!("block {index}, inference"),
            batch,
            || (),
            |()| {
                buffers::give(run(Statistics::Running([&zero, &one]), Keep::Nothing).output);
            },
        );
        time(
            &format!("block {index}, forward"),
            batch,
            || (),
            |()| {
                let found = run(Statistics::Batch, Keep::Nothing);
                buffers::give(found.output);
            },
        );
        let saved = run(Statistics::Batch, keep).saved;
        time(
            &format!("block {index}, backward"),
            batch,
            || saved.clone(),
            |saved| {
                let found = block::backward(isa, saved, x, &learnt, dz);
                found.input.into_iter().for_each(buffers::give);
            },
        );
    }
    let (from, to) = (4 * width * 512, 512);
    let (x, weight, bias, dy) = (values(batch * from), values(to * from), values(to), values(batch * to));
    time("fc1, forward", batch, || (), |()| drop(linear::forward(isa, &x, &weight, &bias)));
    time(
        "fc1, backward",
        batch,
        || (),
        |()| {
            let found = linear::backward(isa, &x, &weight, &dy, to);
            buffers::give(found.weight);
            buffers::give(found.input);
        },
    );
    let (mut value, mut first, mut second) = (values(to * from), vec![0.0; to * from], vec![0.0; to * from]);
    let step = Step {
        beta1: 0.9,
        beta2: 0.999,
        step_size: 1e-3,
        correction: 1.0,
        epsilon: 1e-8,
        weight_decay: 1e-4,
        shrink: 1.0,
    };
    time("Adam of fc1", batch, || (), |()| adam(isa, step, &mut value, [&mut first, &mut second], &weight));
    Ok(())
}
