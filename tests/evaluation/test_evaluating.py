"""Evaluation: greedy returns, their interval, success, and the exact value where a table is known."""

import dataclasses
import json
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from training.toys import Circle, Road, frozen
from waiting import HANG

import rlbench
from rlbench.agents import QLearning, RandomAgent
from rlbench.envs import Discretize, TabularModel
from rlbench.errors import StoreError, UsageError
from rlbench.planning import solve


def following(policy, n_actions):
    """An agent whose greedy policy this is."""
    agent = QLearning(len(policy), n_actions, seed=0)
    agent.q_table = np.eye(n_actions)[policy]
    return agent


def optimal(env_id):
    """An agent that knows the best actions."""
    q_values = rlbench.plan(env_id).q_values
    agent = QLearning(*q_values.shape, seed=0)
    agent.q_table = q_values
    return agent


def rolled_out(env, policy, starts):
    """The mean return of a policy in a world without chance, by playing it from each start."""
    returns = []
    for start in starts:
        s, _ = env.reset(options={"state": int(start)})
        total, ended = 0.0, False
        while not ended:
            s, reward, terminated, truncated, _ = env.step(int(policy[s]))
            total, ended = total + reward, terminated or truncated
        returns.append(total)
    return np.mean(returns)


@pytest.fixture(scope="module")
def run():
    return rlbench.train("safecab", episodes=3000, seed=0, env_kwargs={"city": "4x4"})


# ------------------------------------------------------------------------------------------------- sampled


def test_the_returns_are_those_of_greedy_episodes_from_the_seed(run):
    found = rlbench.evaluate(run, episodes=20, seed=11)
    env, policy, returns, lengths = run.make_env(), run.agent.greedy_policy(), [], []
    for i in range(20):
        s, _ = env.reset(seed=11) if i == 0 else env.reset()
        returns.append(0.0)
        lengths.append(0)
        ended = False
        while not ended:
            s, reward, terminated, truncated, _ = env.step(int(policy[s]))
            returns[-1] += reward
            lengths[-1] += 1
            ended = terminated or truncated
    assert found.returns.tolist() == returns
    assert found.lengths.tolist() == lengths
    assert found.mean_return == np.mean(returns)
    assert found.seed == 11


@pytest.mark.parametrize("env_id", ["safecab", "cartpole", "FrozenLake-v1"])
def test_a_wrapper_that_forces_the_slow_way_changes_nothing(env_id):
    class Slow(gym.Wrapper):
        """Unknown to the compiled loop."""

    trained = rlbench.train(env_id, episodes=200, seed=1, record="none")
    envs = trained.make_env(), Slow(trained.make_env())
    fast, slow = (rlbench.evaluate(trained.agent, env, episodes=30, seed=3) for env in envs)
    assert fast.returns.tolist() == slow.returns.tolist()
    assert fast.lengths.tolist() == slow.lengths.tolist()
    assert (fast.success_rate, fast.interval) == (slow.success_rate, slow.interval)
    ours, theirs = (env.unwrapped.np_random.bit_generator.state for env in envs)
    assert ours == theirs


def test_episodes_played_in_batches_are_those_played_at_once(run, monkeypatch):
    expected = rlbench.evaluate(run, episodes=30, seed=3).returns.tolist()
    monkeypatch.setattr("rlbench.training.playing.AT_ONCE", 7)
    assert rlbench.evaluate(run, episodes=30, seed=3).returns.tolist() == expected


def test_the_same_seed_gives_the_same_and_another_does_not(run):
    one, two, other = (rlbench.evaluate(run, episodes=30, seed=seed) for seed in (1, 1, 2))
    assert frozen(one) == frozen(two)
    assert one.returns.tolist() != other.returns.tolist()


def test_a_seed_that_is_not_given_is_drawn_and_told(run):
    found = [rlbench.evaluate(run, episodes=30) for _ in range(3)]
    assert len({f.seed for f in found}) > 1
    assert frozen(rlbench.evaluate(run, episodes=30, seed=found[0].seed)) == frozen(found[0])


@pytest.mark.parametrize("agent", ["random", "q-learning", "replay-q"])
@pytest.mark.parametrize("env", ["FrozenLake-v1", "compiled not"])
def test_the_agent_is_left_as_it_is(agent, env):
    env = Circle() if env == "compiled not" else gym.make(env)
    trained = rlbench.train(env, agent, episodes=10, seed=0)
    before = frozen(trained.agent.state_dict())
    rlbench.evaluate(trained.agent, env, episodes=5, seed=0)
    assert frozen(trained.agent.state_dict()) == before
    env.close()


def test_the_next_training_is_the_same_whether_evaluated_before_or_not():
    ends = []
    for evaluated in (False, True):
        agent = QLearning(16, 4, seed=0)
        for seed in (0, 1):
            rlbench.train(gym.make("FrozenLake-v1"), agent, episodes=20, seed=seed)
            if evaluated:
                rlbench.evaluate(agent, "FrozenLake-v1", episodes=3, seed=0)
        ends.append(frozen(agent.state_dict()))
    assert ends[0] == ends[1]


def test_nothing_is_explored():
    agent, env = following([0, 0, 0, 0, 0], 2), Circle()
    assert agent.exploration_rate == 1.0
    env.hook = lambda n: float(env.s)
    found = rlbench.evaluate(agent, env, episodes=4, seed=0)
    assert found.lengths.tolist() == [10] * 4
    assert found.returns.tolist() == [20.0] * 4  # twice round: 2 * (0 + 1 + 2 + 3 + 4)


def test_the_interval_lies_about_the_mean_and_narrows():
    agent = optimal("FrozenLake-v1")
    short, long = (rlbench.evaluate(agent, "FrozenLake-v1", episodes=n, seed=0) for n in (50, 5000))
    for found in (short, long):
        low, high = found.interval
        assert low < found.mean_return < high
    assert long.interval[1] - long.interval[0] < (short.interval[1] - short.interval[0]) / 5  # a tenth, but for chance


# ------------------------------------------------------------------------------------------------- success


def test_safecab_succeeds_by_delivering():
    best = rlbench.evaluate(optimal("safecab"), "safecab", episodes=300, seed=0)
    assert best.success_rate == 1.0
    lazy = rlbench.evaluate(following(np.zeros(500, int), 6), "safecab", episodes=100, seed=0)
    assert lazy.success_rate == 0.0
    south = lazy.returns  # it drives south: onto an anomaly, or against the border to the limit
    assert set(south[south > -1000]) == {-100.0}


def test_a_cart_pole_succeeds_by_standing_to_the_limit():
    found = rlbench.evaluate(following(np.zeros(648, int), 2), "cartpole", episodes=50, seed=0)
    assert found.success_rate == 0.0
    short = gym.make("rlbench/DiscreteCartPole-v1", max_episode_steps=8)
    found = rlbench.evaluate(following(np.zeros(648, int), 2), short, episodes=50, seed=0)
    assert 0 < found.success_rate <= (found.lengths == 8).mean()  # one that falls at the limit has not stood
    unlimited = gym.make("rlbench/DiscreteCartPole-v1", max_episode_steps=-1)
    assert rlbench.evaluate(following(np.zeros(648, int), 2), unlimited, episodes=5, seed=0).success_rate is None


def test_an_optimal_taxi_always_arrives_though_single_returns_lie_below_its_threshold():
    found = rlbench.evaluate(optimal("Taxi-v4"), "Taxi-v4", episodes=100, seed=0)
    assert (found.returns < gym.spec("Taxi-v4").reward_threshold).any()
    assert found.success_rate == 1.0


def test_a_walker_over_the_ice_succeeds_at_the_goal_whatever_that_pays():
    env = gym.make("FrozenLake-v1", is_slippery=False)
    assert rlbench.evaluate(following(_straight(), 4), env, episodes=5, seed=0).success_rate == 1.0
    assert rlbench.evaluate(following(np.zeros(16, int), 4), env, episodes=5, seed=0).success_rate == 0.0
    dull = gym.wrappers.TransformReward(env, lambda reward: 0.0)
    assert rlbench.evaluate(following(_straight(), 4), dull, episodes=5, seed=0).success_rate == 1.0
    slippery = rlbench.evaluate(optimal("FrozenLake-v1"), "FrozenLake-v1", episodes=200, seed=0)
    assert slippery.success_rate == slippery.mean_return


def test_a_car_succeeds_on_the_mountain():
    car = Discretize(gym.make("MountainCar-v0"), cuts=[[], [0.0]])
    pumping = rlbench.evaluate(following([0, 2], 3), car, episodes=5, seed=0)
    assert pumping.success_rate == (pumping.lengths < 200).mean() == 1.0
    assert rlbench.evaluate(following([1, 1], 3), car, episodes=5, seed=0).success_rate == 0.0


def test_an_anomaly_that_pays_as_a_delivery_is_no_success():
    env = gym.make("rlbench/SafeCab-v0", anomaly_reward=1000.0)
    found = rlbench.evaluate(following(np.zeros(500, int), 6), env, episodes=100, seed=0)
    assert found.returns.max() > 900
    assert found.success_rate == 0.0


def test_what_the_env_says_of_a_success_counts():
    class Saying(gym.Wrapper):
        """A success is to end after an even number of steps; it says nothing of failures."""

        steps = 0

        def step(self, action):
            *outcome, info = self.env.step(action)
            self.steps += 1
            ended = outcome[2] or outcome[3]
            return *outcome, {**info, "is_success": np.True_} if ended and self.steps % 2 == 0 else info

    agent = following(np.zeros(16, int), 4)
    env = Saying(gym.make("FrozenLake-v1"))
    found = rlbench.evaluate(agent, env, episodes=30, seed=0)
    assert found.success_rate == (found.lengths.cumsum() % 2 == 0).mean()


def test_where_nobody_says_what_a_success_is_there_is_no_rate():
    assert rlbench.evaluate(following([0] * 5, 2), Circle(), episodes=2, seed=0).success_rate is None


# ------------------------------------------------------------------------------------------------- exact


def _straight():
    """The way over the ice: down, down, right, down, right, right."""
    policy = np.zeros(16, int)
    policy[[0, 4, 8, 9, 13, 14]] = [1, 1, 2, 1, 2, 2]
    return policy


@pytest.mark.parametrize("seed", range(4))
def test_the_exact_value_is_what_playing_from_every_start_gives(seed):
    policy = np.random.default_rng(seed).integers(6, size=320)
    env = gym.make("rlbench/SafeCab-v0", city="4x4", max_episode_steps=25)
    found = rlbench.evaluate(following(policy, 6), env, episodes=2, seed=0)
    starts = np.flatnonzero(env.unwrapped.initial_state_distrib)
    assert found.exact_return == pytest.approx(rolled_out(env, policy, starts), abs=1e-9)
    assert found.optimal_return == rlbench.plan(env).optimal_return
    assert found.regret == found.optimal_return - found.exact_return > 0
    assert found.optimal_states < found.reachable_states
    env.close()


def test_the_exact_value_on_ice_is_what_many_episodes_come_to():
    agent = optimal("FrozenLake-v1")
    found = rlbench.evaluate(agent, "FrozenLake-v1", episodes=20_000, seed=0)
    deviation = found.returns.std() / np.sqrt(20_000)
    assert abs(found.mean_return - found.exact_return) < 4 * deviation
    assert found.interval[0] - deviation < found.exact_return < found.interval[1] + deviation


def test_the_exact_value_of_a_walk_of_two_steps():
    found = rlbench.evaluate(following([0, 1], 2), Road(), episodes=3, seed=0)
    assert found.returns.tolist() == [11.0] * 3
    assert (found.exact_return, found.optimal_return, found.regret) == (11.0, 11.0, 0.0)
    assert (found.optimal_states, found.reachable_states) == (2, 2)


def test_the_step_limit_counts():
    env = gym.wrappers.TimeLimit(Road(), 1)
    found = rlbench.evaluate(following([0, 1], 2), env, episodes=3, seed=0)
    assert (found.mean_return, found.exact_return, found.optimal_return) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("env_id", ["safecab", "Taxi-v4"])
def test_the_optimal_policy_has_no_regret_at_all(env_id):
    found = rlbench.evaluate(optimal(env_id), env_id, episodes=5, seed=0)
    assert found.regret == 0.0
    assert found.exact_return == found.optimal_return
    assert found.optimal_states == found.reachable_states


def test_an_optimum_computed_before_is_used_again(run, monkeypatch):
    env = run.make_env()
    known = solve(TabularModel.from_env(env))
    expected = rlbench.evaluate(run, episodes=2, seed=0)
    monkeypatch.setattr("rlbench.evaluation.evaluating.solve", lambda model: pytest.fail("solved again"))
    assert frozen(rlbench.evaluate(run, episodes=2, seed=0, optimum=known)) == frozen(expected)
    env.close()


@pytest.mark.parametrize("env", ["cartpole", Circle()], ids=["cartpole", "circle"])
def test_where_no_table_is_known_nothing_exact_is_said(env):
    trained = rlbench.train(env, episodes=3, seed=0)
    found = rlbench.evaluate(trained, env, episodes=3, seed=0)
    exact = (found.exact_return, found.optimal_return, found.regret, found.optimal_states, found.reachable_states)
    assert exact == (None,) * 5


def test_an_agent_without_a_policy_is_sampled_only():
    found = rlbench.evaluate(RandomAgent(16, 4, seed=0), "FrozenLake-v1", episodes=400, seed=0)
    assert found.exact_return is None
    assert 0 < found.mean_return < 0.1  # about 1 in 70 walks over the ice


# ------------------------------------------------------------------------------------------------- arguments


def test_a_run_is_evaluated_in_its_own_env(run):
    found = rlbench.evaluate(run, episodes=3, seed=0)
    env = run.make_env()
    assert frozen(found) == frozen(rlbench.evaluate(run.agent, env, episodes=3, seed=0))
    assert found.optimal_return == rlbench.plan(env).optimal_return
    env.close()


def test_a_run_may_be_evaluated_elsewhere(run):
    elsewhere = rlbench.evaluate(run, run.make_env(city="4x4", city_seed=9), episodes=20, seed=0, another_env=True)
    assert elsewhere.mean_return < rlbench.evaluate(run, episodes=20, seed=0).mean_return


def test_a_binned_env_is_evaluated_too():
    env = Discretize(gym.make("CartPole-v1"), bins=3, low=[-2.4, -2, -0.2, -2], high=[2.4, 2, 0.2, 2])
    trained = rlbench.train(env, episodes=5, seed=0)
    found = rlbench.evaluate(trained, env, episodes=5, seed=0)
    assert (found.returns == found.lengths).all()
    assert rlbench.evaluate(trained, episodes=5, seed=0).returns.tolist() == found.returns.tolist()
    env.close()


@pytest.mark.parametrize("episodes", [0, -3, 1.0, True, None, "5", float("nan")])
def test_episodes_are_counted(episodes, run):
    with pytest.raises(UsageError, match="episodes must be a whole number, 1 or more, got"):
        rlbench.evaluate(run, episodes=episodes)


def test_an_agent_needs_an_env(run):
    with pytest.raises(UsageError, match=r"an agent needs an env to be evaluated in: evaluate\(agent, env\)"):
        rlbench.evaluate(run.agent)
    with pytest.raises(UsageError, match="unknown env 'safcab'; did you mean safecab"):
        rlbench.evaluate(run, "safcab")


def test_a_run_in_an_env_of_ones_own_needs_it():
    trained = rlbench.train(Circle(), episodes=2, seed=0)
    with pytest.raises(StoreError, match="pass env="):
        rlbench.evaluate(trained)


@pytest.mark.parametrize("seed", [-1, "a", 1.5, True])
def test_a_seed_is_a_whole_number(seed, run):
    with pytest.raises(UsageError, match="seed must be a whole number, 0 or more"):
        rlbench.evaluate(run, episodes=1, seed=seed)


def test_an_env_of_another_size_is_refused():
    # in a separate process, since a failure would crash it
    code = (
        "import rlbench\n"
        "agent = rlbench.agents.QLearning(7, 3, seed=0)\n"
        "for env in ('cartpole', 'FrozenLake-v1', 'Taxi-v4'):\n"
        "    try: rlbench.evaluate(agent, env, episodes=1, seed=0)\n"
        "    except rlbench.errors.UsageError as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, timeout=HANG, capture_output=True, text=True)
    assert [line.count("the agent is for 7 states and 3 actions") for line in answer.stdout.splitlines()] == [1, 1, 1]


def test_an_env_of_another_size_that_is_played_step_by_step_is_refused():
    with pytest.raises(UsageError, match="the agent is for 7 states and 2 actions"):
        rlbench.evaluate(QLearning(7, 2, seed=0), Circle(), episodes=1, seed=0)


def test_what_is_no_env_or_no_agent_is_refused(run):
    with pytest.raises(UsageError):
        rlbench.evaluate(run, 5)
    with pytest.raises(UsageError):
        rlbench.evaluate("q-learning", "safecab")


@pytest.mark.parametrize("wrap", [lambda env: env, gym.Wrapper], ids=["compiled", "readable"])
def test_a_policy_that_never_ends_is_broken_off_and_counted(wrap):
    env = wrap(gym.make("CliffWalking-v1"))
    up = following(np.zeros(48, int), 4)  # against the wall for ever
    found = rlbench.evaluate(up, env, episodes=2, seed=0)
    assert (found.unfinished, found.lengths.tolist()) == (2, [10_000] * 2)
    assert found.returns.tolist() == [-10_000.0] * 2
    ending = rlbench.evaluate(optimal("CliffWalking-v1"), env, episodes=2, seed=0)
    assert (ending.unfinished, ending.returns.tolist()) == (0, [-13.0] * 2)
    env.close()


def test_a_step_limit_breaks_nothing_off():
    env = gym.make("CliffWalking-v1", max_episode_steps=10_000)
    found = rlbench.evaluate(following(np.zeros(48, int), 4), env, episodes=1, seed=0)
    assert (found.unfinished, found.lengths.tolist()) == (0, [10_000])
    env.close()


LONG = """
import os, signal, threading, rlbench

agent = rlbench.agents.QLearning(648, 2, seed=0)
rlbench.evaluate(agent, "cartpole", episodes=1, seed=0)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are begun deaf to it
try:
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    rlbench.evaluate(agent, "cartpole", episodes=10**10, seed=0)
except KeyboardInterrupt:
    print("stopped")
"""


def test_ctrl_c_ends_a_long_evaluation():
    # in a separate process, since a failure would crash it
    answer = subprocess.run([sys.executable, "-c", LONG], check=False, timeout=HANG, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, "stopped\n")


# ------------------------------------------------------------------------------------------------- summary


def test_a_summary_is_json_without_the_samples(run):
    found = rlbench.evaluate(run, episodes=7, seed=0)
    summary = json.loads(json.dumps(found.summary(), allow_nan=False))
    assert summary["episodes"] == 7
    assert summary["interval"] == list(found.interval)
    assert not {"returns", "lengths"} & summary.keys()
    assert (summary["mean_return"], summary["regret"]) == (found.mean_return, found.regret)


def test_what_is_not_finite_is_null_in_a_summary(run):
    found = rlbench.evaluate(run, episodes=2, seed=0)
    endless = dataclasses.replace(found, exact_return=-np.inf, regret=np.inf)
    summary = json.loads(json.dumps(endless.summary(), allow_nan=False))
    assert (summary["exact_return"], summary["regret"]) == (None, None)
    assert summary["optimal_return"] == found.optimal_return


def test_sarsa_learns_what_is_good_while_it_explores_and_q_learning_what_is_best():
    """Example 6.6 in exact numbers: the way along the cliff is optimal, but not with an epsilon of 0.1."""
    kwargs = {"exploration_schedule": "constant", "exploration_initial_eps": 0.1, "learning_rate": 0.1}
    safe, bold = (
        rlbench.evaluate(
            rlbench.train(
                "CliffWalking-v1", agent=agent, episodes=2_000, seed=0, agent_kwargs=kwargs, store="memory://"
            ),
            episodes=1,
        )
        for agent in ("sarsa", "q-learning")
    )
    assert bold.regret == 0 < safe.regret
    assert safe.behaving_return > bold.behaving_return + 10
    assert safe.exploration_rate == 0.1
    assert bold.behaving_return == pytest.approx(
        rlbench.policy_evaluation("CliffWalking-v1", "epsilon-greedy").expected_return, abs=10
    )


def test_a_discounted_regret_counts_no_step_limit():
    run = rlbench.train("FrozenLake-v1", episodes=300, seed=0, store="memory://")
    found = rlbench.evaluate(run, episodes=1, gamma=0.9)
    assert found.optimal_return == pytest.approx(rlbench.plan("FrozenLake-v1", 0.9).optimal_return)
    assert found.exact_return == pytest.approx(
        rlbench.policy_evaluation("FrozenLake-v1", run, 0.9).expected_return, abs=1e-9
    )
    assert found.regret == pytest.approx(found.optimal_return - found.exact_return)
    assert found.summary()["gamma"] == 0.9
    with pytest.raises(UsageError, match="gamma must be in"):
        rlbench.evaluate(run, gamma=2)
