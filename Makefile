# What people type. `make help` lists it.
CARGO ?= cargo
VENV  := .venv
DEMO  := data/demo
CTPIPE := target/debug/ctpipe
# `make pipeline SHORT=1` trains the demonstration for two epochs: enough to see that it runs.
SHORTER := $(if $(SHORT),--set train.epochs=2)

.DEFAULT_GOAL := help
.PHONY: help tools build pipeline install lint test test-isa test-peers bench-engine bench-dicom bench-train bench-learning bench-report gpu-check test-gpu-code soak fuzz clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A bare Debian with a Rust toolchain lacks at most a C compiler (zstd is C) and two toolchain components.
tools:
	@command -v cc >/dev/null || { apt-get update -qq && apt-get install -y -qq gcc libc6-dev; } \
	  || { echo "install a C compiler first: apt-get install gcc libc6-dev"; exit 1; }
	@$(CARGO) fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@$(CARGO) clippy --version >/dev/null 2>&1 || rustup component add clippy

build: tools
	@$(CARGO) build --quiet --locked

# With the user's data: the full-size pipeline. Without: phantoms, and exactly `ctpipe run --profile demo`.
pipeline: build ## run the main job: on your data, or on a demonstration set where there is none
	@if [ -e data/training_data.csv ]; then \
	  $(CTPIPE) run; \
	else \
	  echo "no data/training_data.csv: running the demonstration, which is: ctpipe run --profile demo"; \
	  if [ ! -e $(DEMO)/patient.key ]; then rm -rf $(DEMO) && $(CTPIPE) synth $(DEMO); fi && \
	  $(CTPIPE) run --profile demo $(SHORTER); \
	fi

# man and bash find the rest by the place of the program; zsh and fish have to be told of an unusual PREFIX.
PREFIX ?= $(or $(CARGO_HOME),$(HOME)/.cargo)
install: build ## put ctpipe, its manual and completions below PREFIX (default: cargo's folder); GPU=1 for one that knows CUDA, too
ifdef GPU
	$(CARGO) build --locked --profile gpu --features cuda --bin ctpipe
endif
	install -D -m 755 $(if $(GPU),target/gpu/ctpipe,$(CTPIPE)) "$(PREFIX)/bin/ctpipe"
	@mkdir -p "$(PREFIX)/share/bash-completion/completions" "$(PREFIX)/share/zsh/site-functions" "$(PREFIX)/share/fish/vendor_completions.d"
	"$(PREFIX)/bin/ctpipe" man "$(PREFIX)/share/man/man1"
	"$(PREFIX)/bin/ctpipe" completions bash > "$(PREFIX)/share/bash-completion/completions/ctpipe"
	"$(PREFIX)/bin/ctpipe" completions zsh > "$(PREFIX)/share/zsh/site-functions/_ctpipe"
	"$(PREFIX)/bin/ctpipe" completions fish > "$(PREFIX)/share/fish/vendor_completions.d/ctpipe.fish"

lint: tools ## formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

test: lint ## format, lints, tests; needs no Python
	$(CARGO) test --locked
	@$(MAKE) --no-print-directory test-isa

# The kernels' own tests try every instruction set by themselves; the network's are run again under each.
ISAS = portable $(shell grep -qw avx2 /proc/cpuinfo 2>/dev/null && grep -qw fma /proc/cpuinfo && echo avx2) \
  $(shell grep -qw avx512f /proc/cpuinfo 2>/dev/null && echo avx512) \
  $(shell test "$$(uname -m)" = aarch64 && echo neon)

test-isa: ## the network's tests under every instruction set that this machine has
	@for isa in $(ISAS); do \
	  echo "CTPIPE_ISA=$$isa" && \
	  CTPIPE_ISA=$$isa $(CARGO) test --quiet --locked --lib --test pytorch --test training || exit 1; \
	done

# A few at a time and no cache: pip keeps what it downloads until all is installed, 3 GB at once.
$(VENV)/ok: tests/peers/requirements.txt
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3 python3-venv; } \
	  || { echo "install Python first: apt-get install python3 python3-venv"; exit 1; }
	python3 -m venv $(VENV)
	grep -v '^#' tests/peers/requirements.txt \
	  | xargs -n 4 $(VENV)/bin/pip install --quiet --no-deps --no-cache-dir
	@touch $@

test-peers: build $(VENV)/ok ## tests against dciodvfy, pydicom, SimpleITK, scikit-learn, pyarrow, PyTorch, TensorBoard, MLflow and Chromium
	@command -v dciodvfy >/dev/null || { apt-get update -qq && apt-get install -y -qq dicom3tools; } \
	  || { echo "install dciodvfy first: apt-get install dicom3tools"; exit 1; }
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } \
	  || { echo "there is no Chromium (apt-get install chromium): the report is not tried in a browser"; test -z "$$CI"; }
	@$(CARGO) build --quiet --locked --examples
	$(VENV)/bin/python tests/peers/run.py --ctpipe $(CTPIPE) --step target/debug/examples/pytorch_step \
	  --decode target/debug/examples/decode

# torch.compile writes C++.
bench-train: build $(VENV)/ok ## a training step and an inference beside PyTorch (20 minutes)
	@command -v g++ >/dev/null || { apt-get update -qq && apt-get install -y -qq g++; } \
	  || { echo "install a C++ compiler first: apt-get install g++"; exit 1; }
	@$(CARGO) build --quiet --locked --examples
	@$(VENV)/bin/python benches/train.py --ours target/debug/examples/speed

# Optimised throughout: 20 minutes on two cores. Needs no CUDA; what it builds does.
gpu-check: tools ## build the GPU's checks and benches; with an NVIDIA GPU, CUDA and PyTorch, run them
	$(CARGO) build --locked --profile gpu --features cuda --example gpu
	@if command -v nvidia-smi >/dev/null; then benches/gpu/run.sh target/gpu/examples/gpu; \
	else echo "there is no NVIDIA GPU here: copy target/gpu/examples/gpu and benches/ to where there is one, and run" && \
	  echo "  benches/gpu/run.sh gpu"; fi

# Vulkan on a CPU (Mesa's lavapipe) runs the same kernels, slowly.
test-gpu-code: tools ## the GPU's kernels on a CPU (10 minutes to build)
	@command -v vulkaninfo >/dev/null || { apt-get update -qq && apt-get install -y -qq mesa-vulkan-drivers vulkan-tools; } \
	  || { echo "install a Vulkan driver first: apt-get install mesa-vulkan-drivers vulkan-tools"; exit 1; }
	$(CARGO) test --locked --package ctpipe-network --features wgpu --lib --target-dir target/gpu-code gpu::

SECONDS_EACH ?= 60
fuzz: tools ## each fuzz target for SECONDS_EACH seconds (default 60)
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	@fuzz/run.sh $(SECONDS_EACH)

bench-engine: build ## the engine beside DVC and find on 100 000 files (3 minutes, 1 GB of disk)
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3 python3-venv; } \
	  || { echo "install Python first: apt-get install python3 python3-venv"; exit 1; }
	@python3 benches/engine.py --ctpipe $(CTPIPE) --work target/bench/engine

bench-report: pipeline $(VENV)/ok ## the report of 10 000 series
	@$(VENV)/bin/python benches/report.py --ctpipe $(CTPIPE) --artifacts artifacts

bench-dicom: build $(VENV)/ok ## DICOM to shards beside SimpleITK, pydicom and pylibjpeg (10 minutes, 6 GB of disk)
	@$(CARGO) build --quiet --locked --examples
	@$(VENV)/bin/python benches/dicom.py --ctpipe $(CTPIPE) --decode target/debug/examples/decode --work target/bench/dicom

bench-learning: build $(VENV)/ok ## three trainings on AdrenalMNIST3D beside PyTorch's (80 minutes)
	@$(VENV)/bin/python benches/learning.py --ctpipe $(CTPIPE) --work target/bench/learning

# RUSTC_BOOTSTRAP lets the stable compiler take the sanitizer's flag.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
soak: tools ## long forms: 20 000 edits, 10 000 kills and 1 000 flipped bits of the engine; the kernels under AddressSanitizer and Miri
	CTPIPE_TIMES=20 $(CARGO) test --locked --test decisions
	CTPIPE_TIMES=20 $(CARGO) test --locked --test end_to_end -- kills::
	CTPIPE_TIMES=10 $(CARGO) test --locked --test audit
	cd crates/kernels && RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
	  $(CARGO) test --locked --package ctpipe-kernels --lib --tests --target $(HOST) --target-dir ../../target/soak
	@if $(CARGO) +nightly miri --version >/dev/null 2>&1; then \
	  cd crates/kernels && MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --locked \
	    --package ctpipe-kernels --lib --tests --target-dir ../../target/soak; \
	else \
	  echo "Miri was not run: rustup toolchain install nightly --component miri (or set SOAK_WITHOUT_MIRI=1)"; \
	  test -n "$(SOAK_WITHOUT_MIRI)"; \
	fi

clean: ## remove what was built and made (not data/)
	rm -rf target artifacts $(VENV)
