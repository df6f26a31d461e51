//! Stage train: volumes and a split to the best CNN3D and its history. Never sees the test part.
//!
//! A library call does the same as the command:
//!
//! ```
//! use ctpipe_train::{Config, Dataset, InMemory, Sample, Setting, train};
//!
//! // Two dark volumes of 16³ voxels of class 0, two bright ones of class 1.
//! let volumes: Vec<Vec<u16>> = [0, 60_000, 100, 59_000].map(|v| vec![v; 4096]).to_vec();
//! let samples = [0, 1, 0, 1].into_iter().enumerate().map(|(volume, label)| Sample { volume, label });
//! let samples: Vec<Sample> = samples.collect();
//! let data = Dataset { train: samples[..2].to_vec(), val: samples[2..].to_vec(), volumes: &InMemory(volumes) };
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
mod config;
mod course;
mod data;
mod epochs;
mod error;
mod fingerprint;
mod follow;
mod look;
mod memory;
mod mlflow;
mod schedule;
mod setting;
mod shelf;
mod stage;
mod tensorboard;
mod watcher;

pub use config::{Config, OnDivergence, PARAMS, Schedule, Tracking, Watched};
pub use data::{Dataset, InMemory, Sample, VolumeSource};
pub use epochs::train;
pub use error::{NotFinite, TrainError};
pub use setting::{Setting, Trained};
pub use stage::Train;
pub use watcher::{Epoch, Flow, Plan, Step, Watcher};
