#!/usr/bin/env python3
"""Holds ctpipe's results against other people's programs: dciodvfy, pydicom, SimpleITK, scikit-learn, pyarrow.

    python3 run.py --ctpipe target/debug/ctpipe

Everything is made in a temporary folder by the binary itself. The last line counts what passed. Real series are
taken from $CTPIPE_TEST_DATA (by default ../shared/data beside the project); without it those checks say that they
are skipped.
"""
import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

import numpy as np
import pyarrow.ipc
import pyarrow.parquet
import SimpleITK
import sklearn.metrics

PROJECT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("CTPIPE_TEST_DATA", PROJECT.parent / "shared" / "data"))
TOOLS = DATA.parent / "tools"
WINDOW = (-1000.0, 400.0)

PIPELINE = """\
seed: 42
stages:
  ingest:
    inputs: {{ dicom: {dicom}, labels: {labels}, patient_key: patient.key }}
  preprocess:
    inputs: {{ series: ingest, dicom: {dicom} }}
  split:
    inputs: {{ series: ingest, volumes: preprocess }}
  train:
    inputs: {{ volumes: preprocess, split: split }}
    params: {{ width: 1, hidden_size: 8, batch_size: 8, epochs: 2, device: cpu }}
  evaluate:
    inputs: {{ model: train, volumes: preprocess, split: split }}
    params: {{ n_bootstrap: 200, device: cpu }}
  report:
    inputs: {{ series: ingest, volumes: preprocess, split: split, model: train, metrics: evaluate }}
"""


class Skip(Exception):
    pass


class Place:
    """A temporary folder with a pipeline in it."""

    def __init__(self, ctpipe):
        self.ctpipe = ctpipe
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ctpipe-peers-"))

    def run(self, *arguments):
        done = subprocess.run([self.ctpipe, *arguments], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"ctpipe {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"

    def pipeline(self, dicom, labels):
        (self.folder / "pipeline.yaml").write_text(PIPELINE.format(dicom=dicom, labels=labels))

    def table(self, stage, name):
        return pyarrow.parquet.read_table(self.folder / "artifacts" / stage / name).to_pylist()

    def volumes(self):
        """Series UID to a [64, 64, 64] array of HU, read by pyarrow alone."""
        volumes = {}
        for shard in sorted((self.folder / "artifacts/preprocess/volumes").glob("*.arrow")):
            reader = pyarrow.ipc.open_file(shard)
            for index in range(reader.num_record_batches):
                row = reader.get_batch(index).to_pylist()[0]
                high, low = (np.frombuffer(row[plane], np.uint8).astype(np.uint16) for plane in ("high", "low"))
                edge = row["edge"]
                scaled = ((high << 8) | low).reshape(edge, edge, edge).astype(np.float64) / 65535
                volumes[row["series_uid"]] = scaled * (WINDOW[1] - WINDOW[0]) + WINDOW[0]
        return volumes


def averaged(volume, size=64):
    """Area averaging along each axis that shrinks, linear interpolation along each that grows, in plain numpy."""
    for axis in range(3):
        n = volume.shape[axis]
        matrix = np.zeros((size, n))
        for i in range(size):
            if n >= size:
                low, high = i * n / size, (i + 1) * n / size
                for k in range(int(low), min(n, int(np.ceil(high)))):
                    matrix[i, k] = max(0.0, min(high, k + 1) - max(low, k)) / (high - low)
            else:
                centre = min(max((i + 0.5) * n / size - 0.5, 0), n - 1)
                k = min(int(centre), n - 2)
                matrix[i, k], matrix[i, k + 1] = 1 - (centre - k), centre - k
        volume = np.moveaxis(np.tensordot(matrix, volume, (1, axis)), 0, axis)
    return volume


def itk_volume(files_folder, series_uid):
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(files_folder), series_uid))
    return SimpleITK.GetArrayFromImage(reader.Execute()).astype(np.float64)


def compare_with_itk(place, dicom, series):
    """Mean absolute difference in HU of each series, within the window."""
    volumes = place.volumes()
    worst = 0.0
    for uid, folder in series.items():
        expected = np.clip(averaged(itk_volume(folder, uid)), *WINDOW)
        worst = max(worst, float(np.abs(volumes[uid] - expected).mean()))
    assert worst <= 2.0, f"a volume differs from SimpleITK's by {worst:.3f} HU on average"
    return f"{len(series)} series, worst mean difference {worst:.4f} HU"


def phantoms_are_dicom(place):
    """dciodvfy finds no error; pydicom and SimpleITK read the phantoms as volumes."""
    place.run("synth", "data", "--patients", "16", "--matrix", "128")
    script = PROJECT / "crates/phantom/tests/peers/check_phantoms.py"
    done = subprocess.run([sys.executable, script, place.folder / "data"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]


def phantom_volumes_agree_with_itk(place):
    (place.folder / "patient.key").write_text("peers")
    place.pipeline("data/training_data", "data/training_data.csv")
    place.run("run")
    series = {}
    for row in place.table("ingest", "instances.parquet"):
        series[row["series_uid"]] = (place.folder / "data/training_data" / row["path"]).parent
    # Padding becomes air here and stays what it is there: series without it are compared.
    padded = {row["series_uid"] for row in place.table("preprocess", "volumes.parquet") if row["padding_share"]}
    return compare_with_itk(place, None, {uid: folder for uid, folder in series.items() if uid not in padded})


def figures_agree_with_scikit_learn(place):
    """metrics.json of the run before, computed again from predictions.parquet."""
    metrics = json.loads((place.folder / "artifacts/evaluate/metrics.json").read_text())
    rows = place.table("evaluate", "predictions.parquet")
    threshold = metrics["threshold"]["value"]
    worst = 0.0
    for part in ("train", "val", "test"):
        of_part = [row for row in rows if row["split"] == part]
        labels = np.array([row["label"] for row in of_part])
        scores = np.array([row["probability"] for row in of_part])
        calls = scores >= threshold
        assert list(calls) == [row["decision"] for row in of_part]
        tn, fp, fn, tp = sklearn.metrics.confusion_matrix(labels, calls, labels=[0, 1]).ravel()
        assert metrics[part]["confusion"] == {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
        expected = {
            "auc": sklearn.metrics.roc_auc_score(labels, scores),
            "accuracy": sklearn.metrics.accuracy_score(labels, calls),
            "sensitivity": sklearn.metrics.recall_score(labels, calls, zero_division=np.nan),
            "f1": sklearn.metrics.f1_score(labels, calls, zero_division=np.nan),
        }
        for name, value in expected.items():
            found = metrics[part][name]["value"]
            assert (found is None) == bool(np.isnan(value)), f"{part}.{name}: {found} against {value}"
            if found is not None:
                worst = max(worst, abs(found - value))
        softmax = [1 / (1 + np.exp(row["logit_normal"] - row["logit_pathology"])) for row in of_part]
        worst = max(worst, float(np.abs(scores - softmax).max()))
    val = [row for row in rows if row["split"] == "val"]
    labels, scores = [row["label"] for row in val], [row["probability"] for row in val]
    precision, recall, thresholds = sklearn.metrics.precision_recall_curve(labels, scores)
    f1 = (2 * precision * recall / np.maximum(precision + recall, 1e-300))[:-1]
    best = max(thresholds[f1 >= f1.max() - 1e-15])
    assert threshold == best, f"threshold {threshold} against {best}"
    assert worst <= 1e-12, f"largest difference {worst}"
    return f"largest difference {worst:.1e}"


def chest_agrees_with_itk(ctpipe):
    """The real chest CT: accepted, and its volume is SimpleITK's."""
    folder = DATA / "ct-chest-acrin"
    if not folder.exists():
        raise Skip(f"there is no {folder}")
    place = Place(ctpipe)
    uid = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))[0]
    import pydicom

    study = pydicom.dcmread(next(folder.glob("*.dcm")), stop_before_pixels=True).StudyInstanceUID
    (place.folder / "labels.csv").write_text(f"study_uid,series_uid,pathology\n{study},{uid},1\n")
    (place.folder / "patient.key").write_text("peers")
    place.pipeline(folder, "labels.csv")
    place.run("run", "--to", "preprocess")
    return compare_with_itk(place, folder, {uid: folder})


def adrenal_goes_from_dicom_to_report(ctpipe):
    """120 labelled series with a split that knows train and val, with a pipeline file and no flag."""
    npz, script = DATA / "adrenal64_train_val.npz", TOOLS / "npz_to_dicom.py"
    if not npz.exists() or not script.exists():
        raise Skip(f"there is no {npz} or no {script}")
    place = Place(ctpipe)
    subprocess.run([sys.executable, script, npz, place.folder, "--limit", "60"], check=True, capture_output=True)
    (place.folder / "patient.key").write_text("peers")
    place.pipeline("training_data", "training_data.csv")
    place.run("run")
    given = {row["series_uid"]: row["split"] for row in csv.DictReader(open(place.folder / "training_data.csv"))}
    split = {row["series_uid"]: row["split"] for row in place.table("split", "split.parquet")}
    assert split == given, "the labels' own split was not kept"
    volumes, arrays = place.volumes(), np.load(npz)
    originals = np.concatenate([arrays["train_images"][:60], arrays["val_images"][:60]])
    for uid, original in zip(given, originals):
        # The script rounds to whole HU.
        expected = np.round(original.astype(np.float32) * (1400 / 255) - 1000)
        assert np.abs(volumes[uid] - expected).max() < 0.05, f"{uid} is not the volume it was made from"
    metrics = json.loads((place.folder / "artifacts/evaluate/metrics.json").read_text())
    assert metrics["test"]["auc"]["undefined"].startswith("undefined because")
    assert (place.folder / "artifacts/report/report.html").stat().st_size > 10_000
    return f"{len(split)} series, every voxel within 0.05 HU"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ctpipe", required=True, type=pathlib.Path)
    ctpipe = parser.parse_args().ctpipe.resolve()
    phantoms = Place(ctpipe)
    checks = [
        (phantoms_are_dicom, phantoms),
        (phantom_volumes_agree_with_itk, phantoms),
        (figures_agree_with_scikit_learn, phantoms),
        (chest_agrees_with_itk, ctpipe),
        (adrenal_goes_from_dicom_to_report, ctpipe),
    ]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for check, argument in checks:
        try:
            said, outcome = check(argument), "passed"
        except Skip as why:
            said, outcome = str(why), "skipped"
        except Exception:
            said, outcome = traceback.format_exc(), "failed"
        counts[outcome] += 1
        print(f"{outcome}: {check.__name__}: {said}", flush=True)
    print(", ".join(f"{n} {outcome}" for outcome, n in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
