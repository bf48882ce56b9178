"""The checks catch what they are for, and let good envs and agents pass."""

import copy
import dataclasses
import functools
import random

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TransformReward
from training.toys import Gambler

from rlbench.agents import (
    DynaQ,
    MonteCarlo,
    QLearning,
    RandomAgent,
    ReplayQ,
    SarsaLambda,
    TableAgent,
)
from rlbench.envs import Discretize, FlattenDiscrete
from rlbench.envs.tabular import TabularModel
from rlbench.errors import RlbenchError, UnknownNameError, UsageError
from rlbench.testing import AGENT_CHECKS, ENV_CHECKS, CheckFailedError, check_agent, check_env, check_model
from rlbench.testing.envs import a_step_before_the_first_reset_is_refused

GOOD = [
    ("Taxi-v4", {}),
    ("Taxi-v4", {"is_rainy": True}),
    ("FrozenLake-v1", {}),
    ("FrozenLake8x8-v1", {"is_slippery": False}),
    ("CliffWalking-v1", {}),
    ("CliffWalking-v1", {"is_slippery": True}),
]


def changed(model, column, row, value):
    """The model with one number replaced."""
    array = getattr(model, column).copy()
    array[row] = value
    return dataclasses.replace(model, **{column: array})


def first_row(model, state, action):
    return model.offsets[state * model.n_actions + action]


@pytest.mark.parametrize(("env_id", "kwargs"), GOOD)
def test_the_tables_of_gymnasiums_envs_are_the_truth(env_id, kwargs):
    check_model(gym.make(env_id, **kwargs), samples=40_000)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("successor", 39, r"P\[34\]\[0\] lists \(1.0, 39, -1.0, False\), but the env gave \(134, -1.0, False\)"),
        ("reward", -2.0, r"P\[34\]\[0\] lists \(1.0, 134, -2.0, False\), but the env gave \(134, -1.0, False\)"),
        ("terminated", True, r"P\[34\]\[0\] lists \(1.0, 134, -1.0, True\), but the env gave \(134, -1.0, False\)"),
    ],
)
def test_one_wrong_number_among_3000_is_found_and_named(column, value, says):
    model = TabularModel.from_env("Taxi-v4")
    with pytest.raises(CheckFailedError, match=says):
        check_model("Taxi-v4", changed(model, column, first_row(model, 34, 0), value))


def test_a_wrong_table_is_found_where_the_env_moves_by_itself():
    class Wrong(gym.Env):
        observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(1)
        initial_state_distrib = np.array([1.0, 0.0])
        P = {0: {0: [(1.0, 1, 0.0, False)]}, 1: {0: [(1.0, 0, 0.0, True)]}}  # noqa: RUF012

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.s = 0
            return 0, {}

        def step(self, action):
            self.s = 0
            return 0, 0.0, True, False, {}

    with pytest.raises(CheckFailedError, match=r"P\[0\]\[0\] lists \(1.0, 1, 0.0, False\), but .* gave \(0, 0.0, T"):
        check_model(Wrong())


def test_an_outcome_that_the_model_does_not_list_is_found():
    model = TabularModel.from_env("FrozenLake-v1")
    wrong = changed(model, "reward", first_row(model, 6, 1), 0.5)
    with pytest.raises(CheckFailedError, match=r"P\[6\]\[1\] lists only .*, but the env gave"):
        check_model("FrozenLake-v1", wrong, samples=10_000)


def test_a_chance_that_is_far_off_is_found_in_its_own_state_and_action():
    model = TabularModel.from_env("FrozenLake-v1")
    row = first_row(model, 6, 1)
    wrong = changed(model, "probability", slice(row, row + 3), [0.8, 0.1, 0.1])
    with pytest.raises(CheckFailedError, match=r"P\[6\]\[1\]: .* \[0.8, 0.1, 0.1\], but \d+ samples gave"):
        check_model("FrozenLake-v1", wrong, samples=10_000)


def test_a_chance_a_little_off_everywhere_is_found_by_pooling():
    model = TabularModel.from_env(gym.make("Taxi-v4", is_rainy=True, rainy_probability=0.82))
    with pytest.raises(CheckFailedError, match=r"all \(state, action\) with these probabilities: the model has"):
        check_model(gym.make("Taxi-v4", is_rainy=True), model, samples=80_000)


def test_wrong_starts_are_found():
    model = TabularModel.from_env("CliffWalking-v1")
    with pytest.raises(CheckFailedError, match="reset gave state 36, which the start distribution excludes"):
        check_model("CliffWalking-v1", dataclasses.replace(model, initial=np.eye(48)[0]))
    with pytest.raises(CheckFailedError, match=r"start distribution: .* \[0.5, 0.5\], but .* \[0.0, 1.0\]"):
        check_model("CliffWalking-v1", dataclasses.replace(model, initial=np.eye(48)[[0, 36]].mean(axis=0)))


def test_a_part_of_the_states_can_be_checked_alone():
    model = TabularModel.from_env("Taxi-v4")
    wrong = changed(model, "reward", first_row(model, 34, 2), 0.0)
    check_model("Taxi-v4", wrong, states=range(34))
    with pytest.raises(CheckFailedError):
        check_model("Taxi-v4", wrong, states=[34])


def test_an_env_that_cannot_be_put_in_a_state_says_so():
    with pytest.raises(CheckFailedError, match="has no attribute s that holds its state"):
        check_model("CartPole-v1", TabularModel.from_env("CliffWalking-v1"))


def test_an_env_without_a_model_cannot_have_it_checked():
    with pytest.raises(UsageError, match="no transition table P"):
        check_model("CartPole-v1")


@pytest.mark.parametrize("env_id", ["Taxi-v4", "CliffWalking-v1", "CartPole-v1", "Blackjack-v1"])
def test_gymnasiums_envs_are_sound(env_id):
    check_env(env_id)


def test_our_wrappers_are_sound():
    check_env(FlattenDiscrete(gym.make("Blackjack-v1")))
    check_env(Discretize(gym.make("CartPole-v1"), 4, low=-2, high=2))


def test_an_unknown_env_is_not_a_failed_check():
    with pytest.raises(UnknownNameError):
        check_env("Taxy-v4")


def test_a_failed_check_is_an_assertion_and_one_of_our_errors():
    assert issubclass(CheckFailedError, AssertionError)
    assert issubclass(CheckFailedError, RlbenchError)


class Sloppy(gym.Env):
    """An env that breaks the promise it is told to."""

    observation_space, action_space = gym.spaces.Discrete(9), gym.spaces.Discrete(2)

    def __init__(self, fault=""):
        self.fault, self.steps = fault, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        info = {"action_mask": np.ones(2)} if self.fault == "mask" else {}
        return 99 if self.fault == "space" else int(self.np_random.integers(9)), info

    def step(self, action):
        self.steps += 1
        reward = float(self.steps > 100) if self.fault == "memory" else 0.0
        observation = self.np_random.integers(9)
        return observation if self.fault == "numpy" else int(observation), reward, False, False, {}


def test_an_observation_outside_its_space_is_found():
    with pytest.raises(CheckFailedError, match=r"it_passes_gymnasiums_own_checker: .* not within the obs"):
        check_env(Sloppy("space"))


def test_what_survives_a_seeded_reset_is_found():
    with pytest.raises(CheckFailedError, match="seed 0 gave two different trajectories"):
        check_env(Sloppy("memory"))


def test_numpys_whole_numbers_are_observations_too():
    check_env(Sloppy("numpy"))


def test_a_mask_that_cannot_be_sampled_by_is_found():
    with pytest.raises(CheckFailedError, match=r"the action mask is float64 of shape \(2,\): it must be int8"):
        check_env(Sloppy("mask"))


def test_a_step_before_the_first_reset_is_found(monkeypatch):
    monkeypatch.setitem(gym.registry, "toys/Hasty-v0", EnvSpec("toys/Hasty-v0", Sloppy, order_enforce=False))
    assert "was accepted" in a_step_before_the_first_reset_is_refused(gym.make("toys/Hasty-v0"), 0)


def test_an_env_without_a_spec_is_checked_as_far_as_possible():
    check_env(Sloppy())


def test_a_spec_that_json_cannot_hold_is_found():
    env = TransformReward(gym.make("CliffWalking-v1"), lambda r: r)
    with pytest.raises(CheckFailedError, match="the spec of CliffWalking-v1 does not survive to_json"):
        check_env(env)


def test_a_mask_that_forbids_what_would_work_is_found(monkeypatch):
    env = gym.make("Taxi-v4")
    true_mask = type(env.unwrapped).action_mask

    def blind_to_dropoff(self, state):
        mask = true_mask(self, state)
        mask[5] = 0
        return mask

    monkeypatch.setattr(type(env.unwrapped), "action_mask", blind_to_dropoff)
    with pytest.raises(
        CheckFailedError, match=r"mask of state 17 is \[1, 0, 1, 0, 0, 0\], but only \[0, 2, 5\] can change it"
    ):
        check_env(env)


class Moving(Gambler):
    """A gambler for whom a stake beyond his means is not to stay."""

    P = {s: {a: Gambler.P[s][a] if a else [(1.0, 1, 0.0, False)] for a in range(6)} for s in range(11)}  # noqa: RUF012


class Generous(Gambler):
    """A gambler who may stake anything, which the masks do not say."""

    allowed_actions = Gambler.allowed_actions | (np.arange(11)[:, None] == 4)

    def step(self, action):
        return *super().step(action)[:4], {"action_mask": Gambler.allowed_actions[self.s].astype(np.int8)}


def test_allowed_actions_are_checked_with_the_masks_and_with_what_the_others_do():
    check_env(Gambler())
    with pytest.raises(
        CheckFailedError, match=r"state 2 does not allow action 0, but P\[2\]\[0\] is not to stay, for 0"
    ):
        check_env(Moving())
    with pytest.raises(CheckFailedError, match=r"mask of state 4 is .*, but only \[0, 1, 2, 3, 4, 5\] are allowed"):
        check_env(Generous())


class Detour(gym.Env):
    """Two squares and back, whose compiled counterpart may be given another table."""

    observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2)
    P = {s: {a: [(1.0, 1 - s, float(a), False)] for a in (0, 1)} for s in (0, 1)}  # noqa: RUF012
    initial_state_distrib = np.array([0.5, 0.5])

    def __init__(self, compiled_reward=1.0):
        self.compiled_reward = compiled_reward

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.s = int(self.np_random.random() >= 0.5)
        return self.s, {}

    def step(self, action):
        self.np_random.random()
        self.s = 1 - self.s
        return self.s, float(action), False, False, {}

    def compiled_world(self):
        from rlbench.envs._worlds import sampled_world

        model = TabularModel.from_env(self)
        return sampled_world(changed(model, "reward", first_row(model, 1, 1), self.compiled_reward))


def test_a_compiled_counterpart_must_do_what_the_env_does():
    check_env(Detour())
    with pytest.raises(CheckFailedError, match=r"its_compiled_.*: it gives different rewards from seed 0"):
        check_env(Detour(compiled_reward=2.0))


# ---------------------------------------------------------------------------------------------------- agents


@pytest.mark.parametrize(
    ("agent", "parameters"),
    [
        (QLearning, {"exploration": "softmax", "gamma": 0.0}),
        *(
            pytest.param(*case, marks=pytest.mark.long)  # each compiles a loop
            for case in (
                (ReplayQ, {"replay": "prioritized", "n_step": 3, "priority_beta_steps": 500}),
                (DynaQ, {"planning": "prioritized"}),
                (MonteCarlo, {"average": "exponential", "horizon": 4}),
                (SarsaLambda, {"traces": "accumulating"}),
                (QLearning, {"exploration": "ucb", "initial_value": 20.0}),
            )
        ),
    ],
)
def test_so_they_do_with_other_parameters(agent, parameters):
    check_agent(functools.partial(agent, **parameters))


def test_a_users_agent_without_a_compiled_counterpart_passes():
    check_agent(Plain)


class Plain(TableAgent):
    """Q-learning as a user writes it; the faulty ones below differ from it in one thing."""

    name = "plain"

    def update(self, observation, action, reward, next_observation, terminated):
        self.learn(observation, action, reward + (0.0 if terminated else 0.99 * self.q_table[next_observation].max()))
        self.timesteps += 1

    def learn(self, observation, action, target):
        table = self.q_table.copy()
        table[observation, action] += 0.1 * (target - table[observation, action])
        self.q_table = table


class BootstrapsThroughTheEnd(Plain):
    def update(self, observation, action, reward, next_observation, terminated):
        super().update(observation, action, reward, next_observation, False)


class StopsAtTruncation(Plain):
    """Learns an episode when it is over, as if it had ended by itself."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.steps = []

    def update(self, observation, action, reward, next_observation, terminated):
        self.steps.append((observation, action, reward))
        self.timesteps += 1

    def end_episode(self):
        value = 0.0
        for observation, action, reward in reversed(self.steps):
            value = reward + 0.99 * value
            self.learn(observation, action, value)
        self.steps = []
        super().end_episode()


class SkipsTheLastStep(Plain):
    def update(self, observation, action, reward, next_observation, terminated):
        if terminated:
            self.timesteps += 1
        else:
            super().update(observation, action, reward, next_observation, terminated)


class DrawsFromNumPy(Plain):
    def act(self, observation, *, explore=True):
        if explore and np.random.random() < 0.5:  # noqa: NPY002
            return int(np.random.random() * 2)  # noqa: NPY002
        return super().act(observation, explore=explore)


class AdvancesPythonsGenerator(Plain):
    def act(self, observation, *, explore=True):
        random.random()  # noqa: S311
        return super().act(observation, explore=explore)


class SeedsItselfFromTheSystem(Plain):
    def act(self, observation, *, explore=True):
        return int(np.random.default_rng().integers(2)) if explore else super().act(observation, explore=False)


class StartsAnewWithEveryTraining(Plain):
    def drop_episode(self):
        self.q_table = np.zeros((self.n_states, self.n_actions))


class ForgetsWhatItSaves(Plain):
    def state_dict(self):
        return {name: value for name, value in super().state_dict().items() if name != "q_table"}

    def load_state_dict(self, state):
        super().load_state_dict({**state, "q_table": np.zeros((self.n_states, self.n_actions))})


class LosesItsGenerator(Plain):
    def load_state_dict(self, state):
        super().load_state_dict({**state, "rng": self.state_dict()["rng"]})


class SharesItsTable(Plain):
    def __deepcopy__(self, memo):
        return copy.copy(self)


class RoundsItsTable(Plain):
    def state_dict(self):
        return {**super().state_dict(), "q_table": self.q_table.astype(np.float32)}


class SavesObjects(Plain):
    def state_dict(self):
        return {**super().state_dict(), "names": np.array([object()])}


class LearnsWhileItIsWatched(Plain):
    def act(self, observation, *, explore=True):
        if not explore:
            self.learn(observation, 0, 1.0)
        return super().act(observation, explore=explore)


class DrawsItsSeedFromNumPy(Plain):
    def __init__(self, *args, seed=None, **kwargs):
        super().__init__(*args, seed=np.random.randint(9) if seed is None else seed, **kwargs)  # noqa: NPY002


class ReturnsNumPysNumbers(Plain):
    def act(self, observation, *, explore=True):
        return np.int64(super().act(observation, explore=explore))


class ForgetsToCountSteps(Plain):
    def update(self, observation, action, reward, next_observation, terminated):
        super().update(observation, action, reward, next_observation, terminated)
        self.timesteps = 0


class ForgetsToCountEpisodes(Plain):
    def end_episode(self):
        pass


class HasADifferentCounterpart(Plain):
    def learner(self):
        learner = QLearning.learner(self)
        return learner._replace(core=learner.core._replace(gamma=0.5))


@pytest.mark.parametrize(
    ("agent", "complaint"),
    [
        (BootstrapsThroughTheEnd, "nothing_is_bootstrapped_from_a_terminal_state: .* takes action 0 in state 0"),
        (StopsAtTruncation, "what_a_cut_off_episode_would_have_earned_is_learnt: .* takes action 1 in state 0"),
        (SkipsTheLastStep, "nothing_is_bootstrapped_from_a_terminal_state: .* takes action 0"),
        (DrawsFromNumPy, "the_same_seed_makes_the_same_agent: .* differ in: .*'q_table'"),
        (AdvancesPythonsGenerator, "the_global_generators_are_left_alone: random moved: draw from self.rng"),
        (DrawsItsSeedFromNumPy, "the_global_generators_are_left_alone: numpy.random moved: draw from self.rng"),
        (SeedsItselfFromTheSystem, "the_same_seed_makes_the_same_agent: .* differ in: .*'q_table'"),
        (StartsAnewWithEveryTraining, "training_adds_up: 30 episodes and 11 then 19 differ in: .*'q_table'"),
        (ForgetsWhatItSaves, "a_loaded_agent_goes_on_as_the_one_that_was_saved: after loading differs: 'greedy_pol"),
        (LosesItsGenerator, "a_loaded_agent_goes_on_as_the_one_that_was_saved: after loading differs: 'rng'"),
        (SharesItsTable, "a_copy_goes_on_alike_and_leaves_the_agent_as_it_was: training a copy changed: .*'q_table'"),
        (RoundsItsTable, "a_loaded_agent_goes_on_as_the_one_that_was_saved: after 20 more episodes differs: 'q_table'"),
        (SavesObjects, r"its_state_is_plain_arrays_and_json: state_dict\(\)\['names'\] is neither"),
        (LearnsWhileItIsWatched, "the_greedy_action_changes_nothing: act.* changed: .*'q_table'"),
        (ReturnsNumPysNumbers, "actions_are_plain_ints_of_the_space: .* expected an int from 0 to 1"),
        (ForgetsToCountSteps, "it_counts_steps_and_episodes: .* 7 episodes, 0 timesteps"),
        (ForgetsToCountEpisodes, "it_counts_steps_and_episodes: .* end_episode must call super"),
        (HasADifferentCounterpart, "its_compiled_counterpart_does_the_same: .* differ in: .*'q_table'"),
        (lambda *args, seed: object(), "it_is_an_agent: expected a subclass of rlbench.agents.Agent, got object"),
        (lambda *args, seed: Plain(3, 2, seed=seed), "it_is_an_agent: made for 5 states"),
    ],
)
def test_a_faulty_agent_is_found_and_its_fault_named(agent, complaint):
    with pytest.raises(CheckFailedError, match=complaint):
        check_agent(agent)


def test_the_checks_leave_the_global_generators_as_they_were():
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    check_agent(RandomAgent)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


@pytest.mark.parametrize(("checks", "count"), [(AGENT_CHECKS, 14), (ENV_CHECKS, 9)], ids=["agents", "envs"])
def test_every_check_says_what_it_looks_at(checks, count):
    assert len(checks) == len({check.__name__ for check in checks}) == count
    assert all(check.__doc__ for check in checks)


def test_one_that_learns_slowly_is_told_so_and_passes_with_more_episodes():
    slow = functools.partial(QLearning, learning_rate=0.002)
    with pytest.raises(CheckFailedError, match=r"after 400 episodes .*slow learner"):
        check_agent(slow, episodes=400)
    check_agent(functools.partial(QLearning, learning_rate=0.02), episodes=2000)
