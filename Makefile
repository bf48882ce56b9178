# One virtual environment, made on first use; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-long test-interop lint docs gallery notebooks bench results clean

demo: .venv/installed
	$(BIN)/rlbench train safecab
	$(BIN)/rlbench watch latest

test: .venv/installed
	$(BIN)/python -m pytest -n 2

test-long: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal -m long

# With Stable-Baselines3. Torch comes first: left to itself pip takes gigabytes for accelerators.
test-interop: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[interop]"
	$(BIN)/python -m pytest tests/training/test_recording.py

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py

# The documentation as a site, docs/_build/html/index.html, built offline; a warning fails it.
docs: .venv/docs-installed
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

# Every figure of the gallery, and the page that says whether it holds.
gallery: .venv/installed
	$(BIN)/python docs/gallery/make.py

# The gallery as notebooks, one for each chapter.
notebooks: .venv/docs-installed
	$(BIN)/python docs/notebooks.py

bench: .venv/installed
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/recording.py
	$(BIN)/python benchmarks/buffers.py
	$(BIN)/python benchmarks/agents.py
	$(BIN)/python benchmarks/viewer.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/studies.py
	$(BIN)/python benchmarks/secure.py
	$(BIN)/python benchmarks/models.py
	$(BIN)/python benchmarks/web.py
	$(BIN)/python benchmarks/serving.py

# docs/results.md: every agent on every env, 20 seeds; and what tuning finds, on other seeds.
results: .venv/installed
	$(BIN)/python benchmarks/results.py
	$(BIN)/python benchmarks/maximization_bias.py --out docs/images/maximization_bias.png
	$(BIN)/python benchmarks/screens.py --out docs/images
	$(BIN)/python benchmarks/cliff_walking.py --out docs/images/cliff_walking.png
	$(BIN)/python benchmarks/presets.py
	$(BIN)/python benchmarks/tuning.py

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

.venv/docs-installed: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf .venv build docs/_build *.egg-info
