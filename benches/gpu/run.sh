#!/usr/bin/env bash
# Checks the GPU against the CPU and compares its speed with PyTorch. Needs an NVIDIA GPU with a
# CUDA toolkit, python3 with PyTorch, and BINARY, which `make gpu-check` builds; needs no Rust and
# no network.
#
#   benches/gpu/run.sh BINARY [FOLDER]
#
# writes FOLDER/<name of the GPU>.json and .md (by default in benches/results).
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
binary="${1:?usage: run.sh BINARY [FOLDER]}"
folder="${2:-$here/../results}"
command -v nvidia-smi >/dev/null || { echo "there is no nvidia-smi: run this where there is an NVIDIA GPU" >&2; exit 2; }
python3 -c 'import torch' 2>/dev/null || { echo "python3 has no torch: pip install torch numpy" >&2; exit 2; }
mkdir -p "$folder"
# The libraries that compile kernels are not always where the loader looks.
export LD_LIBRARY_PATH="${CUDA_PATH:-/usr/local/cuda}/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec python3 "$here/measure.py" "$binary" "$folder"
