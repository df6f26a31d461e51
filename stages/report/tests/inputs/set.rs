//! The rows of a report's inputs: a small sample of everything that the stages before it write.
//! Knows no engine.

use std::collections::BTreeMap;
use std::path::Path;

use ctpipe_tables::evaluation::Ends;
use ctpipe_tables::json::{
    self, Calibration, Calibrations, Comparison, Confusion, Figure, IngestSummary, LayerFile, McNemar,
    MetricsFile, ModelFile, NetBenefit, PairedDeLong, PartCounts, PartMetrics, PrPoint, Randomised,
    ReliabilityBin, RocPoint, SaliencyFile, SplitSummary, Subgroup, ThresholdFile,
};
use ctpipe_tables::shards::{self, Packed, ShardWriter};
use ctpipe_tables::{EpochRow, Part, PredictionRow, SaliencyRow, SeriesRow, SplitRow, VolumeRow};

/// Everything that the stages before the report write.
#[derive(Clone)]
pub(crate) struct Set {
    pub(crate) ingest: IngestSummary,
    pub(crate) series: Vec<SeriesRow>,
    pub(crate) volumes: Vec<VolumeRow>,
    pub(crate) split_summary: SplitSummary,
    pub(crate) split: Vec<SplitRow>,
    pub(crate) model: ModelFile,
    pub(crate) history: Vec<EpochRow>,
    pub(crate) metrics: MetricsFile,
    pub(crate) predictions: Vec<PredictionRow>,
    pub(crate) saliency: Vec<SaliencyRow>,
    pub(crate) saliency_file: SaliencyFile,
}

pub(crate) fn figure(value: Option<f64>, interval: Option<(f64, f64)>, undefined: Option<&str>) -> Figure {
    Figure {
        value,
        ci_low: interval.map(|i| i.0),
        ci_high: interval.map(|i| i.1),
        undefined: undefined.map(str::to_owned),
        ..Figure::default()
    }
}

fn empty_part() -> PartMetrics {
    let none = figure(None, None, Some("undefined because there are no samples"));
    PartMetrics {
        auc: none.clone(),
        sensitivity: none.clone(),
        specificity: none.clone(),
        precision: none.clone(),
        f1: none.clone(),
        accuracy: none,
        ..PartMetrics::default()
    }
}

/// No series, no epoch, no prediction.
impl Default for Set {
    fn default() -> Set {
        Set {
            ingest: IngestSummary::default(),
            series: Vec::new(),
            volumes: Vec::new(),
            split_summary: SplitSummary::default(),
            split: Vec::new(),
            model: ModelFile::default(),
            history: Vec::new(),
            metrics: MetricsFile {
                threshold: ThresholdFile {
                    value: 0.5,
                    source: "fixed".into(),
                    note: Some(words(
                        "the best threshold on val is undefined because there are no samples; 0.5 is taken instead",
                    )),
                    ..ThresholdFile::default()
                },
                n_bootstrap: 1000,
                confidence_level: 0.95,
                train: empty_part(),
                val: empty_part(),
                test: empty_part(),
                ..MetricsFile::default()
            },
            predictions: Vec::new(),
            saliency: Vec::new(),
            saliency_file: SaliencyFile::default(),
        }
    }
}

impl Set {
    /// Four volumes, five accepted series, three rejected ones, and figures of a larger set.
    pub(crate) fn full() -> Set {
        let mut set = Set { ingest: ingest(), model: model(), ..Set::default() };
        for (i, (label, part)) in
            [(0, "train"), (1, "train"), (0, "test"), (1, "test")].into_iter().enumerate()
        {
            let uid = format!("1.2.826.0.1.3680043.2.1125.{}", i + 1);
            set.series.push(accepted(&uid, label, i));
            set.split.push(SplitRow {
                series_uid: uid.clone(),
                patient_key: format!("patient-{i}"),
                label,
                split: part.into(),
                fold: 0,
            });
            let volume = VolumeRow {
                series_uid: uid.clone(),
                shard: "00.arrow".into(),
                batch: i as u32,
                status: "accepted".into(),
                // The median is 39.5.
                noise_hu: Some([10.0, 10.0, 69.0, 71.0][i]),
                air_hu: Some(if i == 3 { -900.0 } else { -1000.0 }),
                flags: [vec![], vec![], vec!["noisy".into()], vec!["air_off".into(), "noisy".into()]][i]
                    .clone(),
                ..VolumeRow::default()
            };
            set.volumes.push(volume);
            if part == "test" {
                set.predictions.push(PredictionRow {
                    series_uid: uid,
                    patient_key: format!("patient-{i}"),
                    split: part.into(),
                    label,
                    // Both are predicted as pathological, one of them wrongly.
                    probability: if label == 1 { 0.9 } else { 0.55 },
                    decision: true,
                    ..PredictionRow::default()
                });
            }
        }
        set.series.push(accepted("1.2.826.0.1.3680043.2.1125.5", 1, 5));
        set.volumes.push(VolumeRow {
            series_uid: "1.2.826.0.1.3680043.2.1125.5".into(),
            status: "rejected".into(),
            reasons: vec!["decode_failed".into()],
            problem: Some("the decoder said <no>".into()),
            ..VolumeRow::default()
        });
        for (uid, reasons) in [
            ("<script>alert(1)</script>", vec!["too_few_slices", "thickness_out_of_range"]),
            ("1.2.826.0.1.3680043.2.1125.7", vec!["too_few_slices"]),
            ("1.2.826.0.1.3680043.2.1125.8", vec!["from_the_future"]),
        ] {
            set.series.push(rejected(uid, &reasons));
        }
        let counts =
            |series, patients, normal| PartCounts { series, patients, normal, pathology: series - normal };
        set.split_summary = SplitSummary {
            method: "balanced".into(),
            parts: BTreeMap::from([
                (Part::Train, counts(160, 151, 82)),
                (Part::Val, counts(40, 39, 20)),
                (Part::Test, counts(40, 38, 20)),
            ]),
            notes: vec![words("The test part has fewer than 100 series: intervals are wide.")],
        };
        set.history = (1..=12).map(epoch).collect();
        set.metrics = MetricsFile {
            threshold: ThresholdFile { value: 0.412, source: "f1 on val".into(), ..ThresholdFile::default() },
            train: part(160, 151, (0.981, 0.962, 0.993), Confusion { tp: 75, fp: 4, tn: 78, r#fn: 3 }),
            val: part(40, 39, (0.942, 0.873, 0.991), Confusion { tp: 19, fp: 2, tn: 18, r#fn: 1 }),
            test: part(40, 38, (0.934, 0.881, 0.969), Confusion { tp: 18, fp: 3, tn: 17, r#fn: 2 }),
            subgroups: vec![subgroup("F", 0.95, &[]), subgroup("<b>M</b>", 0.71, &["auc"])],
            comparison: Some(comparison()),
            ..set.metrics
        };
        for (case, uid) in
            [("hit", "1.2.826.0.1.3680043.2.1125.4"), ("false_alarm", "1.2.826.0.1.3680043.2.1125.3")]
        {
            for method in ["smooth_grad", "grad_cam"] {
                set.saliency.push(map(uid, case, method));
            }
        }
        set.saliency.push(map("", "test", "gradient"));
        set.saliency_file.randomised =
            Some(Randomised { series_uid: "1.2.826.0.1.3680043.2.1125.4".into(), correlation: 0.07 });
        set
    }

    /// Adds rejected series.
    pub(crate) fn reject(&mut self, n: usize) {
        self.series.extend((0..n).map(|i| rejected(&format!("1.2.3.{i}"), &["not_ct"])));
    }

    pub(super) fn write_preprocess(&self, out: &Path) -> ctpipe_tables::Result<()> {
        let folder = shards::make_folder(out)?;
        let mut writer = ShardWriter::create(&folder.join("00.arrow"))?;
        for row in self.volumes.iter().filter(|row| !row.shard.is_empty()) {
            writer.push(&Packed::new(&row.series_uid, 64, &chest(row.batch))?)?;
        }
        writer.finish()?;
        VolumeRow::write(&self.volumes, out)
    }

    pub(super) fn write(&self, kind: &str, out: &Path) -> ctpipe_tables::Result<()> {
        match kind {
            "ingest" => {
                json::write(&self.ingest, &out.join(IngestSummary::FILE))?;
                SeriesRow::write(&self.series, out)
            }
            "preprocess" => self.write_preprocess(out),
            "split" => {
                json::write(&self.split_summary, &out.join(SplitSummary::FILE))?;
                SplitRow::write(&self.split, out)
            }
            "train" => {
                json::write(&self.model, &out.join(ModelFile::FILE))?;
                EpochRow::write(&self.history, out)
            }
            _ => {
                json::write(&self.metrics, &out.join(MetricsFile::FILE))?;
                SaliencyRow::write(&self.saliency, out)?;
                json::write(&self.saliency_file, &out.join(SaliencyFile::FILE))?;
                PredictionRow::write(&self.predictions, out)
            }
        }
    }
}

fn ingest() -> IngestSummary {
    let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(code, n)| ((*code).to_owned(), *n)).collect();
    IngestSummary {
        files: 31_870,
        not_dicom: 4,
        unreadable: 1,
        series: 248,
        labels: 250,
        accepted: 5,
        accepted_by_label: counts(&[("0", 2), ("1", 3)]),
        patients: 5,
        reasons: counts(&[("too_few_slices", 2), ("thickness_out_of_range", 1), ("from_the_future", 1)]),
        warnings: counts(&[("unusual_matrix", 3)]),
        notes: vec![words(
            "All series of label 1 come from one manufacturer: the network may learn the scanner.",
        )],
    }
}

fn model() -> ModelFile {
    ModelFile {
        arch: "cnn3d".into(),
        network: serde_json::json!({"width": 32}),
        parameters: 1_234_567,
        training: serde_json::json!({"epochs": 100}),
        best_epoch: 8,
        epochs: 12,
        stopped_early: true,
        class_weights: [0.976, 1.026],
        device: "cpu".into(),
        notes: Vec::new(),
        layers: vec![LayerFile { name: "conv.0".into(), output: vec![32, 64, 64, 64], parameters: 896 }],
    }
}

fn subgroup(group: &str, auc: f64, differs: &[&str]) -> Subgroup {
    let of = figure(Some(auc), Some((auc - 0.05, auc + 0.04)), None);
    Subgroup {
        by: "sex".into(),
        group: group.into(),
        samples: 20,
        patients: 19,
        pathology: 10,
        auc: of.clone(),
        sensitivity: of.clone(),
        specificity: of,
        differs: differs.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn comparison() -> Comparison {
    Comparison {
        samples: 38,
        unknown_to_baseline: 2,
        delta_auc: figure(Some(0.021), Some((-0.012, 0.06)), None),
        delong: PairedDeLong { delta: Some(0.021), p_value: Some(0.2), ..PairedDeLong::default() },
        mcnemar: McNemar { only_a_right: Some(3), only_b_right: Some(1), ..McNemar::default() },
        notes: vec![ctpipe_tables::Note::new("relabelled", "in English", [("n", 2.into())])],
        ..Comparison::default()
    }
}

/// A map that is strong in one corner.
fn map(series_uid: &str, case: &str, method: &str) -> SaliencyRow {
    let strength = |i: usize| u8::try_from(255 - (i % 64 + i / 64 % 64 + i / 4096).min(255)).unwrap_or(0);
    SaliencyRow {
        series_uid: series_uid.into(),
        case: case.into(),
        method: method.into(),
        size: 64,
        largest: 0.5,
        map: (0..64 * 64 * 64).map(strength).collect(),
        ..SaliencyRow::default()
    }
}

fn accepted(uid: &str, label: u32, i: usize) -> SeriesRow {
    SeriesRow {
        series_uid: uid.into(),
        patient_key: format!("patient-{i}"),
        label: Some(label),
        age: (i != 3).then_some(48.0 + 7.0 * i as f64),
        sex: ["F", "M"].get(i % 3).map(|sex| (*sex).to_owned()),
        modality: "CT".into(),
        slices: 120,
        status: "accepted".into(),
        ..SeriesRow::default()
    }
}

fn rejected(uid: &str, reasons: &[&str]) -> SeriesRow {
    SeriesRow {
        series_uid: uid.into(),
        patient_key: "patient-x".into(),
        slices: 7,
        status: "rejected".into(),
        reasons: reasons.iter().map(|code| (*code).to_owned()).collect(),
        ..SeriesRow::default()
    }
}

fn epoch(epoch: u32) -> EpochRow {
    let e = f64::from(epoch - 1);
    EpochRow {
        epoch,
        train_loss: 0.7 * (-0.18 * e).exp(),
        val_loss: Some(0.75 * (-0.16 * e).exp() + 0.004 * e * e),
        val_auc: (epoch > 1).then_some(1.0 - 0.5 * (-0.35 * e).exp() - 0.03 * (e - 7.0).abs() / 7.0),
        lr: if epoch < 8 { 1e-4 } else { 5e-5 },
        best: epoch == 8,
    }
}

fn calibration(off: f64) -> Calibration {
    let bin = |i: u32| {
        let mean_predicted = f64::from(i) / 5.0 + 0.1;
        let observed_share = (mean_predicted - off).max(0.0);
        let observed_interval =
            Ends { low: (observed_share - 0.1).max(0.0), high: (observed_share + 0.1).min(1.0) };
        ReliabilityBin { samples: 8, mean_predicted, observed_share, observed_interval }
    };
    Calibration {
        expected_calibration_error: Some(off),
        curve: (0..5).map(bin).collect(),
        ..Calibration::default()
    }
}

fn part(samples: u64, patients: u64, (auc, low, high): (f64, f64, f64), c: Confusion) -> PartMetrics {
    let ratio = |a: u64, b: u64| {
        let value = a as f64 / b as f64;
        figure(Some(value), Some(((value - 0.09).max(0.0), (value + 0.07).min(1.0))), None)
    };
    let roc = (0..=20).map(|i| {
        let x = f64::from(i) / 20.0;
        let rate = x.powf((1.0 - auc) / auc);
        RocPoint {
            threshold: (i > 0).then_some(1.0 - x),
            false_positive_rate: x,
            true_positive_rate: (rate * 20.0).floor() / 20.0,
        }
    });
    let class = |support: u64| serde_json::json!({"precision": 0.89, "recall": 0.87, "f1-score": 0.88, "support": support});
    PartMetrics {
        samples,
        patients,
        confusion: Some(c),
        auc: figure(Some(auc), Some((low, high)), None),
        sensitivity: ratio(c.tp, c.tp + c.r#fn),
        specificity: ratio(c.tn, c.tn + c.fp),
        precision: ratio(c.tp, c.tp + c.fp),
        f1: ratio(2 * c.tp, 2 * c.tp + c.fp + c.r#fn),
        accuracy: ratio(c.tp + c.tn, samples),
        loss: Some(0.31),
        classification_report: serde_json::json!({
            "normal": class(c.tn + c.fp),
            "pathology": class(c.tp + c.r#fn),
            "accuracy": 0.88,
            "macro avg": class(samples),
            "weighted avg": class(samples),
        }),
        roc: roc.collect(),
        pr: [(1.0, 0.5), (0.8, 0.9), (0.2, 1.0)]
            .map(|(recall, precision)| PrPoint { threshold: Some(1.0 - recall), recall, precision })
            .to_vec(),
        calibration: Calibrations {
            before: calibration(0.12),
            temperature: Some(calibration(0.05)),
            isotonic: None,
        },
        decision_curve: (0..100)
            .map(|i| {
                let threshold = f64::from(i) / 100.0;
                let treat_all = 0.5 - 0.5 * threshold / (1.0 - threshold);
                NetBenefit { threshold, model: 0.45 - 0.3 * threshold, treat_all }
            })
            .collect(),
        ..PartMetrics::default()
    }
}

/// 64³ voxels that look a little like a chest: a body, two lungs, a spot in some.
fn chest(seed: u32) -> Vec<u16> {
    let within = |p: [f64; 3], c: [f64; 3], r: [f64; 3]| {
        (0..3).map(|i| ((p[i] - c[i]) / r[i]).powi(2)).sum::<f64>() < 1.0
    };
    let voxel = |i: usize| {
        let p = [(i % 64) as f64, (i / 64 % 64) as f64, (i / 4096) as f64];
        let spot = seed % 2 == 1 && within(p, [44.0, 30.0, 34.0], [5.0, 5.0, 5.0]);
        let lungs = within(p, [20.0, 31.0, 32.0], [10.0, 15.0, 26.0])
            || within(p, [44.0, 31.0, 32.0], [10.0, 15.0, 26.0]);
        let spine = within(p, [32.0, 48.0, 32.0], [5.0, 5.0, 60.0]);
        match () {
            () if spot => 48_000,
            () if lungs => 8_000,
            () if spine => 62_000,
            () if within(p, [32.0, 32.0, 32.0], [30.0, 24.0, 60.0]) => 49_000,
            () => 0,
        }
    };
    (0..64 * 64 * 64).map(voxel).collect()
}

/// A note that has only a text and no code, as earlier versions wrote them.
fn words(text: &str) -> ctpipe_tables::Note {
    ctpipe_tables::Note::new("", text, [])
}
