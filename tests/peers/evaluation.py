"""Checks the outputs of evaluate: metrics.json with an implementation of JSON Schema, and the
saliency maps against the lesions of the phantoms."""
import csv
import json
import shutil

import jsonschema
import numpy as np

from common import PROJECT, Place

# Margin around a lesion, in voxels, that counts as the lesion.
GROWN = 2


def metrics_follow_their_schema(place):
    schema = json.loads((PROJECT / "schemas/metrics.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    judge = jsonschema.Draft7Validator(schema)
    metrics = json.loads((place.folder / "artifacts/evaluate/metrics.json").read_text())
    wrong = [f"{error.json_path}: {error.message}" for error in judge.iter_errors(metrics)]
    assert not wrong, wrong
    metrics["test"]["auc"]["value"] = "high"
    assert not judge.is_valid(metrics)
    return f"{len(schema['definitions'])} records"


def in_voxels(place, size):
    """For each series, the map from patient coordinates in mm (LPS) to voxels of its volume, which
    the whole series fills."""
    series = {row["series_uid"]: row for row in place.table("ingest", "series.parquet")}
    positions = {}
    for row in place.table("ingest", "instances.parquet"):
        position = [row[f"position_{axis}"] for axis in "xyz"]
        positions.setdefault(row["series_uid"], []).append(position)
    grids = {}
    for uid, row in series.items():
        assert row["along_row_x"] == 1 and row["along_column_y"] == 1, "the phantoms are axial"
        spacing = np.array([row["column_spacing"], row["row_spacing"], row["slice_spacing"]])
        count = np.array([row["columns"], row["rows"], row["slices"]])
        corner = np.min(positions[uid], axis=0) - spacing / 2
        grids[uid] = (corner, spacing * count / size)
    return grids


def maps_point_at_lesions(ctpipe):
    """The pointing game on the demonstration: in at least eight of ten true positives, SmoothGrad
    is largest within a lesion grown by two voxels. With random weights, the map is a different one
    (Adebayo et al. 2018)."""
    place = Place(ctpipe)
    shutil.copy(PROJECT / "pipeline.yaml", place.folder)
    place.run("synth", "data/demo")
    settings = ["saliency_cases=20", "smooth_grad_samples=25", "occlusion_window=0"]
    place.run("run", "--profile", "demo", "--to", "evaluate", *sum((["--set", f"evaluate.{s}"] for s in settings), []))
    lesions = {}
    with open(place.folder / "data/demo/truth.csv") as file:
        for row in csv.DictReader(file):
            lesions.setdefault(row["series_uid"], []).append(
                [np.array([float(row[f"{what}{axis}_mm"]) for axis in "xyz"]) for what in ("", "semi_")]
            )
    maps = place.table("evaluate", "saliency.parquet")
    grids = in_voxels(place, maps[0]["size"])
    pointed = []
    for row in maps:
        if row["case"] == "hit" and row["method"] == "smooth_grad":
            corner, voxel = grids[row["series_uid"]]
            place_of_largest = np.array([row["x"], row["y"], row["z"]])
            within = [
                ((place_of_largest - ((centre - corner) / voxel - 0.5)) / (semi / voxel + GROWN)) ** 2
                for centre, semi in lesions[row["series_uid"]]
            ]
            pointed.append(any(distance.sum() <= 1 for distance in within))
    assert len(pointed) >= 10, f"only {len(pointed)} hits"
    assert np.mean(pointed) >= 0.8, f"{sum(pointed)} of {len(pointed)}"
    made = json.loads((place.folder / "artifacts/evaluate/saliency.json").read_text())
    alike = made["randomised"]["correlation"]
    assert abs(alike) < 0.5, f"with random weights the map stays the same: {alike:.2f}"
    return f"{sum(pointed)} of {len(pointed)}; rank correlation with random weights {alike:.2f}"
