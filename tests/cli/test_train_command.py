"""`rlbench train`: what it prints, stores, answers from the store, and refuses."""

import json

import pytest

import rlbench as library
from rlbench.store import open_store

KEYS = [
    "run",
    "env_id",
    "agent",
    "seed",
    "engine",
    "episodes",
    "timesteps",
    "seconds",
    "q_table_sha256",
    "evaluation",
    "cache",
    "cached_episodes",
    "stopped",
]
FIGURES = ["mean_return", "exact_return", "optimal_return", "regret", "optimal_states", "reachable_states"]
SAFECAB = ("train", "safecab", "--episodes", 300)


def _record(path="rlbench.db"):
    with open_store(path, create=False) as store:
        return store.run("latest")


def test_train_says_what_was_trained_where_it_is_and_how_good_it_is(rlbench):
    outcome = rlbench("train", "safecab")
    title, trained, stored, greedy, exact, commands = outcome.out.splitlines()
    run = _record()
    assert (outcome.code, outcome.err) == (0, "")
    assert title == "q-learning on rlbench/SafeCab-v0, seed 0: finished, compiled loop"
    assert trained.startswith(f"  trained   60,000 episodes, {run.timesteps:,} steps in {run.seconds:.2f} s (")
    assert stored == f"  stored    run {run.id} in rlbench.db"
    assert greedy.startswith(f"  greedy    mean return {run.evaluation['mean_return']:.2f} (95% interval ")
    assert exact.startswith("  exact     989.1567 of 989.1567 possible, regret 0; optimal in 384 of 384 reachable")
    assert commands == "  next      rlbench watch latest ; rlbench replay latest --episode best ; rlbench runs"


def test_the_json_of_train_has_the_promised_keys_and_agrees_with_the_store(rlbench):
    outcome = rlbench(*SAFECAB, "--json")
    run = _record()
    document = outcome.document
    assert (outcome.code, outcome.err, list(document)) == (0, "", KEYS)
    assert list(document["evaluation"]) == FIGURES
    assert document["evaluation"] == {name: run.evaluation[name] for name in FIGURES}
    assert document["evaluation"]["reachable_states"] == 384
    told = tuple(document[name] for name in ("run", "env_id", "agent", "seed", "episodes", "timesteps", "seconds"))
    assert told == (run.id, "rlbench/SafeCab-v0", "q-learning", 0, 300, run.timesteps, run.seconds)
    assert (document["engine"], document["cache"], document["cached_episodes"]) == ("compiled", "miss", 0)
    assert len(document["q_table_sha256"]) == 64


def test_figures_without_a_model_and_the_table_of_an_agent_without_one_are_null(rlbench):
    cart = rlbench("train", "cartpole", "--episodes", 20, "--json").document
    assert [cart["evaluation"][name] for name in FIGURES[1:]] == [None] * 5
    assert (
        rlbench("train", "safecab", "--agent", "random", "--episodes", 5, "--json").document["q_table_sha256"] is None
    )


@pytest.mark.parametrize("env", ["safecab", "cartpole", "FrozenLake-v1"])
def test_the_same_command_gives_the_same_table_and_so_do_both_engines(rlbench, env):
    command = ("train", env, "--episodes", 100, "--no-cache", "--json")
    twice = [rlbench(*command).document for _ in range(2)]
    engines = [rlbench(*command, "--engine", engine).document for engine in ("python", "compiled")]
    assert [document["engine"] for document in engines] == ["python", "compiled"]
    for name in ("q_table_sha256", "timesteps", "evaluation"):
        assert len({json.dumps(document[name]) for document in twice + engines}) == 1
    assert len({document["run"] for document in twice + engines}) == 4


def test_another_seed_gives_another_table(rlbench):
    tables = {rlbench(*SAFECAB, "--seed", seed, "--json").document["q_table_sha256"] for seed in (0, 1, 10**30)}
    assert len(tables) == 3


def test_the_book_preset_brings_its_parameters_and_set_changes_one_of_them(rlbench):
    rlbench(*SAFECAB, "--preset", "book", "--set", "gamma=0.5")
    parameters = _record().config.agent.parameters
    assert (parameters["learning_rate"], parameters["gamma"], parameters["exploration_decay"]) == (0.7, 0.5, 1e-4)


def test_env_set_reaches_the_env(rlbench):
    rlbench("train", "FrozenLake-v1", "--episodes", 10, "--env-set", "is_slippery=False", "--env-set", "map_name=8x8")
    spec = json.loads(_record().config.env.spec)
    assert spec["kwargs"]["is_slippery"] is False
    assert _record().config.agent.n_states == 64


def test_a_list_for_the_env_is_a_list(rlbench):
    outcome = rlbench("train", "FrozenLake-v1", "--episodes", 10, "--env-set", 'desc=["SFFF","FFFG"]', "--json")
    assert outcome.document["evaluation"]["reachable_states"] == 7


def test_timesteps_end_with_the_episode_in_which_they_are_reached(rlbench):
    document = rlbench("train", "safecab", "--timesteps", 1000, "--json").document
    with open_store("rlbench.db") as store:
        lengths = store.figures("latest")["length"]
    assert document["timesteps"] == lengths.sum()
    assert lengths.sum() >= 1000 > lengths[:-1].sum()


def test_the_first_budget_to_be_spent_ends_the_training(rlbench):
    command = ("train", "safecab", "--json", "--episodes")
    assert rlbench(*command, 5, "--timesteps", 10**6).document["episodes"] == 5
    assert rlbench(*command, 10**6, "--timesteps", 100).document["episodes"] < 100


def test_asking_again_is_answered_from_the_store_and_says_so(rlbench):
    first = rlbench(*SAFECAB, "--json").document
    again = rlbench(*SAFECAB, "--json").document
    assert (again["cache"], again["cached_episodes"]) == ("hit", 300)
    assert {**again, "cache": "miss", "cached_episodes": 0} == first
    assert "compiled loop, answered from the store (--no-cache trains anew)" in rlbench(*SAFECAB).out


def test_asking_for_more_goes_on_from_the_store_and_says_so(rlbench):
    rlbench(*SAFECAB)
    longer = ("train", "safecab", "--episodes", 500)
    assert "compiled loop, went on from the 300 episodes in the store (--no-cache trains anew)" in rlbench(*longer).out
    cold = rlbench(*longer, "--store", "cold.db", "--json").document
    assert rlbench(*longer, "--json").document["q_table_sha256"] == cold["q_table_sha256"]


def test_asking_for_less_leaves_the_evaluation_of_the_longer_run_alone(rlbench):
    rlbench("train", "safecab", "--episodes", 50)
    rlbench("train", "safecab", "--episodes", 60_000)
    longer = _record()
    less = rlbench("train", "safecab", "--episodes", 50, "--json").document
    assert less["episodes"] == 50
    assert less["evaluation"]["regret"] > 0
    with open_store("rlbench.db") as store:
        assert store.run(longer.id).evaluation["regret"] == 0


def test_a_run_that_is_not_the_latest_is_named_in_what_to_do_next(rlbench):
    rlbench(*SAFECAB)
    older = _record().id
    rlbench("train", "cartpole", "--episodes", 5)
    assert f"rlbench watch {older} ; rlbench replay {older}" in rlbench(*SAFECAB).out


def test_what_to_do_next_is_what_can_be_done(rlbench, monkeypatch):
    assert "replay" not in rlbench(*SAFECAB, "--record", "none").out
    assert "next" not in rlbench(*SAFECAB, "--store", "memory://").out
    assert "rlbench runs --store 'my runs.db'" in rlbench(*SAFECAB, "--store", "my runs.db").out
    monkeypatch.setenv("RLBENCH_STORE", "other.db")
    assert rlbench(*SAFECAB).out.endswith("rlbench runs\n")


def test_the_store_is_that_of_the_option_else_of_the_environment_else_rlbench_db(rlbench, monkeypatch, tmp_path):
    rlbench(*SAFECAB)
    monkeypatch.setenv("RLBENCH_STORE", "from_environment.db")
    rlbench(*SAFECAB)
    rlbench(*SAFECAB, "--store", "sqlite:///from_option.db")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["from_environment.db", "from_option.db", "rlbench.db"]
    assert rlbench("runs", "--json").document["runs"][0]["episodes"] == 300


def test_memory_leaves_nothing_behind(rlbench, tmp_path):
    assert rlbench(*SAFECAB, "--store", "memory://").code == 0
    assert list(tmp_path.iterdir()) == []


def test_without_steps_the_store_keeps_the_figures_only(rlbench):
    rlbench(*SAFECAB, "--record", "none")
    with open_store("rlbench.db") as store:
        assert len(store.figures("latest")["return"]) == 300
        assert all(chunk.steps is None for chunk in store.chunks("latest"))


def test_replay_q_learns_through_the_same_command(rlbench):
    document = rlbench(
        "train", "FrozenLake-v1", "--episodes", 20, "--agent", "replay-q", "--set", "batch_size=4", "--json"
    ).document
    assert (document["agent"], document["engine"]) == ("replay-q", "compiled")
    assert _record().config.agent.parameters["batch_size"] == 4


def test_an_early_stop_is_said_and_resumed_only_without(rlbench):
    command = ("train", "FrozenLake-v1", "--stop-at", 0.1)
    stopped, reason = rlbench(*command, "--json").document, "StopOnReturn(threshold=0.1, window=100, every=100)"
    assert stopped["stopped"] == reason
    assert stopped["episodes"] % 100 == 0
    assert f"  stopped   by {reason}\n" in rlbench(*command).out
    refused = rlbench("resume", "latest")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--no-callbacks" in refused.err
    more = stopped["episodes"] + 50
    assert rlbench("resume", "latest", "--no-callbacks", "--episodes", more, "--json").document["stopped"] is None


def test_evaluations_while_training_may_stop_it_too(rlbench):
    run = rlbench("train", "FrozenLake-v1", "--eval-every", 500, "--eval-episodes", 10, "--stop-at", 0.3, "--json")
    assert run.document["stopped"] == "StopOnEvaluation(threshold=0.3)"
    assert _record().config.evaluating.episodes == 10


# ------------------------------------------------------------------ many seeds, labels

LAKE = ("train", "FrozenLake-v1", "--episodes", 30, "--engine", "python")


def test_many_seeds_are_trained_and_judged_together(rlbench):
    alone = rlbench(*LAKE, "--seed", 1, "--json").document
    found = rlbench(*LAKE, "--seeds", "0:2,5", "--tag", "good", "--note", "why", "--json").document
    assert [(run["seed"], run["cache"]) for run in found["runs"]] == [(0, "miss"), (1, "hit"), (5, "miss")]
    assert (found["runs"][1]["run"], found["failed"]) == (alone["run"], [])
    assert found["runs"][1]["q_table_sha256"] == alone["q_table_sha256"]
    returns = [run["evaluation"]["mean_return"] for run in found["runs"]]
    assert found["mean_return"] == pytest.approx(sum(returns) / 3)
    assert min(returns) <= found["interval"][0] <= found["mean_return"] <= found["interval"][1] <= max(returns)
    labelled = rlbench("runs", "--tag", "good", "--json").document["runs"]
    assert {(run["seed"], run["note"]) for run in labelled} == {(0, "why"), (1, "why"), (5, "why")}
    title, _, *rows, greedy, stored = rlbench(*LAKE, "--seeds", "0:2").out.splitlines()
    assert title == "q-learning on FrozenLake-v1, 2 seeds"
    assert [row.split()[0] for row in rows] == ["0", "1"]
    assert greedy.startswith("  greedy    mean return 0.")
    assert stored.startswith("  stored    2 runs in rlbench.db, 2 of them from there in whole or in part")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", 2], "--workers goes with --seeds, such as --seeds 0:8 --workers 2"),
        (["--seeds", "0:2", "--seed", 1], "give --seed for one run or --seeds for many"),
        (["--seeds", "0-2"], "--seeds takes A:B or numbers, such as 0:8 (0 to 7) or 1,2,5, got '0-2'"),
        (["--seeds", "3:3"], "seeds must be at least one, got none"),
        (["--seeds", "1,1"], "seeds must be different, got 1 twice"),
        (["--seeds", "0:100000"], "--seeds takes at most 10,000 seeds"),
        (["--seeds", "0:6000,7000:13000"], "--seeds takes at most 10,000 seeds"),
        (["--seeds", "0:2", "--workers", 2, "--store", "memory://"], "a store in memory belongs to one process"),
        (["--seeds", "0:2", "--set", "gama=1"], "unknown parameter"),
        (["--tag", "a\x1b"], "control characters"),
    ],
)
def test_a_mistake_with_many_seeds_is_one_line_and_leaves_no_store(rlbench, tmp_path, arguments, message):
    outcome = rlbench(*LAKE, *arguments)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_one_seed_that_fails_is_a_line_beside_the_others(rlbench, monkeypatch):
    from rlbench.errors import ProcessError
    from rlbench.training import many

    def at_once(requests, store, then, _bar, _workers):
        run = library.train(**requests[0], store=store)
        then(run)
        yield many.Trained(0, library.Run(run.store.run(run.id), run.store))
        yield many.Trained(1, error=ProcessError("its process was killed by SIGKILL"))

    monkeypatch.setattr(many, "_at_once", at_once)
    outcome = rlbench(*LAKE, "--seeds", "0:2", "--workers", 2)
    assert (outcome.code, outcome.out.splitlines()[0]) == (1, "q-learning on FrozenLake-v1, 1 seed")
    lost = "Error: seed 1: its process was killed by SIGKILL; the same command goes on from what is stored\n"
    assert outcome.err == lost


def test_a_run_from_the_cache_gets_the_labels_that_it_lacks(rlbench):
    first = rlbench(*LAKE, "--tag", "a", "--note", "first", "--json").document
    again = rlbench(*LAKE, "--tag", "b", "--tag", "a", "--json").document
    assert (again["run"], again["cache"]) == (first["run"], "hit")
    (run,) = rlbench("runs", "--json").document["runs"]
    assert (run["tags"], run["note"]) == (["a", "b"], "first")
    longer = rlbench(*LAKE[:3], 40, *LAKE[4:], "--note", "second", "--json").document
    assert longer["cache"] == "prefix"
    assert [run["note"] for run in rlbench("runs", "--json").document["runs"]] == ["second", "first"]
