"""Prediction: what a given policy is worth, by rules that plain NumPy repeats to the last digits."""

import gymnasium as gym
import numpy as np
import pytest
from contracts.agents import same_state

import rlbench
from rlbench.agents import AGENTS, TD0, Agent, OffPolicyMC
from rlbench.errors import UnknownNameError, UsageError

LAKE = {"map_name": "4x4", "is_slippery": True}  # uniform actions end its episodes long before the step limit
RATE, GAMMA = 0.2, 0.9
MIXED = np.random.default_rng(0).dirichlet(np.ones(4), 16)


def trained(agent, *, episodes=60, seed=5, **own):
    given = {"learning_rate": RATE, "gamma": GAMMA, "policy": MIXED, **own}
    run = rlbench.train("FrozenLake-v1", agent, episodes=episodes, seed=seed, env_kwargs=LAKE, agent_kwargs=given)
    assert run.engine == "compiled"
    return run


def episodes_of(run):
    """The states, columns of a table and rewards of each episode that terminated; all of them must."""
    found = run.store.episodes(run)
    assert all(one.terminated for one in found)
    is_of_pairs = run.agent.parameters.values == "q"
    return [
        (one.observations, one.actions if is_of_pairs else np.zeros_like(one.actions), one.rewards) for one in found
    ]


def empty(run):
    return np.zeros((16, 4 if run.agent.parameters.values == "q" else 1))


def learnt(run):
    agent = run.agent
    return agent.q_table if agent.parameters.values == "q" else agent.state_values[:, None]


def td0_again(run):
    """Sutton & Barto's box of tabular TD(0), with pairs in place of states if the values are of those."""
    table = empty(run)
    for states, columns, rewards in episodes_of(run):
        for t, reward in enumerate(rewards):
            follows = 0.0 if t + 1 == len(rewards) else table[states[t + 1], columns[t + 1]]
            table[states[t], columns[t]] += RATE * (reward + GAMMA * follows - table[states[t], columns[t]])
    return table


N, LAMBDA = 3, 0.7


def n_step_again(run):
    """Sutton & Barto's box of n-step TD: each state moves when the n rewards after it are known, in their order."""
    table = empty(run)
    for states, columns, rewards in episodes_of(run):
        length = len(rewards)
        for t in range(N - 1, length + N - 1):
            first, last = t - N + 1, min(t + 1, length)
            target = sum(GAMMA ** (i - first) * rewards[i] for i in range(first, last))
            if last < length:
                target += GAMMA**N * table[states[last], columns[last]]
            table[states[first], columns[first]] += RATE * (target - table[states[first], columns[first]])
    return table


def lambda_again(run):
    """Sutton & Barto's box of TD(lambda), 12.2, with a feature for each state or pair."""
    table, is_replacing = empty(run), run.agent.parameters.traces == "replacing"
    for states, columns, rewards in episodes_of(run):
        traces = np.zeros_like(table)
        for t, reward in enumerate(rewards):
            follows = 0.0 if t + 1 == len(rewards) else table[states[t + 1], columns[t + 1]]
            here = states[t], columns[t]
            traces *= GAMMA * LAMBDA
            traces[here] = 1.0 if is_replacing else traces[here] + 1.0
            table += RATE * (reward + GAMMA * follows - table[here]) * traces
    return table


def true_online_again(run):
    """Sutton & Barto's box of true online TD(lambda), 12.5, with vectors of one feature for each state or pair."""
    weights = empty(run).ravel()
    for states, columns, rewards in episodes_of(run):
        features = np.zeros((len(rewards) + 1, len(weights)))
        features[np.arange(len(rewards)), states[:-1] * (len(weights) // 16) + columns] = 1.0  # the end has none
        trace, old = np.zeros_like(weights), 0.0
        for t, reward in enumerate(rewards):
            x, x_next = features[t], features[t + 1]
            value, follows = weights @ x, weights @ x_next
            error = reward + GAMMA * follows - value
            trace = GAMMA * LAMBDA * trace + (1 - RATE * GAMMA * LAMBDA * (trace @ x)) * x
            weights = weights + RATE * (error + value - old) * trace - RATE * (value - old) * x
            old = follows
    return weights.reshape(16, -1)


def monte_carlo_again(run):
    """The mean of all returns after the visits that count, or their exponential mean."""
    table, returns, p = empty(run), {}, run.agent.parameters
    for states, columns, rewards in episodes_of(run):
        for t in range(len(rewards) - 1, -1, -1):
            here = states[t], columns[t]
            if p.visits == "first" and here in list(zip(states[:t], columns[:t], strict=True)):
                continue
            g = sum(GAMMA**i * reward for i, reward in enumerate(rewards[t:]))
            returns.setdefault(here, []).append(g)
            table[here] = np.mean(returns[here]) if p.average == "sample" else table[here] + RATE * (g - table[here])
    return table


BEHAVIOUR = np.random.default_rng(1).dirichlet(np.full(4, 3.0), 16)


def off_policy_again(run):
    """Equations 5.5 and 5.6 by their sums over all visits that count, or a step size on ratio times return."""
    table, p = empty(run), run.agent.parameters
    tops, bottoms = np.zeros_like(table), np.zeros_like(table)
    for one, (states, columns, rewards) in zip(run.store.episodes(run), episodes_of(run), strict=True):
        ratios = MIXED[states[:-1], one.actions] / BEHAVIOUR[states[:-1], one.actions]
        for t in range(len(rewards) - 1, -1, -1):
            here = states[t], columns[t]
            if p.visits == "first" and here in list(zip(states[:t], columns[:t], strict=True)):
                continue
            g = sum(GAMMA**i * reward for i, reward in enumerate(rewards[t:]))
            ratio = np.prod(ratios[t + (p.values == "q") :])
            tops[here] += ratio * g
            bottoms[here] += ratio if p.sampling == "weighted" else 1.0
            if p.average == "exponential":
                table[here] += RATE * (ratio * g - table[here])
    return table if p.average == "exponential" else np.divide(tops, bottoms, out=table, where=bottoms > 0)


OFF = {"behaviour": BEHAVIOUR}
AGAIN = {
    "td0": (td0_again, {}),
    "n-step-td": (n_step_again, {"n_steps": N}),
    "td-lambda": (lambda_again, {"trace_decay": LAMBDA}),
    "td-lambda, replacing": (lambda_again, {"trace_decay": LAMBDA, "traces": "replacing"}),
    "td-lambda, dutch": (true_online_again, {"trace_decay": LAMBDA, "traces": "dutch"}),
    "mc-prediction": (monte_carlo_again, {}),
    "mc-prediction, every visit": (monte_carlo_again, {"visits": "every"}),
    "mc-prediction, exponential": (monte_carlo_again, {"average": "exponential"}),
    "off-policy-mc": (off_policy_again, OFF),
    "off-policy-mc, every visit": (off_policy_again, {"visits": "every", **OFF}),
    "off-policy-mc, ordinary": (off_policy_again, {"sampling": "ordinary", "visits": "every", **OFF}),
    "off-policy-mc, exponential": (off_policy_again, {"sampling": "ordinary", "average": "exponential", **OFF}),
}


@pytest.mark.parametrize("values", ["v", "q"])
@pytest.mark.parametrize("case", AGAIN)
def test_a_rule_is_the_books_in_plain_numpy(case, values):
    repeated, own = AGAIN[case]
    run = trained(case.partition(",")[0], values=values, **own)
    assert run.agent.state_values.any()
    np.testing.assert_allclose(learnt(run), repeated(run), rtol=0, atol=1e-12)


def test_td0_learns_one_step_as_worked_by_hand():
    agent = TD0(3, 2, seed=0, learning_rate=0.5, gamma=0.9, policy=1, initial_value=2.0)
    agent.update(0, 1, 1.0, 2, False)  # 2 + 0.5 (1 + 0.9 * 2 - 2)
    agent.update(2, 1, 3.0, 0, True)  # 2 + 0.5 (3 - 2)
    assert agent.state_values.tolist() == pytest.approx([2.4, 2.0, 2.5])
    assert agent.move(1, 0, 10.0, 0.25) == 8.0
    assert agent.state_values[1] == 4.0


# ------------------------------------------------------------------------------------------ a given policy


def test_a_given_policy_is_followed_whatever_the_values():
    run = trained("td0", episodes=400)
    chosen = np.zeros((16, 4))
    for one in run.store.episodes(run):
        np.add.at(chosen, (one.observations[:-1], one.actions), 1)
    often = chosen.sum(axis=1) > 200
    shares = chosen[often] / chosen[often].sum(axis=1, keepdims=True)
    assert often.sum() >= 4
    np.testing.assert_allclose(shares, MIXED[often], atol=0.12)  # five standard errors are 0.18
    assert not run.figures["explored"].any()
    assert not run.figures["exploration_rate"].any()


@pytest.mark.parametrize(
    ("policy", "probabilities"),
    [
        ("uniform", [[0.5, 0.5], [0.5, 0.5]]),
        (1, [[0, 1], [0, 1]]),
        (np.array([1, 0]), [[0, 1], [1, 0]]),
        ([1, 0], [[0, 1], [1, 0]]),
        (np.array([[0.25, 0.75], [1, 0]], np.float32), [[0.25, 0.75], [1, 0]]),
        ([[1, 0], [0, 1]], [[1, 0], [0, 1]]),
    ],
)
def test_a_policy_may_be_given_in_many_ways(policy, probabilities):
    agent = TD0(2, 2, seed=0, policy=policy)
    assert agent.behaving_policy().tolist() == probabilities
    again = TD0(2, 2, seed=0, **agent.config())
    assert again.config() == agent.config()
    assert again.behaving_policy().tolist() == probabilities


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("greedy", "unknown policy 'greedy'"),
        (2, "policy must take actions from 0 to 1, got 2"),
        ([0, -1], "policy must take actions from 0 to 1, got -1"),
        ([0, 1, 1], "policy must have an action for each of 2 states, got 3"),
        ([[0.5, 0.6], [1, 0]], r"the probabilities of policy\[0\] must be 0 or more and sum to 1"),
        ([[1, 0], [1.5, -0.5]], r"the probabilities of policy\[1\] must"),
        ([[1, 0], [np.nan, 1]], r"the probabilities of policy\[1\] must"),
        ([[1, 0, 0], [1, 0, 0]], r"policy must have the shape \(2, 2\), got \(2, 3\)"),
        ([[1, 0], [1]], "policy must be uniform, an action, an action for each state"),
        ([0.5, 0.5], "policy must be uniform"),
        ([True, False], "policy must be uniform"),
        ([], "policy must be uniform"),
        (None, "policy must be uniform"),
        ({"a": 1}, "policy must be uniform"),
        (AGENTS["random"](2, 2), "policy: random has no greedy policy"),
    ],
)
def test_what_is_no_policy_is_refused_in_a_line(policy, said):
    with pytest.raises((UsageError, UnknownNameError), match=said) as refused:
        TD0(2, 2, policy=policy)
    assert "\n" not in str(refused.value)


def test_a_run_gives_its_greedy_policy():
    control = rlbench.train("FrozenLake-v1", episodes=50, seed=1, env_kwargs=LAKE)
    run = trained("td0", policy=control, episodes=5)
    assert run.agent.greedy_policy().tolist() == control.agent.greedy_policy().tolist()
    assert run.agent.predict(np.arange(16))[0].tolist() == control.agent.greedy_policy().tolist()
    exact = [rlbench.evaluate(one, seed=0).exact_return for one in (run, control)]
    assert exact[0] == exact[1]


def test_no_draw_of_a_policy_takes_an_action_of_probability_0():
    probabilities = np.array([[0.0, 0.1, 0.2, 0.7, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]])  # 0.1 + 0.2 + 0.7 is below 1
    agent = TD0(2, 5, seed=0, policy=probabilities)
    for u in (0.0, 0.05, 0.1, 0.3, 0.9999, 1.0 - 2**-53):
        agent.rng = type("Draws", (), {"random": lambda self, u=u: u})()
        assert probabilities[0, agent.act(0)] > 0
        assert agent.act(1) == 2


def test_a_policy_that_draws_has_no_greedy_one_and_is_played_as_it_is():
    run = trained("td0", policy="uniform", episodes=5)
    assert run.agent.greedy_policy() is None
    assert {run.agent.predict(0)[0] for _ in range(100)} == {0, 1, 2, 3}
    evaluation = rlbench.evaluate(run, seed=0, episodes=200)
    exact = rlbench.policy_evaluation("FrozenLake-v1", "uniform").expected_return
    assert evaluation.exact_return == pytest.approx(exact, abs=1e-12)
    assert evaluation.behaving_return == evaluation.exact_return
    assert evaluation.optimal_states is None
    assert abs(evaluation.mean_return - exact) < 0.06  # seven standard errors


def test_an_agent_that_learns_off_policy_acts_by_one_policy_and_is_played_by_the_other():
    agent = OffPolicyMC(2, 2, seed=0, policy=1, behaviour=[[0.5, 0.5], [0.25, 0.75]])
    assert {agent.act(0) for _ in range(50)} == {0, 1}
    assert agent.predict([0, 1])[0].tolist() == agent.greedy_policy().tolist() == [1, 1]
    assert agent.behaving_policy().tolist() == [[0.5, 0.5], [0.25, 0.75]]
    assert agent.target_policy().tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            {"policy": 1, "behaviour": [1, 0]},
            "behaviour must take each action .* in state 1 it never takes 1",
        ),
        ({"behaviour": [[0.5, 0.6], [1, 0]]}, "probabilities of behaviour"),
        ({"average": "exponential"}, "give sampling='ordinary' with others"),
        ({"sampling": "none"}, "unknown sampling 'none'"),
    ],
)
def test_importance_sampling_refuses_what_it_cannot_weigh(own, said):
    with pytest.raises((UsageError, UnknownNameError), match=said):
        OffPolicyMC(2, 2, **own)


# ----------------------------------------------------------------------------------- as any other agent


def test_the_values_of_states_are_stored_and_those_of_pairs_are_a_table(tmp_path):
    of_states, of_pairs = (trained("td0", values=values) for values in "vq")
    assert not hasattr(of_states.agent, "q_table")
    with pytest.raises(AttributeError, match="td0 learns the values of states: see state_values"):
        _ = of_states.agent.q_table
    with pytest.raises(AttributeError, match="td0 learns the values of states"):
        of_states.agent.q_table = np.ones((16, 4))
    expected = (of_pairs.agent.behaving_policy() * of_pairs.agent.q_table).sum(axis=1)
    np.testing.assert_allclose(of_pairs.agent.state_values, expected)
    of_pairs.agent.q_table[0, 1] = 3.0
    assert of_pairs.agent.q_table[0, 1] == 3.0
    of_states.agent.save(tmp_path / "agent")
    assert Agent.load(tmp_path / "agent").state_values.tolist() == of_states.agent.state_values.tolist()


def test_a_prediction_is_cached_and_resumed_as_if_it_had_never_stopped():
    arguments = {"seed": 3, "env_kwargs": LAKE}
    with rlbench.open_store("memory://") as store:
        for policy in (MIXED, MIXED.tolist(), tuple(map(tuple, MIXED))):
            short = rlbench.train(
                "FrozenLake-v1", "td0", episodes=20, store=store, agent_kwargs={"policy": policy}, **arguments
            )
        assert short.cache == "hit"
        longer = rlbench.resume(short, episodes=50)
        assert rlbench.verify(longer).mismatched == 0
        whole = rlbench.train("FrozenLake-v1", "td0", episodes=50, agent_kwargs={"policy": MIXED}, **arguments)
        for name in ("return", "start_value", "value_error"):
            assert longer.figures[name].tolist() == whole.figures[name].tolist()
        same_state(longer.agent, whole.agent)


# ------------------------------------------------------------------------------- how far from the exact values


WALK = "rlbench/RandomWalk-v0"


def walked(agent, *, states=19, runs=1, episodes=10, **own):
    """Runs of the random walk of Example 7.1, or with 5 states of Example 6.2."""
    given = {"gamma": 1.0, **own}
    env = {"states": states, **({"left_reward": -1.0} if states == 19 else {})}
    return rlbench.train_many(
        WALK, agent, seeds=range(runs), episodes=episodes, record="none", env_kwargs=env, agent_kwargs=given
    )


def errors(agent, **arguments):
    return np.array([run.figures["value_error"] for run in walked(agent, **arguments)])


@pytest.mark.parametrize("values", ["v", "q"])
def test_the_value_error_of_an_episode_is_that_of_what_was_learnt_by_then(values):
    (run,) = walked("td0", values=values)
    exact = np.arange(-18, 20, 2) / 20  # of the 19 states; the ends are no states to be in
    if values == "q":
        padded = np.array([-1.0, *exact, 1.0])
        exact = np.column_stack([padded[:-2], padded[2:]])
    learnt = run.agent.q_table[1:-1] if values == "q" else run.agent.state_values[1:-1]
    error, start = run.figures["value_error"], run.figures["start_value"]
    assert len(error) == len(start) == 10
    assert error[-1] == pytest.approx(np.sqrt(np.mean((learnt - exact) ** 2)), abs=1e-12)
    assert start[-1] == pytest.approx(run.agent.state_values[10], abs=1e-12)


def test_states_that_the_policy_never_meets_have_no_part_in_the_error():
    (run,) = walked("td0", states=5, policy=1, initial_value=0.25, learning_rate=1.0, episodes=4)
    assert run.figures["value_error"] == pytest.approx([np.sqrt(x * 0.75**2 / 3) for x in (2, 1, 0, 0)])  # C, D, E


def test_where_no_truth_is_known_there_is_no_error_but_a_value():
    run = rlbench.train("CartPole-v1", "td0", episodes=3, seed=0, engine="python")
    assert "value_error" not in run.figures
    assert run.figures["start_value"].all()
    forever = np.zeros(16, np.int64)  # left into the wall
    for gamma, is_known in ((1.0, False), (0.9, True)):
        run = rlbench.train(
            "CliffWalking-v1",
            "td0",
            episodes=1,
            seed=0,
            engine="python",
            env_kwargs={"max_episode_steps": 9},
            agent_kwargs={"gamma": gamma, "policy": np.resize(forever, 48)},
        )
        assert ("value_error" in run.figures) is is_known
    seen = rlbench.train("FrozenLake-v1", "td0", episodes=2, seed=0, engine="python").agent
    opaque = gym.wrappers.TransformReward(gym.make("FrozenLake-v1"), lambda reward: reward)
    assert "value_error" not in rlbench.train(opaque, seen, episodes=2, seed=0).figures
    assert "start_value" not in rlbench.train("FrozenLake-v1", "sarsa", episodes=2, seed=0, engine="python").figures


def test_td0_learns_the_random_walk_as_in_figure_6_2():
    """The figure shows the mean of 100 runs after 100 episodes: TD near 0.05, Monte Carlo near 0.1.

    Over 40 runs the difference of the two is ten times its standard error: with other seeds, the order would be
    another once in 10^23. The bounds are six standard errors away: once in 10^8.
    """
    arguments = {"states": 5, "runs": 40, "episodes": 100, "initial_value": 0.5}
    first = errors("td0", learning_rate=0.05, **arguments)
    second = errors("mc-prediction", learning_rate=0.01, average="exponential", visits="every", **arguments)
    assert first[:, 0].mean() == pytest.approx(0.23, abs=0.01)  # both begin at 0.5: an error of 0.2357
    assert 0.02 < first[:, -1].mean() < 0.055
    assert 0.07 < second[:, -1].mean() < 0.13


@pytest.mark.long
def test_intermediate_n_and_lambda_are_best_on_19_states_as_in_figures_7_2_and_12_3():
    """The figures show the mean error of the first 10 episodes: 0.25 to 0.3 at best, more for n or lambda too small.

    With 100 runs the standard errors are below 0.004, the differences above 0.015: by chance once in 10^6.
    """
    best = {n: min(errors("n-step-td", runs=100, n_steps=n, learning_rate=a).mean() for a in rates) for n, rates in NS}
    assert best[4] == pytest.approx(0.26, abs=0.02)
    assert best[4] < best[1] - 0.01
    assert best[4] < best[64] - 0.05
    online = {
        decay: min(
            errors("td-lambda", runs=100, trace_decay=decay, traces="dutch", learning_rate=a).mean() for a in rates
        )
        for decay, rates in LAMBDAS
    }
    assert online[0.8] == pytest.approx(0.25, abs=0.02)
    assert online[0.8] < online[0.0] - 0.01
    assert online[0.8] < online[0.99] - 0.05


NS = ((1, (0.8, 0.9)), (4, (0.4, 0.5)), (64, (0.1, 0.2)))
LAMBDAS = ((0.0, (0.8, 0.9)), (0.8, (0.4, 0.5)), (0.99, (0.05, 0.1)))
