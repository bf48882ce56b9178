"""The configuration of a run: read from anything that was ever stored, and written back unchanged."""

import json
from dataclasses import replace

import pytest

from rlbench.store import RunConfig
from rlbench.store.config import AgentConfig, BudgetConfig, CacheConfig, EnvConfig, RetrainingConfig

NEW = RunConfig(
    env=EnvConfig("x/Y-v0", '{"id": "x/Y-v0"}'),
    agent=AgentConfig("q-learning", {"gamma": 0.9}, 5, 2),
    budget=BudgetConfig(episodes=10),
    engine="compiled",
    record="all",
    versions={"rlbench": "1"},
)
TEXT = (
    '{"env": {"id": "x/Y-v0", "spec": "{\\"id\\": \\"x/Y-v0\\"}"}, '
    '"agent": {"name": "q-learning", "parameters": {"gamma": 0.9}, "n_states": 5, "n_actions": 2}, '
    '"budget": {"episodes": 10, "total_timesteps": null}, "preset": "default", "engine": "compiled", '
    '"record": "all", "versions": {"rlbench": "1"}}'
)
ODD = [
    "{}",
    '{"zebra": 1, "record": "none", "env": {"city": [], "id": "x/Y-v0"}, "ant": {"stored": null}}',
    '{"agent": {"parameters": 7, "name": null, "n_states": -1}, "env": [], "budget": "long", "engine": 3}',
    '{"versions": null, "retraining": true, "cache": {"hit": "often", "prefix": true}, "preset": {}, "stored": 1}',
]


def test_a_new_config_is_stored_as_all_stores_have_it():
    assert json.dumps(NEW.document()) == TEXT


def test_a_stored_config_says_what_it_said_when_it_was_new():
    assert RunConfig.of(json.loads(TEXT)) == NEW


@pytest.mark.parametrize("text", [TEXT, *ODD])
def test_what_is_stored_is_written_back_to_the_letter(text):
    assert json.dumps(RunConfig.of(json.loads(text)).document()) == text


@pytest.mark.parametrize("text", ODD[2:])
def test_what_is_of_the_wrong_type_is_as_good_as_missing(text):
    assert RunConfig.of(json.loads(text)) == RunConfig()


def test_a_change_is_written_in_its_place_and_leaves_the_rest():
    config = replace(RunConfig.of(json.loads(ODD[1])), record="all", engine="python")
    expected = '{"zebra": 1, "record": "all", "env": {"city": [], "id": "x/Y-v0"}, "ant": {"stored": null}, "engine": '
    assert json.dumps(config.document()) == expected + '"python"}'


def test_a_config_tells_how_its_run_came_about():
    assert (NEW.keeps_steps, NEW.was_recorded, NEW.was_retrained) == (True, False, False)
    other = RunConfig(record="none", engine="external", retraining=RetrainingConfig(passes=3))
    assert (other.keeps_steps, other.was_recorded, other.was_retrained) == (False, True, True)


def test_uses_as_an_answer_add_up():
    used = CacheConfig().counted("hit", 1.5).counted("prefix", 2.0).counted("hit", 0.25)
    assert used == CacheConfig(hit=2, prefix=1, seconds_saved=3.75)
