//! One block as the papers define it, forward and backward: slow, plain loops over f64.

#[derive(Clone)]
pub(crate) struct Definition {
    pub(crate) n: usize,
    pub(crate) size: [usize; 3],
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// `[n, from, d, h, w]`.
    pub(crate) x: Vec<f64>,
    pub(crate) weight: Vec<f64>,
    pub(crate) bias: Vec<f64>,
    pub(crate) gamma: Vec<f64>,
    pub(crate) beta: Vec<f64>,
    pub(crate) skip: Option<[Vec<f64>; 2]>,
    /// Normalises with these instead of the batch's statistics.
    pub(crate) running: Option<[Vec<f64>; 2]>,
}

pub(crate) struct Output {
    pub(crate) output: Vec<f64>,
    pub(crate) batch: Option<[Vec<f64>; 2]>,
    /// Normalised values, the voxel of each result, and whether the ReLU lets it through.
    normal: Vec<f64>,
    inverse: Vec<f64>,
    chosen: Vec<Option<usize>>,
}

pub(crate) struct Gradient {
    pub(crate) input: Vec<f64>,
    pub(crate) weight: Vec<f64>,
    pub(crate) bias: Vec<f64>,
    pub(crate) gamma: Vec<f64>,
    pub(crate) beta: Vec<f64>,
    pub(crate) skip: Option<[Vec<f64>; 2]>,
}

impl Definition {
    fn voxels(&self) -> usize {
        self.size.iter().product()
    }

    /// `(voxel, tap, neighbour)` of every neighbour inside the volume.
    fn taps(&self) -> Vec<(usize, usize, usize)> {
        let [d, h, w] = self.size;
        let mut taps = Vec::new();
        for voxel in 0..d * h * w {
            let [z, y, x] = [voxel / (h * w), voxel / w % h, voxel % w];
            for tap in 0..27 {
                let [a, b, c] = [z + tap / 9, y + tap / 3 % 3, x + tap % 3];
                if (1..=d).contains(&a) && (1..=h).contains(&b) && (1..=w).contains(&c) {
                    taps.push((voxel, tap, ((a - 1) * h + b - 1) * w + c - 1));
                }
            }
        }
        taps
    }

    pub(crate) fn forward(&self) -> Output {
        let voxels = self.voxels();
        let taps = self.taps();
        let mut y = vec![0.0; self.n * self.to * voxels];
        for n in 0..self.n {
            for o in 0..self.to {
                let y = &mut y[(n * self.to + o) * voxels..][..voxels];
                y.fill(self.bias[o]);
                for i in 0..self.from {
                    let x = &self.x[(n * self.from + i) * voxels..][..voxels];
                    let weight = &self.weight[(o * self.from + i) * 27..][..27];
                    for &(voxel, tap, neighbour) in &taps {
                        y[voxel] += weight[tap] * x[neighbour];
                    }
                }
            }
        }
        let count = (self.n * voxels) as f64;
        let of_channel = |o: usize| (0..self.n).map(move |n| (n * self.to + o) * voxels);
        let (mut mean, mut var) = (vec![0.0; self.to], vec![0.0; self.to]);
        for o in 0..self.to {
            match &self.running {
                Some([running_mean, running_var]) => (mean[o], var[o]) = (running_mean[o], running_var[o]),
                None => {
                    let values = || of_channel(o).flat_map(|start| y[start..start + voxels].iter());
                    mean[o] = values().sum::<f64>() / count;
                    var[o] = values().map(|v| (v - mean[o]).powi(2)).sum::<f64>() / count;
                }
            }
        }
        let inverse: Vec<f64> = var.iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();
        let mut normal = y;
        for o in 0..self.to {
            for start in of_channel(o) {
                for v in &mut normal[start..start + voxels] {
                    *v = (*v - mean[o]) * inverse[o];
                }
            }
        }
        let [d, h, w] = self.size;
        let [pd, ph, pw] = self.size.map(|edge| edge / 2);
        let mut output = Vec::new();
        let mut chosen = Vec::new();
        for n in 0..self.n {
            for o in 0..self.to {
                let z = |voxel: usize| {
                    let skip = self.skip.as_ref().map_or(0.0, |[weight, bias]| {
                        let along = |i: usize| {
                            weight[o * self.from + i] * self.x[(n * self.from + i) * voxels + voxel]
                        };
                        bias[o] + (0..self.from).map(along).sum::<f64>()
                    });
                    self.gamma[o] * normal[(n * self.to + o) * voxels + voxel] + self.beta[o] + skip
                };
                for p in 0..pd * ph * pw {
                    let [a, b, c] = [p / (ph * pw), p / pw % ph, p % pw];
                    let mut best: Option<(f64, usize)> = None;
                    for q in 0..8 {
                        let [a, b, c] = [2 * a + q / 4, 2 * b + q / 2 % 2, 2 * c + q % 2];
                        assert!(a < d && b < h && c < w);
                        let voxel = (a * h + b) * w + c;
                        let value = z(voxel);
                        if best.is_none_or(|(most, _)| value > most) {
                            best = Some((value, voxel));
                        }
                    }
                    let (value, voxel) = best.unwrap();
                    output.push(value.max(0.0));
                    chosen.push((value > 0.0).then_some(voxel));
                }
            }
        }
        let batch = self.running.is_none().then(|| {
            let unbiased = var.iter().map(|v| v * count / (count - 1.0).max(1.0)).collect();
            [mean, unbiased]
        });
        Output { output, batch, normal, inverse, chosen }
    }

    pub(crate) fn backward(&self, dz: &[f64]) -> Gradient {
        let found = self.forward();
        let voxels = self.voxels();
        let count = (self.n * voxels) as f64;
        let pooled = found.output.len() / (self.n * self.to);
        // The gradient of the pool's input.
        let mut dense = vec![0.0; self.n * self.to * voxels];
        for (index, (chosen, dz)) in found.chosen.iter().zip(dz).enumerate() {
            if let Some(voxel) = chosen {
                dense[index / pooled * voxels + voxel] += dz;
            }
        }
        let mut gradient = Gradient {
            input: vec![0.0; self.x.len()],
            weight: vec![0.0; self.weight.len()],
            bias: vec![0.0; self.to],
            gamma: vec![0.0; self.to],
            beta: vec![0.0; self.to],
            skip: self.skip.as_ref().map(|[a, b]| [vec![0.0; a.len()], vec![0.0; b.len()]]),
        };
        let taps = self.taps();
        for o in 0..self.to {
            for n in 0..self.n {
                for voxel in 0..voxels {
                    let at = (n * self.to + o) * voxels + voxel;
                    gradient.beta[o] += dense[at];
                    gradient.gamma[o] += dense[at] * found.normal[at];
                }
            }
            for n in 0..self.n {
                let start = (n * self.to + o) * voxels;
                let dy: Vec<f64> = (0..voxels)
                    .map(|voxel| {
                        let dn = dense[start + voxel];
                        let centred = if self.running.is_some() {
                            dn
                        } else {
                            dn - gradient.beta[o] / count
                                - found.normal[start + voxel] * gradient.gamma[o] / count
                        };
                        self.gamma[o] * found.inverse[o] * centred
                    })
                    .collect();
                gradient.bias[o] += dy.iter().sum::<f64>();
                for i in 0..self.from {
                    let at = (n * self.from + i) * voxels;
                    let filter = (o * self.from + i) * 27;
                    for &(voxel, tap, neighbour) in &taps {
                        gradient.weight[filter + tap] += dy[voxel] * self.x[at + neighbour];
                        gradient.input[at + neighbour] += dy[voxel] * self.weight[filter + tap];
                    }
                }
                let (Some([weight, _]), Some([dw, db])) = (&self.skip, &mut gradient.skip) else { continue };
                for voxel in 0..voxels {
                    let dn = dense[start + voxel];
                    db[o] += dn;
                    for i in 0..self.from {
                        let at = (n * self.from + i) * voxels + voxel;
                        dw[o * self.from + i] += dn * self.x[at];
                        gradient.input[at] += dn * weight[o * self.from + i];
                    }
                }
            }
        }
        gradient
    }
}
