"""Checks the JSON schemas of pipeline.yaml, which editors use, and of events: an independent
implementation of JSON Schema must judge by them as ctpipe itself does."""
import json
import subprocess
import tempfile

import jsonschema
from ruamel.yaml import YAML

from common import PROJECT

GOOD = [
    {"stages": {"ingest": {}}},
    {"seed": 0, "stages": {"ingest": None}},
    {"stages": {"ingest": {"inputs": {"dicom": "a", "labels": "b"}, "timeout": "90 s", "retries": 3}}},
    {"stages": {"ingest": {"params": {"dicom": "a", "labels": "b"}, "cpus": 2, "gpus": 0, "memory": "16GB"}}},
    {"stages": {"in2": {"uses": "ingest", "inputs": {"dicom": "a", "labels": "b"}, "params": {"min_slices": 5}}}},
    {"stages": {"own": {"run": "true", "outputs": ["a/b.txt"], "params": {"k": 1.5, "s": "x", "t": True}}}},
    {"stages": {"train": {"run": "true", "params": {"anything": 1}}}},
    {"stages": {"own": {"run": "true", "matrix": {"k": [1, 2.5, "x", True], "a-b": ["1e-3"]}}}},
    {"stages": {"a": {"run": "true", "matrix": {"k": [1]}}, "b": {"run": "true", "matrix": "a", "inputs": {"a": ["a", "c.txt"]}}}},
    {"stages": {"own": {"run": "true", "matrix": {"k": [1]}}}, "profiles": {"p": {"own": {"matrix": None}}}},
    {"stages": {"own": {"run": "true", "gates": ["test.auc.ci_low >= 0.70", "a<-2e-3", "macro avg.f1 > .5", "a.b >= -1 if a"]}}},
    {"notify": {"command": "true", "webhook": "https://example.org/x"}, "stages": {"own": {"run": "true", "gates": None}}},
    {"notify": {"webhook": "$HOOK"}, "stages": {"own": {"run": "true"}}, "profiles": {"p": {"own": {"gates": ["a > 1"]}}}},
    {"stages": {"own": {"run": "true"}}, "profiles": {"p": {"own": {"timeout": None, "params": {"a": 1}}}, "q": None}},
]
BAD = [
    {"stages": {}},
    {"seed": -1, "stages": {"own": {"run": "true"}}},
    {"seeds": 1, "stages": {"own": {"run": "true"}}},
    {"stages": {"own": {"run": ""}}},
    {"stages": {"own": {"run": ["a"]}}},
    {"stages": {"own": {}}},
    {"stages": {"o/n": {"run": "true"}}},
    {"stages": {"own": {"uses": "trian"}}},
    {"stages": {"own": {"run": "true", "uses": "train"}}},
    {"stages": {"own": {"run": "true", "outputs": ["/a"]}}},
    {"stages": {"own": {"run": "true", "outputs": ["a", "a"]}}},
    {"stages": {"own": {"run": "true", "params": {"a": [1]}}}},
    {"stages": {"own": {"run": "true", "inputs": {"a": 1}}}},
    {"stages": {"own": {"run": "true", "inputs": {"a": []}}}},
    {"stages": {"own": {"run": "true", "inputs": {"a": [1]}}}},
    {"stages": {"own": {"run": "true", "matrix": {}}}},
    {"stages": {"own": {"run": "true", "matrix": 3}}},
    {"stages": {"own": {"run": "true", "matrix": {"k": 1}}}},
    {"stages": {"own": {"run": "true", "matrix": {"k": []}}}},
    {"stages": {"own": {"run": "true", "matrix": {"k": [1, 1]}}}},
    {"stages": {"own": {"run": "true", "matrix": {"k": [None]}}}},
    {"stages": {"own": {"run": "true", "matrix": {"k": ["a/b"]}}}},
    {"stages": {"own": {"run": "true", "matrix": {"k.l": [1]}}}},
    {"stages": {"ingest": {"inputs": {"dicom": ["a", "b"]}}}},
    {"stages": {"own": {"run": "true", "gates": "a > 1"}}},
    {"stages": {"own": {"run": "true", "gates": ["a == 1"]}}},
    {"stages": {"own": {"run": "true", "gates": ["a > b"]}}},
    {"stages": {"own": {"run": "true", "gates": ["a > 1 if "]}}},
    {"stages": {"own": {"run": "true", "gates": [1]}}},
    {"notify": {"mail": "a"}, "stages": {"own": {"run": "true"}}},
    {"notify": {"webhook": "example.org"}, "stages": {"own": {"run": "true"}}},
    {"notify": {"command": " "}, "stages": {"own": {"run": "true"}}},
    {"stages": {"own": {"run": "true", "timeout": 90}}},
    {"stages": {"own": {"run": "true", "timeout": "0s"}}},
    {"stages": {"own": {"run": "true", "retries": 101}}},
    {"stages": {"own": {"run": "true", "cpus": 0}}},
    {"stages": {"own": {"run": "true", "memory": "16"}}},
    {"stages": {"ingest": {"outputs": ["a"]}}},
    {"stages": {"ingest": {"params": {"min_slice": 5}}}},
    {"stages": {"ingest": {"params": {"min_slices": "five"}}}},
    {"stages": {"ingest": {"inputs": {"dicoms": "a"}}}},
    {"stages": {"in2": {"uses": "ingest", "params": {"min_slices": 0.5}}}},
    {"stages": {"own": {"run": "true"}}, "profiles": {"p": {"own": {"run": "false"}}}},
]


def judges_as_ctpipe_does(ctpipe):
    """Valid and invalid pipelines; the first is the one that is shipped."""
    schema = json.loads(subprocess.run([ctpipe, "stages", "--schema"], capture_output=True, check=True).stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    shipped = YAML(typ="safe").load(PROJECT / "pipeline.yaml")
    with tempfile.TemporaryDirectory() as folder:
        for pipeline, good in [(p, True) for p in [shipped, *GOOD]] + [(p, False) for p in BAD]:
            with open(f"{folder}/pipeline.yaml", "w") as file:
                json.dump(pipeline, file)
            said = subprocess.run([ctpipe, "status"], cwd=folder, capture_output=True, text=True).stderr
            # A schema cannot know what does not exist or is not wired.
            problems = [line for line in said.splitlines()
                        if not any(word in line for word in ("needs its input", "there is no"))]
            faults = [error.message for error in validator.iter_errors(pipeline)]
            assert bool(faults) != good, f"the schema on {pipeline}: {faults}"
            assert bool(problems) != good, f"ctpipe on {pipeline}: {said}"
    return f"{1 + len(GOOD)} good and {len(BAD)} bad pipelines"


# A matrix, and a stage that fails.
STREAM = """\
stages:
  fold: { run: 'echo $PARAM_K > $OUT/out', matrix: { k: [0, 1] }, outputs: [out] }
  late: { run: 'cat $IN_ALL/*/out; exit 3', inputs: { all: fold } }
"""


def judges_events_as_they_are(ctpipe):
    """The events' schema is valid, and what runs with a lock, without one and with --locked print
    follows it, as does the JSON of six other commands."""
    schema = json.loads(subprocess.run([ctpipe, "stages", "--events-schema"], capture_output=True, check=True).stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    lines = 0
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/pipeline.yaml", "w") as file:
            file.write(STREAM)

        def printed(*arguments):
            return subprocess.run([ctpipe, *arguments, "--json"], cwd=folder, capture_output=True, text=True).stdout

        for arguments in (["--lock"], [], ["--locked", "--set", "fold.matrix.k=[0, 2]"]):
            for line in printed("run", *arguments).splitlines():
                validator.validate(json.loads(line))
                lines += 1
        assert any(list(validator.iter_errors(bad)) for bad in ({"event": "run_began"}, {"event": "log", "stage": ""}))
        for name, arguments in {"status": ["status"], "why": ["why", "fold"], "history": ["history"], "show": ["show", "latest"],
                                "audit": ["audit"], "gc": ["gc", "--keep-runs", "9"]}.items():
            part = {"$ref": f"#/definitions/{name}", "definitions": schema["definitions"]}
            jsonschema.Draft7Validator(part).validate(json.loads(printed(*arguments)))
    return f"{lines} lines of three runs, and what six commands print"
