#!/usr/bin/env python3
"""Does ctpipe learn as well as PyTorch? AdrenalMNIST3D at 64^3, width 16, 12 epochs, three seeds on
both sides.

    learning.py --ctpipe target/release/ctpipe --work target/bench/learning [--epochs 12]
        [--seeds 42 43 44]

The data are adrenal64_train_val.npz from $CTPIPE_TEST_DATA, and npz_to_dicom.py from the tools
beside it. The peer's runs are kept in --work by their settings, because they take an hour; ours are
always run again. The last line is JSON.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import pyarrow.parquet

PROJECT = pathlib.Path(__file__).resolve().parents[1]
DATA = pathlib.Path(os.environ.get("CTPIPE_TEST_DATA", PROJECT.parent / "shared" / "data"))
NPZ = DATA / "adrenal64_train_val.npz"
PEER = pathlib.Path(__file__).with_name("pytorch_peer.py")

# The same settings as the peer: cross entropy, both classes drawn equally often, Adam with an L2 of
# 1e-4, no schedule.
PIPELINE = """\
seed: {seed}
stages:
  ingest:
    inputs: {{ dicom: dicom/training_data, labels: dicom/training_data.csv, patient_key: patient.key }}
  preprocess:
    inputs: {{ series: ingest, dicom: dicom/training_data }}
  split:
    inputs: {{ series: ingest, volumes: preprocess }}
  train:
    inputs: {{ volumes: preprocess, split: split }}
    params:
      width: 16
      residual: false
      batch_size: 16
      epochs: {epochs}
      lr: 3e-4
      weight_decay: 1e-4
      dropout_rate: 0.3
      loss: cross_entropy
      class_weights: false
      use_weighted_sampler: true
      plateau_patience: 1000
      early_stopping_patience: 1000
      device: cpu
"""


def ours(a, seed):
    (a.work / "pipeline.yaml").write_text(PIPELINE.format(seed=seed, epochs=a.epochs))
    subprocess.run([a.ctpipe, "run", "--to", "train"], cwd=a.work, check=True)
    rows = pyarrow.parquet.read_table(a.work / "artifacts/train/history.parquet").to_pylist()
    return max(row["val_auc"] for row in rows)


def theirs(a, seed):
    kept = a.work / f"pytorch-{seed}-{a.epochs}.json"
    if not kept.exists():
        command = [sys.executable, PEER, "train", NPZ, "--width", "16", "--epochs", str(a.epochs), "--lr", "3e-4",
                   "--batch", "16", "--seed", str(seed)]
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
        kept.write_text(done.stdout.splitlines()[-1])
    return json.loads(kept.read_text())["best_val_auc"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ctpipe", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    a = parser.parse_args()
    if not NPZ.exists():
        sys.exit(f"no test data: {NPZ} is missing; set CTPIPE_TEST_DATA")
    a.ctpipe = a.ctpipe.resolve()
    a.work = a.work.resolve()
    a.work.mkdir(parents=True, exist_ok=True)
    if not (a.work / "dicom" / "done").exists():
        shutil.rmtree(a.work / "dicom", ignore_errors=True)
        tool = DATA.parent / "tools" / "npz_to_dicom.py"
        subprocess.run([sys.executable, tool, NPZ, a.work / "dicom"], check=True, stdout=subprocess.DEVNULL)
        (a.work / "dicom" / "done").touch()
    found = {"ours": [], "pytorch": []}
    for seed in a.seeds:
        found["ours"].append(ours(a, seed))
        found["pytorch"].append(theirs(a, seed))
        print(f"seed {seed}: best validation AUC ours {found['ours'][-1]:.4f}, PyTorch {found['pytorch'][-1]:.4f}", flush=True)
    means = {name: statistics.mean(values) for name, values in found.items()}
    print(f"mean: ours {means['ours']:.4f}, PyTorch {means['pytorch']:.4f}; wanted: no lower than {means['pytorch'] - 0.02:.4f}")
    result = {"epochs": a.epochs, "seeds": a.seeds, "auc_ours": found["ours"], "auc_pytorch": found["pytorch"],
              "mean_ours": means["ours"], "mean_pytorch": means["pytorch"],
              "passed": means["ours"] >= means["pytorch"] - 0.02}
    print(json.dumps(result, separators=(",", ":")))
    sys.exit(0 if result["passed"] else 1)


if __name__ == "__main__":
    main()
