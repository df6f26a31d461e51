#!/usr/bin/env python3
"""Checks phantoms with other programs: pydicom, SimpleITK and dciodvfy.

    check_phantoms.py DIR      where DIR holds training_data/, training_data.csv and truth.csv

Exits with 1 and a message at the first problem.
"""

import csv
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk


class Problem(Exception):
    pass


def demand(holds, message):
    if not holds:
        raise Problem(message)


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def read_with_pydicom(folder):
    """HU [z, y, x] from the feet up, and the headers in the same order."""
    headers = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    headers.sort(key=lambda header: float(header.ImagePositionPatient[2]))
    hu = [h.pixel_array * float(h.RescaleSlope) + float(h.RescaleIntercept) for h in headers]
    return np.stack(hu), headers


def check_geometry(headers, row):
    first = headers[0]
    z = np.array([float(h.ImagePositionPatient[2]) for h in headers])
    steps = np.diff(z)
    demand(len(headers) >= 40, f"{len(headers)} slices, expected 40 or more")
    demand(np.ptp(steps) < 1e-3 and steps[0] > 0, f"slice steps {steps.min()} to {steps.max()} mm")
    demand(1 <= float(first.SliceThickness) <= 5, f"slice thickness {first.SliceThickness}")
    demand(sorted(int(h.InstanceNumber) for h in headers) == list(range(1, len(headers) + 1)),
           "instance numbers are not 1 to the number of slices")
    demand(len({h.SOPInstanceUID for h in headers}) == len(headers), "SOP Instance UIDs repeat")
    for header in headers:
        demand((header.StudyInstanceUID, header.SeriesInstanceUID)
               == (row["study_uid"], row["series_uid"]), "UIDs differ from the CSV's")
        demand((header.PatientAge, header.PatientSex) == (f"{int(row['age']):03d}Y", row["sex"]),
               "age or sex differs from the CSV's")
        demand(header.SOPInstanceUID == header.file_meta.MediaStorageSOPInstanceUID,
               "file meta names another instance")


def check_anatomy(hu, headers):
    """Air, lung, soft tissue and a vertebra where a supine chest has them."""
    padding = headers[0].get("PixelPaddingValue")
    if padding is not None:
        slope, intercept = float(headers[0].RescaleSlope), float(headers[0].RescaleIntercept)
        corner = hu[:, 0, 0]
        demand(np.all(corner == padding * slope + intercept), "corners are not the padding value")
    middle = len(hu) // 2
    rows = hu.shape[1]
    # Muscle and organs; the skin of the table is below water.
    ys, xs = np.nonzero(hu[middle] > -20)
    x, (top, bottom) = round(np.mean(xs)), np.percentile(ys, (0.5, 99.5)).astype(int)
    front = hu[middle, :, rows // 2 - 4:rows // 2 + 4].mean(axis=1)
    skin = int(np.argmax(front > -500))
    if skin > 3:
        air = front[:skin - 2].mean()
        demand(abs(air + 1000) < 25, f"{air:.0f} HU in the air before the chest")
    lungs = (hu[:, top:bottom] > -950) & (hu[:, top:bottom] < -650)
    step = float(headers[1].ImagePositionPatient[2]) - float(headers[0].ImagePositionPatient[2])
    across = float(headers[0].PixelSpacing[0])
    litres = lungs.sum() * across**2 * step / 1e6
    # Four consolidations leave little of it.
    demand(0.3 < litres < 7, f"{litres:.1f} litres of aerated lung")
    y, reach = round(top + 0.37 * (bottom - top)), round(9 / across)
    heart = np.median(hu[middle - round(44 / step), y - reach:y + reach, x:x + 2 * reach])
    demand(5 < heart < 75, f"{heart:.0f} HU in the heart")
    back = hu[:, (top + bottom) // 2:bottom, x - 3:x + 4]
    bone = np.percentile(back, 95)
    demand(250 < bone < 750, f"95th percentile of the spine is {bone:.0f} HU")


def check_lesions(hu, headers, lesions):
    first = headers[0]
    origin = np.array([float(v) for v in first.ImagePositionPatient])
    step = np.array([float(first.PixelSpacing[1]), float(first.PixelSpacing[0]),
                     float(headers[1].ImagePositionPatient[2]) - origin[2]])
    for lesion in lesions:
        place = np.array([float(lesion[k]) for k in ("x_mm", "y_mm", "z_mm")])
        i, j, k = np.rint((place - origin) / step).astype(int)
        value = np.median(hu[k, j - 1:j + 2, i - 1:i + 2])
        demand(-260 < value < 130, f"{value:.0f} HU in the middle of a {lesion['kind']} at {place}")


def check_simpleitk(folder, hu, headers):
    reader = sitk.ImageSeriesReader()
    uids = reader.GetGDCMSeriesIDs(str(folder))
    demand(len(uids) == 1, f"SimpleITK sees {len(uids)} series")
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), uids[0]))
    image = reader.Execute()
    first = headers[0]
    step = float(headers[1].ImagePositionPatient[2]) - float(first.ImagePositionPatient[2])
    spacing = (float(first.PixelSpacing[1]), float(first.PixelSpacing[0]), step)
    demand(image.GetSize() == hu.shape[::-1], f"SimpleITK reads the size {image.GetSize()}")
    demand(np.allclose(image.GetSpacing(), spacing, atol=1e-4),
           f"SimpleITK reads the spacing {image.GetSpacing()}, expected {spacing}")
    demand(np.allclose(image.GetOrigin(), [float(v) for v in first.ImagePositionPatient]),
           f"SimpleITK reads the origin {image.GetOrigin()}")
    demand(np.allclose(sitk.GetArrayFromImage(image), hu, atol=1e-2),
           "SimpleITK and pydicom read different HU")


def check_dciodvfy(folder):
    """First, middle and last file: the slices of a series differ in place and pixels only."""
    files = sorted(folder.glob("*.dcm"))
    for path in (files[0], files[len(files) // 2], files[-1]):
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        errors = [line for line in said.splitlines() if line.startswith(("Error", "Warning"))]
        demand(not errors, f"dciodvfy on {path.name}: {errors[:1]}")
        demand("CTImage" in said, f"dciodvfy does not take {path.name} for a CT image: {said}")


def check(root):
    rows = read_csv(root / "training_data.csv")
    lesions = defaultdict(list)
    for lesion in read_csv(root / "truth.csv"):
        lesions[lesion["series_uid"]].append(lesion)
    on_disk = {path.name for path in (root / "training_data").glob("*/*")}
    demand(on_disk == {row["series_uid"] for row in rows}, "the CSV and the folders differ")
    for row in rows:
        folder = root / "training_data" / row["study_uid"] / row["series_uid"]
        try:
            hu, headers = read_with_pydicom(folder)
            check_geometry(headers, row)
            check_anatomy(hu, headers)
            check_lesions(hu, headers, lesions[row["series_uid"]])
            demand((row["pathology"] == "1") == bool(lesions[row["series_uid"]]),
                   "the label and truth.csv differ")
            check_simpleitk(folder, hu, headers)
            check_dciodvfy(folder)
        except Problem as problem:
            raise Problem(f"series {row['series_uid']}: {problem}") from None
    return len(rows)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check_phantoms.py DIR")
    try:
        count = check(Path(sys.argv[1]))
    except Problem as problem:
        sys.exit(f"check_phantoms: {problem}")
    print(f"check_phantoms: {count} series read alike by pydicom and SimpleITK; dciodvfy is content")


if __name__ == "__main__":
    main()
