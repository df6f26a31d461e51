#!/usr/bin/env python3
"""Checks ctpipe's results against independent programs: dciodvfy, pydicom, SimpleITK, scikit-learn,
pyarrow, PyTorch, TensorBoard, MLflow, Chromium and axe.

    python3 run.py --ctpipe target/release/ctpipe \
        --step target/release/examples/pytorch_step --decode target/release/examples/decode

The binary itself makes all data in a temporary folder. The last line counts the outcomes. Real
series come from $CTPIPE_TEST_DATA (by default ../shared/data beside the project); without it, those
checks report that they are skipped.
"""
import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import safetensors.numpy
import SimpleITK
import sklearn.metrics

import deploy
import dicom
import evaluation
import report
import schema
import training
from common import DATA, PROJECT, TOOLS, WINDOW, Place, Skip, averaged, tally


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
    # ctpipe turns padding into air and SimpleITK does not, so only series without padding are
    # compared.
    padded = {row["series_uid"] for row in place.table("preprocess", "volumes.parquet") if row["padding_share"]}
    return compare_with_itk(place, None, {uid: folder for uid, folder in series.items() if uid not in padded})


def figures_agree_with_scikit_learn(place):
    """metrics.json of the previous run, computed again from predictions.parquet."""
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
    """The real chest CT is accepted, and its volume is that of SimpleITK."""
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
    """120 labelled series whose labels give a split into train and val; only a pipeline file, no
    flags."""
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


def peer(*arguments):
    """Runs one command of the PyTorch peer, whose last line is JSON."""
    command = [sys.executable, PROJECT / "benches/pytorch_peer.py", *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# The architecture in PIPELINE.
SMALL = ("--width", 1, "--hidden", 8, "--residual")


def pytorch_answers_with_our_model(place):
    """model.safetensors loads strictly into PyTorch's module and gives the same probabilities."""
    rows = place.table("evaluate", "predictions.parquet")
    voxels = place.voxels()
    np.save(place.folder / "volumes.npy", np.stack([voxels[row["series_uid"]] for row in rows]))
    model = place.folder / "artifacts/train/model.safetensors"
    theirs = peer("predict", model, place.folder / "volumes.npy", *SMALL)["probabilities"]
    worst = max(abs(row["probability"] - p) for row, p in zip(rows, theirs, strict=True))
    assert worst <= 1e-5, f"a probability differs from PyTorch's by {worst:.2e}"
    return f"{len(rows)} series, largest difference {worst:.1e}"


def training_starts_from_pytorch_weights(place):
    """With a learning rate of zero, the learnt parameters stay those of PyTorch, bit for bit."""
    peer("init", place.folder / "torch.safetensors", *SMALL)
    sets = ["train.init_from=torch.safetensors", "train.lr=0", "train.weight_decay=0", "train.epochs=1"]
    place.run("run", "--to", "train", *(part for setting in sets for part in ("--set", setting)))
    before = safetensors.numpy.load_file(place.folder / "torch.safetensors")
    after = safetensors.numpy.load_file(place.folder / "artifacts/train/model.safetensors")
    assert before.keys() == after.keys()
    for name, values in before.items():
        same = np.array_equal(values, after[name])
        assert same != ("running" in name or "tracked" in name), f"{name}: the same is {same}"
    return f"{len(before)} tensors"


# A number within about ten units in the last place of f32 counts as right, however close PyTorch's
# happens to be.
ROUNDING = 1e-6


def a_step_is_pytorchs(step):
    """Compares our errors in loss, logits, gradients and Adam against f64 with those of PyTorch in
    f32.

    A voxel within a rounding error of zero, or of its neighbour in the pool, sends its gradient
    elsewhere, which happens to either side in one step of four. Hence the median over seeds is
    taken, tensor by tensor.
    """
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ctpipe-step-"))
    said = []
    # A narrow network over many seeds; and one as wide as the widest tile, with a batch of one.
    for width, batch, seeds, *residual in ((4, 4, 7), (4, 4, 7, "--residual"), (16, 1, 3, "--residual")):
        errors = {}
        for seed in range(1, seeds + 1):
            for dtype in ("f64", "f32"):
                peer("step", folder / dtype, "--width", width, "--batch", batch, "--dtype", dtype, "--seed", seed, *residual)
            subprocess.run([step, folder / "f64", folder / "ours"], check=True)
            exact, theirs, ours = (safetensors.numpy.load_file(folder / name) for name in ("f64", "f32", "ours"))
            for name, found in ours.items():
                adam_alone = name.startswith("adam.")
                expected = exact[name.replace("adam.", "after.")].ravel().astype(np.float64)
                largest = max(float(np.abs(expected).max()), 1e-30)
                if name.startswith("grad.conv.") and name.endswith(".bias"):
                    assert float(np.abs(found).max()) <= 1e-6, f"{name}: in front of a BatchNorm it is zero"
                    continue
                error = float(np.abs(found.ravel() - expected).max()) / largest
                if adam_alone:
                    # A step is as long as lr unless gradient and weight decay cancel; where they
                    # nearly do, f32 cannot hold the gradient that decides.
                    total = exact[name.replace("adam.", "grad.")] + 1e-4 * exact[name.replace("adam.", "weight.")]
                    clear = np.abs(total.ravel()) > 1e-6
                    scale = max(largest, 1e-3)
                    off = np.abs(found.ravel() - expected)[clear]
                    assert off.size == 0 or float(off.max()) / scale <= 1e-7, f"{name} after Adam alone: {off.max() / scale:.1e}"
                elif "running" in name or not name.startswith("after."):
                    peers = float(np.abs(theirs[name].ravel() - expected).max()) / largest
                    errors.setdefault(name, []).append((error, peers))
        worst = 0.0
        for name, pairs in errors.items():
            ours, theirs = (statistics.median(side) for side in zip(*pairs))
            assert ours <= max(2 * theirs, ROUNDING), f"{name} {residual}: off by {ours:.1e}, PyTorch in f32 by {theirs:.1e}"
            worst = max(worst, ours)
        said.append(f"width {width} batch {batch} {'residual' if residual else 'plain'} {worst:.1e}")
    return "largest median error " + ", ".join(said)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ctpipe", required=True, type=pathlib.Path)
    parser.add_argument("--step", required=True, type=pathlib.Path)
    parser.add_argument("--decode", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    ctpipe = arguments.ctpipe.resolve()
    phantoms = Place(ctpipe)
    in_browser = report.Report(ctpipe, phantoms)
    checks = [
        (phantoms_are_dicom, phantoms),
        (phantom_volumes_agree_with_itk, phantoms),
        (figures_agree_with_scikit_learn, phantoms),
        # These come before trainings change that folder: the report is copied at first use.
        *((check, in_browser) for check in report.CHECKS),
        (evaluation.metrics_follow_their_schema, phantoms),
        (pytorch_answers_with_our_model, phantoms),
        (training_starts_from_pytorch_weights, phantoms),
        (training.tensorboard_reads_a_training_that_was_interrupted, phantoms),
        (training.mlflow_takes_a_training_that_was_interrupted, phantoms),
        (a_step_is_pytorchs, arguments.step.resolve()),
        (chest_agrees_with_itk, ctpipe),
        (adrenal_goes_from_dicom_to_report, ctpipe),
        (dicom.decodes_what_pydicom_decodes, arguments.decode.resolve()),
        (dicom.nifti_is_what_simpleitk_reads, ctpipe),
        (dicom.coronal_and_sagittal_are_turned_to_the_patient, ctpipe),
        (dicom.tilt_and_uneven_slices_are_resampled_in_place, ctpipe),
        (evaluation.maps_point_at_lesions, ctpipe),
        (schema.judges_as_ctpipe_does, ctpipe),
        (schema.judges_events_as_they_are, ctpipe),
        (deploy.units_are_as_systemd_wants_them, ctpipe),
        (dicom.nothing_personal_goes_anywhere, ctpipe),
    ]
    failed = tally(checks)
    in_browser.close()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
