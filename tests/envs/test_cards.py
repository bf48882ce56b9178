"""Blackjack's compiled world is Gymnasium's env, card for card."""

import gymnasium as gym
import pytest
from gymnasium.envs.toy_text import blackjack
from gymnasium.envs.toy_text.blackjack import BlackjackEnv
from training.toys import outcome

import rlbench
from rlbench.envs._worlds import BlackjackWorld, plays_alike
from rlbench.envs.compiled import compiled_world
from rlbench.envs.flattening import FlattenDiscrete


@pytest.mark.parametrize("natural", [False, True])
@pytest.mark.parametrize("sab", [False, True])
def test_the_world_deals_and_pays_as_the_env_does_by_all_rules(natural, sab):
    assert plays_alike(BlackjackEnv, BlackjackWorld(natural, sab))


def test_both_loops_come_to_the_same_in_blackjack():
    kwargs = {"episodes": 400, "seed": 5, "env_kwargs": {"natural": True, "sab": False}}
    runs = [rlbench.train("Blackjack-v1", engine=engine, **kwargs) for engine in ("auto", "python")]
    assert [run.engine for run in runs] == ["compiled", "python"]
    assert outcome(runs[0]) == outcome(runs[1])
    assert set(runs[0].returns.tolist()) == {-1.0, 0.0, 1.0, 1.5}


def test_another_deck_or_another_wrapper_is_not_taken_for_it(monkeypatch):
    assert compiled_world(FlattenDiscrete(gym.make("Blackjack-v1"))) == BlackjackWorld(False, True)
    assert compiled_world(FlattenDiscrete(gym.wrappers.ClipReward(gym.make("Blackjack-v1"), -0.5, 0.5))) is None
    assert compiled_world(FlattenDiscrete(type("Mine", (BlackjackEnv,), {})())) is None
    monkeypatch.setattr(blackjack, "deck", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 9])
    assert not plays_alike.__wrapped__(BlackjackEnv, BlackjackWorld(False, True))
