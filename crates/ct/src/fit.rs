//! Which part of a series fills the volume: all of it stretched, all of it in true proportions, or
//! the lungs.

use crate::geometry::{Canonical, Stack};
use crate::resample::Cells;

/// Which part of a series fills the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fit {
    /// The whole series, stretched along each axis to fill the cube.
    #[default]
    Stretch,
    /// The whole series in true proportions, in the middle of a cube; the rest is air.
    Isotropic,
    /// The lungs with a margin of 10 mm, stretched along each axis; where no lungs are found, the
    /// body.
    Lungs,
}

impl Fit {
    /// The names as written in a pipeline file.
    pub const NAMES: &[&str] = &["stretch", "isotropic", "lungs"];

    /// The fit with the given name.
    pub fn named(name: &str) -> Option<Fit> {
        match name {
            "stretch" => Some(Fit::Stretch),
            "isotropic" => Some(Fit::Isotropic),
            "lungs" => Some(Fit::Lungs),
            _ => None,
        }
    }
}

/// Edge of the coarse volume in which the lungs are searched. Its voxels are about 3 mm, small
/// enough for the chest wall to separate the lungs from the air outside.
pub(crate) const OVERVIEW: usize = 128;
/// Tissue and blood are above this, lung and air below.
const THRESHOLD_HU: f32 = -400.0;
/// Margin around the lungs, in mm.
const MARGIN: f64 = 10.0;
/// Both lungs of a small child together are larger than this, in mm³; air in the bowel is smaller.
const LEAST_LUNGS: f64 = 200_000.0;
/// Minimum size of the smaller lung relative to the larger one.
const LEAST_PART: f64 = 0.1;

/// A box along the stack's directions, in mm, and how it was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fitted {
    pub(crate) edges: [(f64, f64); 3],
    /// Whether lungs were requested but not found, so that this is the body.
    pub(crate) fell_back: bool,
}

impl Fitted {
    pub(crate) fn whole(stack: &Stack) -> Fitted {
        Fitted { edges: stack.extent(), fell_back: false }
    }

    pub(crate) fn cells(&self, count: usize) -> [Cells; 3] {
        self.edges.map(|edges| Cells::over(edges, count))
    }

    /// The smallest cube around this box.
    pub(crate) fn cube(&self) -> Fitted {
        let longest = self.edges.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
        let edges = self.edges.map(|(low, high)| {
            let middle = 0.5 * (low + high);
            (middle - 0.5 * longest, middle + 0.5 * longest)
        });
        Fitted { edges, ..*self }
    }

    /// Finds the lungs in an overview of `OVERVIEW³` voxels over this box, or the body where there
    /// are none.
    pub(crate) fn lungs(&self, overview: &[f32], stack: &Stack) -> Fitted {
        let n = OVERVIEW;
        let steps = self.edges.map(|(low, high)| (high - low) / n as f64);
        let air: Vec<bool> = overview.iter().map(|hu| *hu < THRESHOLD_HU).collect();
        let Canonical(axes) = stack.directions.canonical();
        // Air outside the body touches a side; lungs may be cut off at the top and at the bottom.
        let upwards = axes[2].0;
        let sides: Vec<usize> = (0..3).filter(|axis| *axis != upwards).collect();
        let outside = |c: &Component| sides.iter().any(|&axis| c.low[axis] == 0 || c.high[axis] == n - 1);
        let mut inside: Vec<Component> = components(&air, n).into_iter().filter(|c| !outside(c)).collect();
        inside.sort_by_key(|c| std::cmp::Reverse(c.voxels));
        let largest = inside.first().map_or(0, |c| c.voxels);
        let lungs: Vec<&Component> =
            inside.iter().take(2).filter(|c| c.voxels as f64 >= LEAST_PART * largest as f64).collect();
        let volume = lungs.iter().map(|c| c.voxels).sum::<usize>() as f64 * steps.iter().product::<f64>();
        if volume >= LEAST_LUNGS {
            return Fitted { edges: self.around(&lungs, steps), fell_back: false };
        }
        let body: Vec<bool> = air.iter().map(|air| !air).collect();
        let body = components(&body, n).into_iter().max_by_key(|c| c.voxels);
        let edges = body.map_or(self.edges, |body| self.around(&[&body], steps));
        Fitted { edges, fell_back: true }
    }

    /// The box around components, with the margin, clipped to this box.
    fn around(&self, components: &[&Component], steps: [f64; 3]) -> [(f64, f64); 3] {
        std::array::from_fn(|axis| {
            let (low, high) = self.edges[axis];
            let first = components.iter().map(|c| c.low[axis]).min().unwrap_or(0);
            let last = components.iter().map(|c| c.high[axis]).max().unwrap_or(0);
            let from = low + first as f64 * steps[axis] - MARGIN;
            let to = low + (last + 1) as f64 * steps[axis] + MARGIN;
            (from.max(low), to.min(high))
        })
    }
}

/// Voxels that are connected through their faces.
struct Component {
    voxels: usize,
    low: [usize; 3],
    high: [usize; 3],
}

fn components(mask: &[bool], n: usize) -> Vec<Component> {
    let mut open = mask.to_vec();
    let mut found = Vec::new();
    let mut waiting = Vec::new();
    for start in 0..open.len() {
        if !open[start] {
            continue;
        }
        let mut component = Component { voxels: 0, low: [n; 3], high: [0; 3] };
        open[start] = false;
        waiting.push(start);
        while let Some(at) = waiting.pop() {
            let place = [at % n, at / n % n, at / (n * n)];
            component.voxels += 1;
            for (axis, step) in [1, n, n * n].into_iter().enumerate() {
                component.low[axis] = component.low[axis].min(place[axis]);
                component.high[axis] = component.high[axis].max(place[axis]);
                let neighbours =
                    [(place[axis] > 0).then(|| at - step), (place[axis] + 1 < n).then(|| at + step)];
                for neighbour in neighbours.into_iter().flatten() {
                    if std::mem::take(&mut open[neighbour]) {
                        waiting.push(neighbour);
                    }
                }
            }
        }
        found.push(component);
    }
    found
}
