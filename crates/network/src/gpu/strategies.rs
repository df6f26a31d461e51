//! Selects the kernels of CubeK for matrix products and convolutions on tensor cores.
//!
//! Burn would try two dozen kernels for each size of a product, and compile each of them for
//! seconds before a training begins. The winner also differs from run to run, and with it the last
//! bits of every result. Here each kind of product has a list, and the first kernel that supports
//! it is used. The lists begin with the kernels that were measured as the fastest
//! (`gpu strategies`).

use std::fmt::Display;

use burn::tensor::DType;
use burn::tensor::ops::ConvOptions;
use burn_cubecl::CubeRuntime;
use burn_cubecl::kernel::conv::{ConvStrategy, conv_forward_nhwc};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::CubeDim;
use cubecl::prelude::*;
use cubek::convolution::components::Dimensionality;
use cubek::convolution::definition::{ConvBlueprint, ForwardBlueprint};
use cubek::convolution::{
    AcceleratedTileKind, ConvAlgorithm, ConvolutionArgs, ConvolutionInputs, Strategy as By, launch_ref,
};
use cubek::matmul::components::global::read::ReaderMode;
use cubek::matmul::components::global::{InputLoadFlow, LoadFlows};
use cubek::matmul::components::stage::PartitionBuffering;
use cubek::matmul::components::tile::TileMatmulKind;
use cubek::matmul::definition::{
    LoadingPrecomputeStrategy, MatmulElems, MatmulGlobalElems, TilingBlueprint, TilingScheme,
};
use cubek::matmul::launch::{Strategy, launch_ref as launch_product};
use cubek::matmul::routines::double_unit::DoubleUnitSelectionArgs;
use cubek::matmul::routines::ordered_double_buffering::OrderedSelectionArgs;
use cubek::matmul::routines::simple::SimpleArgs;
use cubek::matmul::routines::simple_unit::SimpleUnitSelectionArgs;
use cubek::matmul::routines::{BlueprintStrategy, TileSizeSelection};
use cubek::std::cube_count::{GlobalOrder, HypercubeBlueprint};
use cubek::std::stage::SwizzleMode;
use cubek::std::{InputBinding, MatrixLayout, SwizzleModes};

use crate::gpu::{THREADS, by_types, cubes_for, output_buffer};

/// Sums are f32, whatever the precision of multiplication.
fn elements(lhs: DType, rhs: DType, out: DType) -> MatmulElems {
    MatmulElems::from_globals(&MatmulGlobalElems { lhs: lhs.into(), rhs: rhs.into(), out: out.into() })
}

fn bound<R: CubeRuntime>(tensor: &CubeTensor<R>) -> InputBinding<R> {
    InputBinding::new(tensor.clone().binding(), tensor.dtype.into())
}

/// Kernels that need no tensor cores, for every device and for matrices too narrow for tensor
/// cores.
fn plain() -> Vec<Strategy> {
    let tile_size = TileSizeSelection::MaxTileSize;
    vec![
        Strategy::DoubleUnit(BlueprintStrategy::Inferred(DoubleUnitSelectionArgs { tile_size })),
        Strategy::SimpleUnit(BlueprintStrategy::Inferred(SimpleUnitSelectionArgs { tile_size })),
        Strategy::Naive,
    ]
}

/// Minimum sizes for kernels that load by tensor maps.
const FETCHED: usize = 32;
/// Minimum sizes for tensor cores.
const TILE: [usize; 2] = [8, 16];

/// Kernels for matrix products on tensor cores, the first choice first; empty where a side is too
/// narrow for them.
pub(super) fn products([m, n, k]: [usize; 3]) -> Vec<Strategy> {
    use Strategy as S;
    if m.min(n) < TILE[0] || k < TILE[1] {
        return Vec::new();
    }
    let tile_matmul = TileMatmulKind::Mma;
    let ordered = OrderedSelectionArgs {
        tile_matmul,
        partition_k: Some(2),
        row_count: Some(8),
        rows_per_plane: Some(2),
    };
    let fetched = [
        S::SpecializedTmaMma(BlueprintStrategy::default()),
        S::DoubleTmaMma(BlueprintStrategy::default()),
        S::SimpleTmaMma(BlueprintStrategy::default()),
        S::SimpleTmaMma(BlueprintStrategy::Inferred(SimpleArgs { tile_matmul, multi_rows: true })),
    ];
    let others = [
        S::SimpleCyclicMma(BlueprintStrategy::default()),
        S::DoubleCyclicMma(BlueprintStrategy::default()),
        S::SimpleCyclicCmma(BlueprintStrategy::default()),
        S::DoubleCyclicCmma(BlueprintStrategy::default()),
        S::OrderedDoubleMma(BlueprintStrategy::Inferred(ordered)),
    ];
    let even = [m, n, k].iter().all(|size| *size >= FETCHED && size.is_multiple_of(8));
    fetched.into_iter().filter(|_| even).chain(others).collect()
}

/// Kernels for convolutions on tensor cores, the first choice first. CubeK's
/// `SpecializedAsyncStrided` is not among them because it gives wrong results (off by 0.2 and NaN
/// on an H200).
pub(super) fn convolutions([from, to]: [usize; 2], dtype: DType) -> Vec<By> {
    use AcceleratedTileKind::{Cmma, Mma};
    use ConvAlgorithm as A;
    let fetched = [(A::SpecializedTma, Mma), (A::SimpleAsyncTma, Mma)];
    let others = [
        (A::SimpleSyncStrided, Mma),
        (A::SimpleSyncCyclic, Mma),
        (A::SimpleAsyncCyclic, Cmma),
        (A::SimpleSyncCyclic, Cmma),
    ];
    let even = [from, to].iter().all(|channels| channels.is_multiple_of(FETCHED));
    let all = fetched.into_iter().filter(|_| even).chain(others);
    let inferred = all.map(|(algorithm, tile_kind)| By::Inferred { algorithm, tile_kind });
    // CubeK would cut results into 128 columns, of which half would have nothing to do.
    let half = even && to == HALF && dtype == DType::BF16;
    half.then(half_as_wide).into_iter().chain(inferred).collect()
}

/// Number of columns in [`half_as_wide`].
const HALF: usize = 64;

/// CubeK's specialised kernel for convolutions to 64 channels: eight planes of 32 rows and 64
/// columns each.
fn half_as_wide() -> By {
    let tiles = TilingScheme::builder()
        .with_tile_size((16, 8, 16).into())
        .with_partition_size((2, 8, 2).into())
        .with_stage_size((8, 1, 1).into())
        .build();
    #[allow(clippy::expect_used)] // every number is set
    let tiling_scheme = tiles.expect("a scheme");
    let count = HypercubeBlueprint::builder().global_order(GlobalOrder::SwizzleRow(4));
    let swizzled = SwizzleModes { lhs: SwizzleMode::B64, rhs: SwizzleMode::B64, ..SwizzleModes::default() };
    let flows = LoadFlows { lhs: InputLoadFlow::LoadOnly, rhs: InputLoadFlow::LoadOnly };
    let matmul = TilingBlueprint {
        plane_dim: 32,
        tile_matmul: TileMatmulKind::Mma,
        tiling_scheme,
        swizzle_modes: swizzled,
        partition_buffering: PartitionBuffering::Double,
        loading_precompute_strategy: LoadingPrecomputeStrategy::default(),
        reader_mode: ReaderMode::default(),
        load_flows: flows,
        hypercube_blueprint: count.build(),
        lhs_layout: MatrixLayout::RowMajor,
        rhs_layout: MatrixLayout::ColMajor,
        check_m_bounds: true,
        check_n_bounds: false,
        check_k_bounds: true,
    };
    let forward = ForwardBlueprint { matmul, dimensionality: Dimensionality::Dim3, has_bias: false };
    By::Forced { algorithm: ConvAlgorithm::SpecializedTma, blueprint: ConvBlueprint::Forward(forward) }
}

/// Memory for `a b`.
pub(super) fn room_for<R: CubeRuntime>(a: &CubeTensor<R>, b: &CubeTensor<R>, dtype: DType) -> CubeTensor<R> {
    let rank = a.meta.shape().num_dims();
    let mut shape: Vec<usize> = a.meta.shape().iter().copied().collect();
    shape[rank - 1] = b.meta.shape()[rank - 1];
    output_buffer(a, &shape, dtype)
}

/// `a b` of `[.., m, k]` and `[.., k, n]`, as this type.
pub(super) fn product<R: CubeRuntime>(a: CubeTensor<R>, b: CubeTensor<R>, dtype: DType) -> CubeTensor<R> {
    let out = room_for(&a, &b, dtype);
    product_into(&a, &b, &out);
    out
}

/// The same, written to `out`.
pub(super) fn product_into<R: CubeRuntime>(a: &CubeTensor<R>, b: &CubeTensor<R>, out: &CubeTensor<R>) {
    let rank = a.meta.shape().num_dims();
    let [m, k] = [rank - 2, rank - 1].map(|axis| a.meta.shape()[axis]);
    let n = b.meta.shape()[rank - 1];
    let mut list = products([m, n, k]);
    if list.is_empty() {
        return small(a, b, out);
    }
    list.extend(plain());
    first(&list, |by| product_by(by, a, b, out)).unwrap_or_else(|refusals| impossible(&refusals));
}

/// The same where a side is too narrow for tensor cores: one result for each thread.
fn small<R: CubeRuntime>(a: &CubeTensor<R>, b: &CubeTensor<R>, out: &CubeTensor<R>) {
    let (a, b) = (&without_gaps(a), &without_gaps(b));
    let rank = a.meta.shape().num_dims();
    let (batches, [m, k]) = (rank == 3, [rank - 2, rank - 1].map(|axis| a.meta.shape()[axis]));
    let n = b.meta.shape()[rank - 1];
    let strides = |of: &CubeTensor<R>| {
        let of = of.meta.strides();
        [if batches { of[0] } else { 0 }, of[rank - 2], of[rank - 1]].map(|stride| stride as u32)
    };
    let ([a_batch, a_row, a_column], [b_batch, b_row, b_column]) = (strides(a), strides(b));
    by_types!(
        a.dtype,
        out.dtype,
        small_kernel(
            &a.client,
            cubes_for(out.meta.shape().num_elements()),
            CubeDim::new_1d(THREADS),
            a.clone().into_array_arg(),
            b.clone().into_array_arg(),
            out.clone().into_array_arg(),
            m as u32,
            n as u32,
            k as u32,
            a_batch,
            a_row,
            a_column,
            b_batch,
            b_row,
            b_column,
        )
    );
}

/// Burn's own operations may leave gaps after each row, which our kernels do not support.
fn without_gaps<R: CubeRuntime>(tensor: &CubeTensor<R>) -> CubeTensor<R> {
    let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
    let last: usize = shape.iter().zip(strides.iter()).map(|(size, stride)| (size - 1) * stride).sum();
    if last < shape.num_elements() { tensor.clone() } else { into_contiguous(tensor.clone()) }
}

#[cube(launch)]
fn small_kernel<F: Float, G: Float>(
    a: &Array<F>,
    b: &Array<F>,
    out: &mut Array<G>,
    m: u32,
    n: u32,
    k: u32,
    a_batch: u32,
    a_row: u32,
    a_column: u32,
    b_batch: u32,
    b_row: u32,
    b_column: u32,
) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let column = ABSOLUTE_POS % n as usize;
    let row = ABSOLUTE_POS / n as usize % m as usize;
    let batch = ABSOLUTE_POS / (n as usize * m as usize);
    let mut left = batch * a_batch as usize + row * a_row as usize;
    let mut right = batch * b_batch as usize + column * b_column as usize;
    let mut sum = 0.0f32;
    for _ in 0..k {
        sum += f32::cast_from(a[left]) * f32::cast_from(b[right]);
        left += a_column as usize;
        right += b_row as usize;
    }
    out[ABSOLUTE_POS] = G::cast_from(sum);
}

/// The same by a given kernel, if it supports the product.
pub(super) fn product_by<R: CubeRuntime>(
    by: &Strategy,
    a: &CubeTensor<R>,
    b: &CubeTensor<R>,
    out: &CubeTensor<R>,
) -> Result<(), String> {
    let mut elements = elements(a.dtype, b.dtype, out.dtype);
    launch_product(by, &a.client, bound(a), bound(b), out.clone().binding(), &mut elements)
        .map_err(|e| format!("{e:?}"))
}

/// A convolution with as many output voxels as input voxels, channels last: `[N, D, H, W, from]`
/// with `[to, k, k, k, from]`. Where there are no tensor cores, it is Burn's plain convolution.
pub(super) fn convolution<R: CubeRuntime>(x: &CubeTensor<R>, weight: &CubeTensor<R>) -> CubeTensor<R> {
    let [to, k, from] = [0, 1, 4].map(|axis| weight.meta.shape()[axis]);
    first(&convolutions([from, to], x.dtype), |by| convolution_by(by, x, weight)).unwrap_or_else(|refusals| {
        let options = ConvOptions::new([1; 3], [k / 2; 3], [1; 3], 1);
        let (x, weight) = (x.clone(), into_contiguous(weight.clone()));
        match conv_forward_nhwc::<R, 3>(x, weight, None, options, ConvStrategy::Direct) {
            Ok(made) => into_contiguous(made),
            Err(e) => impossible(&format!("{refusals}; direct: {e:?}")),
        }
    })
}

/// The same by a given kernel, if it supports the convolution.
pub(super) fn convolution_by<R: CubeRuntime>(
    by: &By,
    x: &CubeTensor<R>,
    weight: &CubeTensor<R>,
) -> Result<CubeTensor<R>, String> {
    let weight = into_contiguous(weight.clone());
    let [to, k] = [0, 1].map(|axis| weight.meta.shape()[axis]);
    let mut shape: Vec<usize> = x.meta.shape().iter().copied().collect();
    shape[4] = to;
    let out = output_buffer(x, &shape, x.dtype);
    let inputs = ConvolutionInputs::Forward {
        input: bound(x),
        weight: bound(&weight),
        bias: None,
        out: out.clone().binding(),
    };
    let args = ConvolutionArgs { stride: [1; 3], padding: [k / 2; 3], dilation: [1; 3] };
    launch_ref::<R, 3>(by, &x.client, inputs, args, elements(x.dtype, weight.dtype, x.dtype))
        .map_err(|e| format!("{e:?}"))?;
    Ok(out)
}

/// The result of the first kernel in the list that succeeds, or why none does.
fn first<S: Display, T>(list: &[S], by: impl Fn(&S) -> Result<T, String>) -> Result<T, String> {
    let mut refusals = Vec::new();
    for strategy in list {
        match by(strategy) {
            Ok(made) => return Ok(made),
            Err(why) => refusals.push(format!("{strategy}: {}", why.trim())),
        }
    }
    Err(refusals.join("; "))
}

/// Panics as Burn's own operations do when no kernel is suitable.
fn impossible(why: &str) -> ! {
    panic!("no kernel can compute this on this GPU: {why}")
}
