"""The worked examples of CONTRIBUTING.md: each diff applies, and what it adds works."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLE = re.compile(
    r"^### (.*?)$.*?^```diff\n(.*?)^```$.*?^```console\n\$ rlbench (.*?)\n```$", re.MULTILINE | re.DOTALL
)
EXAMPLES = EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text())
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "_build", "*.db*", "*.egg-info", "build", "tests")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository with every example applied, one after another."""
    copy = tmp_path_factory.mktemp("copy") / "rlbench"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=LEFT_OUT)
    for _, diff, _ in EXAMPLES:
        subprocess.run(["git", "apply", "-"], cwd=copy, input=diff, text=True, check=True)
    return copy


def run(copy, folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(copy), "TMPDIR": str(folder), "MPLBACKEND": "agg"}
    environment.pop("NUMBA_CACHE_DIR", None)
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_there_is_an_example_of_each_thing_that_is_registered():
    titles = [title for title, _, _ in EXAMPLES]
    assert titles == ["An env", "An agent", "A kind of plot", "A command", "A store", "A file format"]


@pytest.mark.long  # compiles the loops of a copy
def test_what_the_examples_add_works(copy, tmp_path):
    where = run(copy, tmp_path, "-c", "import rlbench; print(rlbench.__file__)")
    assert where.stdout.strip() == str(copy / "rlbench" / "__init__.py")
    for _, _, command in EXAMPLES:
        done = run(copy, tmp_path, "-m", "rlbench", *shlex.split(command))
        assert done.returncode == 0, (command, done.stderr)
    checks = "from rlbench.testing import check_agent, check_env; from rlbench.agents import AGENTS; import gymnasium"
    both = f"{checks}; check_agent(AGENTS['hopeful']); check_env(gymnasium.make('rlbench/Corridor-v0'))"
    checked = run(copy, tmp_path, "-c", both)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.long
def test_the_examples_pass_the_linter(copy):
    linted = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "."], cwd=copy, capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout
    formatted = [sys.executable, "-m", "ruff", "format", "--check", "."]
    assert subprocess.run(formatted, cwd=copy, capture_output=True, check=False).returncode == 0
