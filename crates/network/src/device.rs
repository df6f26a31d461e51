//! Selects the device that a network runs on, by its name.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use ctpipe_kernels::{Isa, VARIABLE};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::probe::{Environment, missing};

/// Precision of multiplication on a GPU. Sums, parameters and BatchNorm always use 32 bits; a CPU
/// uses 32 bits for everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with the range of 32 (bfloat16), so the loss needs no scaling.
    Bf16,
}

impl Precision {
    /// As written in keys.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// A device that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor: our own kernels on Burn's Flex backend.
    Cpu,
    /// An NVIDIA GPU by its index.
    Cuda(usize),
}

impl Device {
    /// Resolves `auto` (a GPU if there is one, otherwise the CPU), `cpu`, `cuda` or `cuda:N`.
    ///
    /// # Errors
    /// When the name is unknown, or a GPU is requested and there is none.
    pub fn resolve(name: &str) -> Result<Device, Error> {
        match name {
            "cpu" => cpu(),
            "auto" => {
                if missing_cuda(0).is_none() {
                    Ok(Device::Cuda(0))
                } else {
                    cpu()
                }
            }
            "cuda" => cuda(0),
            other => match other.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
                Some(index) => cuda(index),
                None => Err(Error::Device(format!(
                    "unknown device \"{other}\"; expected auto, cpu, cuda or cuda:N"
                ))),
            },
        }
    }

    /// The kind of device. It is part of a result's identity, and the index is not.
    pub fn kind(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
        }
    }

    /// Number of GPUs that the device stands for.
    pub fn gpus(self) -> u32 {
        u32::from(self != Device::Cpu)
    }

    /// The precision that this device uses when `asked` is requested.
    pub fn precision(self, asked: Precision) -> Precision {
        if self == Device::Cpu { Precision::F32 } else { asked }
    }

    /// The properties of this device that affect the bytes of a result: its kind, the precision,
    /// and, on a CPU, how multiply-add is rounded. All instruction sets except the portable one
    /// round alike.
    pub fn facts(self, asked: Precision) -> BTreeMap<String, String> {
        let mut facts = vec![("device", self.kind()), ("precision", self.precision(asked).name())];
        if self == Device::Cpu {
            facts.push(("multiply_add", if isa().fuses() { "fused" } else { "rounded twice" }));
        }
        facts.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

fn cuda(index: usize) -> Result<Device, Error> {
    match missing_cuda(index) {
        None => Ok(Device::Cuda(index)),
        Some(why) => Err(Error::Device(format!("no CUDA device: {why}; use device: auto or cpu"))),
    }
}

/// Why a GPU cannot be used, or `None` if it can.
fn missing_cuda(index: usize) -> Option<String> {
    if !cfg!(feature = "cuda") {
        return Some("this ctpipe was built without the cuda feature".to_owned());
    }
    missing(Path::new("/"), &Environment::of_this_process(), index)
}

/// Why `auto` does not select a GPU here. It is `Some` only where this build could use one.
pub fn why_no_gpu() -> Option<String> {
    missing_cuda(0).filter(|_| cfg!(feature = "cuda"))
}

/// The instruction set of the CPU's arithmetic on this machine, chosen at run time or by
/// `CTPIPE_ISA`.
pub fn instruction_set() -> &'static str {
    isa().name()
}

/// Like [`Isa::chosen`]; [`Device::resolve`] refuses an instruction set that is not available.
pub(crate) fn isa() -> Isa {
    Isa::chosen().unwrap_or_else(|_| Isa::portable())
}

/// The CPU, if it supports what `CTPIPE_ISA` requests.
pub(crate) fn cpu() -> Result<Device, Error> {
    match Isa::chosen() {
        Ok(_) => Ok(Device::Cpu),
        Err(error) => Err(Error::Device(format!("{VARIABLE}: {error}"))),
    }
}
