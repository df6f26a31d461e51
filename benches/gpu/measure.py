"""The measurements of run.sh: agreement with the CPU, speed beside PyTorch's best mode, layers and
peak memory. One JSON file and one table are rewritten after each measurement."""
import datetime
import json
import pathlib
import subprocess
import sys
import threading

PEER = pathlib.Path(__file__).resolve().parents[1] / "pytorch_peer.py"
WIDTH, BATCH, STEPS = 64, 32, 30
# Time per volume that the matrix products of a step at width 64 take at 790 TFLOP/s of bf16.
FLOOR_MICROSECONDS = 85


def ask(query):
    said = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits", "-i", "0"],
                          capture_output=True, text=True, check=True)
    return said.stdout.strip()


class Peak:
    """The peak of the GPU's memory in use while the block runs, in MB."""

    def __enter__(self):
        self.most, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.over.wait(0.05):
            self.most = max(self.most, int(ask("memory.used")))

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def run(command, most_seconds=900):
    """The JSON of the command's last line with the GPU's peak memory, or why the command failed."""
    command = [str(part) for part in command]
    print("+", " ".join(command), flush=True)
    with Peak() as peak:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=most_seconds)
        except subprocess.TimeoutExpired:
            return {"failed": f"it took more than {most_seconds} s"}
    if done.returncode != 0:
        return {"failed": (done.stderr.strip() or done.stdout.strip())[-2000:]}
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"peak_mb": peak.most}


def milliseconds(value):
    return "" if value is None else f"{value * 1e3:.2f}"


def main():
    binary, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    gpu = ask("name")
    result = {"gpu": gpu, "driver": ask("driver_version"), "date": datetime.date.today().isoformat(),
              "ours": [], "pytorch": [], "layers": {}}

    def keep():
        name = gpu.lower().replace(" ", "-")
        (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        (folder / f"{name}.md").write_text(table(result))

    result["compare"] = run([binary, "compare"])
    keep()
    for form in ("plain", "residual"):
        for precision, augment in (("bf16", []), ("bf16", ["augment"]), ("f32", [])):
            row = run([binary, "speed", WIDTH, BATCH, STEPS, precision, form, *augment])
            result["ours"].append({"form": form, "precision": precision, "augment": bool(augment)} | row)
            keep()
    # `bf16` also uses channels_last_3d; `channels_last` multiplies in TF32.
    for mode, flags in (("bf16", []), ("bf16", ["--compile"]), ("channels_last", [])):
        for form in ("plain", "residual"):
            command = [sys.executable, PEER, "speed", "train", "--device", "cuda", "--width", WIDTH, "--batch", BATCH]
            command += ["--steps", 3 * STEPS, "--mode", mode, *flags, *(["--residual"] if form == "residual" else [])]
            result["pytorch"].append({"form": form, "mode": mode, "compile": bool(flags)} | run(command))
            keep()
        if mode == "bf16" and flags:
            for form in ("plain", "residual"):
                result["layers"][form] = run([binary, "layers", WIDTH, BATCH, "bf16", form])
                keep()
    print(table(result))
    if "failed" in result["compare"]:
        sys.exit("the GPU does not compute what the CPU does:\n" + result["compare"]["failed"])


def table(result):
    lines = [f"# {result['gpu']}, driver {result['driver']}, {result['date']}", ""]
    lines += [f"A training step at width {WIDTH}, batch {BATCH}; the products alone take {FLOOR_MICROSECONDS} µs a volume at",
              "790 TFLOP/s.", ""]
    lines += ["| | µs a volume | volumes/s | peak MB |", "| --- | --- | --- | --- |"]
    for form in ("plain", "residual"):
        times = []
        for row in result["ours"]:
            if row["form"] == form:
                label = f"ctpipe, {form}, {row['precision']}{', augmented' if row['augment'] else ''}"
                times.append((label, row.get("microseconds_per_volume"), row))
        for row in result["pytorch"]:
            if row["form"] == form:
                seconds = row.get("seconds_per_volume")
                label = f"PyTorch, {form}, {row['mode']}{', compiled' if row['compile'] else ''}"
                times.append((label, seconds and seconds * 1e6, row))
        for label, value, row in times:
            if value is None:
                lines.append(f"| {label} | failed: {row['failed'].splitlines()[-1][:120]} | | |")
            else:
                lines.append(f"| {label} | {value:.0f} | {1e6 / value:.0f} | {row['peak_mb']} |")
        mine = [value for label, value, _ in times if label.startswith("ctpipe") and value and "augmented" not in label]
        theirs = [value for label, value, _ in times if label.startswith("PyTorch") and value]
        if mine and theirs:
            lines.append(f"| **{form}: ours over PyTorch's best** | **{min(mine) / min(theirs):.2f}** | | |")
    lines += ["", "## Where the time goes (bf16, ms for the batch)", ""]
    for form, found in result["layers"].items():
        lines += [f"| {form} | forward | forward and backward |", "| --- | --- | --- |"]
        lines += [f"| {row['name']} | {milliseconds(row['forward'])} | {milliseconds(row['both'])} |"
                  for row in found.get("layers", [])]
        lines.append("")
    lines += ["## Against the CPU", "", "Logits, losses, every gradient, and weights and answers after three steps: length of the difference over length, as so many",
              "times what the CPU is away from itself with its weights rounded to what the GPU multiplies.", ""]
    if "failed" in result["compare"]:
        lines += ["```", result["compare"]["failed"], "```"]
    else:
        lines += ["| width, batch, form | precision | median, times | worst | off by | times |", "| --- | --- | --- | --- | --- | --- |"]
        for row in result["compare"]["compare"]:
            median = "" if row["median"] is None else f"{row['median']:.1f}"
            lines.append(f"| {row['width']}, {row['batch']}, {row['form']} | {row['precision']} | {median} | {row['worst']} | {row['off']:.1e} | "
                         f"{row['times']:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
