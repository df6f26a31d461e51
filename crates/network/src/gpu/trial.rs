//! Measures how long each kernel that `strategies` knows takes for each product of a training step,
//! and how far its result is from that of the plainest kernel. For benchmarks: the order of the
//! lists in `strategies` comes from here.

use std::fmt::Display;
use std::marker::PhantomData;
use std::time::Instant;

use burn::tensor::backend::Backend;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use burn_cubecl::kernel::conv::{ConvStrategy, conv_forward_nhwc};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeRuntime};
use cubek::matmul::launch::Strategy;

use crate::config::Config;
use crate::device::Precision;
use crate::gpu::linear::TERMS;
use crate::gpu::split_k;
use crate::gpu::strategies::{convolution_by, convolutions, product_by, products, room_for};
use crate::gpu::{Gpu, cube, float};
use crate::random::{Purpose, Stream};

/// One kernel at one product.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The product, with its sizes.
    pub product: String,
    /// The kernel.
    pub kernel: String,
    /// Its median time in seconds and its relative error, or why it cannot run.
    pub found: Result<(f64, f64), String>,
}

const REPEATS: usize = 5;

/// Number of values that are compared, at both ends of a result.
const LOOKED_AT: usize = 1 << 16;

struct Ground<'a, R: CubeRuntime, BT: BoolElement> {
    device: &'a R::Device,
    dtype: FloatDType,
    stream: Stream,
    chosen: &'a dyn Fn(&str) -> bool,
    told: &'a dyn Fn(&Trial),
    of: PhantomData<Gpu<R, BT>>,
}

impl<R: CubeRuntime, BT: BoolElement> Ground<'_, R, BT> {
    fn draw<const D: usize>(&mut self, shape: [usize; D]) -> CubeTensor<R> {
        // A few random numbers, repeated: enough to tell right from wrong.
        let len = shape.iter().product::<usize>();
        let some = len.min(100_003);
        let values: Vec<f32> = (0..some).map(|_| self.stream.unit() - 0.5).collect();
        let values = (0..len).map(|i| values[i % some]).collect::<Vec<f32>>();
        cube(Tensor::<Gpu<R, BT>, D>::from_data(TensorData::new(values, shape), self.device).cast(self.dtype))
    }

    /// Both ends of a result, as f32.
    fn ends<const D: usize>(tensor: CubeTensor<R>) -> Vec<f32> {
        let flat = float::<R, BT, D>(tensor);
        let len = flat.dims().iter().product::<usize>();
        let flat = flat.reshape([len]);
        let some = len.min(LOOKED_AT);
        let first = flat.clone().narrow(0, 0, some).cast(FloatDType::F32);
        let last = flat.narrow(0, len - some, some).cast(FloatDType::F32);
        [first, last]
            .into_iter()
            .flat_map(|end| end.into_data().to_vec::<f32>().unwrap_or_default())
            .collect()
    }

    fn try_all<const D: usize, S: Display>(
        &mut self,
        product: &str,
        kernels: &[S],
        right: impl FnOnce() -> CubeTensor<R>,
        by: impl Fn(&S) -> Result<CubeTensor<R>, String>,
    ) {
        let chosen: Vec<&S> =
            kernels.iter().filter(|kernel| (self.chosen)(&format!("{product} {kernel}"))).collect();
        if chosen.is_empty() {
            return;
        }
        let right = Self::ends::<D>(right());
        for kernel in chosen {
            let found = by(kernel).map(|made| {
                let made = Self::ends::<D>(made);
                let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
                let off = square(&mut made.iter().zip(&right).map(|(a, b)| f64::from(a - b)));
                let off = (off / square(&mut right.iter().map(|&b| f64::from(b)))).sqrt();
                (self.timed(|| drop(by(kernel))), off)
            });
            (self.told)(&Trial { product: product.to_owned(), kernel: kernel.to_string(), found });
        }
    }

    fn timed(&self, work: impl Fn()) -> f64 {
        let mut seconds = Vec::new();
        for _ in 0..REPEATS {
            let _ = Gpu::<R, BT>::sync(self.device);
            let clock = Instant::now();
            // Several runs for each measurement, because waiting for the device takes time as well.
            (0..4).for_each(|_| work());
            let _ = Gpu::<R, BT>::sync(self.device);
            seconds.push(clock.elapsed().as_secs_f64() / 4.0);
        }
        seconds.sort_by(f64::total_cmp);
        seconds[REPEATS / 2]
    }

    fn matrices(&mut self, name: &str, [batch, m, n, k]: [usize; 4], turned: [bool; 2], out: DType) {
        let title = format!("{name} {batch}x[{m},{k}]x[{k},{n}]");
        let mut drawn = |turned: bool, rows: usize, columns: usize| {
            if turned {
                let drawn = self.draw([batch, columns, rows]);
                cube(float::<R, BT, 3>(drawn).swap_dims(1, 2))
            } else {
                self.draw([batch, rows, columns])
            }
        };
        let (a, b) = (drawn(turned[0], m, k), drawn(turned[1], k, n));
        let made = |by: &Strategy, a: &CubeTensor<R>, b: &CubeTensor<R>, out: DType| {
            let to = room_for(a, b, out);
            product_by(by, a, b, &to).map(|()| to)
        };
        let by = |by: &Strategy| made(by, &a, &b, out);
        let right = || {
            let wide = |x: &CubeTensor<R>| cube(float::<R, BT, 3>(x.clone()).cast(FloatDType::F32));
            made(&Strategy::Naive, &wide(&a), &wide(&b), DType::F32).unwrap_or_else(|_| a.clone())
        };
        self.try_all::<3, _>(&title, &products([m, n, k]), right, by);
    }

    fn convolution(&mut self, batch: usize, edge: usize, [from, to]: [usize; 2]) {
        let title = format!("convolution [{batch},{edge}^3,{from}->{to}]");
        let x = self.draw([batch, edge, edge, edge, from]);
        let weight = self.draw([to, 3, 3, 3, from]);
        let by = |by: &_| convolution_by(by, &x, &weight);
        let right = || {
            let wide = |x: &CubeTensor<R>| cube(float::<R, BT, 5>(x.clone()).cast(FloatDType::F32));
            let options = ConvOptions::new([1; 3], [1; 3], [1; 3], 1);
            conv_forward_nhwc::<R, 3>(wide(&x), wide(&weight), None, options, ConvStrategy::Direct)
                .unwrap_or_else(|e| panic!("{e:?}"))
        };
        self.try_all::<5, _>(&title, &convolutions([from, to], x.dtype), right, by);
    }
}

/// Every kernel at every product of a step on `batch` volumes, if its name is selected.
pub(crate) fn trials<R: CubeRuntime, BT: BoolElement>(
    of: PhantomData<Gpu<R, BT>>,
    config: &Config,
    batch: usize,
    precision: Precision,
    device: &R::Device,
    chosen: &dyn Fn(&str) -> bool,
    told: &dyn Fn(&Trial),
) {
    let stream = Stream::new(1, Purpose::Weights);
    let (dtype, narrow) = match precision {
        Precision::F32 => (FloatDType::F32, DType::F32),
        Precision::Bf16 => (FloatDType::BF16, DType::BF16),
    };
    let mut ground = Ground::<R, BT> { device, dtype, stream, chosen, told, of };
    let mut edge = config.size;
    for (block, (from, to)) in config.channels().into_iter().enumerate() {
        let voxels = batch * edge.pow(3);
        if block == 0 {
            ground.matrices("windows", [1, voxels / 8, 8 * to, 64], [false, true], narrow);
            let shares = split_k::shares(64 * 8 * to, voxels / 8);
            let sizes = [shares, 64, 8 * to, voxels / 8 / shares];
            ground.matrices("windows' gradient", sizes, [true, false], DType::F32);
        } else {
            ground.convolution(batch, edge, [from, to]);
            ground.convolution(batch, edge, [to, from]);
            let shares = split_k::shares(3 * from * to, voxels);
            let terms = (voxels / shares).next_multiple_of(16);
            ground.matrices("taps", [shares, to, 3 * from, terms], [true, false], DType::F32);
            ground.matrices("projection", [1, voxels, to, from], [false, true], narrow);
        }
        edge /= 2;
    }
    let features = config.last_channels() * edge.pow(3);
    let hidden = config.hidden_size;
    let shares = features / TERMS;
    ground.matrices("linear", [shares, batch, hidden, TERMS], [false, true], DType::F32);
    ground.matrices("linear, back", [shares, batch, TERMS, hidden], [false; 2], DType::F32);
    ground.matrices("linear's gradient", [1, hidden, features, batch], [true, false], DType::F32);
}
