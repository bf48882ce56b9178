"""An env spec names code: of an imported one only what is registered here is ever made."""

import json

import gymnasium as gym
import pytest

import rlbench
from rlbench.envs import Discretize
from rlbench.errors import StoreError
from rlbench.exchange import export, import_run
from rlbench.exchange.trust import is_trusted
from rlbench.training import Run

GOOD = json.loads(gym.spec("CartPole-v1").to_json())
OURS = {"name": "Discretize", "entry_point": "rlbench.envs.discretize:Discretize", "kwargs": {}}


def spec(**changes):
    return json.dumps({**GOOD, **changes})


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Taxi-v3", "rlbench/SafeCab-v0", "FrozenLake-v1"])
def test_registered_envs_are_trusted(env_id):
    if env_id in gym.registry:
        assert is_trusted(gym.spec(env_id).to_json())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kwargs": {"sutton_barto_reward": True}},
        {"max_episode_steps": 7},
        {
            "additional_wrappers": [
                {"name": "X", "entry_point": "gymnasium.wrappers:TimeAwareObservation", "kwargs": {}}
            ]
        },
        {"additional_wrappers": [OURS]},
    ],
)
def test_arguments_and_known_wrappers_are_trusted(changes):
    assert is_trusted(spec(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"entry_point": "os:system"},
        {"entry_point": "subprocess:run", "id": "CartPole-v1"},
        {"vector_entry_point": "os:system"},
        {"id": "Unknown-v0"},
        {"id": "../x"},
        {"entry_point": None},
        {"more": 1},
        {"additional_wrappers": [{**OURS, "entry_point": "os:system"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "rlbench.cli:main"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "rlbench.__main__:main"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "gymnasium.wrappers.jax_to_torch:JaxToTorch"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "rlbench.store:open_store"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "gymnasium.wrappers:np"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "rlbenchx:Wrapper"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "rlbench.nothing:Wrapper"}]},
        {"additional_wrappers": [{**OURS, "entry_point": 7}]},
        {"additional_wrappers": [7]},
        {"additional_wrappers": 7},
    ],
)
def test_a_spec_that_names_other_code_is_not_trusted(changes):
    assert not is_trusted(spec(**changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", "[" * 100_000, '{"id": "CartPole-v1"}', None])
def test_what_is_no_spec_is_not_trusted(text):
    assert not is_trusted(text)


def test_a_hostile_spec_is_kept_but_never_made(tmp_path, store, samples):
    run = samples.ALL["cartpole"](store)
    export(run, tmp_path / "run.json")
    flag = tmp_path / "executed"
    hostile = spec(entry_point="os:mkdir", kwargs={"path": str(flag)})
    document = json.loads((tmp_path / "run.json").read_text())
    document["about"]["run"]["config"]["env"]["spec"] = hostile
    (tmp_path / "run.json").write_text(json.dumps(document))
    record = import_run(tmp_path / "run.json", store)
    assert record.config.document()["env"] == {"id": "CartPole-v1", "spec": None, "untrusted_spec": hostile}
    with pytest.raises(StoreError, match="cannot make CartPole-v1 again"):
        Run(record, store).make_env()
    export(Run(record, store), tmp_path / "run-v0", "minari")
    assert not flag.exists()


def test_a_wrapped_env_comes_back_wrapped(tmp_path, store):
    env = Discretize(gym.make("CartPole-v1"), cuts=[[0.0]] * 4)
    run = rlbench.train(env, episodes=3, seed=0, store=store)
    export(run, tmp_path / "run.csv")
    record = import_run(tmp_path / "run.csv", store)
    assert record.config == run.record.config
