"""Envs of one's own, named as Gymnasium does: "module:Env-v0", from the working folder, registered in any way."""

import os
import sys

import gymnasium as gym
import pytest

from rlbench.cli.compiling import COMPILING
from rlbench.envs.making import make_from_spec, spec_json

ENV = """
import gymnasium as gym
from gymnasium import spaces

class Stairs(gym.Env):
    observation_space, action_space = spaces.Discrete(10), spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return 0, {}
    def step(self, action):
        self.t += 1
        return self.t, 1.0, self.t >= 6, False, {}

def nameless():
    class Stairs2(Stairs):
        pass
    return Stairs2

gym.register("ByClass-v0", entry_point=Stairs)
gym.register("ByLocalClass-v0", entry_point=nameless())
gym.register("ByFunction-v0", entry_point=lambda **arguments: Stairs(**arguments))
"""
IDS = ("ByClass-v0", "ByLocalClass-v0", "ByFunction-v0")


@pytest.fixture
def forgotten(tmp_path, monkeypatch):
    """A module in the working folder, and a function that forgets it and its envs, as a new process would."""
    (tmp_path / "stairs.py").write_text(ENV)
    os.utime(tmp_path / "stairs.py", (10**9, 10**9))  # older than this process, which therefore knows its code
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])

    def forget():
        sys.modules.pop("stairs", None)
        for env_id in IDS:
            gym.registry.pop(env_id, None)

    yield forget
    forget()


@pytest.mark.filterwarnings("ignore:.*are shown as text")
def test_an_env_registered_by_its_class_is_trained_stored_replayed_and_learnt_from(rlbench, forgotten):
    for command in (
        ("train", "stairs:ByClass-v0", "--episodes", "5"),
        ("verify", "latest", "--env", "stairs:ByClass-v0"),
        ("evaluate", "latest", "--env", "stairs:ByClass-v0"),
        ("replay", "latest"),
        ("watch", "latest", "--env", "stairs:ByClass-v0", "--max-steps", "2"),
        ("watch", "stairs:ByClass", "--max-steps", "2"),
        ("retrain", "latest", "--env", "stairs:ByClass-v0"),
    ):
        done = rlbench(*command)
        assert (done.code, "Error" in done.err) == (0, False), command
        forgotten()


@pytest.mark.filterwarnings("ignore:this training is not cached")
@pytest.mark.parametrize("env_id", IDS)
def test_in_whatever_way_it_is_registered_whoever_trusts_the_store_has_it_back(rlbench, forgotten, env_id):
    assert rlbench("train", f"stairs:{env_id}", "--episodes", "5").code == 0
    forgotten()
    assert rlbench("verify", "latest", "--trust").code == 0


def test_where_its_module_is_not_imported_the_message_says_how(rlbench, forgotten):
    rlbench("train", "stairs:ByClass-v0", "--episodes", "2")
    forgotten()
    done = rlbench("verify", "latest")
    assert done.code == 1
    assert "'ByClass-v0', which is not registered here (--env MODULE:ID imports its module): pass --trust" in done.err


@pytest.mark.parametrize(
    ("source", "reason"), [(None, "ModuleNotFoundError"), ("x = (", "SyntaxError"), ("1 / 0", "ZeroDivisionError")]
)
def test_a_module_that_cannot_be_imported_is_told_in_a_line(rlbench, tmp_path, source, reason):
    if source is not None:
        (tmp_path / "broken.py").write_text(source)
    done = rlbench("train", "broken:Env-v0", "--episodes", "2")
    assert done.code == 2
    (told,) = [line for line in done.err.splitlines() if line != COMPILING]  # in a fresh checkout that comes first
    assert told.startswith(f"Error: unknown env 'broken:Env-v0'; cannot import the module 'broken' ({reason}")


def test_a_stored_spec_of_a_class_makes_that_class_only(rlbench, forgotten):
    rlbench("train", "stairs:ByClass-v0", "--episodes", "2")
    env = gym.make("ByClass-v0")
    assert type(make_from_spec(spec_json(env)).unwrapped) is type(env.unwrapped)
    assert '"entry_point": "stairs:Stairs"' in spec_json(env)
    env.close()


def test_ours_without_their_namespace_are_hinted_at(rlbench):
    assert "did you mean rlbench/SafeCab-v0" in rlbench("train", "SafeCab-v0").err
    assert "did you mean rlbench/DiscreteCartPole-v1" in rlbench("train", "DiscreteCartPole-v1").err
