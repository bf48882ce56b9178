"""Learning from a replay buffer: what is drawn, what is learnt from it, what is weighed how."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlbench
from rlbench.agents import ReplayQ
from rlbench.buffers import PrioritizedReplayBuffer
from rlbench.errors import RlbenchError
from rlbench.testing._frozen import frozen

ONE_BATCH = {"batch_size": 4, "gamma": 0.5, "learning_rate": 0.5, "seed": 0}


def walked(steps, **parameters):
    """A replay-q agent that has been shown (s, a, r, s_next, terminated, end of the episode) and has not learnt yet."""
    agent = ReplayQ(4, 2, learning_starts=100, **{**ONE_BATCH, **parameters})
    for s, a, r, s_next, terminated, ended in steps:
        agent.update(s, a, r, s_next, terminated)
        if ended:
            agent.end_episode()
    return agent


CORRIDOR = [(0, 0, 1.0, 1, False, False), (1, 0, 2.0, 2, False, False), (2, 0, 4.0, 3, True, True)]


def test_a_minibatch_is_learnt_by_the_rule_of_q_learning_in_the_order_drawn():
    agent = walked(CORRIDOR)
    expected, twin = np.zeros(4), walked(CORRIDOR)
    for s in twin.buffer.sample(4).observations:
        following = 0.0 if s == 2 else expected[s + 1]
        expected[s] += 0.5 * (2.0**s + 0.5 * following - expected[s])
    agent._replay(0.5)
    assert agent.q_table[:, 0].tolist() == expected.tolist()
    assert expected.any()


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_returns_of_n_steps_are_learnt_up_to_the_end_of_the_episode(replay):
    agent = walked(CORRIDOR, n_step=2, learning_rate=1.0, batch_size=500, replay=replay)
    agent.q_table = [[0, 0], [0, 0], [8, 0], [100, 0]]
    agent.buffer.beta_initial = 0.0  # all weights are 1
    for _ in range(2):  # a prioritized one is drawn from the oldest to the newest
        agent._replay(1.0)
    # 4; 2 + 0.5 * 4; 1 + 0.5 * 2 + 0.25 * q[2], which is 4 in the end
    assert agent.q_table[:, 0].tolist() == [3.0, 4.0, 4.0, 100.0]


def test_an_episode_that_was_cut_off_bootstraps_and_the_next_one_is_not_part_of_its_returns():
    steps = [(0, 0, 1.0, 1, False, True), (2, 0, 50.0, 3, True, True)]
    agent = walked(steps, n_step=5, batch_size=200)
    agent.q_table = [[0, 0], [6, 0], [0, 0], [0, 0]]
    agent._replay(1.0)
    assert agent.q_table[0, 0] == 1.0 + 0.5 * 6
    assert agent.buffer.rows["truncated"][:2].tolist() == [True, False]


def test_an_episode_that_was_broken_off_is_as_one_that_was_cut_off():
    agent = walked([(0, 0, 1.0, 1, False, False)], n_step=2)
    agent.drop_episode()
    assert agent.buffer.rows["truncated"][0]


def test_what_surprised_most_is_drawn_most():
    steps = [(s, 0, r, 3, True, True) for s, r in enumerate((0.0, 1.0, 9.0))]
    agent = walked(steps, replay="prioritized", priority_alpha=1.0, priority_epsilon=1e-9, batch_size=100)
    assert isinstance(agent.buffer, PrioritizedReplayBuffer)
    agent._replay(1e-12)  # all errors are known now
    assert agent.buffer.probabilities() == pytest.approx([0.0, 0.1, 0.9], abs=1e-6)
    drawn = np.bincount(agent.buffer.sample(1000).observations, minlength=3)
    assert drawn[0] == 0
    assert drawn[2] == pytest.approx(900, abs=1)  # stratified: each share is drawn its number of times


def test_the_step_size_of_what_is_drawn_too_often_is_smaller():
    steps = [(0, 0, 1.0, 3, True, True), (1, 0, 4.0, 3, True, True)]
    agent = walked(steps, replay="prioritized", priority_alpha=1.0, priority_beta=1.0, batch_size=1)
    agent.buffer.set_priorities([0, 1], [1.0, 4.0])
    twin = walked(steps, replay="prioritized", priority_alpha=1.0, priority_beta=1.0, batch_size=5)
    twin.buffer.set_priorities([0, 1], [1.0, 4.0])
    batch = twin.buffer.sample(5)
    assert sorted(zip(batch.indices.tolist(), batch.weights.tolist(), strict=True)) == [(0, 1.0), *[(1, 0.25)] * 4]
    twin.buffer.load_state_dict({**agent.buffer.state_dict(), "rng": walked(steps).buffer.state_dict()["rng"]})
    twin._replay(0.5)
    # once half of the way, and four times an eighth
    assert twin.q_table[:2, 0] == pytest.approx([0.5, 4.0 * (1 - 0.875**4)])


def test_the_exponent_of_the_weights_rises_with_the_steps():
    agent = ReplayQ(4, 2, replay="prioritized", priority_beta=0.5, priority_beta_steps=4, learning_starts=99)
    betas = [agent.buffer.beta]
    for _ in range(5):
        agent.update(0, 0, 0.0, 1, True)
        betas.append(agent.buffer.beta)
    assert betas == [0.5, 0.625, 0.75, 0.875, 1.0, 1.0]


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_prioritized_or_not_it_learns_every_train_freq_steps(replay):
    agent = ReplayQ(4, 2, replay=replay, learning_starts=3, train_freq=2, batch_size=4, learning_rate=1.0, seed=0)
    for _ in range(3):
        agent.update(0, 1, 5.0, 1, True)
        assert (agent.q_table == 0).all()
    agent.update(0, 1, 5.0, 1, True)
    assert agent.q_table[0].tolist() == [0.0, 5.0]


EXTREMES = st.sampled_from([0.0, 1.0, -1e9, 1e150, 1e300, -1e301, 1.7e308, -1.7e308])


def both_loops(name, rewards, **parameters):
    """What each loop makes of FrozenLake with these rewards: episodes and the agent's state, or what it says."""
    for engine in ("python", "compiled"):
        with rlbench.open_store("memory://") as store:
            try:
                run = rlbench.train(
                    "FrozenLake-v1", name, episodes=12, seed=1, engine=engine, store=store,
                    env_kwargs={"reward_schedule": rewards}, agent_kwargs=parameters,
                )  # fmt: skip
                yield frozen({**run.agent.state_dict(), "returns": run.returns, "lengths": run.lengths})
            except RlbenchError as error:
                yield str(error)


def assert_both_loops_agree(rewards, replay, **parameters):
    common = {"learning_starts": 1, "batch_size": 4, "replay": replay}
    python, compiled = both_loops("replay-q", rewards, **common, **parameters)
    assert python == compiled


@pytest.mark.parametrize("replay", [pytest.param("uniform", marks=pytest.mark.long), "prioritized"])
@pytest.mark.parametrize("rewards", [(1e301, -1e301, 1e301), (1.7e308, -1.7e308, 1.7e308), (1.7e308, 1.7e308, 1.7e308)])
def test_both_loops_do_the_same_with_errors_past_the_largest_priority(replay, rewards):
    assert_both_loops_agree(rewards, replay, gamma=1.0)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # in the mean return that is shown
@given(
    rewards=st.tuples(EXTREMES, EXTREMES, EXTREMES),
    replay=st.sampled_from(["uniform", "prioritized"]),
    initial_value=EXTREMES,
    learning_rate=st.sampled_from([1e-300, 0.1, 1.0]),
    gamma=st.sampled_from([0.0, 0.5, 1.0]),
    n_step=st.sampled_from([1, 3]),
)
@settings(max_examples=300, derandomize=True)
def test_both_loops_do_the_same_whatever_the_numbers(rewards, replay, **parameters):
    assert_both_loops_agree(rewards, replay, **parameters)
