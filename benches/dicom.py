#!/usr/bin/env python3
"""Compares the way from DICOM to shards with SimpleITK, pydicom and pylibjpeg: the same files, in
the same run, with a warm page cache.

    dicom.py --ctpipe target/release/ctpipe --decode target/release/examples/decode --work target/bench/dicom

Ours is the whole command `ctpipe run --force preprocess`, including process start, statistics and
shards. SimpleITK has two processes, already started, which read each series, resample it linearly
to 64 x 64 x 64 (which aliases; ours averages) and write nothing. Codecs are timed on one core, for
a frame of a file that has been read and parsed. Ratios are theirs over ours: above 1, ours is
faster. The last line is one JSON object.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np
import pydicom
import SimpleITK
from pydicom.pixels import get_decoder

ROUNDS = 5
DATA = pathlib.Path(os.environ.get("CTPIPE_TEST_DATA", pathlib.Path(__file__).parents[2] / "shared/data"))
PIPELINE = """seed: 42
stages:
  ingest:
    inputs: { dicom: training_data, labels: training_data.csv, patient_key: patient.key }
    params: { min_slices: 1 }
  preprocess:
    inputs: { series: ingest, dicom: training_data }
"""
FIGURES = {}


def say(name, value, text):
    FIGURES[name] = round(value, 4) if isinstance(value, float) else value
    print(f"{name:44} {text}", flush=True)


def command(*parts, cwd=None):
    """Seconds of a command, and the peak memory in MB that it reports itself (what the kernel
    counts for a child starts with the memory of this program)."""
    started = time.perf_counter()
    child = subprocess.Popen([str(part) for part in parts], cwd=cwd, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
    said = child.stderr.read().decode()
    status = child.wait()
    seconds = time.perf_counter() - started
    if status != 0:
        raise RuntimeError(f"{' '.join(map(str, parts))}: {said[-2000:]}")
    return seconds, max(map(float, re.findall(r"peak (\d+) MB", said)), default=0.0)


def median(measure, rounds=ROUNDS):
    measure()
    return statistics.median(measure() for _ in range(rounds))


def read_and_resample(files):
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(files)
    image = reader.Execute()
    size, spacing = image.GetSize(), image.GetSpacing()
    steps = [spacing[i] * size[i] / 64 for i in range(3)]
    out = SimpleITK.Resample(image, [64] * 3, SimpleITK.Transform(), SimpleITK.sitkLinear, image.GetOrigin(), steps,
                             image.GetDirection(), -1000, SimpleITK.sitkFloat32)
    return float(SimpleITK.GetArrayViewFromImage(out).mean())


def read_series(folder):
    return read_and_resample(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(folder))


def one_thread():
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def series_folders(root):
    return sorted({str(path.parent) for path in root.rglob("*.dcm")})


def beside_itk(name, place, ctpipe):
    """Times preprocess on the files below `place`, and two processes of SimpleITK."""
    folders = series_folders(place / "training_data")
    size = sum(path.stat().st_size for path in (place / "training_data").rglob("*.dcm"))
    (place / "pipeline.yaml").write_text(PIPELINE)
    command(ctpipe, "run", "--to", "preprocess", cwd=place)
    peaks = []

    def ours():
        seconds, peak = command(ctpipe, "run", "--force", "preprocess", cwd=place)
        peaks.append(peak)
        return seconds

    with multiprocessing.Pool(2, one_thread) as pool:
        def theirs():
            started = time.perf_counter()
            pool.map(read_series, folders, chunksize=1)
            return time.perf_counter() - started
        a, b = median(ours), median(theirs)
    say(f"{name}_mb", size / 1e6, f"{len(folders)} series, {size / 1e6:.0f} MB")
    say(f"{name}_ours_s", a, f"{a:.3f} s, peak {max(peaks):.0f} MB")
    say(f"{name}_itk_two_processes_s", b, f"{b:.3f} s")
    say(f"{name}_gb_per_s", size / a / 1e9, f"{size / a / 1e9:.2f} GB/s")
    say(f"{name}_times_itk", b / a, f"{b / a:.1f} times SimpleITK")


def phantoms(ctpipe, place, *arguments):
    if not (place / "training_data.csv").exists():
        shutil.rmtree(place, ignore_errors=True)
        command(ctpipe, "synth", place, *arguments)


# The codecs of the test files, by transfer syntax.
CODECS = {
    "1.2.840.10008.1.2.5": "rle", "1.2.840.10008.1.2.4.50": "jpeg8", "1.2.840.10008.1.2.4.51": "jpeg12",
    "1.2.840.10008.1.2.4.57": "jpeg_lossless_57", "1.2.840.10008.1.2.4.70": "jpeg_lossless_70",
    "1.2.840.10008.1.2.4.80": "jpeg_ls_80", "1.2.840.10008.1.2.4.81": "jpeg_ls_81",
    "1.2.840.10008.1.2.4.90": "jpeg2000_90", "1.2.840.10008.1.2.4.91": "jpeg2000_91",
}


def codecs(decode, repeats=20):
    """Times both sides in turns, so that other load on the machine affects both."""
    for path in sorted((DATA / "codecs").rglob("*.dcm")):
        dataset = pydicom.dcmread(path, force=True)
        name = CODECS.get(str(dataset.file_meta.get("TransferSyntaxUID", "")))
        if name is None or f"{name}_times_pylibjpeg" in FIGURES or int(dataset.get("NumberOfFrames", 1) or 1) > 1:
            continue
        decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)

        def ours():
            said = subprocess.run([decode, "--time", path, str(repeats)], stdout=subprocess.PIPE, check=True, text=True)
            return float(said.stdout)

        def theirs():
            started = time.perf_counter()
            decoder.as_array(dataset, decoding_plugin="pylibjpeg", raw=True)
            return time.perf_counter() - started

        rounds = [(ours(), median(theirs, repeats)) for _ in range(ROUNDS)]
        a, b = (statistics.median(side) for side in zip(*rounds))
        say(f"{name}_times_pylibjpeg", b / a, f"{1e3 * a:.2f} ms a frame, pylibjpeg {1e3 * b:.2f}: {b / a:.1f} times")


def headers(ctpipe, work, wanted):
    place = work / "headers"
    phantoms(ctpipe, place, "--patients", max(1, wanted // 86), "--matrix", 64)
    (place / "pipeline.yaml").write_text(PIPELINE)
    files = sum(1 for _ in (place / "training_data").rglob("*.dcm"))
    command(ctpipe, "run", "ingest", cwd=place)
    command(ctpipe, "run", "--force", "ingest", cwd=place)
    seconds, peak = command(ctpipe, "run", "--force", "ingest", cwd=place)
    say("headers_files", files, f"{files} files")
    say("headers_s", seconds, f"{seconds:.2f} s, {1e5 * seconds / files:.2f} s for 100 000")
    say("headers_peak_mb", peak, f"{peak:.0f} MB")


def incremental(ctpipe, work):
    """The cost of adding one series to a thousand (of those of `headers`), compared with all of
    them, with a run that has nothing to do, and with that series alone."""
    source, place, alone = work / "headers", work / "incremental", work / "alone"
    folders = sorted({file.parent.relative_to(source) for file in (source / "training_data").rglob("*.dcm")})[:1001]
    added = folders[len(folders) // 2]
    head, *labels = (source / "training_data.csv").read_text().splitlines()
    for to, some in ((place, folders), (alone, [added])):
        shutil.rmtree(to, ignore_errors=True)
        for folder in some:
            shutil.copytree(source / folder, to / folder, copy_function=os.link)
        series = {folder.name for folder in some}
        rows = [row for row in labels if row.split(",")[head.split(",").index("series_uid")] in series]
        (to / "training_data.csv").write_text("\n".join([head, *rows]) + "\n")
        (to / "patient.key").write_text("a key of this benchmark, not a secret at all\n")
        (to / "pipeline.yaml").write_text(PIPELINE)
    times = {"one": [], "idle": [], "alone": []}
    for turn in range(ROUNDS):
        shutil.rmtree(place / added)
        command(ctpipe, "run", "--to", "preprocess", cwd=place)
        # One byte changes each time, because an artifact that already exists would only be made
        # current.
        for to in (place, alone):
            shutil.rmtree(to / added, ignore_errors=True)
            shutil.copytree(source / added, to / added)
            first = sorted((to / added).glob("*.dcm"))[0]
            content = first.read_bytes()
            first.write_bytes(content[:-50] + bytes([content[-50] ^ (turn + 1)]) + content[-49:])
        # ctpipe does not trust the modification times of files that have just been written.
        time.sleep(2.5)
        for name, to in (("one", place), ("idle", place), ("alone", alone)):
            times[name].append(command(ctpipe, "run", "--to", "preprocess", cwd=to)[0])
    whole, _ = command(ctpipe, "run", "--force", "--to", "preprocess", cwd=place)
    one, idle, only = (statistics.median(times[name]) for name in ("one", "idle", "alone"))
    say("incremental_all_s", whole, f"{whole:.1f} s for {len(folders)} series, forced")
    say("incremental_one_s", one, f"{one:.2f} s after one was added, {idle:.2f} s when nothing was, {only:.2f} s for it alone")
    say("incremental_times", one / (idle + only), f"{one / (idle + only):.2f} times one series and the stat walk")


def thick_study(folder, uid, template, frames):
    """Writes a series of 512 x 512 x 700, as many files or as one file with many frames."""
    folder.mkdir(parents=True)
    dataset = pydicom.dcmread(template)
    dataset.SeriesInstanceUID = dataset.StudyInstanceUID = uid
    if frames:
        dataset.NumberOfFrames = 700
        dataset.PixelData = dataset.PixelData * 700
        groups = []
        for slice_ in range(700):
            position, group = pydicom.Dataset(), pydicom.Dataset()
            position.ImagePositionPatient = [-180, -180, 0.5 * slice_]
            group.PlanePositionSequence = [position]
            groups.append(group)
        dataset.PerFrameFunctionalGroupsSequence = groups
        dataset.save_as(folder / "all.dcm")
        return
    for slice_ in range(700):
        dataset.SOPInstanceUID = f"{uid}.{slice_}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.ImagePositionPatient = [-180, -180, 0.5 * slice_]
        dataset.InstanceNumber = slice_ + 1
        dataset.save_as(folder / f"{slice_:04}.dcm")


def memory(ctpipe, work, template):
    place = work / "memory"
    if not (place / "training_data.csv").exists():
        shutil.rmtree(place, ignore_errors=True)
        rows = ["study_uid,series_uid,pathology"]
        for index, frames in enumerate([False, False, True, True]):
            uid = f"1.2.826.0.1.3680043.8.498.{index + 1}"
            thick_study(place / "training_data" / str(index), uid, template, frames)
            rows.append(f"{uid},{uid},{index % 2}")
        (place / "training_data.csv").write_text("\n".join(rows) + "\n")
        (place / "patient.key").write_text("a key of this benchmark, not a secret at all\n")
    (place / "pipeline.yaml").write_text(PIPELINE)
    command(ctpipe, "run", "ingest", cwd=place)
    seconds, peak = command(ctpipe, "run", "--force", "preprocess", cwd=place)
    say("memory_peak_mb", peak, f"{peak:.0f} MB for four series of 512 x 512 x 700, two of them one file each, {seconds:.1f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ctpipe", type=pathlib.Path, required=True)
    parser.add_argument("--decode", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--patients", type=int, default=8, help="number of phantom patients at 512 x 512; three times as many without a codec")
    parser.add_argument("--headers", type=int, default=100_000, help="number of files whose headers are read")
    args = parser.parse_args()
    ctpipe, decode, work = args.ctpipe.resolve(), args.decode.resolve(), args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    say("numpy", np.__version__, f"numpy {np.__version__}, SimpleITK {SimpleITK.Version.VersionString()}")
    # The series without a codec are a gigabyte: with less, starting the command would take a third
    # of the time.
    for name, patients in (("explicit", 3 * args.patients), ("jpeg-lossless", args.patients),
                           ("rle", args.patients), ("jpeg-ls", args.patients)):
        place = work / name
        phantoms(ctpipe, place, "--patients", patients, "--matrix", 512, "--syntax", name)
        beside_itk(name.replace("-", "_"), place, ctpipe)
    if (DATA / "codecs").exists():
        codecs(decode)
    else:
        print(f"no codecs: {DATA} is not there (set CTPIPE_TEST_DATA)")
    template = next((work / "explicit" / "training_data").rglob("*.dcm"))
    memory(ctpipe, work, template)
    headers(ctpipe, work, args.headers)
    incremental(ctpipe, work)
    print(json.dumps(FIGURES, separators=(",", ":")))


if __name__ == "__main__":
    sys.exit(main())
