"""Checks of DICOM: pydicom with pylibjpeg decodes, SimpleITK reads volumes, numpy resamples."""
import copy
import logging
import pathlib
import subprocess
import tempfile
import warnings

import numpy as np
import pyarrow.parquet
import pydicom
import pydicom.datadict
import SimpleITK
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from common import DATA, WINDOW, Place, Skip, averaged

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

# Tolerances of lossy codecs, whose inverse transform differs from one decoder to the next.
LOSSY = {"1.2.840.10008.1.2.4.50": 2, "1.2.840.10008.1.2.4.51": 2, "1.2.840.10008.1.2.4.81": 1,
         "1.2.840.10008.1.2.4.91": 1}


def corpus():
    own = pathlib.Path(pydicom.__file__).parent / "data/test_files"
    folders = [own] + [DATA / name for name in ("codecs", "odd", "geometry") if (DATA / name).exists()]
    return [path for folder in folders for path in sorted(folder.rglob("*.dcm")) if path.is_file()]


def peer_values(path):
    """The values that pydicom decodes from a file with its transfer syntax, or None and why not."""
    try:
        file = pydicom.dcmread(path, force=True)
        if "file_meta" not in file.__dict__ or "TransferSyntaxUID" not in file.file_meta:
            implicit, little = file.original_encoding
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            file.file_meta = FileMetaDataset()
            file.file_meta.TransferSyntaxUID = syntax
        if file.get("SamplesPerPixel") != 1:
            return None, "several components"
        return file.pixel_array.astype(np.int64).ravel(), file.file_meta.TransferSyntaxUID
    except Exception as error:
        return None, str(error)


def decodes_what_pydicom_decodes(decode):
    """Every single-component file that pydicom decodes, compared voxel by voxel."""
    files = corpus()
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "values"
        names = "\n".join(map(str, files)) + "\n"
        done = subprocess.run([decode, out], input=names, capture_output=True, text=True, check=True)
        values = np.fromfile(out, "<i4")
    at, equal, near, wrong = 0, 0, 0, []
    for path, line in zip(files, done.stdout.splitlines(), strict=True):
        said = line.split("\t")[1]
        ours = None
        if not said.startswith("error"):
            count = int(np.prod([int(number) for number in said.split()]))
            ours, at = values[at:at + count], at + count
        peer, syntax = peer_values(path)
        if peer is None:
            continue
        if ours is None or ours.size != peer.size:
            wrong.append(f"{path.name}: {said}")
            continue
        worst = int(np.abs(ours - peer).max())
        if worst > LOSSY.get(syntax, 0):
            wrong.append(f"{path.name}: differs by {worst}")
        equal, near = equal + (worst == 0), near + (worst > 0)
    assert not wrong, "\n".join(wrong)
    # 26 of them are in pydicom's own package, the others in the test data.
    least = 40 if DATA.is_dir() else 26
    assert equal + near >= least, f"only {equal + near} files were compared"
    return f"{equal} files equal, {near} lossy ones within their limit"


def sorted_slices(folder):
    files = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    row, column = (np.array(files[0].ImageOrientationPatient, float)[k:k + 3] for k in (0, 3))
    normal = np.cross(row, column)
    return sorted(files, key=lambda file: np.dot(np.array(file.ImagePositionPatient, float), normal)), normal


def needed(name):
    folder = DATA / name
    if not folder.exists():
        raise Skip(f"there is no {folder}")
    return folder


def nifti_is_what_simpleitk_reads(ctpipe):
    """The output of inspect --nifti, read by SimpleITK, equals SimpleITK's own reading of the
    DICOM."""
    said = []
    for name in ("ct-chest-acrin", "ct-head-tilt", "geometry/gantrytilting/001"):
        folder = needed(name)
        with tempfile.TemporaryDirectory() as place:
            out = pathlib.Path(place) / "series.nii.gz"
            subprocess.run([ctpipe, "inspect", folder, "--nifti", out], check=True, capture_output=True)
            ours = SimpleITK.ReadImage(str(out))
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        peer = reader.Execute()
        a, b = SimpleITK.GetArrayFromImage(ours), SimpleITK.GetArrayFromImage(peer)
        assert np.array_equal(a, b), f"{name}: values differ"
        for what in ("GetSpacing", "GetOrigin", "GetDirection"):
            off = np.abs(np.array(getattr(ours, what)()) - np.array(getattr(peer, what)())).max()
            assert off < 1e-4, f"{name}: {what} differs by {off}"
        said.append(name)
    return ", ".join(said)


def series_as(place, name, files):
    """Writes files as a new series into the place's folder and returns its UID."""
    folder = place.folder / "data" / name
    folder.mkdir(parents=True)
    uid, study = generate_uid(), generate_uid()
    for number, file in enumerate(files):
        file.SeriesInstanceUID, file.StudyInstanceUID = uid, study
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        file.InstanceNumber = number
        file.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)
    with open(place.folder / "labels.csv", "a") as labels:
        labels.write(f"{study},{uid},1\n")
    return uid


def started(ctpipe):
    place = Place(ctpipe)
    (place.folder / "labels.csv").write_text("study_uid,series_uid,pathology\n")
    (place.folder / "patient.key").write_text("peers")
    place.pipeline("data", "labels.csv")
    return place


LOOSE = ["--set", "ingest.min_slices=2", "--set", "ingest.min_slice_thickness=0", "--set",
         "ingest.max_slice_thickness=20"]


def coronal_and_sagittal_are_turned_to_the_patient(ctpipe):
    """One volume, cut along three planes and in both directions, gives the same cube."""
    files, _ = sorted_slices(needed("ct-chest-acrin"))
    every = 8
    volume = np.stack([file.pixel_array for file in files])[:, ::every, ::every].copy()
    depth, rows, columns = volume.shape
    first = np.array(files[0].ImagePositionPatient, float)
    spacing = float(files[0].PixelSpacing[0]) * every
    gap = float(files[1].ImagePositionPatient[2]) - float(files[0].ImagePositionPatient[2])
    steps = np.diag([spacing, spacing, gap])
    place = started(ctpipe)

    def cut(name, along_row, along_column, across, turned):
        """Axes 0, 1, 2 are x, y, z; the axes in `turned` run backwards."""
        sizes = [columns, rows, depth]
        way = {axis: -1 if axis in turned else 1 for axis in range(3)}
        start = first + sum(steps[axis] * (sizes[axis] - 1) for axis in turned)
        made = []
        for k in range(sizes[across]):
            file = copy.deepcopy(files[0])
            plane = np.moveaxis(volume, [2 - across, 2 - along_column, 2 - along_row], [0, 1, 2])
            plane = plane[::way[across], ::way[along_column], ::way[along_row]][k]
            file.Rows, file.Columns = plane.shape
            file.PixelData = np.ascontiguousarray(plane).tobytes()
            file.PixelSpacing = [steps[along_column].sum(), steps[along_row].sum()]
            file.SliceThickness = steps[across].sum()
            file.ImageOrientationPatient = [
                *(np.eye(3)[along_row] * way[along_row]), *(np.eye(3)[along_column] * way[along_column])]
            file.ImagePositionPatient = [f"{v:.6f}" for v in start + way[across] * k * steps[across]]
            made.append(file)
        return series_as(place, name, made[::-1])

    uids = [cut("axial", 0, 1, 2, []), cut("coronal", 0, 2, 1, [2]), cut("sagittal", 1, 2, 0, [2]),
            cut("prone", 0, 1, 2, [0, 1]), cut("rising", 0, 2, 1, [])]
    place.run("run", "--to", "preprocess", *LOOSE)
    volumes = place.volumes()
    hu = volume * float(files[0].RescaleSlope) + float(files[0].RescaleIntercept)
    expected = np.clip(averaged(np.maximum(hu, -1024)), *WINDOW)
    worst = max(np.abs(volumes[uid] - expected).max() for uid in uids)
    assert worst < 0.05, f"differs by {worst} HU"
    return f"{len(uids)} cuts, every voxel within {worst:.3f} HU"


def tilt_and_uneven_slices_are_resampled_in_place(ctpipe):
    """The tilted head with slices of 4 mm and 7 mm: each voxel is the mean of the source at its
    true position."""
    folder = needed("ct-head-tilt")
    place = started(ctpipe)
    files, normal = sorted_slices(folder)
    uid = series_as(place, "head", [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))])
    place.run("run", "--to", "preprocess", *LOOSE)
    ours = place.volumes()[uid]
    row, column = (np.array(files[0].ImageOrientationPatient, float)[k:k + 3] for k in (0, 3))
    at = np.array([[np.dot(np.array(f.ImagePositionPatient, float), axis) for axis in (row, column, normal)]
                   for f in files])
    raw = np.stack([file.pixel_array for file in files]).astype(float)
    hu = np.where(raw == int(files[0].PixelPaddingValue), -1000, raw)
    spacing = float(files[0].PixelSpacing[0])
    borders = np.concatenate([[at[0, 2] * 1.5 - at[1, 2] * 0.5], (at[1:, 2] + at[:-1, 2]) / 2,
                              [at[-1, 2] * 1.5 - at[-2, 2] * 0.5]])
    size, fine = 64, 16
    low = np.array([at[:, 0].min() - spacing / 2, at[:, 1].min() - spacing / 2])
    high = np.array([at[:, 0].max(), at[:, 1].max()]) + (512 - 0.5) * spacing

    def points(a, b):
        return a + (b - a) * (np.arange(size * fine) + 0.5) / (size * fine)

    # In the plane, each voxel is the mean over the nearest pixels of many points, with each slice
    # shifted to its true position.
    u, v = points(low[0], high[0]), points(low[1], high[1])
    planes = np.empty((len(files), size, size))
    for k, plane in enumerate(hu):
        i = np.floor((u - at[k, 0]) / spacing + 0.5).astype(int)
        j = np.floor((v - at[k, 1]) / spacing + 0.5).astype(int)
        found = plane[np.clip(j, 0, 511)][:, np.clip(i, 0, 511)]
        inside = ((j >= 0) & (j < 512))[:, None] & ((i >= 0) & (i < 512))[None, :]
        found = np.where(inside, found, -1000)
        planes[k] = found.reshape(size, fine, size, fine).mean((1, 3))
    # Along the slices, 28 become 64: linear between their centres.
    w = borders[0] + (borders[-1] - borders[0]) * (np.arange(size) + 0.5) / size
    expected = np.empty((size, size, size))
    for z, height in enumerate(np.clip(w, at[0, 2], at[-1, 2])):
        k = min(np.searchsorted(at[:, 2], height, side="right") - 1, len(files) - 2)
        part = (height - at[k, 2]) / (at[k + 1, 2] - at[k, 2])
        expected[z] = (1 - part) * planes[k] + part * planes[k + 1]
    off = np.abs(ours - np.clip(expected, *WINDOW))
    assert off.mean() < 1.0, f"differs by {off.mean():.3f} HU on average"
    return f"mean difference {off.mean():.3f} HU"


# Attributes that the tables keep on purpose, or that a volume needs.
KEPT = {
    "SpecificCharacterSet", "ImageType", "Modality", "Manufacturer", "ManufacturerModelName", "PatientSex", "PatientAge",
    "SliceThickness", "KVP", "ConvolutionKernel", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient",
    "PhotometricInterpretation", "NumberOfFrames", "PixelSpacing", "RescaleIntercept", "RescaleSlope", "RescaleType",
}
TEXT = {"AE": "MARKERAE", "CS": "MARKERCS", "DA": "18990713", "DT": "18990713101112", "TM": "101112.987654",
        "IS": "918273645", "DS": "9182.73645", "UR": "http://marker.example/MARKERUR"}
MARKERS = [b"marker", b"18990713", b"1899-07-13", b"101112.98", b"918273645", b"9182.7364"]


def marked():
    """A marker, which must appear nowhere else, in every attribute of PS3.6 that holds text, or a
    number or a time as text. Annex E of PS3.15 names only some of these."""
    dataset = pydicom.Dataset()
    for tag, (vr, _, _, retired, keyword) in pydicom.datadict.DicomDictionary.items():
        if vr in ("AE", "CS", "DA", "DT", "TM", "IS", "DS", "UR", "LO", "LT", "PN", "SH", "ST", "UC", "UT") \
                and tag >> 16 > 7 and keyword not in KEPT:
            dataset.add_new(tag, vr, TEXT.get(vr, "MARKER^TEXT" if vr == "PN" else "MARKER TEXT"))
    return dataset


def nothing_personal_goes_anywhere(ctpipe):
    """Markers are in all other attributes and in no output, log line or error; nor are UIDs, if
    they are hashed."""
    place = Place(ctpipe)
    place.run("synth", "data", "--patients", "12", "--matrix", "64", "--syntax", "explicit")
    markers = marked()
    folders = sorted({path.parent for path in place.folder.glob("data/training_data/**/*.dcm")})
    uids = set()
    for folder in folders:
        for index, path in enumerate(sorted(folder.glob("*.dcm"))):
            file = pydicom.dcmread(path)
            uids |= {str(file.StudyInstanceUID), str(file.SeriesInstanceUID), str(file.SOPInstanceUID)}
            if index < 2:
                # Each patient keeps a distinct identifier, now with a marker.
                patient = f"MARKER {file.PatientID}"
                file.update(copy.deepcopy(markers))
                file.PatientID = patient
                file.RequestAttributesSequence = [copy.deepcopy(markers)]
                file.private_block(0x0099, "MARKER CREATOR", create=True).add_new(1, "LO", "MARKER PRIVATE")
            else:
                file.PatientID = f"MARKER {file.PatientID}"
            file.save_as(path)
    # Damaged files, whose error messages must not name the patient either.
    broken = folders[0] / "broken.dcm"
    whole = next(folders[1].glob("*.dcm")).read_bytes()
    broken.write_bytes(whole[: len(whole) // 3])
    (folders[0] / "half.dcm").write_bytes(whole[:-1000])
    # Folders are named by UIDs, and paths may appear in outputs, so the folders are renamed.
    for number, folder in enumerate(folders):
        folder.rename(place.folder / "data/training_data" / f"s{number}")
    place.pipeline("data/training_data", "data/training_data.csv")
    said = []
    for extra in ([], ["--set", "ingest.pseudonymize_uids=true"]):
        for more in (["run"], ["run", "--json", "--force"], ["status"], ["why", "ingest"]):
            done = subprocess.run([ctpipe, *more, *extra], cwd=place.folder, capture_output=True, text=True)
            assert more[0] != "run" or done.returncode == 0, done.stderr
            said.append(done.stdout + done.stderr)
    done = subprocess.run([ctpipe, "inspect", "data/training_data"], cwd=place.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said.append(done.stdout + done.stderr)
    content = {"what was said": "\n".join(said).encode()}
    for path in sorted((place.folder / "artifacts").rglob("*")):
        if path.is_file() and path.suffix == ".parquet":
            content[str(path)] = repr(pyarrow.parquet.read_table(path).to_pylist()).encode()
        elif path.is_file():
            content[str(path)] = path.read_bytes()
    for name, found in content.items():
        for marker in MARKERS:
            assert marker not in found.lower(), f"{marker.decode()} is in {name}"
    # The current artifacts have hashed UIDs.
    looked_at = 0
    for name in place.folder.glob("artifacts/*/*"):
        if name.is_file() and name.name not in ("manifest.json",):
            looked_at += 1
            found = content[str(name.resolve())] if str(name.resolve()) in content else name.read_bytes()
            for uid in uids:
                assert uid.encode() not in found, f"{uid} is in {name}"
    assert looked_at > 8, looked_at
    return f"{len(markers)} attributes marked in {len(folders)} series, {len(content)} outputs, {len(uids)} UIDs hashed"
