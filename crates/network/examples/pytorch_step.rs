//! One training step from a file written by `benches/pytorch_peer.py step`, for a comparison number
//! by number.
//!
//! `cargo run --example pytorch_step -- IN.safetensors OUT.safetensors`. It writes loss, logits,
//! `grad.*`, and `after.*` (the weights after one step of Adam) under the same names. `adam.*` are
//! the weights after a step of Adam alone, along PyTorch's gradients.
#![allow(clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::error::Error;

use ctpipe_kernels::Isa;
use ctpipe_kernels::adam::{Step, adam};
use ctpipe_network::{Batch, Config, Device, Learning, Loss, LossKind, Network, Trainer, Voxels, Weights};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

const LR: f64 = 1e-3;
const WEIGHT_DECAY: f64 = 1e-4;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = args.as_slice() else { return Err("usage: pytorch_step IN OUT".into()) };
    let bytes = std::fs::read(from)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let width = file.tensor("weight.conv.0.bias")?.shape()[0];
    let hidden_size = file.tensor("weight.fc1.bias")?.shape()[0];
    let residual = file.tensor("weight.skip.0.bias").is_ok();
    let config = Config { width, residual, hidden_size, dropout_rate: 0.0, ..Config::default() };
    let weights = Weights::from_safetensors(&weights_of(&file)?, &config)?;
    let voxels = floats(&file.tensor("input")?)?;
    let labels: Vec<u8> = file
        .tensor("target")?
        .data()
        .as_chunks::<8>()
        .0
        .iter()
        .map(|b| i64::from_le_bytes(*b) as u8)
        .collect();
    let loss = Loss { kind: LossKind::CrossEntropy, ..Loss::default() };

    let learning = Learning { weight_decay: WEIGHT_DECAY, decay_all: true, ..Learning::default() };
    let mut trainer = Trainer::new(&weights, learning, 0, Device::Cpu)?;
    let batch = Batch { voxels: Voxels::Scaled(&voxels), labels: &labels, changes: &[] };
    let seen = trainer.step_seen(&batch, &loss, LR)?;
    let after = trainer.weights();
    let mut out = BTreeMap::from([("loss".to_owned(), trainer.losses()), ("logits".to_owned(), seen.logits)]);
    for (name, gradient) in seen.gradients {
        let theirs = floats(&file.tensor(&format!("grad.{name}"))?)?;
        let mut value = floats(&file.tensor(&format!("weight.{name}"))?)?;
        let (mut first, mut second) = (vec![0.0; value.len()], vec![0.0; value.len()]);
        let step = Step {
            beta1: 0.9,
            beta2: 0.999,
            step_size: LR / (1.0 - 0.9),
            correction: (1.0_f64 - 0.999).sqrt(),
            epsilon: 1e-8,
            weight_decay: WEIGHT_DECAY,
            shrink: 1.0,
        };
        adam(Isa::chosen()?, step, &mut value, [&mut first, &mut second], &theirs);
        out.insert(format!("adam.{name}"), value);
        let moved = after.get(&name).ok_or("a tensor without a value")?;
        out.insert(format!("after.{name}"), moved.to_vec());
        out.insert(format!("grad.{name}"), gradient);
    }
    for name in file.names() {
        if let Some(running) = name.strip_prefix("after.").filter(|n| n.contains("running")) {
            out.insert(name.to_owned(), after.get(running).ok_or("no running statistics")?.to_vec());
        }
    }
    let logits = Network::new(&after, Device::Cpu)?.logits(Voxels::Scaled(&voxels))?;
    out.insert("eval_logits".to_owned(), logits.concat());

    let bytes: Vec<(String, Vec<u8>)> = out
        .into_iter()
        .map(|(name, values)| (name, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, bytes)| Ok((name.clone(), TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    std::fs::write(to, safetensors::serialize(views, None)?)?;
    Ok(())
}

/// Numbers of either precision; PyTorch's f64 values were drawn in f32.
fn floats(view: &TensorView<'_>) -> Result<Vec<f32>, Box<dyn Error>> {
    match view.dtype() {
        Dtype::F32 => Ok(view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F64 => {
            Ok(view.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect())
        }
        other => Err(format!("{other:?} instead of floating point").into()),
    }
}

/// The tensors `weight.*` as a file of their own, in f32.
fn weights_of(file: &SafeTensors<'_>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        let Some(name) = name.strip_prefix("weight.").filter(|n| !n.ends_with("num_batches_tracked")) else {
            continue;
        };
        let bytes: Vec<u8> = floats(&view)?.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensors.push((name.to_owned(), view.shape().to_vec(), bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(safetensors::serialize(views, None)?)
}
