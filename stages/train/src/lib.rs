//! Stage train: trains CNN3D on the volumes of a split; writes the best weights and the history.
//! Never sees the test set.
//!
//! A library call does the same as the command:
//!
//! ```
//! use ctpipe_train::{Config, Dataset, InMemory, Sample, Setting, train};
//!
//! // Two dark volumes of 16³ voxels of class 0, two bright ones of class 1.
//! let volumes: Vec<Vec<u16>> = [0, 60_000, 100, 59_000].map(|v| vec![v; 4096]).to_vec();
//! let labels = [0, 1, 0, 1].into_iter().enumerate();
//! let samples: Vec<Sample> = labels.map(|(volume, label)| Sample { volume, label }).collect();
//! let (train_set, val_set) = (samples[..2].to_vec(), samples[2..].to_vec());
//! let data = Dataset { train: train_set, val: val_set, volumes: &InMemory(volumes) };
//! let config = Config { width: 1, hidden_size: 4, epochs: 2, batch_size: 2, ..Config::default() };
//!
//! let trained = train(&config, &data, &Setting::default(), &mut ())?;
//!
//! assert_eq!(trained.history.len(), 2);
//! let bytes = trained.weights.to_safetensors()?; // loads into PyTorch
//! assert!(!bytes.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod augment;
mod balance;
mod checkpoint;
mod checks;
mod config;
mod data;
mod device_volumes;
mod epochs;
mod error;
mod fingerprint;
mod follow;
mod memory;
mod mlflow;
mod observer;
mod progress;
mod schedule;
mod session;
mod stage;
mod tensorboard;

pub use config::{Config, OnDivergence, PARAMS, Schedule, Tracking, Watched};
pub use data::{Dataset, InMemory, Sample, VolumeSource};
pub use epochs::train;
pub use error::{NotFinite, TrainError};
pub use observer::{Epoch, Flow, Plan, Step, Watcher};
pub use session::{Setting, Trained};
pub use stage::Train;
