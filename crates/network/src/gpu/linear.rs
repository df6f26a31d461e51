//! A linear layer. The first one has a hundred thousand inputs and a few hundred outputs. Its sums
//! are cut into shares, so that more than a handful of the GPU's processors have work.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::{DType, Tensor, TensorPrimitive};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeRuntime};

use crate::composed::narrow;
use crate::device::Precision;
use crate::gpu::row_reduction::sum_rows;
use crate::gpu::strategies::product;
use crate::gpu::{Gpu, cube, float, reshaped, sizes};

/// Number of terms in a share.
pub(super) const TERMS: usize = 1024;

/// The factors of the forward and the backward pass, cut into shares: `[shares, N, terms]` and
/// `[shares, to, terms]`.
#[derive(Debug, Clone)]
pub(super) struct Factors<R: CubeRuntime> {
    x: CubeTensor<R>,
    weight: CubeTensor<R>,
    precision: Precision,
}

/// Rows of `from` values each, in the precision of multiplication, as
/// `[shares, rows, from / shares]`.
fn cut<R: CubeRuntime, BT: BoolElement>(
    rows: Tensor<Gpu<R, BT>, 2>,
    shares: usize,
    precision: Precision,
) -> CubeTensor<R> {
    let [count, from] = rows.dims();
    // Both in one pass: the narrowed values are written in the order in which they are read.
    let cut = narrow(rows.reshape([count, shares, from / shares]).swap_dims(0, 1), precision);
    into_contiguous(cube(cut))
}

fn factors<R: CubeRuntime, BT: BoolElement>(
    x: Tensor<Gpu<R, BT>, 2>,
    weight: Tensor<Gpu<R, BT>, 2>,
    precision: Precision,
) -> Factors<R> {
    let [_, from] = x.dims();
    let shares = if from.is_multiple_of(TERMS) { from / TERMS } else { 1 };
    Factors { x: cut(x, shares, precision), weight: cut(weight, shares, precision), precision }
}

/// `x weightᵀ`, f32: `[N, to]`.
fn multiplied<R: CubeRuntime, BT: BoolElement>(of: &Factors<R>) -> Tensor<Gpu<R, BT>, 2> {
    let ([shares, n, _], [_, to, _]) = (sizes::<R, 3>(&of.x), sizes::<R, 3>(&of.weight));
    let weight = cube(float::<R, BT, 3>(of.weight.clone()).swap_dims(1, 2));
    let sums = product(of.x.clone(), weight, DType::F32);
    float::<R, BT, 1>(sum_rows(reshaped::<R, BT, 3, 2>(sums, [shares, n * to]))).reshape([n, to])
}

/// Puts shares `[shares, rows, terms]` side by side again: `[rows, shares terms]`.
fn joined<R: CubeRuntime, BT: BoolElement>(cut: CubeTensor<R>) -> CubeTensor<R> {
    let [shares, rows, terms] = sizes::<R, 3>(&cut);
    cube(float::<R, BT, 3>(cut).swap_dims(0, 1).reshape([rows, shares * terms]))
}

/// [`crate::operations::Operations::fully_connected`] without a tape.
pub(super) fn answering<R: CubeRuntime, BT: BoolElement>(
    x: Tensor<Gpu<R, BT>, 2>,
    weight: Tensor<Gpu<R, BT>, 2>,
    bias: Tensor<Gpu<R, BT>, 1>,
    precision: Precision,
) -> Tensor<Gpu<R, BT>, 2> {
    multiplied::<R, BT>(&factors(x, weight, precision)) + bias.unsqueeze()
}

/// The backward step. Its parents are the input, the weight and the bias.
#[derive(Debug)]
struct Step<BT>(std::marker::PhantomData<BT>);

impl<R: CubeRuntime, BT: BoolElement> Backward<Gpu<R, BT>, 3> for Step<BT> {
    type State = Factors<R>;

    fn backward(self, ops: Ops<Factors<R>, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = into_contiguous(grads.consume::<Gpu<R, BT>>(&ops.node));
        let Factors { x, weight, precision } = ops.state;
        let [to_x, to_weight, to_bias] = ops.parents.map(|parent| parent.map(|parent| parent.id));
        if let Some(bias) = to_bias {
            grads.register::<Gpu<R, BT>>(bias, sum_rows(dy.clone()));
        }
        let dy = narrow(float::<R, BT, 2>(dy), precision);
        if let Some(parent) = to_weight {
            let rows = cube(dy.clone().swap_dims(0, 1));
            let gradient = product(rows, joined::<R, BT>(x), DType::F32);
            grads.register::<Gpu<R, BT>>(parent, gradient);
        }
        if let Some(parent) = to_x {
            let ([n, to], [shares, ..]) = (dy.dims(), sizes::<R, 3>(&weight));
            let dy = into_contiguous(cube(dy.reshape([1, n, to]).expand([shares, n, to])));
            grads.register::<Gpu<R, BT>>(parent, joined::<R, BT>(product(dy, weight, DType::F32)));
        }
    }
}

/// [`crate::operations::Operations::fully_connected`] on the tape.
pub(super) fn learning<R: CubeRuntime, BT: BoolElement, C: CheckpointStrategy>(
    x: Tensor<Autodiff<Gpu<R, BT>, C>, 2>,
    weight: Tensor<Autodiff<Gpu<R, BT>, C>, 2>,
    bias: Tensor<Autodiff<Gpu<R, BT>, C>, 1>,
    precision: Precision,
) -> Tensor<Autodiff<Gpu<R, BT>, C>, 2> {
    let x = x.into_primitive().tensor();
    let weight = weight.into_primitive().tensor();
    let bias = bias.into_primitive().tensor();
    let of = factors::<R, BT>(float(x.primitive), float(weight.primitive), precision);
    let y = multiplied::<R, BT>(&of) + float::<R, BT, 1>(bias.primitive).unsqueeze();
    let step = Step::<BT>(std::marker::PhantomData);
    let nodes = [x.node, weight.node, bias.node];
    let output = match step.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(of, cube(y)),
        OpsKind::UnTracked(prep) => prep.finish(cube(y)),
    };
    Tensor::from_primitive(TensorPrimitive::Float(output))
}
