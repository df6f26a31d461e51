//! The three convolution blocks that the CNN3Ds have in common. Knows nothing of what follows them.

use burn::tensor::Tensor;

use crate::arch::{Pass, Slots};
use crate::config::{BLOCKS, Config, Init, Slot};
use crate::operations::{BlockTensors, How, Operations};

pub(super) fn slots(config: &Config) -> Vec<Slot> {
    let mut slots = Vec::new();
    let mut add = |name: String, shape: Vec<usize>, init: Init| slots.push(Slot { name, shape, init });
    for (block, (from, to)) in config.channels().into_iter().enumerate() {
        let k = config.kernel_size;
        let init = Init::Uniform { fan_in: from * k.pow(3) };
        add(format!("conv.{block}.weight"), vec![to, from, k, k, k], init);
        add(format!("conv.{block}.bias"), vec![to], init);
        add(format!("bn.{block}.weight"), vec![to], Init::Constant(1.0));
        add(format!("bn.{block}.bias"), vec![to], Init::Constant(0.0));
        add(format!("bn.{block}.running_mean"), vec![to], Init::Running(0.0));
        add(format!("bn.{block}.running_var"), vec![to], Init::Running(1.0));
        if config.residual {
            let init = Init::Uniform { fan_in: from };
            add(format!("skip.{block}.weight"), vec![to, from, 1, 1, 1], init);
            add(format!("skip.{block}.bias"), vec![to], init);
        }
    }
    slots
}

/// `[N, 1, size, size, size]` to `[N channels, voxels]`, a channel of a sample a row, of which whole ones are
/// dropped.
pub(super) fn forward<B: Operations>(
    config: &Config,
    slots: &mut Slots<'_, B>,
    x: Tensor<B, 5>,
    pass: &mut Pass<'_, B>,
) -> Tensor<B, 2> {
    let mut x = x;
    let k = config.kernel_size;
    for (index, (from, to)) in config.channels().into_iter().enumerate() {
        let tensors = BlockTensors {
            conv: (slots.next([to, from, k, k, k]), slots.next([to])),
            affine: [slots.next([to]), slots.next([to])],
            running: [slots.next([to]), slots.next([to])],
            skip: config.residual.then(|| (slots.next([to, from, 1, 1, 1]), slots.next([to]))),
        };
        let (training, precision) = (pass.by_batch, pass.precision);
        let how = How { training, last: index + 1 == BLOCKS, precision };
        let (y, statistics) = B::block(x, tensors, how);
        pass.seen.extend(statistics);
        x = y;
    }
    let [n, channels, d, h, w] = x.dims();
    pass.drop_rows(x.reshape([n * channels, d * h * w]))
}
