//! The bits themselves, so that a result can be reproduced on another machine: every instruction
//! set with a fused multiply-add gives these. They change only when the order of an operation
//! changes; then the version of a stage changes too.
#![allow(clippy::unwrap_used, clippy::pedantic, missing_docs)]

use ctpipe_kernels::adam::{Step, adam};
use ctpipe_kernels::{Block, Extent, Isa, Keep, Layout, Statistics, Volumes, block, linear};

/// Recorded on x86-64 with AVX2 and with AVX-512, and on 64-bit ARM with NEON (under QEMU): all the
/// same.
const FUSED: u64 = 0xa130_9c50_9446_6e6a;
/// The same on x86-64 and on ARM.
const PORTABLE: u64 = 0xeb33_2643_d5fb_f208;

fn values(len: usize, start: u64) -> Vec<f32> {
    let value = |i: usize| ((i as u64 + start).wrapping_mul(2_654_435_761) % 1000) as f32 / 1000.0 - 0.3;
    (0..len).map(value).collect()
}

/// FNV-1a over the bits.
fn hash(of: &mut u64, values: &[f32]) {
    for value in values {
        *of = (*of ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
    }
}

fn everything(isa: Isa) -> u64 {
    let mut found = 0xcbf2_9ce4_8422_2325;
    for (n, size, from, to) in [(2, [6, 7, 8], 1, 20), (3, [5, 6, 4], 3, 17), (1, [4, 4, 4], 16, 64)] {
        let extent = Extent { n, size };
        let x = values(extent.len(from, Layout::ChannelsFirst), 1);
        let (weight, gamma, other) = (values(to * from * 27, 2), vec![1.0; to], values(to, 5));
        let projection = values(to * from, 7);
        let learnt = Block {
            from,
            to,
            weight: &weight,
            bias: &other,
            gamma: &gamma,
            beta: &other,
            skip: Some([&projection, &other]),
        };
        let dz = values(extent.pooled().len(to, Layout::ChannelsFirst), 9);
        let first = |values| Volumes { values, layout: Layout::ChannelsFirst };
        for keep in [Keep::Weights, Keep::Input] {
            let forward = block::forward(
                isa,
                extent,
                first(&x),
                &learnt,
                Statistics::Batch,
                keep,
                Layout::ChannelsFirst,
            );
            hash(&mut found, &forward.output);
            let gradients = block::backward(isa, forward.saved, first(&x), &learnt, first(&dz));
            hash(&mut found, &gradients.weight);
            hash(&mut found, &gradients.gamma);
            gradients.input.iter().for_each(|input| hash(&mut found, input));
        }
    }
    let (x, weight) = (values(5 * 1040, 3), values(9 * 1040, 4));
    hash(&mut found, &linear::forward(isa, &x, &weight, &values(9, 5)));
    let gradients = linear::backward(isa, &x, &weight, &values(45, 6), 9);
    hash(&mut found, &gradients.input);
    hash(&mut found, &gradients.weight);
    let (mut value, mut first, mut second) = (values(999, 1), values(999, 2), vec![0.1; 999]);
    let step = Step {
        beta1: 0.9,
        beta2: 0.999,
        step_size: 1e-3,
        correction: 0.5,
        epsilon: 1e-8,
        weight_decay: 1e-4,
        shrink: 1.0,
    };
    adam(isa, step, &mut value, [&mut first, &mut second], &values(999, 8));
    for values in [value, first, second] {
        hash(&mut found, &values);
    }
    found
}

#[test]
fn the_bits_are_those_of_other_machines() {
    for isa in Isa::available() {
        let expected = if isa.fuses() { FUSED } else { PORTABLE };
        assert_eq!(everything(isa), expected, "{isa:?}");
    }
}
