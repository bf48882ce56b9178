"""Each rule against the same written a second time in plain NumPy, on random walks; and agents that must coincide."""

import copy

import numpy as np
import pytest

from rlbench.agents import (
    AGENTS,
    Bandit,
    DifferentialSarsa,
    DynaQ,
    DynaQPlus,
    ExpectedSarsa,
    NStepExpectedSarsa,
    NStepSarsa,
    OffPolicyMCControl,
    QLearning,
    QSigma,
    Sarsa,
    SarsaLambda,
    TreeBackup,
    TrueOnlineSarsaLambda,
    WatkinsQLambda,
    _rules,
)
from rlbench.errors import UsageError
from rlbench.random_state import new_generator

STATES, ACTIONS, STEPS = 5, 3, 120
RATES = {"learning_rate": 0.3, "gamma": 0.8}
seeds = pytest.mark.parametrize("seed", range(8))


def a_walk(seed):
    """Steps (s, a, r, s_next, terminated, truncated) of random episodes, each from where a step may lead."""
    rng = np.random.default_rng(seed)
    s, steps = 0, []
    for _ in range(STEPS):
        a, r, s_next, end = rng.integers(ACTIONS), rng.normal(), rng.integers(STATES), rng.random()
        steps.append((int(s), int(a), float(r), int(s_next), end < 0.1, 0.1 <= end < 0.2))
        s = rng.integers(STATES) if end < 0.2 else s_next
    return steps


def learnt(agent, steps):
    """The agent, after it has learnt from a walk."""
    for s, a, r, s_next, terminated, truncated in steps:
        agent.update(s, a, r, s_next, terminated)
        if terminated or truncated:
            agent.end_episode()
    return agent


def near(agent, expected):
    return agent.q_table == pytest.approx(expected, abs=1e-12)


# --------------------------------------------------------------------------------------------------- bandits


@seeds
def test_a_bandit_learns_the_mean_reward_whatever_comes_next(seed):
    q = np.zeros((STATES, ACTIONS))
    for s, a, r, *_ in a_walk(seed):
        q[s, a] = 0.7 * q[s, a] + 0.3 * r
    assert near(learnt(Bandit(STATES, ACTIONS, learning_rate=0.3), a_walk(seed)), q)


def test_a_bandit_by_visits_learns_the_mean_of_all_rewards():
    rewards = {}
    for s, a, r, *_ in a_walk(0):
        rewards.setdefault((s, a), []).append(r)
    agent = learnt(Bandit(STATES, ACTIONS, learning_rate_schedule="visits"), a_walk(0))
    for pair, earned in rewards.items():
        assert agent.q_table[pair] == pytest.approx(np.mean(earned), abs=1e-12)


@seeds
@pytest.mark.parametrize("baseline", ["average", "none"])
def test_preferences_move_along_the_gradient_of_the_expected_reward(seed, baseline):
    h, rewards = np.zeros((STATES, ACTIONS)), [[] for _ in range(STATES)]
    for s, a, r, *_ in a_walk(seed):
        compared = np.mean(rewards[s] or [r]) if baseline == "average" else 0.0
        rewards[s].append(r)
        shares = np.exp(h[s]) / np.exp(h[s]).sum()
        h[s] += 0.3 * (r - compared) * (np.eye(ACTIONS)[a] - shares)
    agent = Bandit(STATES, ACTIONS, learning_rate=0.3, method="gradient", baseline=baseline)
    assert near(learnt(agent, a_walk(seed)), h)


def test_preferences_are_what_actions_are_drawn_by():
    agent = Bandit(1, 3, seed=2, method="gradient")
    agent.q_table = [[0.0, np.log(2), np.log(5)]]  # shares 1/8, 2/8, 5/8
    expected = np.array([1000, 2000, 5000])
    counts = np.bincount([agent.act(0) for _ in range(8000)])
    # chi-squared with 2 degrees of freedom: above 27.6 once in a million runs
    assert ((counts - expected) ** 2 / expected).sum() < 27.6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "gradient", "exploration": "ucb"}, "leave out exploration, got 'ucb'"),
        ({"method": "gradients"}, "did you mean gradient"),
        ({"baseline": "averages"}, "did you mean average"),
    ],
)
def test_a_bandit_refuses_what_cannot_be(parameters, message):
    with pytest.raises(UsageError, match=message):
        Bandit(1, 2, **parameters)


# --------------------------------------------------------------------------------------- several steps at once

EXPLORING = {"exploration_decay": 0.02, "exploration_unit": "step", "exploration_final_eps": 0.2}
MIXED = {  # agent, parameters, sigma of step t
    "n-step-expected-sarsa": ("n-step-expected-sarsa", {}, lambda _: 1.0),
    "tree backup": ("tree-backup", {}, lambda _: 0.0),
    "tree backup of the behaviour": ("tree-backup", {"target": "behaviour"}, lambda _: 0.0),
    "a constant sigma": ("q-sigma", {"sigma": 0.3}, lambda _: 0.3),
    "a constant sigma, on-policy": ("q-sigma", {"sigma": 0.3, "target": "behaviour"}, lambda _: 0.3),
    "sigma in turn": ("q-sigma", {"sigma_pattern": "alternating"}, lambda t: 1.0 - t % 2),
}


def shares(q, epsilon):
    """The probabilities of actions by the epsilon-greedy policy in a state."""
    return (1 - epsilon) * np.eye(ACTIONS)[q.argmax()] + epsilon / ACTIONS


@seeds
@pytest.mark.parametrize("kind", MIXED)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_n_step_returns_sample_and_expect_as_equation_7_17_says(seed, kind, n):
    name, own, sigma_of = MIXED[kind]
    samples_alone = name == "n-step-expected-sarsa"
    is_greedy = not samples_alone and "target" not in own
    q, episode, now = np.zeros((STATES + 1, ACTIONS)), [], 0  # the last row: after the end

    def epsilon():
        return 0.2 + 0.8 * np.exp(-0.02 * now)

    def target_shares(s):
        return np.eye(ACTIONS)[q[s].argmax()] if is_greedy else shares(q[s], epsilon())

    def value(k, last, end):
        """The value of the state of step k, where the return goes on to step `end`, after which comes a state."""
        if k == end:
            return target_shares(last) @ q[last]
        s, a, sigma, ratio = episode[k][0], episode[k][1], episode[k][3], episode[k][4]
        g = episode[k][2] + 0.8 * value(k + 1, last, end)
        if samples_alone:
            return g
        weight = sigma * ratio + (1 - sigma) * target_shares(s)[a]
        return weight * (g - q[s, a]) + target_shares(s) @ q[s]

    def learn(k, last):
        s, a, r = episode[k][:3]
        q[s, a] += 0.3 * (r + 0.8 * value(k + 1, last, len(episode)) - q[s, a])

    for s, a, r, s_next, terminated, truncated in a_walk(seed):
        ratio = target_shares(s)[a] / shares(q[s], epsilon())[a]
        episode.append((s, a, r, sigma_of(len(episode)), ratio))
        now += 1
        last = STATES if terminated else s_next
        is_over, oldest = terminated or truncated, len(episode) - n
        for k in range(max(0, oldest), len(episode) if is_over else oldest + 1):
            learn(k, last)
        episode = [] if is_over else episode
    agent = AGENTS[name](STATES, ACTIONS, n_steps=n, **own, **EXPLORING, **RATES)
    assert near(learnt(agent, a_walk(seed)), q[:STATES])


@seeds
@pytest.mark.parametrize("kind", ["replacing", "accumulating"])
def test_q_lambda_moves_all_values_back_to_the_last_action_that_was_not_the_best(seed, kind):
    q, traces = np.zeros((STATES, ACTIONS)), np.zeros((STATES, ACTIONS))
    for s, a, r, s_next, terminated, truncated in a_walk(seed):
        error = r + (0.0 if terminated else 0.8 * q[s_next].max()) - q[s, a]
        traces *= q[s, a] == q[s].max()
        traces[s, a] = 1.0 if kind == "replacing" else traces[s, a] + 1.0
        q += 0.3 * error * traces
        traces *= 0.0 if terminated or truncated else 0.8 * 0.9
    own = {"trace_decay": 0.9, "trace_floor": 0.0, "traces": kind}
    assert near(learnt(WatkinsQLambda(STATES, ACTIONS, **own, **RATES), a_walk(seed)), q)


@seeds
def test_true_online_sarsa_lambda_is_the_box_of_12_7(seed):
    w, z, old = np.zeros(STATES * ACTIONS), np.zeros(STATES * ACTIONS), 0.0
    features, agent = np.eye(STATES * ACTIONS), TrueOnlineSarsaLambda(STATES, ACTIONS, trace_floor=0.0, **RATES)
    for s, a, r, s_next, terminated, truncated in a_walk(seed):
        agent.update(s, a, r, s_next, terminated)
        x, follows = features[s * ACTIONS + a], 0.0 if terminated else w[s_next * ACTIONS + agent.ahead[1]]
        value = w @ x
        z = 0.8 * 0.8 * z + (1 - 0.3 * 0.8 * 0.8 * (z @ x)) * x
        w = w + 0.3 * (r + 0.8 * follows - value + value - old) * z - 0.3 * (value - old) * x
        old = follows
        if terminated or truncated:
            z, old = 0.0 * z, 0.0
            agent.end_episode()
    assert near(agent, w.reshape(STATES, ACTIONS))


@seeds
def test_true_online_sarsa_lambda_without_traces_is_sarsa(seed):
    one, other = (
        cls(STATES, ACTIONS, seed=1, **RATES, **own)
        for cls, own in ((TrueOnlineSarsaLambda, {"trace_decay": 0.0}), (Sarsa, {}))
    )
    assert near(learnt(one, a_walk(seed)), learnt(other, a_walk(seed)).q_table)


TWINS = {
    "watkins-q-lambda without traces is q-learning": (
        WatkinsQLambda(STATES, ACTIONS, trace_decay=0.0, **RATES),
        QLearning(STATES, ACTIONS, **RATES),
    ),
    "true-online-sarsa-lambda is sarsa-lambda with dutch traces": (
        TrueOnlineSarsaLambda(STATES, ACTIONS, seed=1, **RATES),
        SarsaLambda(STATES, ACTIONS, seed=1, traces="dutch", **RATES),
    ),
    "q-sigma that expects alone is tree-backup": (
        QSigma(STATES, ACTIONS, sigma=0.0, n_steps=3, **RATES),
        TreeBackup(STATES, ACTIONS, n_steps=3, **RATES),
    ),
    "tree-backup of one step is q-learning": (
        TreeBackup(STATES, ACTIONS, n_steps=1, **RATES),
        QLearning(STATES, ACTIONS, **RATES),
    ),
    "tree-backup of one step, of its own behaviour, is expected-sarsa": (
        TreeBackup(STATES, ACTIONS, n_steps=1, target="behaviour", **EXPLORING, **RATES),
        ExpectedSarsa(STATES, ACTIONS, **EXPLORING, **RATES),
    ),
    "n-step-expected-sarsa of one step is expected-sarsa": (
        NStepExpectedSarsa(STATES, ACTIONS, n_steps=1, **EXPLORING, **RATES),
        ExpectedSarsa(STATES, ACTIONS, **EXPLORING, **RATES),
    ),
}


@seeds
@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS)
def test_agents_that_are_one_by_their_definition_learn_the_same_bits(twins, seed):
    one, other = (learnt(copy.deepcopy(twin), a_walk(seed)).q_table for twin in twins)
    assert np.array_equal(one, other)


@seeds
def test_where_episodes_terminate_sooner_n_step_expected_sarsa_is_n_step_sarsa(seed):
    steps = [(*step, terminated or truncated, False) for *step, terminated, truncated in a_walk(seed)]
    last = max(t for t, step in enumerate(steps) if step[4])
    one, other = (
        learnt(cls(STATES, ACTIONS, n_steps=99, **RATES), steps[: last + 1]).q_table
        for cls in (NStepSarsa, NStepExpectedSarsa)
    )
    assert np.array_equal(one, other)


POLICIES = {
    "epsilon-greedy": {},
    "random ties": {"ties": "random"},
    "softmax": {"exploration": "softmax", "temperature": 2.0},
    "softmax without a temperature": {"exploration": "softmax", "exploration_initial_eps": 0.0},
}


@pytest.mark.parametrize("own", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("allowed", [None, [[False, True, True, True]]])
def test_the_probability_of_an_action_is_how_often_it_is_chosen(own, allowed):
    agent = QLearning(1, 4, seed=5, **{"exploration_schedule": "constant", "exploration_initial_eps": 0.4} | own)
    if allowed is not None:
        agent.allow(np.array(allowed))
    agent.q_table = [[1.0, 0.5, 1.0, -1.0]]
    epsilon = agent.exploration_rate
    found = [_rules.probability(agent.policy, agent.table, 0, epsilon, a) for a in range(4)]
    counts = np.bincount([agent.act(0) for _ in range(8000)], minlength=4)
    expected = 8000 * np.array(found)
    assert sum(found) == pytest.approx(1.0)
    assert (counts[expected == 0] == 0).all()
    # chi-squared with at most 3 degrees of freedom: above 30.7 at most once in a million runs
    assert ((counts - expected)[expected > 0] ** 2 / expected[expected > 0]).sum() < 30.7


def test_an_action_that_is_never_taken_does_not_count_as_a_sample():
    agent = QSigma(
        2,
        2,
        sigma=1.0,
        n_steps=2,
        gamma=1.0,
        learning_rate=1.0,
        exploration_initial_eps=0.0,
        exploration_schedule="constant",
    )
    agent.q_table = [[0.0, 0.0], [4.0, 2.0]]
    agent.update(0, 0, 1.0, 1, False)
    agent.update(1, 1, 100.0, 0, False)  # never taken: the value of state 1 remains
    assert agent.q_table[0, 0] == 5.0


# ---------------------------------------------------------------------------------------------- whole episodes


@seeds
def test_off_policy_monte_carlo_control_is_the_box_of_5_7(seed):
    q, c, episode = np.zeros((STATES + 1, ACTIONS)), np.zeros((STATES, ACTIONS)), []
    for now, (s, a, r, s_next, terminated, truncated) in enumerate(a_walk(seed)):
        episode.append((s, a, r, shares(q[s], 0.2 + 0.8 * np.exp(-0.02 * now))[a]))
        if terminated or truncated:
            g, w = q[STATES if terminated else s_next].max(), 1.0
            for s_t, a_t, r_t, followed in episode[::-1]:
                g = r_t + 0.8 * g
                c[s_t, a_t] += w
                q[s_t, a_t] += w / c[s_t, a_t] * (g - q[s_t, a_t])
                if a_t != q[s_t].argmax():
                    break
                w /= followed
            episode = []
    assert near(learnt(OffPolicyMCControl(STATES, ACTIONS, **EXPLORING, **RATES), a_walk(seed)), q[:STATES])


def test_what_the_followed_policy_never_does_has_no_weight():
    agent = OffPolicyMCControl(
        1, 2, exploration_schedule="constant", exploration_initial_eps=0.0, gamma=1.0, initial_value=0.5
    )
    for a, r in ((0, 1.0), (1, 9.0), (1, 2.0)):  # it never takes action 1, unless it is best
        agent.update(0, a, r, 0, r == 2.0)
    agent.end_episode()
    assert agent.q_table.tolist() == [[0.5, 2.0]]


# ------------------------------------------------------------------------------------ without discounting


@seeds
@pytest.mark.parametrize("rule", ["sarsa", "r-learning"])
def test_differential_values_are_learnt_beside_the_average_reward(seed, rule):
    q, average = np.zeros((STATES + 1, ACTIONS)), 0.0  # the last row: after the end
    agent = DifferentialSarsa(STATES, ACTIONS, learning_rate=0.3, average_rate=0.1, rule=rule, seed=seed)
    for s, a, r, s_next, terminated, truncated in a_walk(seed):
        agent.update(s, a, r, s_next, terminated)
        after = STATES if terminated else s_next
        follows = q[after].max() if rule == "r-learning" else q[after, agent.ahead[1]]
        error = r - average + follows - q[s, a]
        q[s, a] += 0.3 * error
        if rule == "sarsa":
            average += 0.1 * error
        elif q[s, a] == q[s].max():
            average += 0.1 * (r - average + q[after].max() - q[s].max())
        if terminated or truncated:
            agent.end_episode()
    assert near(agent, q[:STATES])
    assert agent.average_reward == pytest.approx(average, abs=1e-12)


def test_without_an_average_differential_sarsa_is_sarsa():
    own = {"seed": 1, "exploration_schedule": "constant", "exploration_initial_eps": 0.3, **RATES}
    agents = DifferentialSarsa(STATES, ACTIONS, average_rate=0.0, **own), Sarsa(STATES, ACTIONS, **own)
    one, other = (learnt(agent, a_walk(3)).q_table for agent in agents)
    assert np.array_equal(one, other)


@pytest.mark.parametrize(("rule", "best"), [("sarsa", 1.95), ("r-learning", 2.0)])
def test_a_task_without_an_end_is_worth_its_reward_per_step(rule, best):
    """Two states: staying earns 1; going earns 0 there and 4 back: 2 a step, and a little less while exploring."""
    agent = DifferentialSarsa(
        2, 2, seed=0, rule=rule, exploration_schedule="constant", exploration_initial_eps=0.1, average_rate=0.002
    )
    s = 0
    for _ in range(10_000):
        a = agent.act(s)
        r, s_next = (1.0, s) if a == 0 else ((0.0, 1) if s == 0 else (4.0, 0))
        agent.update(s, a, r, s_next, False)
        s = s_next
    assert agent.greedy_policy().tolist() == [1, 1]
    assert agent.average_reward == pytest.approx(best, abs=0.15)


# ---------------------------------------------------------------------------------------- learning from a model


@seeds
def test_prioritized_sweeping_learns_the_largest_errors_first_and_counts_them(seed):
    q, model, queue, updates = np.zeros((STATES, ACTIONS)), {}, {}, 0

    def error(pair):
        r, s_next, terminated = model[pair]
        return r + 0.8 * (0.0 if terminated else q[s_next].max()) - q[pair]

    def enqueue(pair):
        if abs(error(pair)) > 0.05:
            queue[pair] = max(abs(error(pair)), queue.get(pair, 0.0))

    for s, a, r, s_next, terminated, _ in a_walk(seed):
        model[s, a] = r, s_next, terminated
        enqueue((s, a))
        for _ in range(4):
            if not queue:
                break
            pair = min(queue, key=lambda one: (-queue[one], one))
            del queue[pair]
            q[pair] += 0.3 * error(pair)
            updates += 1
            for before, (_, led_to, ended) in model.items():
                if led_to == pair[0] and not ended:
                    enqueue(before)
    sweeping = {"planning": "prioritized", "planning_steps": 4, "priority_threshold": 0.05}
    agent = learnt(DynaQ(STATES, ACTIONS, **sweeping, **RATES), a_walk(seed))
    assert near(agent, q)
    assert agent.updates == updates


@seeds
@pytest.mark.parametrize("k", [2, 16])
def test_a_model_that_knows_several_outcomes_draws_each_as_often_as_it_came(seed, k):
    q, seen, known, draws = np.zeros((STATES, ACTIONS)), {}, {}, new_generator(seed)
    for s, a, r, s_next, terminated, _ in a_walk(seed):
        q[s, a] += 0.3 * (r + (0.0 if terminated else 0.8 * q[s_next].max()) - q[s, a])
        if a not in seen.setdefault(s, []):
            seen[s].append(a)
        outcomes = known.setdefault((s, a), [])  # [next state and whether it ends there, rewards]
        if (s_next, terminated) not in [came for came, _ in outcomes]:
            if len(outcomes) < k:
                outcomes.append(None)
                place = -1
            else:
                place = np.argmin([len(rewards) for _, rewards in outcomes])
            outcomes[place] = (s_next, terminated), []
        next(rewards for came, rewards in outcomes if came == (s_next, terminated)).append(r)
        for u, v in draws.random((3, 2)):
            place = u * len(seen)
            tried = seen[list(seen)[int(place)]]
            pair = list(seen)[int(place)], tried[int(place % 1 * len(tried))]
            often = np.cumsum([len(rewards) for _, rewards in known[pair]])
            (then, ends), rewards = known[pair][np.searchsorted(often, v * often[-1], side="right")]
            q[pair] += 0.3 * (np.mean(rewards) + (0.0 if ends else 0.8 * q[then].max()) - q[pair])
    agent = DynaQ(STATES, ACTIONS, seed=seed, planning_steps=3, outcomes=k, **RATES)
    assert near(learnt(agent, a_walk(seed)), q)


def test_prioritized_sweeping_knows_one_outcome():
    with pytest.raises(UsageError, match="leave out outcomes=2"):
        DynaQ(2, 2, planning="prioritized", outcomes=2)


def test_updates_go_on_being_counted_and_states_of_before_they_were_are_loaded():
    one, other = (DynaQ(STATES, ACTIONS, planning="prioritized", **RATES) for _ in range(2))
    state = learnt(one, a_walk(0)).state_dict()
    other.load_state_dict(state)
    assert other.updates == one.updates > 0
    del state["queue/updates"]
    other.load_state_dict(state)
    assert other.updates == 0
    assert np.array_equal(other.q_table, one.q_table)


def test_random_planning_makes_the_same_number_of_updates_at_every_step():
    assert learnt(DynaQ(STATES, ACTIONS, planning_steps=3, **RATES), a_walk(0)).updates == 4 * STEPS


@seeds
def test_dyna_q_plus_learns_again_with_a_bonus_for_what_was_not_tried_for_long(seed):
    q, model, tried_at, seen = np.zeros((STATES, ACTIONS)), {}, np.zeros((STATES, ACTIONS)), []
    draws = new_generator(seed)
    for now, (s, a, r, s_next, terminated, _) in enumerate(a_walk(seed), 1):
        q[s, a] += 0.3 * (r + (0.0 if terminated else 0.8 * q[s_next].max()) - q[s, a])
        if s not in seen:
            seen.append(s)
            model |= {(s, b): (0.0, s, False) for b in range(ACTIONS)}
        model[s, a], tried_at[s, a] = (r, s_next, terminated), now
        for u in draws.random(3):
            place = u * len(seen)
            pair = seen[int(place)], int(place % 1 * ACTIONS)
            reward, then, ends = model[pair]
            target = reward + 0.5 * np.sqrt(now - tried_at[pair]) + (0.0 if ends else 0.8 * q[then].max())
            q[pair] += 0.3 * (target - q[pair])
    assert near(learnt(DynaQPlus(STATES, ACTIONS, seed=seed, planning_steps=3, kappa=0.5, **RATES), a_walk(seed)), q)


@seeds
def test_dyna_q_plus_without_a_bonus_is_dyna_q_where_all_was_tried(seed):
    everything = [(s, a, 0.0, s, False, False) for s in range(STATES) for a in range(ACTIONS)]
    agents = [
        learnt(DynaQ(STATES, ACTIONS, planning_steps=3, seed=seed, **RATES), everything),
        learnt(DynaQPlus(STATES, ACTIONS, planning_steps=3, seed=seed, kappa=0.0, **RATES), everything),
    ]
    one, other = (learnt(agent, a_walk(seed)).q_table for agent in agents)
    assert np.array_equal(one, other)


def test_a_state_in_which_something_is_tried_in_the_future_is_refused():
    agent = learnt(DynaQPlus(STATES, ACTIONS), a_walk(0))
    state = agent.state_dict()
    with pytest.raises(UsageError, match="tried_at names a step later than timesteps"):
        agent.load_state_dict({**state, "timesteps": 1})


@pytest.mark.parametrize("kappa", [-1.0, float("nan")])
def test_a_bonus_is_not_negative(kappa):
    with pytest.raises(UsageError, match="kappa must be 0 or more"):
        DynaQPlus(2, 2, kappa=kappa)
