"""What every registered env must pass; run over the registry."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env


def _steps(env, seed, n=500):
    """Random steps from one seed: (mask before, observation before, action, what step returned)."""
    dice = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    for _ in range(n):
        action = int(dice.integers(env.action_space.n))
        result = env.step(action)
        yield info.get("action_mask"), observation, action, result
        observation, _, terminated, truncated, info = result
        if terminated or truncated:
            observation, info = env.reset()


def it_keeps_the_promises_of_gymnasium(env_id):
    check_env(gym.make(env_id).unwrapped, skip_render_check=True)


def the_same_seed_and_actions_give_the_same_steps(env_id):
    told = [[(s, *result[:4]) for _, s, _, result in _steps(gym.make(env_id), 3)] for _ in range(2)]
    assert told[0] == told[1]


def another_seed_starts_elsewhere(env_id):
    env = gym.make(env_id)
    assert len({tuple(result[0] for _, _, _, result in _steps(env, seed, 20)) for seed in range(5)}) > 1


def its_spec_survives_json(env_id):
    env = gym.make(env_id)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec == env.spec
    told = [[(s, *result[:4]) for _, s, _, result in _steps(e, 4, 100)] for e in (env, again)]
    assert told[0] == told[1]


def its_steps_are_plain_python_numbers(env_id):
    for _, _, _, (observation, reward, terminated, truncated, _) in _steps(gym.make(env_id), 5, 50):
        assert (type(observation), type(reward)) == (int, float)
        assert (type(terminated), type(truncated)) == (bool, bool)


def its_action_mask_marks_the_actions_that_change_the_state(env_id):
    env = gym.make(env_id)
    for mask, before, action, (after, *_) in _steps(env, 6, 2000):
        if mask is not None:
            assert (mask.dtype, mask.shape) == (np.int8, (env.action_space.n,))
            assert bool(mask[action]) == (after != before)


def it_says_what_a_success_is(env_id):
    env = gym.make(env_id)
    judge = getattr(env.unwrapped, "is_success", None)
    if judge is None:
        assert env.spec.reward_threshold is not None
        return
    for _, _, _, (_, reward, terminated, _, info) in _steps(env, 7, 5000):
        assert info["is_success"] is judge(reward, terminated)


def a_step_before_the_first_reset_is_refused(env_id):
    with pytest.raises(gym.error.ResetNeeded):
        gym.make(env_id).unwrapped.step(0)


def an_action_outside_the_space_is_refused(env_id):
    env = gym.make(env_id).unwrapped
    env.reset(seed=0)
    for action in (-1, int(env.action_space.n)):
        with pytest.raises(gym.error.InvalidAction):
            env.step(action)


ENV_CHECKS = [
    it_keeps_the_promises_of_gymnasium,
    the_same_seed_and_actions_give_the_same_steps,
    another_seed_starts_elsewhere,
    its_spec_survives_json,
    its_steps_are_plain_python_numbers,
    its_action_mask_marks_the_actions_that_change_the_state,
    it_says_what_a_success_is,
    a_step_before_the_first_reset_is_refused,
    an_action_outside_the_space_is_refused,
]
