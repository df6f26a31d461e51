#!/usr/bin/env python3
"""Compares the engine with DVC and find on one tree of 100 000 files of 1 KiB: the same files, in
the same run, with a warm page cache.

    engine.py --ctpipe target/release/ctpipe --work target/bench/engine

One stage reads the tree and writes the number of its files. This measures the first run, `status`
and a run when nothing has changed, and a run after one file has changed. `find -printf` asks for
size, time and inode of each file and hashes nothing: no tool that looks at every file can be
faster. DVC is installed from PyPI into a virtual environment below --work. Figures are medians; the
last line is one JSON object.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import time

FILES, PER_FOLDER, SIZE = 100_000, 1000, 1024
DVC = "3.67.0"
OURS = """stages:
  count:
    run: find "$IN_DATA" -type f | wc -l > "$OUT/count.txt"
    inputs: { data: data }
    outputs: [count.txt]
"""
THEIRS = """stages:
  count:
    cmd: find data -type f | wc -l > count.txt
    deps: [data]
    outs: [count.txt]
"""
FIGURES = {}


def say(name, value, text):
    FIGURES[name] = round(value, 4)
    print(f"{name:28} {text}", flush=True)


def seconds(*parts, cwd, codes=(0,)):
    started = time.perf_counter()
    child = subprocess.run([str(part) for part in parts], cwd=cwd, capture_output=True, check=False)
    took = time.perf_counter() - started
    if child.returncode not in codes:
        raise RuntimeError(f"{parts}: {child.stdout.decode()[-1000:]}{child.stderr.decode()[-1000:]}")
    return took


def tree(folder):
    """Writes the files once and keeps them; each has different bytes, all from one seed."""
    done = folder.parent / "data.done"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    source = random.Random(42)
    for number in range(FILES):
        place = folder / f"{number // PER_FOLDER:03}"
        if number % PER_FOLDER == 0:
            place.mkdir(parents=True)
        (place / f"{number:06}.bin").write_bytes(source.randbytes(SIZE))
    done.touch()


def change(folder):
    """Changes one file, then waits until its modification time is old enough to be trusted."""
    path = folder / "050" / "050500.bin"
    path.write_bytes(random.randbytes(SIZE))
    time.sleep(2.5)


def dvc(work):
    venv = work / f"venv-dvc-{DVC}"
    if not (venv / "bin/dvc").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "--quiet", f"dvc=={DVC}"], check=True)
    return venv / "bin/dvc"


def median(rounds, measure):
    return statistics.median(measure() for _ in range(rounds))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ctpipe", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    ctpipe, work = arguments.ctpipe.resolve(), arguments.work.resolve()
    os.environ["DVC_NO_ANALYTICS"] = "1"
    place = work / "place"
    data = place / "data"
    place.mkdir(parents=True, exist_ok=True)
    tree(data)
    their = dvc(work)
    for made in ["artifacts", ".dvc"]:
        shutil.rmtree(place / made, ignore_errors=True)
    for made in ["dvc.lock", "count.txt", ".dvcignore"]:
        (place / made).unlink(missing_ok=True)
    (place / "pipeline.yaml").write_text(OURS)
    (place / "dvc.yaml").write_text(THEIRS)
    seconds(their, "init", "--no-scm", cwd=place)
    # What DVC does when it is done, such as asking for a newer version, must not be measured.
    seconds(their, "config", "core.check_update", "false", cwd=place)
    seconds(their, "config", "core.analytics", "false", cwd=place)

    find = ["find", "data", "-type", "f", "-printf", "%p %s %T@ %i\n"]
    seconds(*find, cwd=place)
    say("files", FILES, f"{FILES} files of {SIZE} bytes")
    # The cache is warmed and other programs' writes are flushed, so that neither is measured.
    for file in (place / "data").rglob("*"):
        if file.is_file():
            file.read_bytes()
    os.sync()
    first, their_first = seconds(ctpipe, "run", cwd=place), seconds(their, "repro", cwd=place)
    say("ours_first_s", first, f"{first:.2f} s: ctpipe run, the first")
    say("dvc_first_s", their_first, f"{their_first:.2f} s: dvc repro, the first")
    time.sleep(2.5)
    seconds(ctpipe, "run", cwd=place)
    walk = median(7, lambda: seconds(*find, cwd=place))
    status = median(7, lambda: seconds(ctpipe, "status", cwd=place))
    idle = median(7, lambda: seconds(ctpipe, "run", cwd=place))
    paranoid = median(3, lambda: seconds(ctpipe, "run", "--paranoid", cwd=place))
    their_status = median(3, lambda: seconds(their, "status", cwd=place))
    their_idle = median(3, lambda: seconds(their, "repro", cwd=place))
    say("find_s", walk, f"{walk:.3f} s: find -printf")
    say("ours_status_s", status, f"{status:.3f} s: ctpipe status")
    say("ours_noop_s", idle, f"{idle:.3f} s: ctpipe run, nothing to do")
    say("ours_paranoid_s", paranoid, f"{paranoid:.3f} s: ctpipe run --paranoid, every file hashed")
    say("dvc_status_s", their_status, f"{their_status:.3f} s: dvc status")
    say("dvc_noop_s", their_idle, f"{their_idle:.3f} s: dvc repro, nothing to do")

    def ours_changed():
        change(data)
        return seconds(ctpipe, "run", cwd=place)

    def theirs_changed():
        change(data)
        return seconds(their, "repro", cwd=place)

    ours, theirs = median(3, ours_changed), median(3, theirs_changed)
    say("ours_one_changed_s", ours, f"{ours:.3f} s: ctpipe run after one file changed")
    say("dvc_one_changed_s", theirs, f"{theirs:.3f} s: dvc repro after one file changed")
    say("status_times_find", status / walk, f"{status / walk:.2f} times find: ctpipe status")
    say("noop_times_find", idle / walk, f"{idle / walk:.2f} times find: ctpipe run, nothing to do")
    say("dvc_status_times_ours", their_status / status, f"{their_status / status:.1f} times ours: dvc status")
    say("dvc_noop_times_ours", their_idle / idle, f"{their_idle / idle:.1f} times ours: dvc repro, nothing to do")
    print(json.dumps(FIGURES, separators=(",", ":")))


if __name__ == "__main__":
    main()
