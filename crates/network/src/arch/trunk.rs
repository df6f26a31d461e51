//! The parts that the CNN3D networks share: three convolution blocks, and two linear layers at the
//! end. What lies between them differs.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::arch::{Pass, Slots};
use crate::config::{BLOCKS, Config, Init, Slot};
use crate::operations::Operations;
use crate::signatures::{BlockTensors, How};

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

/// Maps `[N, 1, size, size, size]` to `[N channels, voxels]`, with one row for each channel of a
/// sample. Dropout drops whole rows.
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
    if let Some(look) = &mut pass.features {
        x = look(x);
    }
    let [n, channels, d, h, w] = x.dims();
    pass.drop_rows(x.reshape([n * channels, d * h * w]))
}

/// Weight and bias of a linear layer, under PyTorch's names.
fn linear_slots(name: &str, from: usize, to: usize) -> [Slot; 2] {
    let init = Init::Uniform { fan_in: from };
    [
        Slot { name: format!("{name}.weight"), shape: vec![to, from], init },
        Slot { name: format!("{name}.bias"), shape: vec![to], init },
    ]
}

/// Tensors of [`head`] for this number of features.
pub(super) fn head_slots(config: &Config, features: usize) -> Vec<Slot> {
    let mut slots = linear_slots("fc1", features, config.hidden_size).to_vec();
    slots.extend(linear_slots("fc2", config.hidden_size, config.num_classes));
    slots
}

/// Maps `[N, features]` to logits: Linear -> ReLU -> dropout -> Linear.
pub(super) fn head<B: Operations>(
    config: &Config,
    slots: &mut Slots<'_, B>,
    x: Tensor<B, 2>,
    pass: &mut Pass<'_, B>,
) -> Tensor<B, 2> {
    let hidden = relu(slots.linear(x, config.hidden_size, pass));
    let x = pass.drop_elements(hidden);
    slots.linear(x, config.num_classes, pass)
}
