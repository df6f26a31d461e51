"""Checks what follows a training: TensorBoard reads its event files, and an MLflow server takes its
runs. The phantoms were preprocessed by an earlier check."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

# Neither MLflow's server nor its client may contact the outside world.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
SETTINGS = {"train.epochs": "6", "train.lr": "1e-3", "train.ema_decay": "0.5"}


def command(place, **more):
    settings = SETTINGS | {f"train.{name}": value for name, value in more.items()}
    return [place.ctpipe, "run", "--to", "train", *(part for pair in settings.items() for part in ("--set", "=".join(pair)))]


def trained(place, **more):
    done = subprocess.run(command(place, **more), cwd=place.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def interrupted(place, **more):
    """Stops a training by SIGTERM in its second epoch or later; returns its output."""
    child = subprocess.Popen(command(place, **more), cwd=place.folder, stderr=subprocess.PIPE, text=True)
    said = []
    for line in child.stderr:
        said.append(line)
        if "epoch 2/" in line:
            child.send_signal(signal.SIGTERM)
            break
    said += child.stderr.readlines()
    assert child.wait() == 130, "".join(said)
    return "".join(said)


def live(place):
    """The folder with the event files of the current training."""
    manifest = json.loads((place.folder / "artifacts/train/manifest.json").read_text())
    return place.folder / "artifacts/live/train" / manifest["key_hash"][:12]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(arguments, ready, log):
    """Runs the server of a peer until the block ends."""
    with open(log, "w") as out:
        child = subprocess.Popen([str(part) for part in arguments], stdout=out, stderr=out, start_new_session=True)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(ready, timeout=5).read()
                break
            except OSError:
                assert child.poll() is None, pathlib.Path(log).read_text()
                time.sleep(0.2)
        else:
            raise AssertionError(pathlib.Path(log).read_text())
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        child.wait()


def tensorboard_reads_a_training_that_was_interrupted(place):
    """TensorBoard's reader and server find every step and epoch once, with the numbers of the
    history."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    interrupted(place)
    said = trained(place)
    assert "continues from a checkpoint" in said, said
    history = place.table("train", "history.parquet")
    events = EventAccumulator(str(live(place)))
    events.Reload()
    scalars = lambda tag: [(event.step, event.value) for event in events.Scalars(tag)]
    steps = [step for step, _ in scalars("loss/step")]
    assert steps == list(range(1, steps[-1] + 1)), steps
    each = steps[-1] // len(history)
    for tag, column in (("loss/train", "train_loss"), ("loss/val", "val_loss"), ("auc/val", "val_auc"), ("lr", "lr")):
        expected = [(row["epoch"] * each, row[column]) for row in history]
        found = scalars(tag)
        assert [step for step, _ in found] == [step for step, _ in expected], (tag, found)
        assert all(abs(a - b) <= 1e-6 * max(1, abs(b)) for (_, a), (_, b) in zip(found, expected)), (tag, found, expected)
    assert all(value > 0 for _, value in scalars("volumes_per_second"))
    text = events.Tensors("parameters")[0].tensor_proto.string_val[0].decode()
    assert "| ema_decay | 0.5 |" in text, text
    port = free_port()
    arguments = [sys.executable, "-m", "tensorboard.main", "--logdir", place.folder / "artifacts/live", "--port", port]
    address = f"http://127.0.0.1:{port}"
    with server([*arguments, "--host", "127.0.0.1", "--load_fast", "false"], address, place.folder / "tensorboard.log"):
        for _ in range(100):
            tags = json.loads(urllib.request.urlopen(f"{address}/data/plugin/scalars/tags").read())
            if tags:
                break
            time.sleep(0.2)
        run = f"train/{live(place).name}"
        assert set(tags[run]) == {"loss/step", "loss/train", "loss/val", "auc/val", "lr", "volumes_per_second"}, tags
        texts = json.loads(urllib.request.urlopen(f"{address}/data/plugin/text/tags").read())
        assert texts[run] == ["parameters"], texts
    return f"{len(steps)} steps, {len(history)} epochs"


def mlflow_takes_a_training_that_was_interrupted(place):
    """MLflow has the parameters, metrics and model of one run; a server that ends before the
    training does no harm."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    folder = place.folder / "mlflow"
    folder.mkdir()
    arguments = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", 1]
    arguments += ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", folder / "files"]
    settings = {"tracking": "mlflow", "tracking_uri": address, "tracking_experiment": "Phantoms & more", "lr": "2e-3"}
    with server(arguments, f"{address}/health", folder / "server.log"):
        interrupted(place, **settings)
        assert "MLflow" not in trained(place, **settings)
        os.environ["MLFLOW_TRACKING_URI"] = address
        from mlflow import MlflowClient

        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("Phantoms & more")
        runs = client.search_runs([experiment.experiment_id])
        assert len(runs) == 1, "the interrupted training goes on in its own run"
        run = runs[0]
        assert run.info.status == "FINISHED", run.info.status
        assert run.data.params["lr"] == "0.002" and run.data.params["optimizer"] == "adam", run.data.params
        assert not any(name.startswith("tracking") for name in run.data.params)
        history = place.table("train", "history.parquet")
        for metric, column in (("loss_train", "train_loss"), ("loss_val", "val_loss"), ("auc_val", "val_auc")):
            found = {point.step: point.value for point in client.get_metric_history(run.info.run_id, metric)}
            assert found == {row["epoch"]: row[column] for row in history}, (metric, found)
        steps = sorted(point.step for point in client.get_metric_history(run.info.run_id, "step_loss"))
        assert steps == list(range(1, steps[-1] + 1)), steps
        names = {item.path for item in client.list_artifacts(run.info.run_id, "model")}
        assert names == {"model/model.safetensors", "model/model.json", "model/history.parquet"}, names
        for name in names:
            copy = pathlib.Path(client.download_artifacts(run.info.run_id, name, str(folder)))
            assert copy.read_bytes() == (place.folder / "artifacts/train" / pathlib.Path(name).name).read_bytes(), name
    # The server has ended, but the next training still succeeds.
    said = trained(place, **(settings | {"lr": "3e-3"}))
    assert f"MLflow at {address}" in said and "the training continues without it" in said, said
    return f"{len(steps)} steps, {len(names)} files"
