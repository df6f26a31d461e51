"""What the checks share: the location of the test data, and a temporary folder with a pipeline."""
import os
import pathlib
import subprocess
import tempfile
import traceback

import numpy as np
import pyarrow.ipc
import pyarrow.parquet

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
    inputs: {{ model: train, volumes: preprocess, split: split, series: ingest }}
    params: {{ n_bootstrap: 200, device: cpu }}
  report:
    inputs: {{ series: ingest, volumes: preprocess, split: split, model: train, metrics: evaluate }}
"""


class Skip(Exception):
    pass


def tally(checks):
    """Runs each check on its argument, prints its outcome, and returns the number of failures."""
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
    return counts["failed"]


class Place:
    """A temporary folder with a pipeline in it."""

    def __init__(self, ctpipe):
        self.ctpipe = ctpipe
        # The folder is removed together with this object.
        self.keeper = tempfile.TemporaryDirectory(prefix="ctpipe-peers-")
        self.folder = pathlib.Path(self.keeper.name)

    def run(self, *arguments):
        done = subprocess.run([self.ctpipe, *arguments], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"ctpipe {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"

    def pipeline(self, dicom, labels):
        (self.folder / "pipeline.yaml").write_text(PIPELINE.format(dicom=dicom, labels=labels))

    def table(self, stage, name):
        return pyarrow.parquet.read_table(self.folder / "artifacts" / stage / name).to_pylist()

    def voxels(self):
        """Series UID to a [64, 64, 64] array of 16-bit voxels, read only with pyarrow."""
        volumes = {}
        for shard in sorted((self.folder / "artifacts/preprocess/volumes").glob("*.arrow")):
            reader = pyarrow.ipc.open_file(shard)
            for index in range(reader.num_record_batches):
                row = reader.get_batch(index).to_pylist()[0]
                high, low = (np.frombuffer(row[plane], np.uint8).astype(np.uint16) for plane in ("high", "low"))
                edge = row["edge"]
                volumes[row["series_uid"]] = ((high << 8) | low).reshape(edge, edge, edge)
        return volumes

    def volumes(self):
        """Series UID to a [64, 64, 64] array of HU."""
        scale = (WINDOW[1] - WINDOW[0]) / 65535
        return {uid: voxels.astype(np.float64) * scale + WINDOW[0] for uid, voxels in self.voxels().items()}


def averaged(volume, size=64):
    """Area averaging along each axis that shrinks and linear interpolation along each axis that
    grows, in plain numpy."""
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
