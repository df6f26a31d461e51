//! Which device a network runs on, asked for by name. Knows no network.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::Error;

/// A device that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor, through Burn's Flex backend.
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
            "cpu" => Ok(Device::Cpu),
            "auto" => Ok(if missing_cuda().is_none() { Device::Cuda(0) } else { Device::Cpu }),
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

    /// What of this device changes the bytes of a result: its kind and the precision used on it.
    pub fn facts(self) -> BTreeMap<String, String> {
        let facts = [("device", self.kind()), ("precision", "f32")];
        facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
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
    match missing_cuda() {
        None => Ok(Device::Cuda(index)),
        Some(why) => Err(Error::Device(format!("no CUDA device: {why}; use device: auto or cpu"))),
    }
}

/// Why CUDA cannot be used, or `None`. Asked of the system and not of the driver: creating a CUDA
/// device without a driver panics.
fn missing_cuda() -> Option<&'static str> {
    if !cfg!(feature = "cuda") {
        return Some("this ctpipe was built without the cuda feature");
    }
    let device = std::path::Path::new("/dev/nvidia0").exists();
    let driver = std::path::Path::new("/proc/driver/nvidia/version").exists();
    (!device || !driver).then_some("there is no NVIDIA driver or device")
}

/// The instruction set that the CPU's arithmetic uses on this machine: chosen at run time, and
/// able to change the last bits of a result.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "avx512";
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return "avx2";
        }
        "sse2"
    }
    #[cfg(target_arch = "aarch64")]
    {
        "neon"
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        "portable"
    }
}
