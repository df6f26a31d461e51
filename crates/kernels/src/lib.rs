//! CPU kernels for CNN3D: all heavy operations of a training step, on slices of f32.
//!
//! The instruction set is chosen at run time ([`Isa`]). Each kernel is written once and compiled
//! for AVX-512, AVX2, NEON and plain Rust. Results do not depend on the number of threads, and are
//! the same bit by bit on every instruction set with a fused multiply-add.
//!
//! ```
//! use ctpipe_kernels::{Block, Extent, Isa, Keep, Layout, Statistics, Volumes, block};
//!
//! // One channel of 2x2x2 voxels; a filter that copies the voxel; BatchNorm that changes nothing.
//! let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
//! let mut weight = [0.0; 27];
//! weight[13] = 1.0;
//! let one = [1.0 - 1e-5];
//! let learnt = Block { from: 1, to: 1, weight: &weight, bias: &[0.0], gamma: &[1.0], beta: &[0.0], skip: None };
//! let found = block::forward(
//!     Isa::chosen()?,
//!     Extent { n: 1, size: [2; 3] },
//!     Volumes { values: &x, layout: Layout::ChannelsFirst },
//!     &learnt,
//!     Statistics::Running([&[0.0], &one]),
//!     Keep::Nothing,
//!     Layout::ChannelsFirst,
//! );
//! assert!((found.output[0] - 8.0).abs() < 1e-5);
//! # Ok::<(), ctpipe_kernels::IsaError>(())
//! ```
//!
//! The crate does not depend on Burn or any other tensor library. It is the only one with `unsafe`
//! code.

pub mod adam;
pub mod augment;
pub mod block;
pub mod buffers;
mod conv;
mod first;
mod gemm;
mod isa;
mod layout;
pub mod linear;
mod norm;
mod parallel;
mod simd;
pub mod step;
mod winograd;

pub use block::{Block, Keep, Statistics};
pub use isa::{Isa, IsaError, VARIABLE};
pub use layout::{Extent, Layout, Volumes, pitch};
