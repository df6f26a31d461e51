//! The operations on the CPU: `ctpipe-kernels` as an extension of Burn's Flex backend, with their
//! own backward steps on the tape of `Autodiff`.
//!
//! Between blocks, a tensor is channels-last in memory, and its strides say so. Any other operation
//! of Flex reads it by its strides.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Bytes, DType, Shape, Tensor, TensorPrimitive};
use burn_flex::{FlexTensor, Layout as FlexLayout};
use ctpipe_kernels::block::{Forward, Saved};
use ctpipe_kernels::{Block, Extent, Keep, Layout, Statistics, Volumes, block, buffers, linear, pitch};

use crate::composed;
use crate::device::{Precision, isa};
use crate::operations::Operations;
use crate::signatures::{Along, BatchStatistics, BlockTensors, Blocked, By, How, Moved};

fn primitive<const D: usize>(tensor: Tensor<Flex, D>) -> FlexTensor {
    tensor.into_primitive().tensor()
}

fn tensor<const D: usize>(primitive: FlexTensor) -> Tensor<Flex, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.layout().shape().dims()
}

fn flex(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), FlexLayout::contiguous(shape), DType::F32)
}

/// Strides of `[N, C, D, H, W]` with adjacent channels.
fn channels_last_strides([_, c, d, h, w]: [usize; 5]) -> [isize; 5] {
    let pitch = pitch(c);
    [d * h * w * pitch, 1, h * w * pitch, w * pitch, pitch].map(usize::cast_signed)
}

/// Values in one of the kernels' layouts, as a tensor of this shape.
fn from_layout(values: Vec<f32>, shape: [usize; 5], layout: Layout) -> FlexTensor {
    let of = match layout {
        Layout::ChannelsFirst => FlexLayout::contiguous(Shape::from(shape)),
        Layout::ChannelsLast => FlexLayout::new(Shape::from(shape), channels_last_strides(shape).to_vec(), 0),
    };
    FlexTensor::new(Bytes::from_elems(values), of, DType::F32)
}

/// The values of a tensor of volumes, if they are in one of the kernels' layouts.
fn volumes(tensor: &FlexTensor) -> Option<Volumes<'_>> {
    if let Some(values) = tensor.as_slice::<f32>() {
        return Some(Volumes { values, layout: Layout::ChannelsFirst });
    }
    let [n, c, d, h, w] = dims(tensor);
    let of = tensor.layout();
    let values = tensor.storage::<f32>();
    (of.strides() == channels_last_strides([n, c, d, h, w])
        && of.start_offset() == 0
        && values.len() == n * d * h * w * pitch(c))
    .then_some(Volumes { values, layout: Layout::ChannelsLast })
}

/// The tensor in one of the kernels' layouts.
fn in_layout(tensor: FlexTensor) -> FlexTensor {
    if volumes(&tensor).is_some() { tensor } else { tensor.to_contiguous() }
}

fn volumes_of(tensor: &FlexTensor) -> Volumes<'_> {
    match volumes(tensor) {
        Some(volumes) => volumes,
        None => unreachable!("in_layout made it so"),
    }
}

fn slice(tensor: &FlexTensor) -> &[f32] {
    match tensor.as_slice() {
        Some(values) => values,
        None => unreachable!("made contiguous above"),
    }
}

/// Passes the memory of a tensor that nobody else holds to the next operation.
fn recycle(tensor: FlexTensor) {
    let data = tensor.data_arc();
    drop(tensor);
    if let Some(Ok(values)) = std::sync::Arc::into_inner(data).map(Bytes::try_into_vec::<f32>) {
        buffers::give(values);
    }
}

/// The trainable tensors of a block on the backend, each contiguous.
#[derive(Debug, Clone)]
struct Learnt {
    weight: FlexTensor,
    /// The convolution's bias, and BatchNorm's weight and bias.
    vectors: [FlexTensor; 3],
    skip: Option<[FlexTensor; 2]>,
}

impl Learnt {
    fn block(&self) -> Block<'_> {
        let [to, from, ..]: [usize; 5] = dims(&self.weight);
        let [bias, gamma, beta] = &self.vectors;
        Block {
            from,
            to,
            weight: slice(&self.weight),
            bias: slice(bias),
            gamma: slice(gamma),
            beta: slice(beta),
            skip: self.skip.as_ref().map(|[weight, bias]| [slice(weight), slice(bias)]),
        }
    }
}

fn covers(weight: &[usize; 5], x: &[usize; 5]) -> bool {
    block::covers([weight[2], weight[3], weight[4]], [x[2], x[3], x[4]])
}

fn extent(x: &FlexTensor) -> Extent {
    let [n, _, d, h, w] = dims(x);
    Extent { n, size: [d, h, w] }
}

/// The block without a tape.
fn forward(
    x: &FlexTensor,
    learnt: &Learnt,
    running: &[FlexTensor; 2],
    how: How,
    keep: Keep,
) -> (FlexTensor, Option<BatchStatistics<Flex>>, Saved) {
    let extent = extent(x);
    let statistics = if how.training {
        Statistics::Batch
    } else {
        Statistics::Running([slice(&running[0]), slice(&running[1])])
    };
    let layout = if how.last { Layout::ChannelsFirst } else { Layout::ChannelsLast };
    let block = learnt.block();
    let Forward { output, batch, saved } =
        block::forward(isa(), extent, volumes_of(x), &block, statistics, keep, layout);
    let [d, h, w] = extent.pooled().size;
    let output = from_layout(output, [extent.n, block.to, d, h, w], layout);
    let vector = |values: Vec<f32>| tensor(flex(values, Shape::from([block.to])));
    (output, batch.map(|batch| batch.map(vector)), saved)
}

impl Operations for Flex {
    fn block(x: Tensor<Self, 5>, tensors: BlockTensors<Self>, how: How) -> Blocked<Self> {
        if !covers(&tensors.conv.0.dims(), &x.dims()) {
            return composed::block(x, tensors, how);
        }
        let contiguous = |tensor: FlexTensor| tensor.to_contiguous();
        let (weight, bias) = tensors.conv;
        let [gamma, beta] = tensors.affine;
        let learnt = Learnt {
            weight: contiguous(primitive(weight)),
            vectors: [bias, gamma, beta].map(|vector| contiguous(primitive(vector))),
            skip: tensors.skip.map(|(w, b)| [contiguous(primitive(w)), contiguous(primitive(b))]),
        };
        let running = tensors.running.map(|vector| contiguous(primitive(vector)));
        let x = in_layout(primitive(x));
        let (output, seen, _) = forward(&x, &learnt, &running, how, Keep::Nothing);
        recycle(x);
        (tensor(output), seen)
    }

    fn fully_connected(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Tensor<Self, 1>,
        _: Precision,
    ) -> Tensor<Self, 2> {
        tensor(linear_forward(
            &primitive(x).to_contiguous(),
            &primitive(weight).to_contiguous(),
            &primitive(bias).to_contiguous(),
        ))
    }

    fn adam(
        value: Tensor<Self, 1>,
        moments: [Tensor<Self, 1>; 2],
        gradient: Tensor<Self, 1>,
        by: By,
    ) -> Moved<Self> {
        let step = ctpipe_kernels::adam::Step {
            beta1: by.beta1,
            beta2: by.beta2,
            step_size: by.step_size,
            correction: by.correction,
            epsilon: by.epsilon,
            weight_decay: by.weight_decay,
            shrink: by.shrink,
        };
        let gradient = primitive(gradient).to_contiguous();
        // In place where nobody else holds the tensors, which is the case between two steps.
        let mut value = primitive(value).to_contiguous();
        let [mut first, mut second] = moments.map(|moment| primitive(moment).to_contiguous());
        ctpipe_kernels::adam::adam(
            isa(),
            step,
            value.storage_mut(),
            [first.storage_mut(), second.storage_mut()],
            slice(&gradient),
        );
        recycle(gradient);
        (tensor(value), [tensor(first), tensor(second)])
    }

    fn sgd(
        value: Tensor<Self, 1>,
        velocity: Tensor<Self, 1>,
        gradient: Tensor<Self, 1>,
        along: Along,
    ) -> (Tensor<Self, 1>, Tensor<Self, 1>) {
        let step = ctpipe_kernels::step::Sgd {
            lr: along.lr as f32,
            momentum: along.momentum as f32,
            weight_decay: along.weight_decay as f32,
        };
        let gradient = primitive(gradient).to_contiguous();
        let [mut value, mut velocity] = [value, velocity].map(|tensor| primitive(tensor).to_contiguous());
        ctpipe_kernels::step::sgd(step, value.storage_mut(), velocity.storage_mut(), slice(&gradient));
        recycle(gradient);
        (tensor(value), tensor(velocity))
    }

    fn sum_of_squares(gradient: Tensor<Self, 1>) -> Tensor<Self, 1> {
        let gradient = primitive(gradient).to_contiguous();
        let sum = ctpipe_kernels::step::sum_of_squares(slice(&gradient));
        tensor(flex(vec![sum as f32], Shape::from([1])))
    }
}

fn linear_forward(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> FlexTensor {
    let y = linear::forward(isa(), slice(x), slice(weight), slice(bias));
    let [n, _]: [usize; 2] = dims(x);
    let [to]: [usize; 1] = dims(bias);
    flex(y, Shape::from([n, to]))
}

/// The backward step of a block. Its parents are x, weight, bias, gamma, beta and, with a
/// projection, the projection's weight and bias.
#[derive(Debug)]
struct BlockStep;

#[derive(Debug, Clone)]
struct BlockState {
    x: FlexTensor,
    learnt: Learnt,
    saved: Saved,
}

impl<const N: usize> Backward<Flex, N> for BlockStep {
    type State = BlockState;

    fn backward(self, ops: Ops<BlockState, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dz = in_layout(grads.consume::<Flex>(&ops.node));
        let BlockState { x, learnt, saved } = ops.state;
        let block = learnt.block();
        let found = block::backward(isa(), saved, volumes_of(&x), &block, volumes_of(&dz));
        let to = block.to;
        let vector = |values: Vec<f32>| Some(flex(values, Shape::from([to])));
        let weight = Shape::from(dims::<5>(&learnt.weight));
        let input = found.input.map(|input| from_layout(input, dims(&x), Layout::ChannelsLast));
        let mut gradients = vec![
            input,
            Some(flex(found.weight, weight)),
            vector(found.bias),
            vector(found.gamma),
            vector(found.beta),
        ];
        if let (Some([weight, bias]), Some([of, _])) = (found.skip, &learnt.skip) {
            gradients.extend([Some(flex(weight, Shape::from(dims::<5>(of)))), vector(bias)]);
        }
        recycle(dz);
        recycle(x);
        for (parent, gradient) in ops.parents.iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The backward step of a linear layer. Its parents are x, weight and bias.
#[derive(Debug)]
struct LinearStep;

impl Backward<Flex, 3> for LinearStep {
    type State = [FlexTensor; 2];

    fn backward(self, ops: Ops<[FlexTensor; 2], 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [x, weight] = ops.state;
        let [to, _]: [usize; 2] = dims(&weight);
        let found = linear::backward(isa(), slice(&x), slice(&weight), slice(&dy), to);
        let gradients = [
            flex(found.input, Shape::from(dims::<2>(&x))),
            flex(found.weight, Shape::from(dims::<2>(&weight))),
            flex(found.bias, Shape::from([to])),
        ];
        recycle(x);
        for (parent, gradient) in ops.parents.iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

impl<C: CheckpointStrategy> Operations for Autodiff<Flex, C> {
    fn block(x: Tensor<Self, 5>, tensors: BlockTensors<Self>, how: How) -> Blocked<Self> {
        if !covers(&tensors.conv.0.dims(), &x.dims()) {
            return composed::block(x, tensors, how);
        }
        let x = x.into_primitive().tensor();
        let weight = tensors.conv.0.into_primitive().tensor();
        let [bias, gamma, beta] = {
            let [gamma, beta] = tensors.affine;
            [tensors.conv.1, gamma, beta].map(|vector| vector.into_primitive().tensor())
        };
        let skip = tensors.skip.map(|(w, b)| (w.into_primitive().tensor(), b.into_primitive().tensor()));
        let running =
            tensors.running.map(|vector| vector.into_primitive().tensor().primitive.to_contiguous());
        let learnt = Learnt {
            weight: weight.primitive.to_contiguous(),
            vectors: [&bias, &gamma, &beta].map(|vector| vector.primitive.to_contiguous()),
            skip: skip.as_ref().map(|(w, b)| [w, b].map(|tensor| tensor.primitive.to_contiguous())),
        };
        let untracked = |tensor: &<Self as burn::tensor::backend::BackendTypes>::FloatTensorPrimitive| {
            tensor.node.requirement.is_none()
        };
        let mut parents = vec![&x, &weight, &bias, &gamma, &beta];
        parents.extend(skip.iter().flat_map(|(w, b)| [w, b]));
        let keep = if !untracked(&x) {
            Keep::Input
        } else if parents.iter().all(|tensor| untracked(tensor)) {
            Keep::Nothing
        } else {
            Keep::Weights
        };
        let input = in_layout(x.primitive.clone());
        let (output, seen, saved) = forward(&input, &learnt, &running, how, keep);
        let state = BlockState { x: input, learnt, saved };
        let own = [x.node, weight.node, bias.node, gamma.node, beta.node];
        let output = match skip {
            Some((w, b)) => {
                let [x, weight, bias, gamma, beta] = own;
                let nodes = [x, weight, bias, gamma, beta, w.node, b.node];
                match Backward::<Flex, 7>::prepare::<C>(BlockStep, nodes).compute_bound().stateful() {
                    OpsKind::Tracked(prep) => prep.finish(state, output),
                    OpsKind::UnTracked(prep) => prep.finish(output),
                }
            }
            None => match Backward::<Flex, 5>::prepare::<C>(BlockStep, own).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(state, output),
                OpsKind::UnTracked(prep) => prep.finish(output),
            },
        };
        let seen = seen.map(|seen| seen.map(Tensor::from_inner));
        (Tensor::from_primitive(TensorPrimitive::Float(output)), seen)
    }

    fn fully_connected(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Tensor<Self, 1>,
        _: Precision,
    ) -> Tensor<Self, 2> {
        let x = x.into_primitive().tensor();
        let weight = weight.into_primitive().tensor();
        let bias = bias.into_primitive().tensor();
        let state = [x.primitive.to_contiguous(), weight.primitive.to_contiguous()];
        let output = linear_forward(&state[0], &state[1], &bias.primitive.to_contiguous());
        let nodes = [x.node, weight.node, bias.node];
        let output = match LinearStep.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        };
        Tensor::from_primitive(TensorPrimitive::Float(output))
    }
}
