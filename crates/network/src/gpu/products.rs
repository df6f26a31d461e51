//! The products of a block, forward and backward: its convolution and its projection.
//!
//! Convolutions and matrix products are CubeK's (`strategies`), except for the gradients of weights
//! (`split_k`) and the first block (`windows`).

use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::ops::{ConvOptions, ModuleOps};
use burn::tensor::{DType, FloatDType, Tensor, TensorPrimitive};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeRuntime};

use crate::composed::narrow;
use crate::device::Precision;
use crate::gpu::split_k::{tall, weight_gradient};
use crate::gpu::strategies::{convolution, product};
use crate::gpu::windows::{WINDOW, by_window, from_windows, is_first, windows};
use crate::gpu::{Gpu, cube, float, reshaped, sizes};

/// Results of a block's convolution and projection, without their biases, `[N, D, H, W, C]`.
#[derive(Debug, Clone)]
pub(super) struct Products<T> {
    pub(super) conv: T,
    pub(super) skip: Option<T>,
    /// Whether the eight voxels of a window of the pool are adjacent in memory:
    /// `[N, D/2, H/2, W/2, 8, C]`.
    pub(super) by_window: bool,
}

type Weights<T> = (T, Option<T>);

fn options(weight: &[usize]) -> ConvOptions<3> {
    ConvOptions::new([1; 3], [weight[2] / 2; 3], [1; 3], 1)
}

/// Channels last, also in memory.
fn channels_last<R: CubeRuntime, BT: BoolElement>(tensor: Tensor<Gpu<R, BT>, 5>) -> CubeTensor<R> {
    let tensor = cube(tensor.permute([0, 2, 3, 4, 1]));
    if tensor.meta.strides()[4] == 1 { tensor } else { into_contiguous(tensor) }
}

/// A convolution, `[N, D, H, W, to]`.
fn convolved<R: CubeRuntime, BT: BoolElement>(
    x: Tensor<Gpu<R, BT>, 5>,
    weight: Tensor<Gpu<R, BT>, 5>,
) -> CubeTensor<R> {
    let [x, weight] = [x, weight].map(channels_last::<R, BT>);
    convolution(&x, &weight)
}

/// The rows of `[N, C, D, H, W]`, one for each voxel.
fn voxels<R: CubeRuntime, BT: BoolElement>(x: Tensor<Gpu<R, BT>, 5>) -> Tensor<Gpu<R, BT>, 2> {
    let [n, c, d, h, w] = x.dims();
    x.permute([0, 2, 3, 4, 1]).reshape([n * d * h * w, c])
}

/// A projection, `[N, D, H, W, to]`.
fn projected<R: CubeRuntime, BT: BoolElement>(
    x: Tensor<Gpu<R, BT>, 5>,
    weight: Tensor<Gpu<R, BT>, 5>,
) -> CubeTensor<R> {
    let ([n, _, d, h, w], [to, from, ..]) = (x.dims(), weight.dims());
    let weight = weight.reshape([to, from]).transpose();
    let dtype = x.dtype();
    let y = product(into_contiguous(cube(voxels(x))), cube(weight), dtype);
    reshaped::<R, BT, 2, 5>(y, [n, d, h, w, to])
}

/// The products without a tape.
pub(super) fn answering<R: CubeRuntime, BT: BoolElement>(
    x: Tensor<Gpu<R, BT>, 5>,
    (weight, skip): Weights<Tensor<Gpu<R, BT>, 5>>,
    precision: Precision,
) -> Products<CubeTensor<R>> {
    let size = x.dims();
    let x = narrow(x, precision);
    if is_first(&size, &weight.dims()) {
        let windows = windows(cube(x));
        let by = |weight| by_window::<R, BT>(&windows, size, weight, precision);
        return Products { conv: by(weight), skip: skip.map(by), by_window: true };
    }
    let skip = skip.map(|weight| projected(x.clone(), narrow(weight, precision)));
    Products { conv: convolved(x, narrow(weight, precision)), skip, by_window: false }
}

/// The backward step of a product with windows. Its parent is the weight.
#[derive(Debug)]
struct WindowStep<BT>(std::marker::PhantomData<BT>);

impl<R: CubeRuntime, BT: BoolElement> Backward<Gpu<R, BT>, 1> for WindowStep<BT> {
    /// The windows, and the shape of the weight.
    type State = (CubeTensor<R>, [usize; 5]);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Gpu<R, BT>>(&ops.node);
        let (windows, shape) = ops.state;
        let [rows, _] = sizes::<R, 2>(&windows);
        let dy = reshaped::<R, BT, 5, 2>(into_contiguous(dy), [rows, WINDOW * shape[0]]);
        let gradient = from_windows(tall::<R, BT>(windows, dy), shape);
        register::<R, BT>(grads, ops.parents[0].as_ref().map(|parent| parent.id), || cube(gradient));
    }
}

/// Both factors of a product.
#[derive(Debug, Clone)]
struct Factors<R: CubeRuntime> {
    /// `[N, from, D, H, W]`.
    x: CubeTensor<R>,
    weight: CubeTensor<R>,
    /// Type of the input before it was narrowed, and of its gradient.
    of_x: DType,
}

fn register<R: CubeRuntime, BT: BoolElement>(
    grads: &mut Gradients,
    parent: Option<NodeId>,
    gradient: impl FnOnce() -> CubeTensor<R>,
) {
    if let Some(parent) = parent {
        grads.register::<Gpu<R, BT>>(parent, gradient());
    }
}

/// `[N, C, D, H, W]` of this type, whose channels stay last in memory.
fn first_again<R: CubeRuntime, BT: BoolElement>(tensor: CubeTensor<R>, dtype: DType) -> CubeTensor<R> {
    let tensor = float::<R, BT, 5>(tensor).permute([0, 4, 1, 2, 3]);
    if dtype == DType::F32 { wide(tensor) } else { cube(tensor) }
}

/// Weights are f32, whatever the precision of multiplication.
fn wide<R: CubeRuntime, BT: BoolElement>(tensor: Tensor<Gpu<R, BT>, 5>) -> CubeTensor<R> {
    cube(if tensor.dtype() == DType::F32 { tensor } else { tensor.cast(FloatDType::F32) })
}

/// The backward step of a convolution. Its parents are the input and the weight.
#[derive(Debug)]
struct ConvStep<BT>(std::marker::PhantomData<BT>);

impl<R: CubeRuntime, BT: BoolElement> Backward<Gpu<R, BT>, 2> for ConvStep<BT> {
    type State = Factors<R>;

    fn backward(self, ops: Ops<Factors<R>, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Gpu<R, BT>>(&ops.node);
        let Factors { x, weight, of_x } = ops.state;
        let [to_x, to_weight] = ops.parents.map(|parent| parent.map(|parent| parent.id));
        let shape = sizes::<R, 5>(&weight);
        let dy_first = || cube(float::<R, BT, 5>(dy.clone()).permute([0, 4, 1, 2, 3]));
        register::<R, BT>(grads, to_weight, || {
            if shape[2] == 3 {
                let x = channels_last::<R, BT>(float(x.clone()));
                return cube(weight_gradient::<R, BT>(&x, &dy));
            }
            let gradient =
                Gpu::<R, BT>::conv3d_weight_backward(x.clone(), weight.clone(), dy_first(), options(&shape));
            wide::<R, BT>(float(gradient))
        });
        register::<R, BT>(grads, to_x, || {
            // A convolution with the mirrored filter, from the output channels to the input
            // channels.
            let turned = float::<R, BT, 5>(weight.clone()).flip([2, 3, 4]).swap_dims(0, 1);
            first_again::<R, BT>(convolution(&dy, &channels_last::<R, BT>(turned)), of_x)
        });
    }
}

/// The backward step of a projection. Its parents are the input and the weight.
#[derive(Debug)]
struct ProjectStep<BT>(std::marker::PhantomData<BT>);

impl<R: CubeRuntime, BT: BoolElement> Backward<Gpu<R, BT>, 2> for ProjectStep<BT> {
    type State = Factors<R>;

    fn backward(self, ops: Ops<Factors<R>, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = into_contiguous(grads.consume::<Gpu<R, BT>>(&ops.node));
        let Factors { x, weight, of_x } = ops.state;
        let [to_x, to_weight] = ops.parents.map(|parent| parent.map(|parent| parent.id));
        let [n, from, d, h, w] = sizes::<R, 5>(&x);
        let to = sizes::<R, 5>(&weight)[0];
        let dy = reshaped::<R, BT, 5, 2>(dy, [n * d * h * w, to]);
        register::<R, BT>(grads, to_weight, || {
            let rows = cube(voxels::<R, BT>(float(x)));
            cube(tall::<R, BT>(dy.clone(), rows).reshape([to, from, 1, 1, 1]))
        });
        register::<R, BT>(grads, to_x, || {
            let weight = float::<R, BT, 5>(weight).reshape([to, from]);
            let rows = product(dy, cube(weight), of_x);
            first_again::<R, BT>(reshaped::<R, BT, 2, 5>(rows, [n, d, h, w, from]), of_x)
        });
    }
}

type Taped<R, BT, C> = Tensor<Autodiff<Gpu<R, BT>, C>, 5>;

type Product<R, BT> = fn(Tensor<Gpu<R, BT>, 5>, Tensor<Gpu<R, BT>, 5>) -> CubeTensor<R>;

/// A product on the tape; `step` computes the gradients of `x` and `weight`.
fn of_factors<R, BT, C, S>(
    step: S,
    x: Taped<R, BT, C>,
    weight: Taped<R, BT, C>,
    precision: Precision,
    product: Product<R, BT>,
) -> Taped<R, BT, C>
where
    R: CubeRuntime,
    BT: BoolElement,
    C: CheckpointStrategy,
    S: Backward<Gpu<R, BT>, 2, State = Factors<R>>,
{
    let [x, weight] = [x, weight].map(|factor| factor.into_primitive().tensor());
    let inner = |factor: &CubeTensor<R>| narrow(float::<R, BT, 5>(factor.clone()), precision);
    let (by_x, by_weight) = (inner(&x.primitive), inner(&weight.primitive));
    let y = product(by_x.clone(), by_weight.clone());
    let factors = Factors { x: cube(by_x), weight: cube(by_weight), of_x: x.primitive.dtype };
    let output = match step.prepare::<C>([x.node, weight.node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(factors, y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    };
    Tensor::from_primitive(TensorPrimitive::Float(output))
}

/// The products on the tape.
pub(super) fn learning<R: CubeRuntime, BT: BoolElement, C: CheckpointStrategy>(
    x: Taped<R, BT, C>,
    (weight, skip): Weights<Taped<R, BT, C>>,
    precision: Precision,
) -> Products<Taped<R, BT, C>> {
    let size = x.dims();
    let tracked = !x.clone().into_primitive().tensor().node.requirement.is_none();
    // Windows give no gradient of the input, which an explanation needs and training does not.
    if !tracked && is_first(&size, &weight.dims()) {
        let windows = windows(cube(narrow(x.inner(), precision)));
        let by = |weight: Taped<R, BT, C>| {
            let shape = weight.dims();
            let weight = weight.into_primitive().tensor();
            let y = by_window::<R, BT>(&windows, size, float(weight.primitive), precision);
            let step = WindowStep::<BT>(std::marker::PhantomData);
            let output = match step.prepare::<C>([weight.node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish((windows.clone(), shape), y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            };
            Tensor::from_primitive(TensorPrimitive::Float(output))
        };
        return Products { conv: by(weight), skip: skip.map(by), by_window: true };
    }
    let skip = skip.map(|weight| {
        let step = ProjectStep::<BT>(std::marker::PhantomData);
        of_factors(step, x.clone(), weight, precision, projected::<R, BT>)
    });
    let step = ConvStep::<BT>(std::marker::PhantomData);
    let conv = of_factors(step, x, weight, precision, convolved::<R, BT>);
    Products { conv, skip, by_window: false }
}
