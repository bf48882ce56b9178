"""A run that was gone on with is the run that never stopped, and the same training is not done twice."""

import contextlib
import itertools
import json
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import gymnasium as gym
import pytest
from contracts import stores
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from training.toys import Circle, frozen
from waiting import HANG, until_steps_are_stored

import rlbench
from rlbench.agents import QLearning, ReplayQ
from rlbench.errors import StoreError, UsageError
from rlbench.store import checking, documents
from rlbench.store.config import BudgetConfig
from rlbench.training import recorder, session
from rlbench.training.stored import fill

ENVS = {"safecab": 900, "cartpole": 300, "FrozenLake-v1": 600, "MountainCar-v0": 30, "Acrobot-v1": 15}
RARELY = ("MountainCar-v0", "Acrobot-v1")
EACH = [pytest.param(env, marks=[pytest.mark.long] * (env in RARELY)) for env in ENVS]
AGENTS = {"q-learning": {}, "replay-q": {"buffer_size": 200, "learning_starts": 50, "batch_size": 4}, "random": {}}


def outcome(run):
    """All that a run came to, wherever its chunks are cut: counts, figures, tables, generators, episodes."""
    episodes = run.store.episodes(run.id)[: run.episodes] if run.record.config.keeps_steps else []
    return {
        "counts": (run.episodes, run.timesteps, run.status),
        "agent": frozen(run.agent.state_dict()),
        "figures": frozen(run.figures),
        "checkpoint": frozen(run.store.checkpoint(run.id, run.episodes)),
        "episodes": [frozen(episode) for episode in episodes],
    }


@pytest.fixture
def store(tmp_path):
    with rlbench.open_store(tmp_path / "runs.db") as opened:
        yield opened


def trained(env, agent="q-learning", **arguments):
    return rlbench.train(env, agent, seed=arguments.pop("seed", 4), agent_kwargs=AGENTS[agent], **arguments)


def pairs():
    """Every env with every agent; the loops of a memory are compiled for ten seconds each."""
    for env, agent in itertools.product(ENVS, AGENTS):
        takes_long = env in RARELY or (agent == "replay-q" and env != "FrozenLake-v1")
        yield pytest.param(env, agent, marks=[pytest.mark.long] * takes_long)


@pytest.mark.parametrize("engine", ["compiled", "python"])
@pytest.mark.parametrize(("env", "agent"), list(pairs()))
def test_a_larger_budget_goes_on_from_the_stored_prefix_and_equals_a_cold_run(env, agent, engine, store):
    episodes = ENVS[env]
    first = trained(env, agent, episodes=episodes // 3, store=store, engine=engine)
    whole = trained(env, agent, episodes=episodes, store=store, engine=engine)
    assert (first.cache, whole.cache, whole.cached_episodes) == ("miss", "prefix", episodes // 3)
    assert outcome(whole) == outcome(trained(env, agent, episodes=episodes, engine=engine))


@pytest.mark.parametrize("env", EACH)
def test_a_resumed_run_equals_the_one_that_never_stopped_across_the_loops(env, store):
    run = trained(env, episodes=ENVS[env] // 2, store=store, engine="python")
    resumed = rlbench.resume(rlbench.load_run(store, run.id), episodes=ENVS[env], engine="compiled")
    assert (resumed.id != run.id, resumed.record.parents) == (True, (run.id,))
    assert outcome(resumed) == outcome(trained(env, episodes=ENVS[env]))


def test_a_budget_of_steps_is_gone_on_with_too(store):
    trained("safecab", total_timesteps=2000, store=store)
    longer = trained("safecab", total_timesteps=5000, store=store)
    assert longer.cache == "prefix"
    assert outcome(longer) == outcome(trained("safecab", total_timesteps=5000))


def test_the_same_training_again_is_answered_from_the_store(store):
    first, again = (trained("safecab", episodes=300, store=store) for _ in range(2))
    assert (again.cache, again.id, again.cached_episodes) == ("hit", first.id, 300)
    assert outcome(again) == outcome(first)
    assert len(store.runs()) == 1


def test_several_budgets_of_one_key_stand_side_by_side(store):
    small = trained("safecab", episodes=200, store=store)
    store.update_run(small.id, evaluation={"mean_return": 1.0}, tags=["paper"])
    before, kept = store.run(small.id), outcome(small)
    large = trained("safecab", episodes=500, store=store)
    assert (large.cache, large.cached_episodes, large.record.parents) == ("prefix", 200, (small.id,))
    assert outcome(large) == outcome(trained("safecab", episodes=500))
    for budget, run in ((200, small), (500, large)):
        again = trained("safecab", episodes=budget, store=store)
        assert (again.cache, again.id, again.status) == ("hit", run.id, "finished")
        assert outcome(again) == outcome(run)
    after = store.run(small.id)
    assert replace(after, cache=before.cache) == before
    assert (after.cache.prefix, after.cache.hit) == (1, 1)
    assert outcome(rlbench.load_run(store, small.id)) == kept
    assert list(checking.check(store)) == []


def test_a_run_stays_whole_when_the_one_that_it_goes_on_from_is_deleted(store):
    small = trained("safecab", episodes=200, store=store)
    large = trained("safecab", episodes=300, store=store)
    store.delete_run(small.id)
    assert outcome(rlbench.load_run(store, large.id)) == outcome(trained("safecab", episodes=300))
    assert list(checking.check(store)) == []


def test_a_smaller_budget_without_a_checkpoint_is_trained_anew(store):
    large = trained("safecab", episodes=500, store=store)
    small = trained("safecab", episodes=123, store=store)
    assert small.cache == "miss"
    assert small.id != large.id
    assert outcome(small) == outcome(trained("safecab", episodes=123))


def test_a_budget_of_steps_finds_the_run_of_episodes_that_ends_just_there(store):
    run = trained("safecab", episodes=300, store=store)
    assert trained("safecab", total_timesteps=run.timesteps, store=store).cache == "hit"
    assert trained("safecab", total_timesteps=run.timesteps - int(run.lengths[-1]), store=store).cache == "miss"


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 5},
        {"agent": "random"},
        {"env_kwargs": {"step_reward": -2.0}},
        {"env_kwargs": {"max_episode_steps": 50}},
        {"record": "none"},
        {"preset": "book"},
        {"cache": False},
    ],
    ids=str,
)
def test_what_differs_in_anything_is_a_miss(other, store):
    trained("safecab", episodes=50, store=store)
    assert trained("safecab", **{"episodes": 50, "store": store, **other}).cache == "miss"


def test_a_hyper_parameter_that_differs_is_a_miss_and_a_schedule_by_the_budget_is_in_the_key(store):
    for parameters in ({"gamma": 0.9}, {"gamma": 0.9, "initial_value": 1.0}):
        run = rlbench.train("safecab", episodes=50, seed=0, store=store, agent_kwargs=parameters)
        assert run.cache == "miss"
    share = {"exploration_schedule": "linear", "exploration_fraction": 0.5}
    for steps in (500, 900):
        run = rlbench.train("safecab", total_timesteps=steps, seed=0, store=store, agent_kwargs=share)
        assert run.cache == "miss"


def test_what_is_passed_as_an_object_is_not_known_again(store):
    for _ in range(2):
        env = gym.make("FrozenLake-v1")
        assert rlbench.train(env, episodes=5, seed=0, store=store).cache == "miss"
        agent = QLearning(env.observation_space, env.action_space, seed=0)
        assert rlbench.train("FrozenLake-v1", agent, episodes=5, seed=0, store=store).cache == "miss"


def test_an_agent_that_has_played_gets_the_budget_on_top(store):
    first = rlbench.train("FrozenLake-v1", episodes=5, seed=0, store=store)
    again = rlbench.train("FrozenLake-v1", first.agent, episodes=7, seed=1, store=store)
    assert (again.episodes, again.agent.episodes) == (7, 12)


def test_going_on_from_a_finished_run_leaves_it_as_it_is(store):
    run = trained("safecab", episodes=100, store=store)
    before = store.update_run(run.id, evaluation={"mean_return": 1.0}, tags=["mine"])
    resumed = rlbench.resume(run, episodes=150)
    assert store.run(run.id) == before
    assert (resumed.record.evaluation, resumed.record.tags, resumed.record.parents) == (None, (), (run.id,))
    assert resumed.record.config.budget == BudgetConfig(episodes=150)


def test_a_finished_run_wants_a_larger_budget(store):
    run = trained("safecab", episodes=100, store=store)
    for arguments in ({}, {"episodes": 100}, {"episodes": 40}, {"total_timesteps": 5}):
        with pytest.raises(UsageError, match=f"run {run.id} has come to 100 episodes"):
            rlbench.resume(run, **arguments)
    with pytest.raises(UsageError, match="episodes must be a whole number"):
        rlbench.resume(run, episodes=0)
    assert store.run(run.id).episodes == 100


def test_a_run_of_an_env_without_a_spec_says_that_it_cannot_be_made_again(store):
    run = rlbench.train(Circle(), "random", episodes=3, seed=0, store=store)
    with pytest.raises(StoreError, match="cannot make Circle again"):
        rlbench.resume(run, episodes=5)


def test_what_broke_off_within_an_episode_begins_anew_and_comes_to_the_same(store, monkeypatch):
    step, left = FrozenLakeEnv.step, [55]

    def breaking(env, action):
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("the wire broke")
        return step(env, action)

    monkeypatch.setattr(FrozenLakeEnv, "step", breaking)
    with pytest.raises(RuntimeError, match="the wire broke"):
        trained("FrozenLake-v1", episodes=40, store=store, engine="python")
    monkeypatch.undo()
    run = rlbench.load_run(store, "latest")
    assert (run.status, run.record.config.budget.episodes) == ("interrupted", 40)
    assert run.episodes > 0
    resumed = rlbench.resume(run)
    assert resumed.status == "finished"
    assert outcome(resumed) == outcome(trained("FrozenLake-v1", episodes=40))


def test_a_second_writer_is_refused(store, tmp_path):
    begun, go = threading.Event(), threading.Event()

    def hook(n):
        if n == 50:
            begun.set()
            go.wait(HANG)

    thread = threading.Thread(target=lambda: rlbench.train(Circle(hook), episodes=10, seed=0, store=store))
    thread.start()
    assert begun.wait(HANG)
    with rlbench.open_store(tmp_path / "runs.db") as other:
        run = rlbench.load_run(other, "latest")
        assert run.status == "running"
        with pytest.raises(StoreError, match="is being written by another process"):
            other.claim(run.id)
    go.set()
    thread.join()
    assert rlbench.load_run(store, "latest").status == "finished"


def test_a_run_shows_that_it_is_alive_however_long_an_episode_takes(store, monkeypatch):
    beats, show_alive = threading.Semaphore(0), store.show_alive

    def showing(run_id):
        show_alive(run_id)
        beats.release()

    monkeypatch.setattr("rlbench.training.writer.BEAT", 0.001)
    monkeypatch.setattr(store, "show_alive", showing)
    shown = []
    run = rlbench.train(
        Circle(lambda n: n == 3 and shown.append(beats.acquire(timeout=HANG))), episodes=2, seed=0, store=store
    )
    assert (run.status, shown) == ("finished", [True])


# ------------------------------------------------------------------------------------------------- lineage


def test_the_lineage_of_a_run_names_whatever_its_agent_has_learnt_from(store):
    first = trained("FrozenLake-v1", episodes=20, store=store)
    again = rlbench.train("FrozenLake-v1", first.agent, episodes=5, seed=1, store=store)
    assert again.record.parents == (first.id,)
    read = rlbench.train("FrozenLake-v1", rlbench.load_run(store, again.id).agent, episodes=5, seed=1, store=store)
    assert read.record.parents == (again.id,)
    retrained = rlbench.retrain(first).run
    assert rlbench.train("FrozenLake-v1", retrained.agent, episodes=5, seed=1, store=store).record.parents == (
        retrained.id,
    )
    learner = ReplayQ(16, 4, seed=0)
    fill(learner.buffer, [first, again])
    filled = rlbench.train("FrozenLake-v1", learner, episodes=5, seed=1, store=store)
    assert filled.record.parents == (first.id, again.id)
    assert trained("FrozenLake-v1", episodes=3, store=store).record.parents == ()


def test_a_run_begun_with_an_experienced_agent_is_gone_on_with_in_its_own_counts(store):
    agent = trained("FrozenLake-v1", episodes=20).agent
    run = rlbench.train("FrozenLake-v1", agent, episodes=30, seed=1, store=store)
    longer = rlbench.resume(run, episodes=45)
    assert (run.episodes, longer.episodes, longer.cached_episodes, longer.agent.episodes) == (30, 45, 30, 65)


# ------------------------------------------------------------------------------------- what cannot be gone on with


def test_what_was_not_trained_says_what_can_be_done_instead(store):
    run = trained("FrozenLake-v1", episodes=20, store=store)
    with pytest.raises(UsageError, match="was learnt from stored steps: retrain again"):
        rlbench.resume(rlbench.retrain(run).run, episodes=50)
    with rlbench.RecordEpisodes(gym.make("FrozenLake-v1"), store) as env:
        env.reset(seed=0)
    with pytest.raises(UsageError, match="was recorded, not trained: retrain learns from its steps"):
        rlbench.resume(rlbench.load_run(store, env.run_id), episodes=50)


def test_a_run_never_goes_below_what_is_stored(store, monkeypatch):
    run = interrupted_at(store, monkeypatch, 700)
    stored = store.run(run.id)
    for budget in ({"episodes": 3}, {"total_timesteps": 100}):
        with pytest.raises(UsageError, match=f"run {run.id} has come to {run.episodes} episodes"):
            rlbench.resume(run, **budget)
        smaller = trained("FrozenLake-v1", store=store, engine="python", **budget)
        assert (smaller.status, smaller.id != run.id) == ("finished", True)
        assert outcome(smaller) == outcome(trained("FrozenLake-v1", **budget))
        assert store.run(run.id) == stored


def test_going_on_with_an_env_that_is_another_now_is_refused_and_changes_nothing(store, monkeypatch):
    run = interrupted_at(store, monkeypatch, 700)
    figures = frozen(run.figures)
    step = FrozenLakeEnv.step

    def other(env, action):
        observation, reward, *rest = step(env, action)
        return (observation, reward + 1.0, *rest)

    monkeypatch.setattr(FrozenLakeEnv, "step", other)
    with pytest.raises(StoreError, match=f"run {run.id} cannot be resumed: trained again from its last checkpoint"):
        rlbench.resume(run, engine="python")
    monkeypatch.undo()
    found = rlbench.load_run(store, run.id)
    assert (found.status, frozen(found.figures)) == ("interrupted", figures)
    assert outcome(rlbench.resume(found)) == outcome(trained("FrozenLake-v1", episodes=200))


def spoil_last_checkpoint(store, run, **numbers):
    """Gives the last checkpoint of a run other numbers, behind right checksums; it says that it can be gone on from."""
    info = store.checkpoints(run.id)[-1]
    state = store.checkpoint(run.id)
    spoilt = replace(state, numbers={**state.numbers, "unfinished_episode": False, **numbers})
    row = documents.checkpoint_row(run.id, spoilt, info.chunks, keep=info.kept)
    values = (row.info.created_at, row.info.size, row.state, info.run, info.timesteps)
    sql = "UPDATE checkpoints SET created_at = ?, size = ?, state_blob = ? WHERE run = ? AND timesteps = ?"
    with contextlib.closing(sqlite3.connect(store.url.removeprefix("sqlite:///"))) as database, database:
        assert database.execute(sql, values).rowcount == 1


@pytest.mark.parametrize("numbers", [{"env_rng": {"bit_generator": "PCG64"}}, {"env_rng": 3}, {"agent": {}}])
@pytest.mark.parametrize("status", ["finished", "interrupted"])
def test_what_cannot_be_put_back_is_trained_anew_as_if_it_were_not_there(store, monkeypatch, numbers, status):
    is_finished = status == "finished"
    run = trained("FrozenLake-v1", episodes=50, store=store) if is_finished else interrupted_at(store, monkeypatch, 700)
    spoil_last_checkpoint(store, run, **numbers)
    before = store.run(run.id)
    anew = trained("FrozenLake-v1", episodes=200, store=store)
    assert (anew.cache, outcome(anew)) == ("miss", outcome(trained("FrozenLake-v1", episodes=200)))
    assert {one.id for one in store.runs()} == {run.id, anew.id}
    with pytest.raises(StoreError, match="the run, checkpoint at step"):
        rlbench.resume(rlbench.load_run(store, run.id), episodes=300, engine="compiled")
    assert (store.run(run.id), len(store.runs())) == (before, 2)


def interrupted_at(store, monkeypatch, steps):
    """A run of the ice that broke off at a step, within an episode."""
    step, left = FrozenLakeEnv.step, [steps]

    def breaking(env, action):
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("the wire broke")
        return step(env, action)

    with monkeypatch.context() as patched:
        patched.setattr(FrozenLakeEnv, "step", breaking)
        patched.setattr(recorder, "CHUNK_STEPS", 100)
        patched.setattr(recorder, "RESERVE", 3)
        patched.setattr(session, "CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(RuntimeError, match="the wire broke"):
            trained("FrozenLake-v1", episodes=200, store=store, engine="python")
    return rlbench.load_run(store, "latest")


@pytest.mark.parametrize("engine", ["compiled", "python"])
@pytest.mark.parametrize("steps", [1, 50, 99, 100, 101, 303, 700])
def test_what_broke_off_anywhere_is_trained_again_and_gone_on_with(store, monkeypatch, steps, engine):
    run = interrupted_at(store, monkeypatch, steps)
    resumed = rlbench.resume(run, engine=engine)
    assert (resumed.id, resumed.status) == (run.id, "finished")
    assert outcome(resumed) == outcome(trained("FrozenLake-v1", episodes=200))
    assert list(checking.check(store)) == []


@pytest.mark.parametrize("engine", ["compiled", "python"])
def test_what_broke_off_within_an_episode_is_gone_on_with_for_many_chunks(store, monkeypatch, engine):
    run = interrupted_at(store, monkeypatch, 303)
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 100)
    monkeypatch.setattr(recorder, "RESERVE", 3)
    resumed, whole = outcome(rlbench.resume(run, engine=engine)), outcome(trained("FrozenLake-v1", episodes=200))
    assert resumed == whole


@pytest.mark.parametrize("name", ["algorithm", "gymnasium"])
@pytest.mark.parametrize("status", ["finished", "interrupted"])
def test_a_run_of_other_versions_is_not_gone_on_with_unless_asked(store, name, status):
    run = trained("FrozenLake-v1", episodes=20, store=store)
    config = run.record.config
    old = replace(config, versions={**config.versions, name: "0.1"})
    stores.rewrite(store, run.id, config=json.dumps(old.document()), status=status)
    found = rlbench.load_run(store, run.id)
    with pytest.raises(UsageError, match=f"was made by {name} 0.1, here is .*anyway=True"):
        rlbench.resume(found, episodes=50)
    longer = rlbench.resume(found, episodes=50, anyway=True)
    assert (longer.record.config.versions, longer.record.config.began_with) == (config.versions, old.versions)
    assert store.run(longer.id).config.began_with[name] == "0.1"
    assert store.run(longer.id).cache_key == ""  # no training gives this in one go
    assert rlbench.resume(longer, episodes=60).record.config.began_with == old.versions


# ------------------------------------------------------------------------------------------------- killed

GOING_ON = """
    import os, sys, rlbench
    from rlbench.store.sqlite import SqliteBackend
    from rlbench.training import recorder, session
    recorder.CHUNK_STEPS, recorder.RESERVE, session.CHECKPOINT_SECONDS = 256, 200, 0.0
    left = int(sys.argv[2])
    def counted(write):
        def written(*arguments, **act):
            global left
            if not left:
                os.kill(os.getpid(), 9)
            left -= 1
            return write(*arguments, **act)
        return written
    for name in ("commit", "insert_run"):
        setattr(SqliteBackend, name, counted(getattr(SqliteBackend, name)))
    rlbench.train("FrozenLake-v1", episodes=200, seed=4, store=sys.argv[1], engine="python")
"""


@pytest.mark.parametrize("writes", [1, *(pytest.param(n, marks=pytest.mark.long) for n in (0, 2, 3, 4, 5, 6, 7, 8, 9))])
def test_going_on_that_is_killed_at_any_write_leaves_the_finished_run_as_it_was(tmp_path, writes):
    path = tmp_path / "runs.db"
    with rlbench.open_store(path) as store:
        run = trained("FrozenLake-v1", episodes=50, store=store, engine="python")
        before = store.update_run(run.id, tags=["paper"], evaluation={"mean_return": 0.5})
        kept = outcome(run)
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(GOING_ON), path, str(writes)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with rlbench.open_store(path) as store:
        assert replace(store.run(run.id), cache=before.cache) == before
        assert outcome(rlbench.load_run(store, run.id)) == kept
        assert list(checking.check(store)) == []
        longer = trained("FrozenLake-v1", episodes=200, store=store)
        assert outcome(longer) == outcome(trained("FrozenLake-v1", episodes=200))
        assert list(checking.check(store)) == []


KILLED = """
    import sys, rlbench
    from rlbench.training import recorder, session
    recorder.CHUNK_STEPS, recorder.RESERVE = 256, 200
    session.CHECKPOINT_SECONDS, session.CHECKPOINT_RATE = 0.0, 1e12
    env, agent, engine, path = sys.argv[1:]
    print("training", flush=True)
    rlbench.train(env, agent, total_timesteps=200_000_000, seed=7, store=path, engine=engine)
"""
CASES = [
    ("safecab", "q-learning", "python"),
    ("CliffWalking-v1", "replay-q", "compiled"),
    ("cartpole", "random", "compiled"),
]


@contextlib.contextmanager
def killed_in_the_end(case, path):
    """A process that trains until the block ends."""
    program = [sys.executable, "-c", textwrap.dedent(KILLED), *case, path]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def check_what_is_left(case, path, monkeypatch):
    env, agent, engine = case
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    with rlbench.open_store(path) as store:
        if not store.runs():
            return
        run = rlbench.load_run(store, "latest")
        assert run.status == "interrupted"
        resumed = rlbench.resume(run, total_timesteps=run.timesteps + 500, engine=engine)
        assert resumed.status == "finished"
        never_stopped = rlbench.train(env, agent, total_timesteps=run.timesteps + 500, seed=7)
        assert outcome(resumed) == outcome(never_stopped)


@pytest.mark.parametrize(
    "case", [CASES[0], *(pytest.param(case, marks=pytest.mark.long) for case in CASES[1:])], ids=" ".join
)
def test_a_killed_run_is_resumed_as_if_nothing_had_happened(case, tmp_path, monkeypatch):
    path = tmp_path / "killed.db"
    with killed_in_the_end(case, path) as process:
        until_steps_are_stored(path, process)
    check_what_is_left(case, path, monkeypatch)


# Counts the statements that SQLite executes, and dies before one of them.
KILLS_ITSELF = """
    import itertools, os, signal, sqlite3, sys
    connect, statements, last = sqlite3.connect, itertools.count(), int(sys.argv.pop())
    def count(_):
        if next(statements) == last:
            os.kill(os.getpid(), signal.SIGKILL)
    def traced(*args, **kwargs):
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(count)
        return connection
    sqlite3.connect = traced
"""


@pytest.mark.long
@pytest.mark.parametrize("statement", [1, 9, 16, 24, *range(42, 50)])  # a new file, a new run, a chunk from end to end
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_run_killed_before_any_statement_is_resumed(case, statement, tmp_path, monkeypatch):
    program = textwrap.dedent(KILLS_ITSELF) + textwrap.dedent(KILLED)
    command = [sys.executable, "-c", program, *case, tmp_path / "killed.db", str(statement)]
    assert subprocess.run(command, check=False, timeout=HANG, capture_output=True).returncode == -signal.SIGKILL
    check_what_is_left(case, tmp_path / "killed.db", monkeypatch)
