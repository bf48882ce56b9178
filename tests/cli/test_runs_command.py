"""`rlbench runs` and `rlbench evaluate`: what is listed, and which run is meant."""

import itertools
import json
import re
import shlex

import pytest

from rlbench.cli.options import find_run
from rlbench.errors import StoreError
from rlbench.store import RunConfig, open_store, records
from rlbench.store.conditions import values_of
from rlbench.store.config import AgentConfig, EnvConfig
from rlbench.store.listing import differing

RUNS = ((9.0, ()), (5.0, ("good",)), (1.0, ()))  # mean returns and tags


@pytest.fixture
def store(tmp_path):
    """A store of runs whose evaluations were made up."""
    with open_store(tmp_path / "rlbench.db") as opened:
        yield opened


def _add(store, env_id, evaluation=None, **changes):
    run = store.create_run(env_id, "q-learning", seed=0)
    store.append(run.id, status="finished")
    return store.update_run(run.id, evaluation=evaluation, **changes).id


# ------------------------------------------------------------------ which run


def test_latest_is_the_run_begun_last_in_all_or_of_an_env(store):
    older, newer = _add(store, "rlbench/SafeCab-v0"), _add(store, "Taxi-v4")
    assert find_run(store, "latest").id == newer
    assert find_run(store, " Latest ").id == newer
    assert find_run(store, "latest", "safecab").id == older
    assert find_run(store, "latest", "rlbench/SafeCab-v0").id == older


def test_a_run_is_found_by_its_id_and_by_the_beginning_of_it(store):
    ids = [_add(store, "Taxi-v4") for _ in range(3)]
    for run_id in ids:
        shortest = next(run_id[:n] for n in range(1, 13) if sum(other.startswith(run_id[:n]) for other in ids) == 1)
        assert {find_run(store, ref).id for ref in (run_id, run_id.upper(), shortest)} == {run_id}


def test_a_beginning_that_fits_several_runs_names_them(store):
    ids = [_add(store, "Taxi-v4") for _ in range(17)]  # two of them share a first digit
    first = next(digit for digit in "0123456789abcdef" if sum(i.startswith(digit) for i in ids) > 1)
    with pytest.raises(StoreError, match=rf"run '{first}' is ambiguous, it could be {first}\w+ or {first}"):
        find_run(store, first)


def test_best_has_the_highest_exact_value_where_it_is_known_else_the_highest_mean(store):
    _add(store, "Taxi-v4", {"mean_return": 9.0, "exact_return": 5.0})
    best = _add(store, "Taxi-v4", {"mean_return": 7.0, "exact_return": 6.0})
    _add(store, "Taxi-v4", {"mean_return": None, "exact_return": None})
    _add(store, "Taxi-v4")
    assert find_run(store, "best").id == best
    cart = [_add(store, "CartPole", {"mean_return": mean, "exact_return": None}) for mean in (100.0, 500.0, 200.0)]
    assert find_run(store, "best").id == cart[1]  # of the latest run's env
    assert find_run(store, "BEST", "Taxi-v4").id == best


def test_of_equally_good_runs_the_newest_is_best(store):
    ids = [_add(store, "Taxi-v4", {"mean_return": 7.0, "exact_return": 7.9}) for _ in range(3)]
    assert find_run(store, "best").id == ids[-1]


def test_best_needs_an_evaluated_run(store):
    _add(store, "Taxi-v4")
    with pytest.raises(StoreError, match=r"no run of Taxi-v4 in .* has been evaluated: `rlbench evaluate RUN` does it"):
        find_run(store, "best")


@pytest.mark.parametrize("ref", ["best", "latest"])
def test_an_env_without_runs_is_named_with_the_way_to_one(store, ref):
    _add(store, "Taxi-v4")
    with pytest.raises(
        StoreError, match=r"no run of rlbench/SafeCab-v0 in .*: `rlbench train rlbench/SafeCab-v0` makes"
    ):
        find_run(store, ref, "safecab")


def test_a_run_of_another_env_than_asked_for_is_refused(store):
    run = _add(store, "Taxi-v4")
    with pytest.raises(StoreError, match=f"run {run} is of Taxi-v4 by q-learning, not of rlbench/SafeCab-v0"):
        find_run(store, run, "safecab")


def test_words_and_ids_mean_runs_of_the_selection_alone(store):
    best, good, last = (_add(store, "Taxi-v4", {"mean_return": mean}, tags=tags) for mean, tags in RUNS)
    assert [find_run(store, ref, tag="good").id for ref in ("latest", "best", good)] == [good, good, good]
    assert find_run(store, "best", agent_name="q-learning").id == best
    with pytest.raises(StoreError, match=f"run {last} is of Taxi-v4 by q-learning, not by q-learning tagged good"):
        find_run(store, last, agent_name="q-learning", tag="good")
    with pytest.raises(StoreError, match=r"no run where seed=0 and agent=sarsa in"):
        find_run(store, "latest", where=["seed=0", "agent=sarsa"])
    with pytest.raises(StoreError, match=r"no run by sarsa in .*: `rlbench runs` lists what is there"):
        find_run(store, "latest", agent_name="sarsa")


@pytest.mark.parametrize("command", ["evaluate", "replay", "watch"])
@pytest.mark.parametrize("ref", ["latest", "best", "abc", "0", "", "nonsense", "../x", "%"])
def test_an_empty_store_says_so_in_one_line(rlbench, store, command, ref):
    outcome = rlbench(command, ref)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("command", ["evaluate", "replay", "watch"])
def test_latest_and_best_of_an_empty_store_say_how_to_begin(rlbench, store, command):
    for ref in ("latest", "best"):
        assert "rlbench train safecab" in rlbench(command, ref).err


# ------------------------------------------------------------------ runs


def test_an_empty_store_lists_nothing_and_says_how_to_begin(rlbench, store):
    outcome = rlbench("runs")
    assert (outcome.code, outcome.out) == (0, "no runs yet: start one with `rlbench train safecab`\n")
    assert rlbench("runs", "--json").document == {"runs": [], "total": 0, "differing": []}


def test_runs_are_listed_newest_first_with_their_figures(rlbench):
    rlbench("train", "safecab")
    rlbench("train", "cartpole", "--episodes", 5, "--seed", 3)
    header, cart, taxi, same = (line.split() for line in rlbench("runs").out.splitlines())
    assert header[:6] == ["run", "env", "seed", "status", "episodes", "steps"]
    assert cart[1:5] == ["rlbench/DiscreteCartPole-v1", "3", "finished", "5"]
    assert cart[8] == "-"  # no regret without a model
    assert taxi[1:5] == ["rlbench/SafeCab-v0", "0", "finished", "60,000"]
    assert taxi[8] == "0"
    assert same == ["all", "by", "q-learning"]


def test_the_json_of_runs_has_every_figure(rlbench):
    trained = rlbench("train", "safecab", "--episodes", 20, "--json").document
    (run,) = rlbench("runs", "--json").document["runs"]
    assert list(run) == [
        *("run", "env_id", "agent", "seed", "status", "episodes", "timesteps", "seconds", "created_at"),
        *("tags", "studies", "parents", "cache", "evaluation", "stopped", "note", "settings"),
    ]
    assert (run["settings"]["gamma"], run["settings"]["max_episode_steps"]) == (0.95, 100)
    shared = ("run", "env_id", "agent", "seed", "episodes", "timesteps", "seconds")
    assert [run[name] for name in shared] == [trained[name] for name in shared]
    assert run["evaluation"]["regret"] == trained["evaluation"]["regret"]


def test_filters_and_limits_narrow_the_list(rlbench, store):
    taxi, cab = _add(store, "Taxi-v4"), _add(store, "rlbench/SafeCab-v0")
    open_run = store.create_run("Taxi-v4", "random", seed=0).id

    def listed(*arguments):
        return [run["run"] for run in rlbench("runs", "--json", *arguments).document["runs"]]

    assert listed() == [open_run, cab, taxi]
    assert listed("--limit", 2) == [open_run, cab]
    assert listed("--env", "safecab") == listed("--env", "rlbench/SafeCab-v0") == [cab]
    assert listed("--agent", "random") == listed("--status", "running") == [open_run]
    assert listed("--status", "finished", "--env", "Taxi-v4") == [taxi]
    assert listed("--env", "CliffWalking-v1") == []
    assert rlbench("runs", "--env", "CliffWalking-v1").out == "no runs fit\n"


# ------------------------------------------------------------------ what differs, in which order


def _asked(store, env_id="Taxi-v4", agent="q-learning", *, seed=0, kwargs=None, mean=None, **parameters):
    spec = json.dumps({"kwargs": kwargs or {}, "max_episode_steps": 200})
    config = RunConfig(env=EnvConfig(env_id, spec), agent=AgentConfig(agent, parameters))
    run = store.create_run(env_id, agent, seed=seed, config=config)
    store.append(run.id, status="finished")
    return store.update_run(run.id, evaluation=None if mean is None else {"mean_return": mean}).id


@pytest.fixture
def sweep(store):
    """Three runs of Taxi that differ in rate and seed, the last of an agent with a parameter of its own."""
    return [
        _asked(store, seed=0, mean=2.0, learning_rate=0.5, gamma=0.9),
        _asked(store, seed=1, mean=9.0, learning_rate=0.1, gamma=0.9),
        _asked(store, agent="dyna-q", seed=1, learning_rate=0.1, gamma=0.9, planning_steps=5),
    ]


def test_what_differs_is_a_column_and_what_is_the_same_is_said_once(rlbench, sweep):
    header, *rows, same = rlbench("runs").out.splitlines()
    assert header.split()[:5] == ["run", "agent", "seed", "learning_rate", "status"]
    assert rows[0].split()[:4] == [sweep[2], "dyna-q", "1", "0.1"]
    assert same == "all of Taxi-v4"
    assert rlbench("runs", "--json").document["differing"] == ["agent", "seed", "learning_rate"]
    header, _ = rlbench("runs", "--limit", 1, "--agent", "dyna-q").out.splitlines()
    assert header.split()[:5] == ["run", "env", "agent", "seed", "status"]


def test_arguments_and_wrappers_differ_where_a_row_lacks_them_and_other_envs_bring_their_own(store):
    plain, slippery = _asked(store, gamma=0.9), _asked(store, kwargs={"is_rainy": True}, gamma=0.9)
    other = _asked(store, "FrozenLake-v1", kwargs={"map_name": "4x4"}, gamma=0.99)
    rows = [values_of(store.run(run)) for run in (plain, slippery, other)]
    assert differing(rows) == ["env", "is_rainy"]
    wrapped = rows[0] | {"wrappers": ["ClipReward"]}
    assert differing([wrapped, *rows[1:]]) == ["env", "wrappers", "is_rainy"]
    assert differing([rows[0], rows[0] | {"preset": "book", "gamma": 0.618}]) == ["preset"]
    assert differing([rows[0], rows[0] | {"initial_table": "5eed", "gamma": 0.618}]) == []


def test_runs_are_sorted_by_any_column_or_setting_those_without_it_last(rlbench, sweep):
    def listed(*arguments):
        return [sweep.index(run["run"]) for run in rlbench("runs", "--json", *arguments).document["runs"]]

    assert (listed(), listed("--sort", "started")) == ([2, 1, 0], [0, 1, 2])
    assert listed("--sort", "return") == [0, 1, 2]
    assert listed("--sort", "-return") == [1, 0, 2]
    assert listed("--sort", "-learning_rate", "--limit", 1) == [0]
    assert listed("--sort", "agent") == [2, 1, 0]
    outcome = rlbench("runs", "--sort", "lerning_rate")
    assert outcome.err.startswith("Error: unknown column or setting 'lerning_rate'; did you mean learning_rate")


def test_conditions_narrow_the_list(rlbench, sweep):
    def listed(*where):
        arguments = [word for one in where for word in ("--where", one)]
        return [sweep.index(run["run"]) for run in rlbench("runs", "--json", *arguments).document["runs"]]

    assert listed("learning_rate=0.1", "seed=1") == [2, 1]
    assert listed("learning_rate>=.5") == listed("seed != 1") == listed("return<3") == [0]
    assert listed("planning_steps!=5") == [1, 0]
    assert rlbench("runs", "--where", "seed=7").out == "no runs fit\n"
    assert rlbench("runs", "--where", "rate=1").err.startswith("Error: unknown column or setting 'rate'; did you mean")
    assert "a condition is NAME=VALUE" in rlbench("runs", "--where", "seed").err


def test_a_list_that_is_cut_says_so(rlbench, store, sweep):
    assert rlbench("runs", "--limit", 2).out.splitlines()[-1] == "2 of 3 runs, the rest with --limit 3"
    cut = rlbench("runs", "--limit", 1, "--where", "seed=1")
    assert cut.out.splitlines()[-1] == "1 of 2 runs, the rest with --limit 2"
    assert rlbench("runs", "--limit", 2, "--json").document["total"] == 3
    assert "the rest" not in rlbench("runs", "--limit", 3).out
    store.create_run("Taxi-v4", "q-learning", seed=0)
    assert rlbench("runs", "--limit", 1, "--status", "finished", "--json").document["total"] == 3


@pytest.mark.parametrize(
    ("columns", "kept"), [(40, "seed status return"), (64, "agent seed learning_rate status return")]
)
def test_a_narrow_terminal_keeps_the_id_and_the_status_and_says_what_went(rlbench, sweep, monkeypatch, columns, kept):
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("rlbench.cli.output.is_terminal", lambda: True)
    header, *rows = re.sub(r"\x1b\[\d*m", "", rlbench("runs").out).splitlines()
    assert header.split() == ["run", *kept.split()]
    assert all(len(row) <= columns for row in rows)
    assert rows[0].startswith(sweep[2])
    assert ("too narrow for learning_rate, agent" in rows) == (columns == 40)


def test_an_unknown_status_suggests_the_nearest(rlbench, store):
    outcome = rlbench("runs", "--status", "finshed")
    assert (outcome.code, outcome.err) == (2, "Error: unknown status 'finshed'; did you mean finished?\n")
    assert all(rlbench("runs", "--status", status).code == 0 for status in records.STATUSES)


# ------------------------------------------------------------------ evaluate


def test_evaluate_prints_and_stores_the_figures(rlbench):
    rlbench("train", "FrozenLake-v1", "--episodes", 500)
    outcome = rlbench("evaluate", "latest", "--episodes", 7, "--seed", 5)
    title, greedy, exact, behaving = outcome.out.splitlines()
    assert title.endswith(": q-learning on FrozenLake-v1, seed 0")
    assert "over 7 episodes, success" in greedy
    assert exact.startswith("  exact ")
    assert re.fullmatch(r"  behaving  0\.\d{4} expected while it explores, at a rate of [\d.]+", behaving)
    evaluation = rlbench("runs", "--json").document["runs"][0]["evaluation"]
    assert (evaluation["episodes"], evaluation["seed"]) == (7, 5)


def test_the_json_of_evaluate_is_what_runs_lists(rlbench):
    rlbench("train", "safecab", "--episodes", 50)
    document = rlbench("evaluate", "best", "--json").document
    (run,) = rlbench("runs", "--json").document["runs"]
    assert document == {name: run[name] for name in ("run", "env_id", "agent")} | run["evaluation"]


def test_the_same_evaluation_gives_the_same_figures(rlbench):
    rlbench("train", "FrozenLake-v1", "--episodes", 500)
    by_seed = [rlbench("evaluate", "latest", "--seed", seed, "--json").document for seed in (0, 0, 1)]
    assert by_seed[0] == by_seed[1]
    assert by_seed[0]["mean_return"] != by_seed[2]["mean_return"]


def test_an_evaluation_that_cannot_be_stored_is_shown_all_the_same(rlbench, monkeypatch):
    rlbench("train", "safecab", "--episodes", 50)

    def refuse(*_, **__):
        raise StoreError("it can only be read")

    monkeypatch.setattr("rlbench.store.Store.update_run", refuse)
    outcome = rlbench("evaluate", "latest", "--json")
    assert outcome.document["reachable_states"] == 384
    assert (outcome.code, outcome.err) == (0, "Warning: the evaluation is not stored: it can only be read\n")


# ------------------------------------------------------------------ catalogue


def test_envs_lists_short_names_limits_and_presets(rlbench):
    lines = rlbench("envs").out.splitlines()
    assert lines[1].split() == ["safecab", "rlbench/SafeCab-v0", "100", "default,", "book"]
    assert rlbench("envs", "--json").document["envs"][1] == {
        "name": "cartpole",
        "env_id": "rlbench/DiscreteCartPole-v1",
        "limit": 500,
        "presets": ["default", "book"],
    }


def test_agents_lists_every_parameter_with_its_default_and_meaning(rlbench):
    from rlbench.agents import AGENTS

    document, text = rlbench("agents", "--json").document["agents"], rlbench("agents").out
    assert list(document) == list(AGENTS)
    for name, about in document.items():
        assert f"{name}  ({about['source']})" in text
        assert all(parameter["help"] and parameter["help"] in text for parameter in about["parameters"])
    gamma = next(p for p in document["q-learning"]["parameters"] if p["name"] == "gamma")
    assert gamma == {"name": "gamma", "default": 0.99, "values": "[0, 1]", "help": "discount"}


def test_agents_describes_one_by_name(rlbench):
    text, document = rlbench("agents", "dyna-q").out, rlbench("agents", "dyna-q", "--json").document
    assert document == rlbench("agents", "--json").document["agents"]["dyna-q"]
    assert text.startswith("dyna-q  (Sutton 1990;")
    assert "  Learns each step by Q-learning, records its outcome in a model" in text
    assert re.search(r"^  planning_steps +5 +updates from the model .*; 0 to 1,048,576$", text, re.MULTILINE)
    assert "sarsa" not in text
    assert rlbench("agents", "dynaq").err == "Error: unknown agent 'dynaq'; did you mean dyna-q or dyna-q-plus?\n"


def test_envs_describes_one_by_name(rlbench):
    text, document = rlbench("envs", "safecab").out, rlbench("envs", "safecab", "--json").document
    assert text.splitlines()[0] == document["env_id"] == "rlbench/SafeCab-v0"
    assert "  actions       Discrete(6): 0 South, 1 North, 2 East, 3 West, 4 Pickup, 5 Dropoff\n" in text
    assert document["actions"] == ["South", "North", "East", "West", "Pickup", "Dropoff"]
    assert (document["observation_space"], document["limit"]) == ("Discrete(500)", 100)
    assert document["presets"] == ["default", "book"]
    seed = {"name": "city_seed", "default": 0, "help": "the seed of a generated city."}
    assert seed in document["arguments"]
    assert rlbench("envs", "safecap").err == "Error: unknown env 'safecap'; did you mean safecab?\n"


def test_envs_describes_gymnasiums_envs_from_their_docstrings(rlbench):
    lake = rlbench("envs", "FrozenLake-v1", "--json").document
    assert lake["description"].startswith("Frozen lake involves crossing a frozen lake from start to goal")
    assert lake["success"] == "The agent reaches the goal."
    assert {argument["name"]: argument["default"] for argument in lake["arguments"]}["map_name"] == "4x4"
    assert all(argument["help"] for argument in lake["arguments"])
    jack = rlbench("envs", "Blackjack-v1").out
    assert "  step limit    none\n" in jack
    assert re.search(r"^  sab +True", jack, re.MULTILINE)  # as it is registered, not as its class has it


def test_plan_solves_the_books_city(rlbench):
    document = rlbench("plan", "safecab", "--json").document
    assert list(document) == [
        *("env_id", "gamma", "horizon", "states", "reachable_states", "sweeps", "error_bound"),
        *("expected_return", "optimal_return"),
    ]
    assert (document["env_id"], document["horizon"], document["states"]) == ("rlbench/SafeCab-v0", 100, 500)
    assert document["optimal_return"] == pytest.approx(989.156667, abs=1e-6)
    title, best, model = rlbench("plan", "safecab").out.splitlines()
    assert title == "rlbench/SafeCab-v0, gamma 1, within 100 steps"
    assert best == "  best      expected return 989.156667 over the starts (exact)"
    assert model.startswith("  model     500 states, 384 reachable; ")


def test_plan_takes_a_discount_and_arguments_of_the_env(rlbench):
    walk = ("plan", "FrozenLake-v1", "--env-set", "is_slippery=false", "--json")
    returns = [rlbench(*walk, "--gamma", gamma).document["optimal_return"] for gamma in (1, 0.9)]
    assert returns == pytest.approx([1.0, 0.9**5])  # six steps, the last of them paid


def test_plan_says_what_a_policy_is_worth(rlbench):
    cliff = ("plan", "CliffWalking-v1", "--policy")
    document = rlbench(*cliff, "epsilon-greedy", "--epsilon", 0.1, "--json").document
    assert document["expected_return"] == pytest.approx(-45.803322, abs=1e-6)
    assert document["optimal_return"] is None
    assert rlbench(*cliff, "epsilon-greedy", "--json").document == document
    assert rlbench(*cliff, 1, "--gamma", 0.5, "--json").document["expected_return"] < -100
    assert "  policy    expected return" in rlbench(*cliff, "uniform").out


def test_plan_by_policy_iteration_and_the_average_reward(rlbench):
    lake = ("plan", "FrozenLake-v1", "--gamma", 0.9, "--json")
    by_values = rlbench(*lake).document["optimal_return"]
    for options in ((), ("--sweeps", 3)):
        found = rlbench(*lake, "--method", "policy-iteration", *options).document["optimal_return"]
        assert found == pytest.approx(by_values, abs=1e-8)
    assert "gain      2.000000 reward per step" in rlbench("plan", "gridworld", "--method", "average-reward").out
    assert rlbench("plan", "gridworld", "--sweeps", 3).code == 2
    assert rlbench("plan", "gridworld", "--epsilon", 0.1).code == 2


def test_a_discounted_evaluation_is_shown_but_not_stored(rlbench):
    rlbench("train", "FrozenLake-v1", "--episodes", 50)
    (before,) = rlbench("runs", "--json").document["runs"]
    assert rlbench("evaluate", "latest", "--gamma", 0.9, "--json").document["gamma"] == 0.9
    assert rlbench("runs", "--json").document["runs"] == [before]


def test_every_preset_that_envs_lists_can_be_trained(rlbench):
    listed = rlbench("envs", "--json").document["envs"]
    pairs = itertools.chain.from_iterable([(env["name"], preset) for preset in env["presets"]] for env in listed)
    for env, preset in pairs:
        assert rlbench("train", env, "--preset", preset, "--episodes", 3, "--no-cache").code == 0


def test_runs_list_is_runs_and_runs_show_tells_how_a_run_came_about(rlbench):
    made = rlbench("record", "CliffWalking-v1", "--episodes", 2, "--wrapper", "TimeLimit:max_episode_steps=9", "--json")
    assert made.code == 0
    assert rlbench("runs", "list").out == rlbench("runs").out
    assert rlbench("runs", "list", "--agent", "sarsa").out == "no runs fit\n"
    assert rlbench("runs", "list", "--json").document == rlbench("runs", "--json").document
    shown, document = rlbench("runs", "show", "latest").out, rlbench("runs", "show", "latest", "--json").document
    (listed,) = rlbench("runs", "--json").document["runs"]
    assert {name: document[name] for name in listed} == listed
    assert document["config"]["agent"]["name"] == "random"
    assert shown.startswith(f"run {listed['run']}: random on CliffWalking-v1, seed 0\n")
    assert re.search(r"^  status +finished, 2 episodes, 18 steps in", shown, re.MULTILINE)
    assert re.search(r"^  versions +rlbench 0", shown, re.MULTILINE)
    assert rlbench("runs", "--store", "rlbench.db", "show", "latest").out == shown


def test_runs_show_tells_all_that_made_a_run_and_how_to_make_it_again(rlbench):
    arguments = ("--episodes", 20, "--set", "gamma=0.5", "--env-set", "is_slippery=false", "--eval-every", 10)
    labels = ("--tag", "good", "--note", "word " * 20, "--stop-at", 2)
    first = rlbench(
        "train", "FrozenLake-v1", *arguments, *labels, "--wrapper", "TimeLimit:max_episode_steps=50", "--json"
    )
    rlbench("evaluate", "latest", "--episodes", 7, "--wrapper", "ClipReward:max_reward=1", "--seed", 3)
    shown = rlbench("runs", "show", "latest").out
    lines = shown.splitlines()
    again = next(line for line in lines if line.startswith("  made again"))
    in_python = lines.index("  in Python   import rlbench")
    assert all(len(line) <= 80 for line in lines[:in_python] if line != again)
    for told in (
        r"^  budget +20 episodes$",
        r"^  note +word .*\n {14}word ",
        r"^  env +map_name=4x4, is_slippery=false, max_episode_steps=50$",
        r"^  parameters +preset default$",
        r"^    gamma +0\.5 +set$",
        r"^    learning_rate +0\.2 +preset$",
        r"^    initial_value +0\.0$",
        r"^  evaluated +each 10 episodes of training, by 20 greedy ones$",
        r"^  callbacks +StopOnEvaluation:threshold=2\.0$",
        r"^  evaluation +100 greedy episodes, seed 0, mean return ",
        r"^  evaluation +in ClipReward:max_reward=1, 7 greedy episodes, seed\s+3, mean",
    ):
        assert re.search(told, shown, re.MULTILINE), (told, shown)
    document = rlbench("runs", "show", "latest", "--json").document
    assert (document["parameters_from"]["gamma"], document["parameters_from"]["learning_rate"]) == ("set", "preset")
    assert [one["episodes"] for one in document["evaluations"]] == [100, 7]
    assert document["evaluation"] == document["evaluations"][0]  # the run is judged in its own env
    assert document["command"] in again
    assert document["program"].splitlines()[0] == "import rlbench"
    repeated = rlbench(*shlex.split(document["command"])[1:], "--no-cache", "--json").document
    assert repeated["q_table_sha256"] == first.document["q_table_sha256"]


def test_runs_show_says_why_a_run_cannot_be_made_again(rlbench, store):
    run = _asked(store, agent="stranger", gamma=0.9, rate={"x": "\x1b[31m"})
    shown = rlbench("runs", "show", run)
    assert shown.code == 0
    assert re.search(rf"^  made again +not possible: run {run} was recorded", shown.out, re.MULTILINE)
    assert "\x1b" not in shown.out


def test_runs_show_tells_arguments_of_an_env_that_are_called_as_what_is_put_round_it(rlbench, store):
    run = _asked(store, kwargs={"bins": 5, "wrappers": True})
    assert re.search(
        r"^  env +bins=5, wrappers=true, max_episode_steps=200$", rlbench("runs", "show", run).out, re.MULTILINE
    )


def test_a_note_is_changed_without_a_tag_and_a_tag_without_the_note(rlbench, store):
    run = _add(store, "Taxi-v4", tags=["a"], note="old")
    assert rlbench("runs", "tag", run, "b").out == f"run {run}: a, b; note: old\n"
    assert rlbench("runs", "tag", run, "--note", "new", "--json").document["note"] == "new"
    assert rlbench("runs", "tag", run, "--note", "").out == f"run {run}: a, b\n"
    assert rlbench("runs", "tag", run).err == "Error: name a tag, or give --note TEXT\n"
    assert rlbench("runs", "--tag", "a", "--tag", "b", "--json").document["total"] == 1
    assert rlbench("runs", "--tag", "a", "--tag", "c").out == "no runs fit\n"


def test_pruning_lists_what_it_would_delete_and_deletes_it_only_on_demand(rlbench):
    for seed in range(3):
        rlbench("train", "FrozenLake-v1", "--episodes", "5", "--seed", str(seed), "--json")
    rule = ("store", "prune", "--keep-last", "1")
    ids = rlbench(*rule, "--json").document["would_delete"]
    shown = rlbench(*rule).out
    assert all(run in shown for run in ids)
    assert shown.endswith("rlbench.db: 2 runs would be deleted: --yes deletes them\n")
    assert len(rlbench("runs", "--json").document["runs"]) == 3
    assert rlbench(*rule, "--yes", "--json").document["deleted"] == ids
    assert len(rlbench("runs", "--json").document["runs"]) == 1
    assert rlbench(*rule, "--yes").out == "rlbench.db: every run is kept\n"
    assert "say what to keep: --keep-last N" in rlbench("store", "prune").err
