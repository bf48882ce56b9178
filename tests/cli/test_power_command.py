"""`rlbench power`: of a study, and of runs."""

import pytest

import rlbench as library

SWEEP = ("sweep", "CliffWalking-v1", "--agent", "sarsa,q-learning", "--over", "learning_rate=0.2,0.4")
EPSILON = ("--set", "exploration_schedule=constant", "--set", "exploration_initial_eps=0.1")
HOW = (*EPSILON, "--seeds", "0:8", "--episodes", 30, "--objective", "area", "--workers", 1, "--name", "cliff")


@pytest.fixture
def cliff(rlbench):
    """The command line, in a folder whose store has a study."""
    assert rlbench(*SWEEP, *HOW).code == 0
    return rlbench


def test_it_tells_of_a_study_what_the_library_does(cliff, tmp_path):
    chosen = ("--a", "agent=sarsa,learning_rate=0.4", "--b", "agent=q-learning,learning_rate=0.4", "--seed", 3)
    told = cliff("power", "cliff", *chosen, "--unpaired", "--json", "--out", "power.svg").document
    with library.open_store(tmp_path / "rlbench.db") as store:
        settings = ({"agent": agent, "learning_rate": 0.4} for agent in ("sarsa", "q-learning"))
        found = library.power(library.load_study(store, "cliff"), *settings, seed=3, paired=False)
    expected = {"labels", "seeds", "difference", "needed", "false_alarms", "alpha", "power", "is_paired", "notes"}
    assert {name: told[name] for name in expected} == {
        name: list(value) if isinstance(value := getattr(found, name), tuple) else value for name in expected
    }
    assert (told["simulated"], told["out"], (tmp_path / "power.svg").exists()) == (True, "power.svg", True)
    said = cliff("power", "cliff").out
    assert said.startswith("A  sarsa learning_rate=0.4: mean area ")
    assert "paired by seed\n" in said
    assert "  note         the spread was measured with 8 seeds only" in said


def test_it_groups_runs_over_their_seeds(rlbench):
    for agent in ("sarsa", "q-learning"):
        rlbench("train", "FrozenLake-v1", "--agent", agent, "--seeds", "0:3", "--episodes", 20, "--tag", "lab")
    told = rlbench("power", "--tag", "lab", "--json").document
    assert (told["seeds"], told["what"], told["is_paired"]) == ([3, 3], "return", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cliff", "--a", "agent=sarsa"], "a (agent=sarsa) fits 2 combinations of cliff, not one: sarsa learning_rate"),
        (["cliff", "--b", "gamma=1"], "b names 'gamma', which cliff does not vary: it takes agent, learning_rate"),
        (["cliff", "--a", "sarsa"], "--a takes K=V, such as gamma=0.9, got 'sarsa'"),
        (["cliff", "--alpha", "2"], "alpha must lie between 0.0001 and 0.5, got 2.0"),
        (["cliff", "--out", "power.txt"], "a picture must end in .png, .svg or .pdf, got 'power.txt'"),
        (["clif"], "unknown study 'clif'; did you mean cliff"),
        ([], "name a RUN, or say which are meant with --env, --agent, --tag or --where"),
    ],
)
def test_a_mistake_is_one_line(cliff, arguments, message):
    found = cliff("power", *arguments)
    assert (found.out, len(found.err.splitlines())) == ("", 1)
    assert found.err.startswith(f"Error: {message}")
