#!/bin/sh
# Made made_by_VERSION.zip: what `ctpipe run` of an earlier version leaves of a small demonstration. Run once a version, in an
# empty folder, by the ctpipe of that version:
#
#   tests/upgrade/make.sh CTPIPE tests/upgrade/made_by_VERSION.zip
#
# It keeps artifacts, links, records, a tag and the lock. It leaves out the data, which `ctpipe synth` makes again to the byte,
# and the caches. Needs zip.
set -eu
ctpipe=$1 zip=$2
cat > pipeline.yaml <<'YAML'
# The demonstration in small: what `ctpipe run` of 0.1.0 made of it lies beside this file.
seed: 42
stages:
  ingest:
    inputs: { dicom: data/training_data, labels: data/training_data.csv, patient_key: data/patient.key }
  preprocess:
    inputs: { series: ingest, dicom: data/training_data }
    params: { size: 16 }
  split:
    inputs: { series: ingest, volumes: preprocess }
  train:
    inputs: { volumes: preprocess, split: split }
    params: { width: 1, hidden_size: 4, batch_size: 4, epochs: 1, lr: 1e-3, device: cpu }
  evaluate:
    inputs: { model: train, volumes: preprocess, split: split, series: ingest }
    params: { n_bootstrap: 100, saliency_cases: 0, device: cpu }
    gates: [test.auc.value >= 0]
  report:
    inputs: { series: ingest, volumes: preprocess, split: split, model: train, metrics: evaluate }
  summary:
    run: wc -c < $IN_SERIES/series.parquet > $OUT/summary.txt
    inputs: { series: ingest }
    matrix: { fold: [0, 1] }
    outputs: [summary.txt]
YAML
"$ctpipe" synth data --patients 14 --matrix 64
"$ctpipe" run --lock
"$ctpipe" tag first
# A result that is not current, and a run that made it current again.
"$ctpipe" run --set split.val_size=0.3 --to split
"$ctpipe" run
rm -rf artifacts/cache artifacts/live artifacts/work artifacts/tmp artifacts/lock artifacts/tags.lock
zip -q -9 -y -X -r "$zip" pipeline.yaml pipeline.lock artifacts
