//! What can go wrong with a network outside of its arithmetic.

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a readable `.safetensors` file.
    #[error("not a usable safetensors file: {0}")]
    Safetensors(String),
    /// A tensor is not in the file.
    #[error("the weights have no tensor {name}; do they belong to another architecture?")]
    MissingTensor {
        /// PyTorch's name.
        name: String,
    },
    /// A tensor in the file is not of this network.
    #[error(
        "the weights have a tensor {name}, which this network has not; do they belong to another architecture?"
    )]
    SurplusTensor {
        /// PyTorch's name.
        name: String,
    },
    /// A tensor has another shape or type.
    #[error("tensor {name} is {found}, expected {expected}")]
    TensorShape {
        /// PyTorch's name.
        name: String,
        /// Type and shape in the file.
        found: String,
        /// Type and shape of the architecture.
        expected: String,
    },
    /// There is no such architecture.
    #[error("{0}")]
    Config(String),
    /// The device asked for is not there.
    #[error("{0}")]
    Device(String),
    /// A batch that does not fit together.
    #[error("{0}")]
    Batch(String),
    /// A volume has another number of voxels.
    #[error("a volume has {found} voxels, the network takes {size} x {size} x {size} = {}", .size.pow(3))]
    VolumeSize {
        /// Edge of the network's volumes.
        size: usize,
        /// Voxels found.
        found: usize,
    },
}

impl Error {
    #[allow(clippy::needless_pass_by_value)] // made for map_err
    pub(crate) fn safetensors(error: safetensors::SafeTensorError) -> Error {
        Error::Safetensors(error.to_string())
    }
}
