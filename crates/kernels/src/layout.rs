//! How volumes with several channels are laid out in memory.

use crate::buffers::Buffer;
use crate::parallel::{cut, each};

/// Channels are stored in groups of this many; the last group is padded with zeros.
pub(crate) const LANES: usize = 16;

/// `channels` rounded up to whole vectors: the distance between voxels in channels-last order.
pub fn pitch(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

/// The order of `[N, C, D, H, W]` in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As written: one volume for each channel.
    ChannelsFirst,
    /// `[N, D, H, W, pitch(C)]`: the channels of a voxel side by side, followed by zeros.
    ChannelsLast,
}

/// The extent of a batch of volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of samples.
    pub n: usize,
    /// Number of slices, rows and columns.
    pub size: [usize; 3],
}

impl Extent {
    /// Number of voxels in one sample.
    pub fn voxels(self) -> usize {
        self.size.iter().product()
    }

    /// The extent after max-pooling by 2, which drops an odd last slice, row or column.
    #[must_use]
    pub fn pooled(self) -> Extent {
        Extent { n: self.n, size: self.size.map(|edge| edge / 2) }
    }

    /// Number of values of `channels` in this layout.
    pub fn len(self, channels: usize, layout: Layout) -> usize {
        let channels = match layout {
            Layout::ChannelsFirst => channels,
            Layout::ChannelsLast => pitch(channels),
        };
        self.n * self.voxels() * channels
    }
}

/// Borrowed values of `[N, C, D, H, W]`.
#[derive(Debug, Clone, Copy)]
pub struct Volumes<'a> {
    /// The values.
    pub values: &'a [f32],
    /// The order of the values.
    pub layout: Layout,
}

impl Volumes<'_> {
    /// The same in channels-last order, copied only where necessary.
    pub(crate) fn channels_last(&self, extent: Extent, channels: usize) -> Cow<'_> {
        assert_eq!(self.values.len(), extent.len(channels, self.layout), "values of a different shape");
        match self.layout {
            Layout::ChannelsLast => Cow::Borrowed(self.values),
            Layout::ChannelsFirst => {
                let mut last = Buffer::new(extent.len(channels, Layout::ChannelsLast));
                let (voxels, pitch) = (extent.voxels(), pitch(channels));
                let parts: Vec<_> = last.chunks_mut(voxels * pitch).collect();
                each(parts, |n, to| {
                    let from = &self.values[n * voxels * channels..][..voxels * channels];
                    // Blocks of voxels that stay in the first-level cache on both sides.
                    for start in (0..voxels).step_by(64) {
                        let end = voxels.min(start + 64);
                        for (v, to) in (start..end).zip(to[start * pitch..].chunks_exact_mut(pitch)) {
                            for (c, to) in to[..channels].iter_mut().enumerate() {
                                *to = from[c * voxels + v];
                            }
                            to[channels..].fill(0.0);
                        }
                    }
                });
                Cow::Owned(last)
            }
        }
    }
}

/// Borrowed values, or a buffer of our own.
pub(crate) enum Cow<'a> {
    Borrowed(&'a [f32]),
    Owned(Buffer),
}

impl std::ops::Deref for Cow<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match self {
            Cow::Borrowed(values) => values,
            Cow::Owned(buffer) => buffer,
        }
    }
}

/// Converts from channels-last to channels-first order.
pub(crate) fn channels_first(from: &[f32], extent: Extent, channels: usize, to: &mut [f32]) {
    let (voxels, pitch) = (extent.voxels(), pitch(channels));
    let parts = cut(to, (0..extent.n).map(|_| voxels * channels));
    each(parts, |n, to| {
        let from = &from[n * voxels * pitch..][..voxels * pitch];
        for start in (0..voxels).step_by(64) {
            let end = voxels.min(start + 64);
            for c in 0..channels {
                for v in start..end {
                    to[c * voxels + v] = from[v * pitch + c];
                }
            }
        }
    });
}

/// A sample of one channel with a border of zeros one voxel wide.
pub(crate) fn padded(from: &[f32], [d, h, w]: [usize; 3], to: &mut [f32]) {
    to.fill(0.0);
    for z in 0..d {
        for y in 0..h {
            let start = ((z + 1) * (h + 2) + y + 1) * (w + 2) + 1;
            to[start..start + w].copy_from_slice(&from[(z * h + y) * w..][..w]);
        }
    }
}

/// The sixteen values starting at an index.
#[inline(always)]
pub(crate) fn at(values: &[f32], index: usize) -> &[f32; 16] {
    match values[index..].first_chunk() {
        Some(chunk) => chunk,
        None => unreachable!("sixteen values at {index}"),
    }
}

/// The same, for writing.
#[inline(always)]
pub(crate) fn at_mut(values: &mut [f32], index: usize) -> &mut [f32; 16] {
    match values[index..].first_chunk_mut() {
        Some(chunk) => chunk,
        None => unreachable!("sixteen values at {index}"),
    }
}
