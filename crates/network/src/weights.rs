//! Weights on the host and in `model.safetensors`, under PyTorch's names and shapes, independent of
//! any tensor library.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::config::{BLOCKS, Config, Init, Slot};
use crate::error::Error;
use crate::random::{Purpose, Stream};

/// Every tensor of a network, flattened, in the order of `Config::slots`.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    pub(crate) config: Config,
    pub(crate) values: Vec<Vec<f32>>,
    /// Number of training steps in the running statistics (PyTorch's `num_batches_tracked`).
    pub(crate) steps: i64,
}

impl Weights {
    /// Newly drawn weights: the same for the same seed, on every machine.
    pub fn init(config: &Config, seed: u64) -> Weights {
        let mut stream = Stream::new(seed, Purpose::Weights);
        let values = config.slots().iter().map(|slot| draw(slot, &mut stream)).collect();
        Weights { config: config.clone(), values, steps: 0 }
    }

    /// The configuration of the network that they belong to.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The values of a tensor by its PyTorch name.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        let slots = self.config.slots();
        let index = slots.iter().position(|slot| slot.name == name)?;
        self.values.get(index).map(Vec::as_slice)
    }

    /// Every tensor with its PyTorch name.
    pub fn named(&self) -> impl Iterator<Item = (String, &[f32])> {
        self.shaped().map(|(name, _, values)| (name, values))
    }

    /// The same with the shapes of the tensors.
    pub fn shaped(&self) -> impl Iterator<Item = (String, Vec<usize>, &[f32])> {
        let slots = self.config.slots().into_iter();
        slots.zip(&self.values).map(|(slot, values)| (slot.name, slot.shape, values.as_slice()))
    }

    /// Number of batches in the running statistics (PyTorch's `num_batches_tracked`).
    pub fn tracked(&self) -> i64 {
        self.steps
    }

    /// The same network with different values and this number of batches in them; `None` where a
    /// value is missing or has a different length.
    pub fn with_named(
        &self,
        tracked: i64,
        mut tensor: impl FnMut(&str) -> Option<Vec<f32>>,
    ) -> Option<Weights> {
        let slots = self.config.slots();
        let values = slots.iter().map(|slot| tensor(&slot.name).filter(|values| values.len() == slot.len()));
        Some(Weights { config: self.config.clone(), values: values.collect::<Option<_>>()?, steps: tracked })
    }

    /// The bytes of a `.safetensors` file that PyTorch's module of the same shape loads.
    ///
    /// # Errors
    /// When the writer of the format refuses.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, Error> {
        let slots = self.config.slots();
        let steps = self.steps.to_le_bytes();
        let bytes: Vec<Vec<u8>> =
            self.values.iter().map(|v| v.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
        let mut views = BTreeMap::new();
        for (slot, bytes) in slots.iter().zip(&bytes) {
            let view = TensorView::new(Dtype::F32, slot.shape.clone(), bytes);
            views.insert(slot.name.clone(), view.map_err(Error::safetensors)?);
        }
        for block in 0..BLOCKS {
            let view = TensorView::new(Dtype::I64, Vec::new(), &steps).map_err(Error::safetensors)?;
            views.insert(format!("bn.{block}.num_batches_tracked"), view);
        }
        safetensors::serialize(views, None::<HashMap<String, String>>).map_err(Error::safetensors)
    }

    /// Edge of the volumes that the weights in a file are for, if they match `config` in everything
    /// else.
    pub fn size_in(bytes: &[u8], config: &Config) -> Option<usize> {
        let file = SafeTensors::deserialize(bytes).ok()?;
        let prefix = prefix(&file);
        config
            .arch
            .size_with(config, |name| Some(file.tensor(&format!("{prefix}{name}")).ok()?.shape().to_vec()))
    }

    /// Reads weights for the given configuration.
    ///
    /// # Errors
    /// When the file is not a `.safetensors` file, or a tensor is missing or has a different shape
    /// or type. The error gives the tensor's name, what was found and what was expected.
    pub fn from_safetensors(bytes: &[u8], config: &Config) -> Result<Weights, Error> {
        config.check()?;
        let file = SafeTensors::deserialize(bytes).map_err(Error::safetensors)?;
        let slots = config.slots();
        let prefix = prefix(&file);
        let values = slots.iter().map(|slot| read(&file, prefix, slot)).collect::<Result<_, _>>()?;
        // Like PyTorch's strict loading: a tensor that is present but unused indicates a different
        // network.
        let known =
            |name: &str| name.ends_with("num_batches_tracked") || slots.iter().any(|slot| slot.name == name);
        let ours = file.names().into_iter().filter_map(|name| name.strip_prefix(prefix));
        let mut surplus: Vec<&str> = ours.filter(|name| !known(name)).collect();
        surplus.sort_unstable();
        if let Some(name) = surplus.first() {
            return Err(Error::SurplusTensor { name: (*name).to_owned() });
        }
        let steps = file
            .tensor("bn.0.num_batches_tracked")
            .ok()
            .and_then(|view| view.data().try_into().ok().map(i64::from_le_bytes))
            .unwrap_or(0);
        Ok(Weights { config: config.clone(), values, steps })
    }
}

/// The prefix that a training's checkpoint puts before the names of the weights for inference;
/// empty for a file of weights alone.
fn prefix(file: &SafeTensors<'_>) -> &'static str {
    let has = |prefix: &str| file.names().iter().any(|name| name.starts_with(prefix));
    ["average.", "weights."].into_iter().find(|prefix| has(prefix)).unwrap_or_default()
}

fn read(file: &SafeTensors<'_>, prefix: &str, slot: &Slot) -> Result<Vec<f32>, Error> {
    let name = slot.name.clone();
    let view =
        file.tensor(&format!("{prefix}{name}")).map_err(|_| Error::MissingTensor { name: name.clone() })?;
    if view.shape() != slot.shape || view.dtype() != Dtype::F32 {
        return Err(Error::TensorShape {
            name,
            found: format!("{:?} {:?}", view.dtype(), view.shape()),
            expected: format!("F32 {:?}", slot.shape),
        });
    }
    Ok(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn draw(slot: &Slot, stream: &mut Stream) -> Vec<f32> {
    match slot.init {
        Init::Constant(value) | Init::Running(value) => vec![value; slot.len()],
        Init::Uniform { fan_in } => {
            let bound = 1.0 / (fan_in as f32).sqrt();
            (0..slot.len()).map(|_| (2.0 * stream.unit() - 1.0) * bound).collect()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn small() -> Config {
        Config { width: 1, hidden_size: 3, ..Config::default() }
    }

    #[test]
    fn weights_survive_the_file_bit_by_bit() {
        let weights = Weights { steps: 17, ..Weights::init(&small(), 5) };
        let bytes = weights.to_safetensors().unwrap();
        assert_eq!(bytes, weights.to_safetensors().unwrap());
        assert_eq!(Weights::from_safetensors(&bytes, &small()).unwrap(), weights);
    }

    #[test]
    fn another_shape_is_named_with_what_was_found_and_expected() {
        let bytes = Weights::init(&small(), 5).to_safetensors().unwrap();
        let other = Config { width: 2, ..small() };
        let error = Weights::from_safetensors(&bytes, &other).unwrap_err().to_string();
        assert!(error.contains("conv.0.weight") && error.contains("[1, 1, 3, 3, 3]"), "{error}");
        assert!(error.contains("[2, 1, 3, 3, 3]"), "{error}");
        let plain = Config { residual: false, ..small() };
        let bytes = Weights::init(&plain, 5).to_safetensors().unwrap();
        let error = Weights::from_safetensors(&bytes, &small()).unwrap_err().to_string();
        assert!(error.contains("skip.0.weight"), "{error}");
    }

    #[test]
    fn the_start_stays_within_the_bound_and_depends_on_the_seed() {
        let weights = Weights::init(&small(), 5);
        let bound = 1.0 / 27f32.sqrt();
        assert!(weights.get("conv.0.weight").unwrap().iter().all(|w| w.abs() <= bound));
        assert_ne!(weights, Weights::init(&small(), 6));
    }
}
