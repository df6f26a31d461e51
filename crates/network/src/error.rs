//! The errors of a network outside its arithmetic.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not a readable `.safetensors` file.
    #[error("not a usable safetensors file: {0}")]
    Safetensors(String),
    /// A tensor is missing from the file.
    #[error("the weights have no tensor {name}; do they belong to another architecture?")]
    MissingTensor {
        /// PyTorch's name.
        name: String,
    },
    /// A tensor in the file does not belong to this network.
    #[error(
        "the weights have a tensor {name} that this network does not have; do they belong to another architecture?"
    )]
    SurplusTensor {
        /// PyTorch's name.
        name: String,
    },
    /// A tensor has a different shape or type.
    #[error("tensor {name} is {found}, expected {expected}")]
    TensorShape {
        /// PyTorch's name.
        name: String,
        /// Type and shape in the file.
        found: String,
        /// Type and shape of the architecture.
        expected: String,
    },
    /// There is no such network.
    #[error("{0}")]
    Config(String),
    /// The requested device is not available.
    #[error("{0}")]
    Device(String),
    /// The parts of a batch do not match.
    #[error("{0}")]
    Batch(String),
    /// A volume has a different number of voxels.
    #[error("a volume has {found} voxels, the network takes {size} x {size} x {size} = {}", .size.pow(3))]
    VolumeSize {
        /// Edge of the network's volumes.
        size: usize,
        /// Number of voxels found.
        found: usize,
    },
}

impl Error {
    #[allow(clippy::needless_pass_by_value)] // made for map_err
    pub(crate) fn safetensors(error: safetensors::SafeTensorError) -> Error {
        Error::Safetensors(error.to_string())
    }
}
