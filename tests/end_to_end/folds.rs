//! Cross-validation and grid search through the binary, as in `examples/`: the test set of each
//! fold, the summary of the folds, the chosen model, and what is trained again.

use std::collections::BTreeMap;
use std::fs;

use ctpipe_tables::json::{FoldsFile, MetricsFile, ModelFile, SearchFile};
use ctpipe_tables::{EpochRow, Part, PredictionRow, SplitRow, Table};
use serde::de::DeserializeOwned;

use crate::harness::{Said, Sandbox};

/// The fastest possible training, for stages with these names.
fn quick(trainings: &str, evaluations: &str) -> Vec<String> {
    let of = |stages: &str, settings: &[&str]| -> Vec<String> {
        let stages = stages.split(' ');
        stages.flat_map(|stage| settings.iter().map(move |set| format!("--set={stage}.{set}"))).collect()
    };
    [
        of(trainings, &["width=1", "hidden_size=4", "epochs=2", "device=cpu"]),
        of(evaluations, &["n_bootstrap=100", "saliency_cases=0", "device=cpu"]),
    ]
    .concat()
}

fn run(sandbox: &Sandbox, file: &str, settings: &[String], more: &[&str]) -> Said {
    let mut arguments = vec!["run", "--json", "--pipeline", file];
    arguments.extend(settings.iter().map(String::as_str));
    arguments.extend(more);
    sandbox.ctpipe(&arguments)
}

fn json<T: DeserializeOwned>(sandbox: &Sandbox, path: &str) -> T {
    serde_json::from_str(&fs::read_to_string(sandbox.path(path)).unwrap()).unwrap()
}

/// The area under the ROC curve by its definition: the fraction of pairs in the right order.
fn auc(rows: &[&PredictionRow]) -> f64 {
    let of = |label: u32| rows.iter().filter(move |row| row.label == label);
    let pairs = of(1).flat_map(|ill| of(0).map(move |well| (ill.probability, well.probability)));
    let right =
        pairs.map(|(ill, well)| if ill > well { 1.0 } else { f64::from(u8::from(ill == well)) / 2.0 });
    right.sum::<f64>() / (of(0).count() * of(1).count()) as f64
}

#[test]
fn a_cross_validation_tests_every_series_once_and_its_figures_are_those_by_hand() {
    let sandbox = Sandbox::new();
    let file = "cross_validation.yaml";
    sandbox.write(file, include_str!("../../examples/cross_validation.yaml"));
    let mut settings = quick("train train_folds", "evaluate evaluate_folds");
    settings.extend(["train", "train_folds"].map(|stage| format!("--set={stage}.batch_size=4")));
    settings.extend(["--set=split_folds.k_folds=3".into(), "--set=folds.n_bootstrap=100".into()]);
    let of_folds =
        |folds: &str| [settings.clone(), vec![format!("--set=split_folds.matrix.fold={folds}")]].concat();
    let two = run(&sandbox, file, &of_folds("[0, 1]"), &["folds"]).expect(0).ran();
    assert!(two.contains(&"train_folds@fold=1".to_owned()) && !two.contains(&"train".to_owned()), "{two:?}");
    let summary: FoldsFile = json(&sandbox, "artifacts/folds/metrics.json");
    assert_eq!(summary.notes[0].code, "folds_missing", "{:?}", summary.notes);
    // One more fold: only that fold is split, trained and evaluated.
    let third = run(&sandbox, file, &of_folds("[0, 1, 2]"), &["folds"]).expect(0).ran();
    let expected = ["evaluate_folds@fold=2", "folds", "split_folds@fold=2", "train_folds@fold=2"];
    assert_eq!(third, expected);
    run(&sandbox, file, &of_folds("[0, 1, 2]"), &[]).expect(0);
    assert!(run(&sandbox, file, &of_folds("[0, 1, 2]"), &[]).expect(0).ran().is_empty());

    let artifact = |stage: &str| sandbox.path(&format!("artifacts/{stage}"));
    let pooled = PredictionRow::read(&artifact("folds")).unwrap();
    let mut tested: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let (mut aucs, mut sensitivities, mut found) = (Vec::new(), Vec::new(), 0);
    for fold in 0..3 {
        let split = SplitRow::read(&artifact(&format!("split_folds@fold={fold}"))).unwrap();
        for row in &split {
            let tested = tested.entry(row.series_uid.clone()).or_default();
            assert_eq!(row.fold == fold, row.split == Part::Test.as_str(), "{}", row.series_uid);
            tested.extend((row.split == Part::Test.as_str()).then_some(fold));
        }
        let evaluation = artifact(&format!("evaluate_folds@fold={fold}"));
        let predictions = PredictionRow::read(&evaluation).unwrap();
        let test: Vec<&PredictionRow> =
            predictions.iter().filter(|row| row.split == Part::Test.as_str()).collect();
        assert!(test.iter().all(|row| pooled.contains(row)));
        aucs.push(auc(&test));
        let ill: Vec<_> = test.iter().filter(|row| row.label == 1).collect();
        let here = ill.iter().filter(|row| row.decision).count();
        found += here as u64;
        sensitivities.push(here as f64 / ill.len() as f64);
    }
    assert!(tested.values().all(|folds| folds.len() == 1), "{tested:?}");
    let uids: Vec<&String> = pooled.iter().map(|row| &row.series_uid).collect();
    assert_eq!(uids, tested.keys().collect::<Vec<_>>());

    let summary: FoldsFile = json(&sandbox, "artifacts/folds/metrics.json");
    let mean = |of: &[f64]| of.iter().sum::<f64>() / 3.0;
    let deviation = |of: &[f64]| (of.iter().map(|x| (x - mean(of)).powi(2)).sum::<f64>() / 2.0).sqrt();
    for (ours, by_hand) in [
        (&summary.mean.auc, mean(&aucs)),
        (&summary.standard_deviation.auc, deviation(&aucs)),
        (&summary.mean.sensitivity, mean(&sensitivities)),
        (&summary.standard_deviation.sensitivity, deviation(&sensitivities)),
        (&summary.pooled.auc, auc(&pooled.iter().collect::<Vec<_>>())),
    ] {
        assert!((ours.value.unwrap() - by_hand).abs() < 1e-12, "{ours:?} {by_hand}");
    }
    assert_eq!((summary.pooled.samples, summary.pooled.confusion.unwrap().tp), (pooled.len() as u64, found));
    let history = sandbox.ctpipe(&["history", "--json"]).stdout;
    assert!(history.contains("\"mean.auc.value\"") && history.contains("\"pooled.auc.ci_low\""));
    let page = fs::read_to_string(artifact("report").join("report.html")).unwrap();
    assert!(page.contains("Cross-validation</h3>") && artifact("report").join("plots/folds.svg").exists());
    assert!(
        page.contains("<th scope=\"row\">fold&#x3d;2</th>") || page.contains("<th scope=\"row\">fold=2</th>")
    );
    assert!(!page.contains("Search</h3>"));
    assert!(
        summary.notes.is_empty()
            && page.contains("every series is tested once, by a model that has not seen its patient")
    );
    // A misspelt input: the final model, trained on most patients of the folds, is tested on each
    // fold; or the confidence levels differ.
    let example = include_str!("../../examples/cross_validation.yaml");
    sandbox.write(file, &example.replace("model: train_folds, volumes", "model: train, volumes"));
    let said = run(&sandbox, file, &of_folds("[0, 1, 2]"), &["folds"]).expect(1).stderr;
    assert!(said.contains("was trained on another split than the one that it is tested on"), "{said}");
    sandbox.write(file, example);
    let other = [of_folds("[0, 1, 2]"), vec!["--set=folds.confidence_level=0.9".into()]].concat();
    let said = run(&sandbox, file, &other, &["folds"]).expect(1).stderr;
    assert!(said.contains("have confidence_level 0.95, but those of folds have 0.9"), "{said}");

    // The final model's evaluation tests patients of the folds, so it is not one of the folds.
    let mixed = include_str!("../../examples/cross_validation.yaml")
        .replace("{ metrics: evaluate_folds }", "{ metrics: [evaluate_folds, evaluate] }");
    sandbox.write(file, &mixed);
    let said = run(&sandbox, file, &of_folds("[0, 1, 2]"), &["folds"]).expect(1).stderr;
    assert!(said.contains("not folds of one cross-validation") && said.contains("k_folds"), "{said}");
    let wrong = run(&sandbox, file, &of_folds("[0, 3]"), &[]).expect(2).stderr;
    assert!(wrong.contains("fold must be 0 to 2 with k_folds 3, found 3"), "{wrong}");
}

#[test]
fn a_grid_search_chooses_by_validation_and_its_model_serves_as_that_of_its_training() {
    let sandbox = Sandbox::new();
    let file = "grid_search.yaml";
    let example = include_str!("../../examples/grid_search.yaml");
    sandbox.write(file, example);
    let settings = quick("train", "evaluate");
    let small = ["lr=[1e-2, 1e-3]", "batch_size=[4, 8]", "dropout_rate=[0.3]", "weight_decay=[1e-4]"];
    let axes = small.map(|axis| format!("--set=train.matrix.{axis}"));
    let settings = [settings, axes.into()].concat();
    let whole = run(&sandbox, file, &settings, &[]).expect(0);
    assert!(!whole.stdout.contains("learnt from another split"));
    let found: SearchFile = json(&sandbox, "artifacts/search/search.json");
    assert_eq!(found.candidates.len(), 4);
    // The expected choice, computed from the epochs of the trainings.
    let mut best: Option<(f64, f64, &str)> = None;
    for candidate in &found.candidates {
        let history = EpochRow::read(&sandbox.path(&format!("artifacts/train@{}", candidate.label))).unwrap();
        let kept = history.iter().find(|row| row.best).unwrap();
        assert_eq!((candidate.val_auc, candidate.val_loss), (kept.val_auc, kept.val_loss));
        assert_eq!(candidate.axes.len(), 4);
        let (auc, loss) = (kept.val_auc.unwrap(), kept.val_loss.unwrap());
        if best.is_none_or(|(best_auc, best_loss, _)| auc > best_auc || (auc == best_auc && loss < best_loss))
        {
            best = Some((auc, loss, &candidate.label));
        }
    }
    assert_eq!(found.chosen, best.unwrap().2);
    assert_eq!(found.split.as_deref(), sandbox.manifest("split")["content"].as_str());
    let chosen = format!("train@{}", found.chosen);
    for name in ["model.safetensors", "model.json", "history.parquet"] {
        let bytes = |stage: &str| fs::read(sandbox.path(&format!("artifacts/{stage}/{name}"))).unwrap();
        assert!(bytes("search") == bytes(&chosen), "{name}");
    }
    let page = fs::read_to_string(sandbox.path("artifacts/report/report.html")).unwrap();
    assert!(page.contains("Search</h3>") && page.contains("As the best of 4"));
    assert!(page.contains("dropout_rate") && !page.contains("Cross-validation</h3>"));

    // The training itself replaces the search; then another split than the one that it was trained
    // on.
    let predictions = || fs::read(sandbox.path("artifacts/evaluate/predictions.parquet")).unwrap();
    let of_search = predictions();
    let metrics: MetricsFile = json(&sandbox, "artifacts/evaluate/metrics.json");
    assert!(metrics.test.auc.value.is_some());
    sandbox.write(file, &example.replace("model: search, volumes", &format!("model: \"{chosen}\", volumes")));
    let content = sandbox.manifest("evaluate")["content"].clone();
    assert_eq!(run(&sandbox, file, &settings, &["evaluate"]).expect(0).ran(), ["evaluate"]);
    assert!(predictions() == of_search);
    assert_eq!(sandbox.manifest("evaluate")["content"], content);
    let other = example
        .replace("volumes: preprocess, split: split, series", "volumes: preprocess, split: other, series")
        .replace(
            "  evaluate:\n    inputs: { model",
            "  other:\n    uses: split\n    inputs: { series: ingest, volumes: preprocess }\n    params: { test_size: 0.3 }\n  \
             evaluate:\n    inputs: { model",
        );
    sandbox.write(file, &other);
    let said = run(&sandbox, file, &settings, &["evaluate"]).expect(0);
    assert!(said.stdout.contains("learnt from another split"), "{}", said.stdout);
}

#[test]
fn models_of_different_splits_and_models_without_validation_are_not_compared() {
    let sandbox = Sandbox::new();
    let file = "grid_search.yaml";
    let settings = quick("train", "evaluate");
    let example = include_str!("../../examples/grid_search.yaml");
    // Without the stages after the search.
    let example = &example[..example.find("  evaluate:\n").unwrap()];
    let grid = &example[example.find("    matrix:\n").unwrap()..example.find("  # Chooses by").unwrap()];
    let settings = &settings[..4];
    let folds = "{ k_folds: 2 }\n    matrix: { fold: [0, 1] }";
    let by_fold = example
        .replace(grid, "    matrix: split\n")
        .replace("epochs: 100", "batch_size: 4")
        .replace("{ test_size: 0.2, val_size: 0.2 }", folds);
    sandbox.write(file, &by_fold);
    let said = run(&sandbox, file, settings, &["search"]).expect(1).stderr;
    assert!(said.contains("fold=0 and fold=1 were trained on different splits"), "{said}");
    let of_volumes = example
        .replace(grid, "    matrix: preprocess\n")
        .replace("epochs: 100", "batch_size: 4")
        .replace(
            "dicom: data/training_data }\n  split",
            "dicom: data/training_data }\n    matrix: { fit: [stretch, isotropic] }\n  split",
        )
        .replace(
            "volumes: preprocess }\n    params: { test_size",
            "volumes: \"preprocess@fit=stretch\" }\n    params: { test_size",
        );
    sandbox.write(file, &of_volumes);
    let said = run(&sandbox, file, settings, &["search"]).expect(1).stderr;
    assert!(said.contains("fit=isotropic and fit=stretch were trained on different volumes"), "{said}");
    // One training has such a high learning rate that its loss becomes NaN; the search goes on with
    // the others.
    let of_rates = example.replace(grid, "    matrix: { lr: [1e-3, 10] }\n").replace(
        "epochs: 100",
        "batch_size: 4, optimizer: sgd, schedule: constant, weight_decay: 10, clip_norm: 0",
    );
    sandbox.write(file, &of_rates);
    let longer = [settings, &["--set=train.epochs=20".to_owned()]].concat();
    run(&sandbox, file, &longer, &["search"]).expect(0);
    let found: SearchFile = json(&sandbox, "artifacts/search/search.json");
    assert_eq!(found.candidates.len(), 2);
    let model: ModelFile = json(&sandbox, "artifacts/train@lr=10/model.json");
    assert!(model.notes.iter().any(|note| note.code == "diverged"), "{:?}", model.notes);
    let of_losses = example
        .replace(grid, "    matrix: { focal_loss_gamma: [0, 2] }\n")
        .replace("epochs: 100", "batch_size: 4")
        .replace("by: val_auc", "by: val_loss");
    sandbox.write(file, &of_losses);
    let said = run(&sandbox, file, settings, &["search"]).expect(1).stderr;
    assert!(said.contains("were trained with different losses"), "{said}");
    // One search per fold: nested cross-validation.
    sandbox.write(file, &by_fold.replace("params: { by: val_auc }", "matrix: split"));
    let ran = run(&sandbox, file, settings, &["search"]).expect(0).ran();
    assert_eq!(ran, ["search@fold=0", "search@fold=1"]);
    let without = example
        .replace("val_size: 0.2", "val_size: 0")
        .replace(grid, "    matrix: { lr: [1e-3] }\n")
        .replace("epochs: 100", "batch_size: 4");
    sandbox.write(file, &without);
    let said = run(&sandbox, file, settings, &["search"]).expect(1).stderr;
    assert!(said.contains("none of 1 models has a val_auc") && said.contains("val is empty"), "{said}");
}
