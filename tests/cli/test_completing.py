"""What the Tab key completes: in this process, and in a real bash."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

import rlbench as library
from rlbench.agents import AGENTS
from rlbench.cli.commands import cli
from rlbench.modelling.kinds import KINDS as MODELS
from rlbench.names import PLOT_KINDS
from rlbench.plots import KINDS

BASH = """
eval "$(_RLBENCH_COMPLETE=bash_source rlbench)"
for line in "rlbench train sa" "rlbench store c" "rlbench replay "; do
    mapfile -t COMP_WORDS < <(printf '%s\\n' ${line% *}; echo "${line##* }")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _rlbench_completion rlbench
    echo "${COMPREPLY[*]}"
done
"""
COMPLETED = """
import os, sys
from rlbench.cli import main
os.environ.update(_RLBENCH_COMPLETE="bash_complete", COMP_WORDS={line!r}, COMP_CWORD={cword!r})
try: main()
except SystemExit: print(sorted(sys.modules))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A stored run, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLBENCH_STORE", raising=False)
    made = library.train("CliffWalking-v1", "random", episodes=1, seed=0, engine="python", store="rlbench.db")
    made.store.update_run(made.id, tags=("good",))
    made.store.close()
    return made.id


def completed(line):
    *words, incomplete = line.split(" ")
    found = ShellComplete(cli, {}, "rlbench", "_RLBENCH_COMPLETE").get_completions(words, incomplete)
    return [item.type if item.type != "plain" else item.value for item in found]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tra", ["train"]),
        ("store co", ["compact", "copy"]),
        ("train ca", ["cartpole", "car-rental"]),
        ("train FrozenLake8", ["FrozenLake8x8-v1"]),
        ("train safecab --agent ", list(AGENTS)),
        ("train safecab --set gam", ["gamma="]),
        ("train safecab --agent dyna-q --set planning_", ["planning_steps="]),
        ("train safecab --env-set city_", ["city_seed="]),
        ("train safecab --preset ", ["default", "book"]),
        ("train safecab --engine co", ["compiled"]),
        ("train CartPole-v1 --wrapper ClipR", ["ClipReward"]),
        ("train CartPole-v1 --bins q", ["quantile:"]),
        ("train CartPole-v1 --bins my", ["file"]),
        ("plot latest --kind ", list(KINDS)),
        ("plot latest --out ", ["file"]),
        ("model train ", list(MODELS)),
        ("help store co", ["compact", "copy"]),
        ("help train ", []),
        ("envs safe", ["safecab"]),
        ("agents sarsa-", ["sarsa-lambda"]),
    ],
)
def test_the_shell_completes_what_has_a_name(line, found):
    assert completed(line) == found


def test_the_kinds_of_plots_that_are_known_before_they_are_imported_are_those_there_are():
    assert tuple(KINDS) == PLOT_KINDS


def test_the_shell_completes_the_runs_of_the_store_and_their_tags(run):
    assert completed("replay ") == ["latest", "best", run]
    assert completed("plot ") == ["all", "latest", "best", run]
    assert (
        completed(f"compare latest {run[:4]}") == completed(f"resume --store sqlite:///rlbench.db {run[:4]}") == [run]
    )
    assert completed("watch lat") == ["latest"]
    assert completed("watch saf") == ["safecab"]
    assert completed("runs --tag ") == completed("runs tag latest ") == ["good"]


def test_completing_makes_no_store_and_tells_nothing_of_one_that_is_missing_or_damaged(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert completed("replay ") == ["latest", "best"]
    assert completed("replay --store mongodb://127.0.0.1:1/rl ") == ["latest", "best"]
    assert list(tmp_path.iterdir()) == []
    Path("rlbench.db").write_bytes(b"no database")
    assert completed("replay ") == ["latest", "best"]
    assert completed("model show ") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("line", "cword"), [("rlbench replay ", "2"), ("rlbench train safecab --set g", "4")])
def test_completing_never_imports_numba(line, cword, run):
    program = COMPLETED.format(line=line, cword=cword)
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert {"plain,latest", "plain,gamma="} & set(out.splitlines())
    assert "numba" not in re.findall(r"'([\w.]+)'", out.splitlines()[-1])


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_as_the_documentation_says(run):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    shell = subprocess.run(["bash", "-c", BASH], env=environment, capture_output=True, text=True, check=True)
    assert shell.stdout.splitlines() == ["safecab", "check compact copy", f"latest best {run}"]
    assert shell.stderr == ""
