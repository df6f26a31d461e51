//! All of a block except its convolution: BatchNorm, the projection, ReLU and max-pooling, in two
//! passes forward and two backward. Burn's own operations would take a dozen passes over tensors of
//! 2 GB. The result of the convolution is kept, and the backward pass finds the position of each
//! maximum again.
//!
//! Everything is channels-last here, as convolutions leave it, so neighbouring threads have
//! neighbouring channels.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor, TensorPrimitive};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeRuntime};
use cubecl::CubeDim;

use crate::composed;
use crate::gpu::block_kernels::{pool_kernel, slope_kernel, slopes_kernel, sums_kernel};
use crate::gpu::grid::Grid;
use crate::gpu::products::{self, Products};
use crate::gpu::row_reduction::sum_rows;
use crate::gpu::{Gpu, THREADS, by_type, by_types, cube, cubes_for, float, lanes, output_buffer};
use crate::signatures::{BlockTensors, Blocked, How};

/// PyTorch's BatchNorm default.
const EPSILON: f64 = 1e-5;
/// Number of threads that share the sums of a tensor.
const SHARES: usize = 1 << 17;
/// Number of neighbouring channels that a thread sums and pools.
const ADDED: usize = 8;
const POOLED: usize = 4;
/// Number of values per channel that the backward pass needs, one row each: scale, shift, mean, 1 /
/// deviation, and three that depend on the gradient.
const ROWS: usize = 7;

/// The inputs of a block besides the result of its convolution.
struct Rest<R: CubeRuntime, BT: BoolElement> {
    /// The convolution's bias, which its result lacks: it becomes part of the shift.
    bias: Tensor<Gpu<R, BT>, 1>,
    /// BatchNorm's weight and bias.
    affine: [Tensor<Gpu<R, BT>, 1>; 2],
    /// BatchNorm's running mean and variance.
    running: [Tensor<Gpu<R, BT>, 1>; 2],
    /// The projection's bias.
    skip_bias: Option<Tensor<Gpu<R, BT>, 1>>,
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct Saved<R: CubeRuntime> {
    /// Results of the convolution and the projection.
    of: Products<CubeTensor<R>>,
    /// Scale, shift, mean, 1 / deviation: `[4, C]`.
    numbers: CubeTensor<R>,
    gamma: CubeTensor<R>,
    /// Whether the statistics are those of the batch.
    by_batch: bool,
}

/// `[N, D, H, W, C]` of a tensor that is channels-last.
fn dims<R: CubeRuntime>(y: &CubeTensor<R>) -> [usize; 5] {
    let shape = y.meta.shape();
    [0, 1, 2, 3, 4].map(|axis| shape[axis])
}

/// Number of shares in which sums over `rows` rows are computed, with `width` threads for each row.
fn shares(rows: usize, width: usize) -> usize {
    (SHARES / width.max(1)).clamp(1, rows.max(1))
}

/// Mean and biased variance of each channel.
fn statistics<R: CubeRuntime, BT: BoolElement>(y: &CubeTensor<R>) -> [Tensor<Gpu<R, BT>, 1>; 2] {
    let [n, d, h, w, c] = dims(y);
    let (rows, lanes) = (n * d * h * w, lanes(c, ADDED));
    let width = c / lanes;
    let shares = shares(rows, width);
    let sums = output_buffer(y, &[shares, 2 * c], DType::F32);
    by_type!(
        y.dtype,
        sums_kernel(
            &y.client,
            cubes_for(shares * width),
            CubeDim::new_1d(THREADS),
            lanes,
            y.clone().into_array_arg(),
            sums.clone().into_array_arg(),
            rows as u32,
            width as u32,
            shares as u32,
        )
    );
    let sums = float::<R, BT, 1>(sum_rows(sums)).div_scalar(rows as f32);
    let sum = |row: usize| sums.clone().narrow(0, row * c, c);
    // Values are taken relative to the channel's first one, so that a mean far from zero costs no
    // digits.
    let first = float::<R, BT, 5>(y.clone()).slice([0..1, 0..1, 0..1, 0..1, 0..c]).reshape([c]);
    let first = first.cast(FloatDType::F32);
    let var = (sum(1) - sum(0).powi_scalar(2)).clamp_min(0.0);
    [first + sum(0), var]
}

/// The block after its convolution.
fn forward<R: CubeRuntime, BT: BoolElement>(
    of: Products<CubeTensor<R>>,
    rest: Rest<R, BT>,
    how: How,
) -> (Blocked<Gpu<R, BT>>, Saved<R>) {
    let y = &of.conv;
    let [n, d, h, w, c] = dims(y);
    let ([mean, var], seen) = if how.training {
        let [mean, var] = statistics::<R, BT>(y);
        let count = (n * d * h * w) as f32;
        let unbiased = var.clone().mul_scalar(count / (count - 1.0).max(1.0));
        ([mean.clone(), var], Some([mean + rest.bias, unbiased]))
    } else {
        let [mean, var] = rest.running;
        ([mean - rest.bias, var], None)
    };
    let [gamma, beta] = rest.affine;
    let inverse = var.add_scalar(EPSILON).sqrt().recip();
    let scale = gamma.clone() * inverse.clone();
    let mut shift = beta - mean.clone() * scale.clone();
    if let Some(bias) = rest.skip_bias {
        shift = shift + bias;
    }
    let numbers = cube(Tensor::cat(vec![scale, shift, mean, inverse], 0));
    let pooled = [n, d / 2, h / 2, w / 2];
    let positions: usize = pooled.iter().product();
    let lanes = lanes(c, POOLED);
    // The next block multiplies in the same precision as this one; the result of the last block is
    // f32.
    let grid = Grid::of(pooled);
    let (out, memory, [line, lines, planes]) = if how.last {
        let out = output_buffer(y, &[pooled[0], pooled[1], pooled[2], pooled[3], c], DType::F32);
        (out.clone(), out, [pooled[3], pooled[2], pooled[1]].map(|edge| edge as u32))
    } else {
        let out = grid.zeros::<R, BT>(y, c, y.dtype);
        (out.clone(), grid.memory(&out), grid.steps())
    };
    by_types!(
        y.dtype,
        out.dtype,
        pool_kernel(
            &y.client,
            cubes_for(positions * c / lanes),
            CubeDim::new_1d(THREADS),
            lanes,
            y.clone().into_array_arg(),
            of.skip.as_ref().unwrap_or(y).clone().into_array_arg(),
            numbers.clone().into_array_arg(),
            memory.into_array_arg(),
            (d / 2) as u32,
            (h / 2) as u32,
            (w / 2) as u32,
            (c / lanes) as u32,
            positions as u32,
            line,
            lines,
            planes,
            of.skip.is_some(),
            of.by_window,
        )
    );
    let saved = Saved { of, numbers, gamma: cube(gamma), by_batch: how.training };
    ((float::<R, BT, 5>(out).permute([0, 4, 1, 2, 3]), seen), saved)
}

/// Gradients of the convolution's result and bias, the projection, and BatchNorm's weight and bias.
struct Found<R: CubeRuntime> {
    y: CubeTensor<R>,
    /// `None` where nothing depends on it: before a BatchNorm that subtracts the batch's mean.
    bias: CubeTensor<R>,
    skip: Option<CubeTensor<R>>,
    gamma: CubeTensor<R>,
    beta: CubeTensor<R>,
}

fn backward<R: CubeRuntime, BT: BoolElement>(saved: Saved<R>, dz: CubeTensor<R>) -> Found<R> {
    let Saved { of: Products { conv: y, skip, by_window }, numbers, gamma, by_batch } = saved;
    let [n, d, h, w, c] = dims(&y);
    let dz = into_contiguous(cube(float::<R, BT, 5>(dz).permute([0, 2, 3, 4, 1])));
    let pooled = n * (d / 2) * (h / 2) * (w / 2);
    let lanes = lanes(c, POOLED);
    let width = c / lanes;
    let shares = shares(pooled, width);
    let sums = output_buffer(&y, &[shares, 2 * c], DType::F32);
    let residual = skip.is_some();
    let size = [d / 2, h / 2, w / 2].map(|edge| edge as u32);
    by_types!(
        y.dtype,
        dz.dtype,
        slopes_kernel(
            &y.client,
            cubes_for(shares * width),
            CubeDim::new_1d(THREADS),
            lanes,
            y.clone().into_array_arg(),
            skip.clone().unwrap_or_else(|| y.clone()).into_array_arg(),
            numbers.clone().into_array_arg(),
            dz.clone().into_array_arg(),
            sums.clone().into_array_arg(),
            size[0],
            size[1],
            size[2],
            width as u32,
            pooled as u32,
            shares as u32,
            residual,
            by_window,
        )
    );
    let sums = float::<R, BT, 1>(sum_rows(sums));
    let sum = |row: usize| sums.clone().narrow(0, row * c, c);
    let (beta_slope, gamma_slope) = (sum(0), sum(1));
    // Ioffe and Szegedy 2015: a batch with its own statistics also moves its mean and deviation.
    let own = if by_batch { 1.0 / (n * d * h * w) as f32 } else { 0.0 };
    let numbers = float::<R, BT, 1>(numbers);
    let inverse = numbers.clone().narrow(0, 3 * c, c);
    let factor = float::<R, BT, 1>(gamma) * inverse;
    let bias = beta_slope.clone() * factor.clone() * (1.0 - f32::from(u8::from(by_batch)));
    let numbers = Tensor::cat(
        vec![numbers, factor, beta_slope.clone().mul_scalar(own), gamma_slope.clone().mul_scalar(own)],
        0,
    );
    debug_assert_eq!(numbers.dims()[0], ROWS * c);
    let ds = residual.then(|| output_buffer(&y, &[n, d, h, w, c], y.dtype));
    // The grid from which the gradient of the convolution's weight is computed.
    let grid = Grid::of([n, d, h, w]);
    let (dy, memory, [line, lines, planes]) = if by_window {
        let dy = output_buffer(&y, &[n, d, h, w, c], y.dtype);
        (dy.clone(), dy, [w, h, d].map(|edge| edge as u32))
    } else {
        let dy = grid.zeros::<R, BT>(&y, c, y.dtype);
        (dy.clone(), grid.memory(&dy), grid.steps())
    };
    by_types!(
        y.dtype,
        dz.dtype,
        slope_kernel(
            &y.client,
            cubes_for(pooled * width),
            CubeDim::new_1d(THREADS),
            lanes,
            y.clone().into_array_arg(),
            skip.clone().unwrap_or_else(|| y.clone()).into_array_arg(),
            cube(numbers).into_array_arg(),
            dz.into_array_arg(),
            memory.clone().into_array_arg(),
            ds.clone().unwrap_or(memory).into_array_arg(),
            size[0],
            size[1],
            size[2],
            width as u32,
            pooled as u32,
            line,
            lines,
            planes,
            residual,
            by_window,
        )
    );
    Found { y: dy, bias: cube(bias), skip: ds, gamma: cube(gamma_slope), beta: cube(beta_slope) }
}

/// Whether there is a kernel for it.
fn covers<B: Backend>(x: &Tensor<B, 5>, weight: &Tensor<B, 5>) -> bool {
    let ([n, from, d, h, w], [to, ..]) = (x.dims(), weight.dims());
    // Indices have 32 bits, and count the values of a grid with its gaps.
    let values = (n + 1) * (d + 1) * (h + 1) * (w + 8) * to.max(3 * from);
    [d, h, w].iter().all(|edge| edge.is_multiple_of(2)) && values < 1 << 32
}

/// [`crate::operations::Operations::block`] without a tape.
pub(super) fn answering<R: CubeRuntime, BT: BoolElement>(
    x: Tensor<Gpu<R, BT>, 5>,
    tensors: BlockTensors<Gpu<R, BT>>,
    how: How,
) -> Blocked<Gpu<R, BT>> {
    if !covers(&x, &tensors.conv.0) {
        return composed::block(x, tensors, how);
    }
    let (weight, bias) = tensors.conv;
    let (skip, skip_bias) = tensors.skip.unzip();
    let of = products::answering::<R, BT>(x, (weight, skip), how.precision);
    let rest = Rest { bias, affine: tensors.affine, running: tensors.running, skip_bias };
    forward(of, rest, how).0
}

/// The backward step. Its parents are the convolution's result and bias, BatchNorm's weight and
/// bias and, with a projection, its result and bias.
#[derive(Debug)]
struct Step<BT>(std::marker::PhantomData<BT>);

impl<R: CubeRuntime, BT: BoolElement, const N: usize> Backward<Gpu<R, BT>, N> for Step<BT> {
    type State = Saved<R>;

    fn backward(self, ops: Ops<Saved<R>, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dz = grads.consume::<Gpu<R, BT>>(&ops.node);
        let found = backward::<R, BT>(ops.state, dz);
        let beta = found.beta;
        let gradients =
            [Some(found.y), Some(found.bias), Some(found.gamma), Some(beta.clone()), found.skip, Some(beta)];
        for (parent, gradient) in ops.parents.iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Gpu<R, BT>>(parent.id, gradient);
            }
        }
    }
}

/// [`crate::operations::Operations::block`] on the tape.
pub(super) fn learning<R: CubeRuntime, BT: BoolElement, C: CheckpointStrategy>(
    x: Tensor<Autodiff<Gpu<R, BT>, C>, 5>,
    tensors: BlockTensors<Autodiff<Gpu<R, BT>, C>>,
    how: How,
) -> Blocked<Autodiff<Gpu<R, BT>, C>> {
    if !covers(&x, &tensors.conv.0) {
        return composed::block(x, tensors, how);
    }
    let (weight, bias) = tensors.conv;
    let (skip, skip_bias) = tensors.skip.unzip();
    let Products { conv, skip, by_window } = products::learning(x, (weight, skip), how.precision);
    let y = conv.into_primitive().tensor();
    let skip = skip.map(|skip| skip.into_primitive().tensor());
    let [gamma, beta] = tensors.affine.map(|vector| vector.into_primitive().tensor());
    let bias = bias.into_primitive().tensor();
    let skip_bias = skip_bias.map(|bias| bias.into_primitive().tensor());
    let inner = |tensor: &CubeTensor<R>| float::<R, BT, 1>(tensor.clone());
    let rest = Rest::<R, BT> {
        bias: inner(&bias.primitive),
        affine: [inner(&gamma.primitive), inner(&beta.primitive)],
        running: tensors.running.map(Tensor::inner),
        skip_bias: skip_bias.as_ref().map(|bias| inner(&bias.primitive)),
    };
    let of =
        Products { conv: y.primitive, skip: skip.as_ref().map(|skip| skip.primitive.clone()), by_window };
    let ((z, seen), saved) = forward(of, rest, how);
    let z = cube(z);
    let step = Step::<BT>(std::marker::PhantomData);
    let output = if let (Some(skip), Some(skip_bias)) = (skip, skip_bias) {
        let nodes = [y.node, bias.node, gamma.node, beta.node, skip.node, skip_bias.node];
        match Backward::<Gpu<R, BT>, 6>::prepare::<C>(step, nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(saved, z),
            OpsKind::UnTracked(prep) => prep.finish(z),
        }
    } else {
        let nodes = [y.node, bias.node, gamma.node, beta.node];
        match Backward::<Gpu<R, BT>, 4>::prepare::<C>(step, nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(saved, z),
            OpsKind::UnTracked(prep) => prep.finish(z),
        }
    };
    let seen = seen.map(|seen| seen.map(Tensor::from_inner));
    (Tensor::from_primitive(TensorPrimitive::Float(output)), seen)
}
