//! The stage, run through the engine on models that were written by hand: its bytes, and which
//! model is chosen.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ctpipe_engine::lock::LockUse;
use ctpipe_engine::{Options, Pipeline, Selection, Spec};
use ctpipe_search::Search;
use ctpipe_stage::{Maker, Manifest, Stage};
use ctpipe_tables::EpochRow;
use ctpipe_tables::json::{self, ModelFile, SearchFile};

fn write(folder: &Path, val_auc: f64) {
    fs::create_dir(folder).unwrap();
    fs::write(folder.join(ModelFile::WEIGHTS), format!("weights of {val_auc}")).unwrap();
    fs::write(folder.join("notes.txt"), "of the user").unwrap();
    json::write(&ModelFile::default(), &folder.join(ModelFile::FILE)).unwrap();
    let epoch = EpochRow {
        epoch: 1,
        train_loss: 0.25,
        val_loss: Some(0.5),
        val_auc: Some(val_auc),
        lr: 0.125,
        best: true,
    };
    EpochRow::write(&[epoch], folder).unwrap();
}

/// When this fails, the stage writes different bytes from the same inputs: raise its version
/// together with the digest here.
#[test]
fn the_same_models_give_the_same_bytes_as_ever_and_the_best_one_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for (name, val_auc) in [("a", 0.5), ("b", 0.75), ("c", 0.625)] {
        write(&folder.path().join(name), val_auc);
    }
    let file = folder.path().join("pipeline.yaml");
    fs::write(&file, "stages:\n  search: { inputs: { models: [./a, ./b, ./c] } }\n").unwrap();
    let stages: [Arc<dyn Stage>; 1] = [Arc::new(Search)];
    let pipeline = Pipeline::new(&Spec::load(&file, None, &[]).unwrap(), &stages).unwrap();
    let stop = AtomicBool::new(false);
    let options = Options {
        selection: Selection::default(),
        keep_going: false,
        wait: false,
        paranoid: true,
        lock: LockUse::Update,
        draw: None,
        jobs: 1,
        maker: Maker::default(),
        stop: &stop,
    };
    ctpipe_engine::run::run(&pipeline, &options, &()).unwrap();
    let made = folder.path().join("artifacts/search");
    assert_eq!(fs::read_to_string(made.join(ModelFile::WEIGHTS)).unwrap(), "weights of 0.75");
    assert!(!made.join("notes.txt").exists());
    let found = SearchFile::beside(&made).unwrap().unwrap();
    let order: Vec<(Option<u32>, Option<f64>)> =
        found.candidates.iter().map(|c| (c.rank, c.val_auc)).collect();
    assert_eq!(order, [(Some(1), Some(0.75)), (Some(2), Some(0.625)), (Some(3), Some(0.5))]);
    assert_eq!((found.split, found.init_from), (None, None));
    let manifest = Manifest::read(&made).unwrap();
    assert_eq!(
        (manifest.key.version, manifest.content.as_str()),
        (2, "c78853702812b1f491de188c024b031bfe621e7b9d475014579db188451b1e63")
    );
}
