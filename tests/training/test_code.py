"""The cache knows the code of envs and agents that are not ours, and says where it cannot."""

import importlib
import json
import os
import sys
from dataclasses import make_dataclass, replace
from pathlib import Path
from types import ModuleType

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

import rlbench
from rlbench.agents import AGENTS, make_agent
from rlbench.agents.parameters import parameter
from rlbench.envs import again
from rlbench.envs.again import difference_when_made_again
from rlbench.envs.making import make_env, spec_json
from rlbench.errors import UsageError
from rlbench.presets import Preset
from rlbench.training import code as code_module
from rlbench.training.budgets import budget_of
from rlbench.training.cache import cache_key, known_by
from rlbench.training.code import code_of, unknown_of
from rlbench.training.setup import config_of
from rlbench.viewer.rides import ride_of

LANE = """
import gymnasium as gym
from gymnasium import spaces
from lane_rewards import REWARD

class Lane(gym.Env):
    observation_space, action_space = spaces.Discrete(4), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return 0, {}

    def step(self, action):
        self.t += 1
        return self.t, REWARD, self.t >= 3, False, {}
"""
LAZY = """
from rlbench.agents import QLearning

class Lazy(QLearning):
    name = "lazy"
"""
KEYS = {  # of stored runs: they must be found for ever
    ("rlbench/SafeCab-v0", "q-learning"): "e268ab2c65a0524efe4c0ed5cffc76f76fd19c22530fde3610447e116af6ccce",
    ("rlbench/DiscreteCartPole-v1", "sarsa"): "aca06df8c5fd744605e4d4b97e899e86a87055ff0cd1bf342fb608fd04151c46",
    ("FrozenLake-v1", "random"): "cddb5615a277e40448bf27c4356877f499f853059d5fc0d0524bd626b4c529b6",
    ("FrozenLake-v1", "q-learning"): "c2817e561d9a5cfb53dcbd50e80c3d9802cd972663035f14432d30d8874f0c60",
    ("FrozenLake-v1", "sarsa"): "f1d7c2c463ad4f2f6dc883da983e77efa769ee17048eff784df3577b2e527347",
    ("FrozenLake-v1", "expected-sarsa"): "e4191e789b0306abdbbb6471e2a4e314845ca6998f5f733459f46d7e8be84d8f",
    ("FrozenLake-v1", "double-q"): "2eb2058030b79e9de7104d33254fcfdadba8f8f1d388efcc7353e586ad7f88c3",
    ("FrozenLake-v1", "n-step-sarsa"): "4b191463a4939312930733977c5987a53d3dc3ab9fce9849af0017e34148d147",
    ("FrozenLake-v1", "sarsa-lambda"): "7620bead8dd78545f58c5af66b86c949e44c6fa3324d4b29d47a1a5afa6b139f",
    ("FrozenLake-v1", "monte-carlo"): "777e73e1eb159286b6832df655d8b2542fe3626938c95b3cb9b177c0c99a74f0",
    ("FrozenLake-v1", "dyna-q"): "b7dbea1c751808df3d63b48a9353a6f24621fbd3fbbc6a4240101215f986557d",
    ("FrozenLake-v1", "replay-q"): "3f76f9765a65e17bec6b1c2e7d6cb4119b062906de6f2b9633602f3d3972066b",
    ("FrozenLake-v1", "bandit"): "dcf866f3678688630b4f2186843921e49eeb6be5dfbb9c256a043124cb8c3b54",
    ("FrozenLake-v1", "dyna-q-plus"): "182f5c4af93c1d411fe3ee21570f3412725bad16aa112d2138d53096c0a73c2f",
    ("FrozenLake-v1", "td0"): "b2004013ed3eb562d50fbb6cdbc03b67eb7ccb941769d69732831c371c4861ec",
    ("FrozenLake-v1", "n-step-td"): "337284e96fc789ae91bc55d5b6e4a227bb6bda4883eea566dea70bb80c9ab579",
    ("FrozenLake-v1", "td-lambda"): "43213679fe02df5219c316b310ca8919a08f30cab0df3e05c316095922c96496",
    ("FrozenLake-v1", "mc-prediction"): "319fecc8c583f39d046d4a96c46cd169c5bd47644adc4ff9600861ccf1119368",
    ("FrozenLake-v1", "n-step-expected-sarsa"): "0f5169cdc61f5eaf40330e60f1436d3bc73b3d40a781f2c328e7fd93552a6877",
    ("FrozenLake-v1", "tree-backup"): "d0aca3e800251d015a02a00c6308e3982f54948c3c79fcf7d2a5761dd73f0e2f",
    ("FrozenLake-v1", "q-sigma"): "5fce3c5f6391fe8267339bfa75535566d00e41caa98e94471b9dcdc6d45814c3",
    ("FrozenLake-v1", "true-online-sarsa-lambda"): "7ff07553647a756ba44a82b984621494c0d9c7724210846cef9d7e74d5385c17",
    ("FrozenLake-v1", "watkins-q-lambda"): "b14066a2b1669d741a76b0d24120f44b1553391152475a840adb5cd090139b87",
    ("FrozenLake-v1", "differential-sarsa"): "f2f409a3ed2005e46e97de1aebc301be277a7630b1630f1639f8c25729d8f9ee",
    ("FrozenLake-v1", "off-policy-mc"): "52dffc42b9424e54f5d6977f951418b82c826038a41980fc0292fed4fbe4abb4",
    ("FrozenLake-v1", "off-policy-mc-control"): "027a86754bf99005efb87fdf0d785c7f55b2f1e247447b597eb4d1adb2a25f45",
    ("Taxi-v4", "dyna-q"): "f5f13a402af9f9b4e8caa39cabf52d669e59cfff29f1a9e35764971d4972358a",
}


class Project:
    """A folder with an env, a helper and an agent of one's own, and a process that can be begun anew."""

    modules = ("lane", "lane_rewards", "lane_agents")

    def __init__(self, folder: Path):
        self.folder = folder
        self.write("lane", LANE)
        self.write("lane_rewards", "REWARD = 1.0")
        self.write("lane_agents", LAZY)

    def write(self, name, text):
        path = self.folder / f"{name}.py"
        path.write_text(text)
        os.utime(path, (1e9, 1e9 + len(text)))  # long before this process

    def begin(self):
        for name in self.modules:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        code_module._seen.clear()
        gym.registry.pop("Lane-v0", None)
        AGENTS.pop("lazy", None)
        lane = importlib.import_module("lane")
        gym.register("Lane-v0", entry_point="lane:Lane")
        return lane

    def train(self, agent="random", **settings):
        return rlbench.train("Lane-v0", agent, episodes=3, seed=0, store=self.folder / "runs.db", **settings)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Project(tmp_path)
    yield made
    for name in made.modules:
        sys.modules.pop(name, None)
    gym.registry.pop("Lane-v0", None)
    AGENTS.pop("lazy", None)


def test_the_same_code_is_answered_from_the_store(project):
    project.begin()
    project.train()
    project.begin()
    assert project.train().cache == "hit"


def test_a_module_that_makes_up_the_name_of_its_file_does_not_keep_a_run_from_the_cache(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    made_up = ModuleType("made_up")
    made_up.__file__ = "_made_up.py"  # as torch.classes does: it seems to lie in the working folder
    monkeypatch.setitem(sys.modules, "made_up", made_up)
    project.begin()
    assert [project.train().cache for _ in range(2)] == ["miss", "hit"]


@pytest.mark.parametrize(
    ("name", "text", "first_return"),
    [("lane", LANE.replace("t >= 3", "t >= 2"), 2.0), ("lane_rewards", "REWARD = -5.0", -15.0)],
)
def test_an_edited_env_or_helper_beside_it_is_trained_anew(project, name, text, first_return):
    project.begin()
    assert project.train().returns[0] == 3.0
    project.write(name, text)
    project.begin()
    run = project.train()
    assert (run.cache, run.returns[0]) == ("miss", first_return)


def test_an_edited_agent_of_ones_own_is_trained_anew(project):
    project.begin()
    lazy = importlib.import_module("lane_agents").Lazy
    assert [project.train(lazy).cache for _ in range(2)] == ["miss", "hit"]
    project.write("lane_agents", LAZY + "\n    gamma_note = 1\n")
    project.begin()
    assert project.train(importlib.import_module("lane_agents").Lazy).cache == "miss"


JUDGES = {
    "evaluate": rlbench.evaluate,
    "verify": rlbench.verify,
    "resume": lambda run: rlbench.resume(run, episodes=9),
    "retrain": rlbench.retrain,
    "explain": rlbench.explain,
    "watch": ride_of,
}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
def test_a_run_is_not_judged_or_gone_on_with_by_other_code(project, judge):
    project.begin()
    run = project.train("q-learning")
    project.write("lane_rewards", "REWARD = 2.0")
    project.begin()
    with pytest.raises(UsageError, match="the code of lane_rewards is other than run"):
        judge(run)


def test_what_was_edited_since_it_was_imported_is_not_cached_and_it_is_said(project):
    project.begin()
    project.train()
    (project.folder / "lane_rewards.py").write_text("REWARD = 7.0")
    with pytest.warns(UserWarning, match="not cached: lane_rewards was edited since it was imported"):
        run = project.train()
    assert (run.cache, run.returns[0]) == ("miss", 3.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"__module__": "__main__"}, "program or notebook"),  # a notebook's cells are __main__ too
        ({"__module__": "__mp_main__"}, "program or notebook"),  # the program, in another process
        ({"__qualname__": "made.<locals>.Lane"}, "made within a function"),
    ],
)
def test_a_class_that_no_module_holds_is_not_cached_and_it_is_said(project, change, reason):
    lane = project.begin()
    for name, value in change.items():
        setattr(lane.Lane, name, value)
    for _ in range(2):
        with pytest.warns(UserWarning, match=f"not cached: .*{reason}"):
            run = project.train()
        assert run.cache == "miss"


def test_an_extension_module_is_not_known(project):
    lane = project.begin()
    lane.__file__ = "lane.so"
    assert "not Python source" in unknown_of(code_of(lane.Lane()))


def _key(env_id, agent_name, **parameters):
    """The key of a run of the first version, made with Gymnasium 1.3.0."""
    with make_env(env_id) as env:
        agent = make_agent(agent_name, env, seed=np.random.SeedSequence(0), **parameters)
        budget = budget_of(10, None, Preset(), env_id)
        config = config_of(env_id, spec_json(env), env, agent, budget, "default", "all", compiled=True)
    assert config.code is None
    config = replace(config, versions={**config.versions, "algorithm": 1, "gymnasium": "1.3.0"})
    return cache_key(known_by(config), 0)


def test_every_agent_has_a_pinned_key():
    assert {agent for _, agent in KEYS} == {name for name in AGENTS if AGENTS[name].__module__.startswith("rlbench.")}


@pytest.mark.parametrize(("env_id", "agent_name"), KEYS)
def test_our_own_runs_keep_the_keys_that_they_were_stored_with(env_id, agent_name):
    assert _key(env_id, agent_name) == KEYS[env_id, agent_name]


@pytest.mark.parametrize(("env_id", "agent_name"), KEYS)
def test_a_parameter_added_later_counts_only_where_it_is_set(env_id, agent_name, monkeypatch):
    cls = AGENTS[agent_name]
    added = [("depth", int, parameter(3, "a parameter of a later version", later=True))]
    with_it = make_dataclass("WithIt", added, bases=(cls.Parameters,), frozen=True, kw_only=True)
    monkeypatch.setattr(cls, "Parameters", with_it)
    assert _key(env_id, agent_name) == _key(env_id, agent_name, depth=3) == KEYS[env_id, agent_name]
    assert len({_key(env_id, agent_name, depth=value) for value in (3, 4, 5)}) == 3


# ------------------------------------------------------------------------------------- made again


class Drawn(gym.Env):
    """Draws its goal when it is made, unless it is told."""

    observation_space, action_space = spaces.Discrete(1000), spaces.Discrete(2)
    count = 0

    def __init__(self, goal=None, *, hidden=False):
        Drawn.count += 1
        goal = Drawn.count if goal is None else goal
        self.goal = (lambda: goal) if hidden else goal

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return self.goal() if callable(self.goal) else 0, 0.0, True, False, {}


@pytest.fixture
def drawn():
    gym.register("Drawn-v0", entry_point=Drawn.__module__ + ":Drawn")
    sys.modules.setdefault(Drawn.__module__, sys.modules[__name__])
    yield "Drawn-v0"
    gym.registry.pop("Drawn-v0")


@pytest.mark.parametrize(("kwargs", "named"), [({}, "goal"), ({"hidden": True}, "same actions")])
def test_an_env_that_is_another_when_made_again_is_refused(drawn, kwargs, named):
    with pytest.raises(UsageError, match=f"another env each time it is made .*{named}"):
        rlbench.train(drawn, "random", episodes=1, env_kwargs=kwargs)
    assert rlbench.train(drawn, "random", episodes=1, env_kwargs={**kwargs, "goal": 3}).episodes == 1


def test_the_refusal_of_a_drawn_lake_names_the_argument_that_fixes_it():
    with pytest.raises(UsageError, match=r"FrozenLake-v1 is another env .*desc=generate_random_map\(\)"):
        rlbench.train("FrozenLake-v1", "random", episodes=1, env_kwargs={"map_name": None})


def test_an_env_is_made_again_once_in_a_process_as_long_as_it_is_made_by_the_same_code(monkeypatch):
    made, make = [], again.make_from_spec
    monkeypatch.setattr(again, "make_from_spec", lambda *args, **named: (made.append(args), make(*args, **named))[1])
    monkeypatch.setattr(again, "_LASTING", set())

    def train(**more):
        return rlbench.train("FrozenLake-v1", "random", episodes=1, **more)

    train()
    train()
    assert len(made) == 1
    train(env_kwargs={"is_slippery": False})
    assert len(made) == 2
    init = FrozenLakeEnv.__init__
    monkeypatch.setattr(FrozenLakeEnv, "__init__", lambda self, **named: init(self, **{**named, "map_name": None}))
    with pytest.raises(UsageError, match="another env each time it is made"):
        train()


def test_an_env_that_is_not_known_is_made_again_each_time(drawn):
    for _ in range(2):
        assert rlbench.train(drawn, "random", episodes=1, env_kwargs={"goal": 3}).episodes == 1
    before = Drawn.count
    rlbench.train(drawn, "random", episodes=1, env_kwargs={"goal": 3})
    assert Drawn.count > before + 1


def test_a_known_env_that_a_function_makes_is_made_again_each_time():
    gravities = iter([9.8, 9.8, 9.8, 4.9])

    def drawn_cart():
        cart = CartPoleEnv()
        cart.gravity = next(gravities)
        return cart

    gym.register("DrawnCart-v0", entry_point=drawn_cart)
    try:
        assert rlbench.train("DrawnCart-v0", "random", episodes=1, bins="3,3,3,3").episodes == 1
        with pytest.raises(UsageError, match=r"another env each time it is made .*gravity"):
            rlbench.train("DrawnCart-v0", "random", episodes=1, bins="3,3,3,3")
    finally:
        gym.registry.pop("DrawnCart-v0")


def test_an_env_object_is_not_stored_as_a_spec_that_makes_another():
    lake = make_env("FrozenLake-v1", {"map_name": None})
    run = rlbench.train(lake, "random", episodes=2, seed=0)
    assert run.record.config.env.spec is None
    known = rlbench.train(make_env("FrozenLake-v1"), "random", episodes=2, seed=0)
    assert json.loads(known.record.config.env.spec)["id"] == "FrozenLake-v1"


def test_an_env_object_that_was_stepped_is_still_what_its_spec_makes(project):
    project.begin()
    env = make_env("Lane-v0")
    env.reset(seed=0)
    env.step(0)
    assert difference_when_made_again(env) == ""


def test_a_run_is_judged_on_another_env_only_when_asked():
    run = rlbench.train("FrozenLake-v1", "q-learning", episodes=5, seed=0)
    slippery = make_env("FrozenLake-v1", {"is_slippery": False})
    with pytest.raises(UsageError, match="pass another_env=True"):
        rlbench.evaluate(run, slippery, episodes=2)
    assert len(rlbench.evaluate(run, slippery, episodes=2, another_env=True).returns) == 2
    drawn = make_env("FrozenLake-v1", {"render_mode": "ansi"})
    assert len(rlbench.evaluate(run, drawn, episodes=2).returns) == 2
