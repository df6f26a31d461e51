//! Which device a network runs on, asked for by name. Knows no network.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use ctpipe_kernels::{Isa, VARIABLE};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::probe::{Environment, missing};

/// In what a GPU multiplies. Sums, learnt values and BatchNorm are in 32 bits either way; a CPU computes all in 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with the range of 32 (bfloat16): the loss needs no scaling.
    Bf16,
}

impl Precision {
    /// As it stands in keys.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// A device that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor: kernels of our own on Burn's Flex backend.
    Cpu,
    /// An NVIDIA GPU by its index.
    Cuda(usize),
}

impl Device {
    /// `auto` (a GPU that is there, otherwise the CPU), `cpu`, `cuda` or `cuda:N`.
    ///
    /// # Errors
    /// When the name is unknown, or a GPU is asked for and there is none.
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

    /// The kind of device, which is part of a result's identity; its index is not.
    pub fn kind(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
        }
    }

    /// GPUs that it is.
    pub fn gpus(self) -> u32 {
        u32::from(self != Device::Cpu)
    }

    /// The precision that is used on it where this one is asked for.
    pub fn precision(self, asked: Precision) -> Precision {
        if self == Device::Cpu { Precision::F32 } else { asked }
    }

    /// What of this device changes the bytes of a result: its kind, the precision used on it, and on a
    /// CPU how a product and a sum are rounded, which all instruction sets but the portable one do alike.
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

/// Why a GPU cannot be used, or `None`.
fn missing_cuda(index: usize) -> Option<String> {
    if !cfg!(feature = "cuda") {
        return Some("this ctpipe was built without the cuda feature".to_owned());
    }
    missing(Path::new("/"), &Environment::of_this_process(), index)
}

/// Why `auto` is not a GPU here, for who expects one: only where this ctpipe could use one.
pub fn why_no_gpu() -> Option<String> {
    missing_cuda(0).filter(|_| cfg!(feature = "cuda"))
}

/// The instruction set that the CPU's arithmetic uses on this machine: chosen at run time, or by
/// `CTPIPE_ISA`.
pub fn instruction_set() -> &'static str {
    isa().name()
}

/// As [`Isa::chosen`]; one that was asked for in vain is refused by [`Device::resolve`].
pub(crate) fn isa() -> Isa {
    Isa::chosen().unwrap_or_else(|_| Isa::portable())
}

/// The CPU, if it can do what `CTPIPE_ISA` asks for.
pub(crate) fn cpu() -> Result<Device, Error> {
    match Isa::chosen() {
        Ok(_) => Ok(Device::Cpu),
        Err(error) => Err(Error::Device(format!("{VARIABLE}: {error}"))),
    }
}
