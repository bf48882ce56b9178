"""Every registered agent keeps the contract; parameters are checked at the door."""

import copy
import inspect
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields

import gymnasium as gym
import joblib
import numpy as np
import pytest
from contracts.agents import VARIANTS, an_agent, going_on, same_state, trained
from gymnasium import spaces

import rlbench
from rlbench.agents import AGENTS, Agent, QLearning, RandomAgent, ReplayQ, Sarsa, make_agent, register_agent
from rlbench.agents.parameters import ExplorationParameters, LearningParameters, parameter
from rlbench.errors import ALIASES, UnknownNameError, UsageError
from rlbench.testing import AGENT_CHECKS, Trial, check_agent

# agents whose actions follow from their table
ACTING = [name for name, cls in AGENTS.items() if issubclass(cls.Parameters, ExplorationParameters)]


def promises():
    """Yields a name and a check; `test_loops` compiles every agent once, so that most need not be compiled here too."""
    for check in AGENT_CHECKS:
        for name in AGENTS:
            is_long = check.__name__ == "its_compiled_counterpart_does_the_same" and name != "q-learning"
            marks = [pytest.mark.long] if is_long else []
            yield pytest.param(name, check, marks=marks, id=f"{name}-{check.__name__}")


@pytest.mark.parametrize(("name", "check"), list(promises()))
def test_every_registered_agent_keeps_each_promise(name, check):
    assert check(Trial(AGENTS[name], episodes=3000, seed=0)) == ""


@pytest.mark.parametrize(
    "variants", [["q-learning", "ucb"], pytest.param(VARIANTS, marks=pytest.mark.long)], ids=["some", "all"]
)
def test_agents_and_runs_come_back_from_another_process_as_if_they_had_stayed(variants):
    agents = [an_agent(variant) for variant in variants]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        returned = list(pool.map(going_on, map(going_on, agents)))
        runs = list(pool.map(trained, (3, 4)))
    for agent, twin in zip(agents, returned, strict=True):
        same_state(going_on(going_on(agent)), going_on(twin))
    for run in runs:
        here = trained(run.seed)
        same_state(run.agent, here.agent)
        assert run.store.episodes(run)[-1].rewards.tolist() == here.store.episodes(here)[-1].rewards.tolist()
        longer = rlbench.resume(run, episodes=25)
        assert longer.returns.tolist() == rlbench.resume(here, episodes=25).returns.tolist()


def by_joblib(agent, folder):
    joblib.dump(agent, folder / "agent.joblib")
    return joblib.load(folder / "agent.joblib", mmap_mode="r")  # as the workers of joblib.Parallel get large arrays


@pytest.mark.parametrize("way", [lambda agent, _: copy.deepcopy(agent), by_joblib], ids=["deepcopy", "joblib"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_copy_goes_on_as_the_agent_does_and_alone(variant, way, tmp_path):
    agent = going_on(an_agent(variant))
    agent.update(0, agent.act(0), 1.0, 1, False)  # in the middle of an episode
    twin, third = way(agent, tmp_path), way(agent, tmp_path)
    going_on(twin)
    same_state(agent, third)
    same_state(going_on(agent), twin)


def test_a_copied_table_is_one_block_of_memory_on_cache_lines():
    agent = copy.deepcopy(QLearning(3, 2, seed=0))
    assert np.shares_memory(agent.table.values, agent.table.words)
    assert agent.table.values.ctypes.data % 64 == 0
    agent.q_table = [[0, 1], [0, 2], [3, 0]]
    assert agent.greedy_policy().tolist() == [1, 1, 0]


def test_q_learning_learns_one_step_as_worked_by_hand():
    agent = QLearning(2, 2, seed=0, learning_rate=0.5, gamma=0.9)
    agent.q_table = [[1.0, 2.0], [4.0, 3.0]]
    agent.update(0, 1, 10.0, 1, False)
    assert agent.q_table[0, 1] == pytest.approx(7.8)
    assert agent.act(0, explore=False) == 1


@pytest.mark.parametrize("name", ACTING)
def test_random_ties_spread_the_first_steps_and_leave_the_greedy_policy_its_lowest_action(name):
    agent = AGENTS[name](2, 4, seed=0, ties="random", exploration_schedule="constant", exploration_initial_eps=0.0)
    assert {agent.act(1) for _ in range(60)} == {0, 1, 2, 3}
    assert {agent.act(1, explore=False) for _ in range(60)} == {0}
    assert agent.greedy_policy().tolist() == [0, 0]


def test_ties_are_said_only_where_they_are_random_so_that_older_runs_are_found():
    assert "ties" not in QLearning(2, 2, ties="first").config()
    assert QLearning(2, 2, ties="random").config()["ties"] == "random"
    with rlbench.open_store("memory://") as store:
        kinds = [{}, {"ties": "first"}, {"ties": "random"}, {"ties": "random"}]
        runs = [rlbench.train("FrozenLake8x8-v1", episodes=2, seed=0, agent_kwargs=own, store=store) for own in kinds]
        assert [run.cache for run in runs] == ["miss", "hit", "miss", "hit"]
        assert [run.agent.parameters.ties for run in runs] == ["first", "first", "random", "random"]


def test_unknown_ties_are_refused():
    with pytest.raises(UnknownNameError, match="unknown ties 'rand'; did you mean random"):
        QLearning(2, 2, ties="rand")


@pytest.mark.parametrize(
    ("alias", "meant"),
    [
        ("alpha", "learning_rate"),
        ("lr", "learning_rate"),
        ("epsilon", "exploration_initial_eps or exploration_final_eps"),
        ("eps", "exploration_initial_eps or exploration_final_eps"),
        ("epsilon_min", "exploration_final_eps"),
        ("decay_rate", "exploration_decay"),
        ("discount", "gamma"),
        ("buffer_capacity", "buffer_size"),
    ],
)
def test_the_name_that_others_give_a_parameter_leads_to_ours(alias, meant):
    with pytest.raises(UnknownNameError, match=f"unknown parameter of replay-q '{alias}'; did you mean {meant}\\?"):
        ReplayQ(2, 2, **{alias: 0.5})
    with pytest.raises(UnknownNameError, match=f"'{alias}'; did you mean {meant}\\?"):
        rlbench.train("FrozenLake-v1", "replay-q", episodes=1, agent_kwargs={alias: 0.5})


@pytest.mark.parametrize(
    ("function", "arguments", "hint"),
    [
        (rlbench.train, {"n_episodes": 5}, "train 'n_episodes'; did you mean episodes?"),
        (rlbench.train, {"timesteps": 5}, "train 'timesteps'; did you mean total_timesteps?"),
        (rlbench.train, {"random_state": 5}, "train 'random_state'; did you mean seed?"),
        (rlbench.train, {"recrd": "all"}, "train 'recrd'; did you mean record?"),
        (rlbench.train, {"alpha": 0.5}, """train 'alpha'; did you mean agent_kwargs={"learning_rate": ...}?"""),
        (rlbench.train, {"gamma": 0.5}, """train 'gamma'; did you mean agent_kwargs={"gamma": ...}?"""),
        (rlbench.retrain, {"discount": 0.5}, """retrain 'discount'; did you mean agent_kwargs={"gamma": ...}?"""),
        (rlbench.record, {"num_episodes": 5}, "record 'num_episodes'; did you mean episodes?"),
        (rlbench.resume, {"timesteps": 5}, "resume 'timesteps'; did you mean total_timesteps?"),
    ],
)
def test_an_unknown_argument_is_refused_in_a_line_that_says_what_is_meant(function, arguments, hint):
    with pytest.raises(UnknownNameError, match=re.escape(f"unknown argument of {hint}")):
        function("FrozenLake-v1", **arguments)


def test_every_alias_leads_to_a_name_that_there_is():
    parameters = {f.name for cls in AGENTS.values() for f in fields(cls.Parameters)}
    arguments = inspect.signature(rlbench.train).parameters.keys()
    assert {meant for names in ALIASES.values() for meant in names} <= parameters | arguments
    assert not ALIASES.keys() & (parameters | arguments)


def test_replay_q_learns_only_from_minibatches_after_learning_starts():
    agent = ReplayQ(2, 2, seed=0, learning_starts=3, train_freq=2, batch_size=4, learning_rate=1.0)
    for _ in range(3):
        agent.update(0, 1, 5.0, 1, True)
        assert (agent.q_table == 0).all()
    agent.update(0, 1, 5.0, 1, True)
    assert agent.q_table.tolist() == [[0.0, 5.0], [0.0, 0.0]]


def test_a_linear_learning_rate_falls_with_the_steps_taken():
    agent = QLearning(1, 1, learning_rate=0.5, learning_rate_final=0.1, learning_rate_steps=2)
    rates = [agent.learning_rate]
    for _ in range(3):
        agent.update(0, 0, 0.0, 0, True)
        rates.append(agent.learning_rate)
    assert rates == pytest.approx([0.5, 0.3, 0.1, 0.1])


CHANGES = {
    "one value": lambda agent: agent.q_table.__setitem__((14, 2), -5.0),
    "a value more": lambda agent: agent.q_table.__setitem__((14, 2), agent.q_table[14, 2] + 3.0),
    "a row": lambda agent: agent.q_table.__setitem__(14, [0.1, 0.4, 0.3, 0.2]),
    "a column": lambda agent: agent.q_table.__setitem__((slice(None), 1), 0.25),
    "by a mask": lambda agent: agent.q_table.__setitem__(np.asarray(agent.q_table) > 0.0, -1.0),
    "rows by a list": lambda agent: agent.q_table.__setitem__(([14, 0, 14], [2, 1, 3]), [1.0, 2.0, 3.0]),
    "all": lambda agent: agent.q_table.__setitem__(..., np.arange(64.0).reshape(16, 4) % 7),
    "one target": lambda agent: agent.move(14, 2, -7.0, 0.5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", ["q-learning", "double-q"])
def test_a_value_that_is_written_in_place_is_gone_on_from_in_both_loops(name, change):
    env = gym.make("FrozenLake-v1")
    agents = [rlbench.train(env, name, episodes=300, seed=0, agent_kwargs={"learning_rate": 0.5}).agent for _ in "ab"]
    for agent in agents:
        change(agent)
        assert agent.greedy_policy().tolist() == agent.q_table.argmax(axis=1).tolist()
        assert agent.table.values[:, 0].tolist() == agent.q_table.max(axis=1).tolist()
        assert agent.act(14, explore=False) == agent.q_table[14].argmax()
        if name == "double-q":
            assert np.allclose(agent.q_tables.mean(axis=0), agent.q_table)
    states = [
        rlbench.train(env, agent, episodes=50, seed=1, engine=engine).agent.state_dict()
        for agent, engine in zip(agents, ("compiled", "python"), strict=True)
    ]
    assert all(np.array_equal(states[0][key], states[1][key]) for key in states[0])


def test_a_table_can_be_changed_by_an_operator():
    agent = QLearning(3, 2)
    agent.q_table += 4.0
    agent.q_table[1] -= [1.0, 0.5]
    agent.q_table[2, 1] *= 3.0
    agent.q_table /= 2.0
    assert agent.q_table.tolist() == [[2.0, 2.0], [1.5, 1.75], [2.0, 6.0]]
    assert agent.greedy_policy().tolist() == [0, 1, 1]


def test_what_is_calculated_from_a_table_is_plain():
    q_table = QLearning(2, 2, initial_value=1.5).q_table
    assert (type(q_table[0].max()), type(q_table.sum()), type(q_table[1, 1])) == (np.float64,) * 3
    assert [type(one) for one in (q_table * 2, q_table.max(axis=1), q_table[0] + 1, np.array(q_table))] == [
        np.ndarray
    ] * 4


def test_what_cannot_be_written_in_place_says_how_to_write_it():
    agent = QLearning(2, 2)
    with pytest.raises(UsageError, match=r"give all indices at once, q_table\[s, a\] = value"):
        agent.q_table[0][0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        agent.q_table.fill(1.0)
    with pytest.raises(UsageError, match=r"shape \(2, 2\), got \(3, 2\)"):
        agent.q_table = np.zeros((3, 2))
    for own in (agent.q_table.copy(), agent.q_table * 1.0, copy.deepcopy(agent.q_table)):
        changed = own
        changed[0, 0] += 1.0
        changed += 1.0
        assert own.tolist() == [[2.0, 1.0], [1.0, 1.0]]
    assert (agent.q_table == 0.0).all()


def test_a_value_moves_towards_a_target():
    agent = QLearning(2, 2, learning_rate=0.25)
    assert agent.move(0, 1, 8.0) == 8.0
    assert agent.move(np.int64(1), 0, np.float32(6.0), rate=0.5) == 6.0
    assert agent.q_table.tolist() == [[0.0, 2.0], [3.0, 0.0]]
    assert agent.greedy_policy().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 0, 1.0), "the observation must be a whole number from 0 to 1, got 2"),
        ((0, -1, 1.0), "the action must be a whole number from 0 to 1, got -1"),
        ((0, 0, float("nan")), "the target must be a finite number, got nan"),
        ((0, 0, 1.0, "fast"), "the rate must be a finite number, got 'fast'"),
    ],
)
@pytest.mark.parametrize("name", ["q-learning", "double-q"])
def test_a_wrong_move_is_refused_and_changes_nothing(name, arguments, message):
    agent = AGENTS[name](2, 2)
    with pytest.raises(UsageError, match=message):
        agent.move(*arguments)
    assert (agent.q_table == 0.0).all()


def test_predict_answers_one_observation_or_an_array_of_them():
    agent = QLearning(3, 2)
    agent.q_table = [[0, 1], [1, 0], [0, 2]]
    assert agent.predict(0) == (1, None)
    assert agent.predict(np.array([[0, 1], [2, 1]]))[0].tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"gamma": 1.2}, r"gamma must be in \[0, 1\], got 1.2"),
        ({"gamma": float("nan")}, r"gamma must be in \[0, 1\], got nan"),
        ({"learning_rate": -0.1}, r"learning_rate must be in \[0, 1\]"),
        ({"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
        ({"learning_rate": True}, "learning_rate must be a number, got True"),
        ({"learning_rate_final": 0.1}, "go together"),
        ({"exploration_decay": -1.0}, "exploration_decay must be 0 or more"),
        ({"exploration_schedule": "linear"}, "exploration_steps or exploration_fraction"),
        ({"exploration_schedule": "linear", "exploration_fraction": 0.5}, "give that budget"),
        ({"exploration_schedule": "multiplicative", "exploration_decay": 2.0}, r"in \[0, 1\], got 2.0"),
        ({"exploration_unit": "year"}, "episode or step"),
        ({"initial_value": float("inf")}, "must be finite"),
        ({"exploration": "softmacs"}, "did you mean softmax"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"ucb_confidence": -1.0}, "ucb_confidence must be 0 or more, got -1.0"),
    ],
)
def test_a_wrong_parameter_is_refused_in_one_line(parameters, message):
    with pytest.raises(UsageError, match=message) as caught:
        QLearning(2, 2, **parameters)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"buffer_size": 0}, "buffer_size must be at least 1"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, got 2.5"),
        ({"learning_starts": -1}, "learning_starts must be 0 or more"),
        ({"n_step": 0}, "n_step must be at least 1"),
        ({"replay": "prioritised"}, "did you mean prioritized"),
        ({"priority_alpha": 1.5}, r"priority_alpha must be in \[0, 1\], got 1.5"),
        ({"priority_beta_final": -0.5}, r"priority_beta_final must be in \[0, 1\]"),
        ({"priority_beta_steps": 0}, "priority_beta_steps must be at least 1"),
        ({"priority_epsilon": 0.0}, "priority_epsilon must be above 0"),
    ],
)
def test_replay_q_refuses_impossible_sizes(parameters, message):
    with pytest.raises(UsageError, match=message):
        ReplayQ(2, 2, **parameters)


def test_an_unknown_parameter_or_agent_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean gamma"):
        QLearning(2, 2, gama=0.9)

    class Env:
        observation_space = spaces.Discrete(2)
        action_space = spaces.Discrete(2)

    with pytest.raises(UnknownNameError, match="did you mean q-learning"):
        make_agent("q-lerning", Env())


@pytest.mark.parametrize(
    ("observations", "actions", "message"),
    [
        (spaces.Box(0, 1, (2,)), spaces.Discrete(2), "needs Discrete observations.*Discretize"),
        (spaces.Discrete(2), spaces.Box(0, 1, (2,)), "needs Discrete actions"),
        (spaces.Discrete(2, start=1), spaces.Discrete(2), "needs Discrete observations"),
        (0, 2, "needs Discrete observations"),
    ],
)
def test_spaces_without_a_table_are_refused_with_a_way_out(observations, actions, message):
    with pytest.raises(UsageError, match=message):
        QLearning(observations, actions)


def test_a_users_own_agent_registers_by_one_line(monkeypatch):
    monkeypatch.setattr("rlbench.agents.AGENTS", dict(AGENTS))
    from rlbench import agents

    @register_agent
    class Stubborn(Agent):
        name = "stubborn"

        def act(self, observation, *, explore=True):
            return 1

        def update(self, observation, action, reward, next_observation, terminated):
            self.timesteps += 1

        def greedy_policy(self):
            return None  # it learns nothing

    assert agents.AGENTS["stubborn"] is Stubborn
    check_agent(Stubborn)


def test_the_random_agent_draws_evenly():
    # chi-squared with 3 degrees of freedom: above 30.7 once in a million runs
    agent = RandomAgent(1, 4, seed=1)
    counts = np.bincount([agent.act(0) for _ in range(8000)], minlength=4)
    assert ((counts - 2000) ** 2 / 2000).sum() < 30.7


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (object(), "must be a subclass of rlbench.agents.Agent, got <object"),
        (type("Nameless", (Agent,), {"act": None, "update": None}), "Nameless has no name to be known by"),
        (type("Idle", (Agent,), {"name": "idle"}), "Idle does not say how to act and update"),
    ],
)
def test_what_is_no_agent_is_not_registered(thing, message):
    with pytest.raises(UsageError, match=message):
        register_agent(thing)
    assert "idle" not in AGENTS


def test_a_users_parameters_are_checked_like_ours():
    @dataclass(frozen=True, kw_only=True)
    class Own(LearningParameters):
        caution: float = parameter(0.5, "weight of the worst")
        depth: int | None = parameter(None, "how far")

    class Mine(QLearning):
        Parameters = Own

    assert Mine(2, 2, caution=1, depth=3).config()["caution"] == 1.0
    with pytest.raises(UsageError, match="caution must be a number, got 'much'"):
        Mine(2, 2, caution="much")
    with pytest.raises(UnknownNameError, match="did you mean caution"):
        Mine(2, 2, causion=1)

    @dataclass(frozen=True, kw_only=True)
    class Odd(LearningParameters):
        layers: list[int] = parameter((), "sizes")  # noqa: RUF009 - what is declared wrongly is what is tested

    with pytest.raises(UsageError, match=r"layers is declared as list\[int\]"):
        type("Deep", (QLearning,), {"Parameters": Odd})(2, 2, layers=[1])


def test_a_subclass_that_changes_the_rule_gives_up_the_compiled_counterpart_of_the_old_one():
    class Frugal(QLearning):
        def update(self, observation, action, reward, next_observation, terminated):
            super().update(observation, action, reward - 1.0, next_observation, terminated)

    class Renamed(QLearning):
        name = "renamed"

    class Whole(Frugal):
        def learner(self):
            return QLearning.learner(self)

    assert Frugal(2, 2).learner() is None
    assert Renamed(2, 2).learner() is not None
    assert Whole(2, 2).learner() is not None


# -------------------------------------------------------------------------------------------------- exploration


def shares_of(agent, n=8000):
    return np.bincount([agent.act(0) for _ in range(n)], minlength=agent.n_actions)


def test_softmax_draws_as_often_as_its_shares_say():
    agent = QLearning(1, 3, seed=2, exploration="softmax", exploration_schedule="constant", temperature=2.0)
    agent.q_table = [[0.0, 2 * np.log(2), 2 * np.log(5)]]  # shares 1/8, 2/8, 5/8
    expected = np.array([1000, 2000, 5000])
    # chi-squared with 2 degrees of freedom: above 27.6 once in a million runs
    assert ((shares_of(agent) - expected) ** 2 / expected).sum() < 27.6


def test_the_temperature_of_softmax_falls_as_epsilon_does():
    agent = QLearning(1, 2, seed=2, exploration="softmax", exploration_decay=5.0, exploration_final_eps=0.0)
    agent.q_table = [[0.0, 1.0]]
    assert shares_of(agent, 200)[0] > 20
    for _ in range(3):
        agent.end_episode()
    assert shares_of(agent, 200).tolist() == [0, 200]


def test_upper_confidence_bounds_come_back_to_what_was_tried_least():
    agent = QLearning(2, 3, seed=2, exploration="ucb", ucb_confidence=1.0)
    drawn = agent.rng.bit_generator.state["state"]["state"].tolist()
    assert [agent.act(0) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert agent.policy.counts.tolist() == [[3, 2, 2], [0, 0, 0]]
    assert agent.exploration_rate == 0.0
    agent.act(0, explore=False)
    assert agent.policy.counts[0].sum() == 7
    assert drawn != agent.rng.bit_generator.state["state"]["state"].tolist()  # one number a choice, whatever the policy


def test_counts_of_choices_are_part_of_the_state():
    first, second = (QLearning(2, 3, seed=2, exploration="ucb") for _ in range(2))
    for _ in range(5):
        first.act(1)
    second.load_state_dict(first.state_dict())
    assert second.policy.counts.tolist() == first.policy.counts.tolist() == [[0, 0, 0], [2, 2, 1]]


@pytest.mark.parametrize("name", ACTING)
def test_optimistic_initial_values_are_tried_one_after_another(name):
    greedy = {"exploration_schedule": "constant", "exploration_initial_eps": 0.0, "initial_value": 50.0}
    own = {"replay-q": {"batch_size": 64, "learning_starts": 0}, "dyna-q-plus": {"planning_steps": 0}}.get(name, {})
    agent = AGENTS[name](1, 4, seed=0, learning_rate=0.5, **greedy, **own)
    tried = []
    for _ in range(4):
        tried.append(agent.act(0))
        agent.update(0, tried[-1], 0.0, 0, True)
        agent.end_episode()
    assert tried == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ACTING)
def test_ties_go_to_the_lowest_action(name):
    agent = AGENTS[name](1, 5, seed=0)
    agent.q_table = [[1.0, 3.0, 2.0, 3.0, 3.0]]
    assert agent.act(0, explore=False) == agent.greedy_policy()[0] == 1


@pytest.mark.parametrize("name", ["sarsa", "n-step-sarsa", "sarsa-lambda"])
def test_an_on_policy_agent_takes_the_action_that_it_has_learnt_from(name):
    agent = AGENTS[name](3, 4, seed=3, exploration_schedule="constant", exploration_initial_eps=0.7)
    action = agent.act(0)
    for t in range(100):
        s, s_next = t % 3, (t + 1) % 3
        agent.update(s, action, 1.0, s_next, False)
        said, drawn = int(agent.ahead[1]), agent.rng.bit_generator.state["state"]["state"].tolist()
        action = agent.act(s_next)
        assert action == said
        assert drawn == agent.rng.bit_generator.state["state"]["state"].tolist()


def test_the_action_chosen_ahead_is_not_taken_in_the_next_episode():
    agent = Sarsa(2, 2, seed=0, exploration_schedule="constant", exploration_initial_eps=0.0)
    agent.update(0, 0, 1.0, 1, False)
    assert agent.ahead[0] == 1
    agent.end_episode()
    agent.q_table = [[0.0, 0.0], [0.0, 9.0]]
    assert agent.act(1) == 1


@pytest.mark.parametrize("schedule", ["exponential", "multiplicative", "linear", "constant"])
def test_the_exploration_rate_that_is_told_is_the_one_that_is_chosen_by(schedule):
    steps = {"exploration_steps": 100} if schedule == "linear" else {}
    agent = QLearning(2, 2, exploration_schedule=schedule, **steps)
    agent.episodes = agent.timesteps = 37
    assert agent.exploration_told == pytest.approx(agent.exploration_rate, rel=1e-12)

    class Bold(QLearning):
        exploration_rate = 0.75

    assert Bold(2, 2).exploration_told == 0.75
