#!/usr/bin/env python3
"""Compares a training step and an inference with PyTorch, in the same run, on the CPU.

    train.py --ours target/release/examples/speed [--rounds 3] [--widths 64 16]

First, every mode of PyTorch is timed once (f32, channels_last, bf16 autocast, and the last two with
torch.compile). Then ours and its best mode take turns, and the medians over the turns are compared.
A ratio is our time divided by PyTorch's best. Peak memory is that of the whole process at batch 32.
The last line is one JSON object.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

PEER = pathlib.Path(__file__).with_name("pytorch_peer.py")
MODES = [("f32", False), ("channels_last", False), ("bf16", False), ("channels_last", True), ("bf16", True)]
# What the `gemm` crate reaches on 2 cores with AVX-512. It gives the minimum time of a step that
# computes convolutions by definition.
FLOOR_GFLOPS = 300.0


def last_json(command, env=None):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **(env or {})})
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def theirs(what, width, batch, steps, residual, mode, compiled):
    command = [sys.executable, PEER, "speed", what, "--width", width, "--batch", batch, "--steps", steps, "--mode", mode]
    return last_json(command + ["--residual"] * residual + ["--compile"] * compiled)


def ours(binary, what, width, batch, steps, residual, isa=None):
    found = last_json([binary, what, width, batch, steps, "residual" if residual else "plain"],
                      {"CTPIPE_ISA": isa} if isa else None)
    assert isa in (None, found["isa"]), f"asked for {isa}, ran {found['isa']}"
    return found


def gflop(what, width):
    """Multiplications and additions by definition. A backward pass costs two forward passes; that
    of the first block costs one."""
    blocks = [2 * 27 * i * o * edge**3 / 1e9 for i, o, edge in ((1, width, 64), (width, 2 * width, 32), (2 * width, 4 * width, 16))]
    linear = 2 * 4 * width * 512 * 512 / 1e9
    return sum(blocks) + linear if what == "infer" else 3 * (sum(blocks) + linear) - blocks[0]


def compare(a, result, what, width, residual):
    steps = a.steps * (2 if width <= 16 else 1)
    tried = {}
    for mode, compiled in MODES:
        name = mode + (" + compile" if compiled else "")
        try:
            tried[name] = theirs(what, width, 8, steps, residual, mode, compiled)["seconds_per_volume"]
        except RuntimeError as error:
            print(f"  {name}: not measured ({error})", flush=True)
    best = min(tried, key=tried.get)
    mode, compiled = best.removesuffix(" + compile"), best.endswith("compile")
    mine, peer = [], []
    for _ in range(a.rounds):
        mine.append(ours(a.ours, what, width, 8, steps, residual)["seconds_per_volume"])
        peer.append(theirs(what, width, 8, steps, residual, mode, compiled)["seconds_per_volume"])
    mine, peer = statistics.median(mine), min(statistics.median(peer), tried[best])
    listed = min(seconds for name, seconds in tried.items() if name != "bf16 + compile")
    key = f"{what}_w{width}" + ("_residual" if residual else "")
    floor = gflop(what, width) / FLOOR_GFLOPS
    result |= {f"ratio_{key}": mine / peer, f"seconds_{key}": mine, f"pytorch_seconds_{key}": peer, f"pytorch_best_{key}": best,
               f"pytorch_modes_{key}": tried, f"ratio_{key}_without_bf16_compile": mine / listed}
    if not residual:
        result[f"floor_share_{key}"] = floor / mine
    print(f"{key:24} ours {mine * 1e3:7.1f} ms/volume, PyTorch {peer * 1e3:7.1f} ({best}), ratio {mine / peer:.3f} "
          f"({mine / listed:.3f} without bf16 + compile), "
          f"{gflop(what, width) / mine:.0f} GFLOP/s by definition, {floor / mine:.2f} of the floor", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 16])
    parser.add_argument("--no-memory", action="store_true")
    a = parser.parse_args()
    a.ours = a.ours.resolve()
    result = {"cores": os.cpu_count(), "batch": 8}
    result |= {"isa": ours(a.ours, "infer", 4, 1, 2, False)["isa"]}
    for width in a.widths:
        for what in ("train", "infer"):
            for residual in (False, True):
                compare(a, result, what, width, residual)
    for isa in ("avx512", "avx2", "portable"):
        try:
            seconds = ours(a.ours, "train", 16, 8, a.steps, False, isa)["seconds_per_volume"]
        except RuntimeError:
            continue  # this processor has no such instructions
        result[f"seconds_train_w16_{isa}"] = seconds
        print(f"train_w16 with {isa}: {seconds * 1e3:.1f} ms/volume", flush=True)
    if not a.no_memory:
        for width in a.widths:
            mine = ours(a.ours, "train", width, 32, 4, True)["peak_mb"]
            # The mode that needs least, without the compiler, whose own memory would count.
            peer = min(theirs("train", width, 32, 2, True, mode, False)["peak_mb"] for mode, compiled in MODES if not compiled)
            result |= {f"peak_mb_w{width}_b32": mine, f"pytorch_peak_mb_w{width}_b32": peer, f"ratio_memory_w{width}_b32": mine / peer}
            print(f"peak memory, width {width}, batch 32: ours {mine:.0f} MB, PyTorch {peer:.0f} MB", flush=True)
    print(json.dumps(result, separators=(",", ":")))


if __name__ == "__main__":
    main()
