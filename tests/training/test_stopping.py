"""How training stops before its budget: errors of the env or the store, rewards that are none, Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading

import gymnasium as gym
import numpy as np
import pytest
from training.toys import Circle, Fragile, frozen, outcome
from waiting import HANG

import rlbench
from rlbench.errors import StoreError, UsageError
from rlbench.training import _compiled, recorder
from rlbench.training.monitor import Monitor
from rlbench.training.writer import Writer

ENGINES = ("compiled", "python")


@pytest.fixture
def store():
    with rlbench.open_store("memory://") as store:
        yield store


def _episodes(run):
    return list(run.store.episodes(run.id))


def _raising(n, error):
    def hook(step):
        if step == n:
            raise error

    return hook


def _break_at(step, **kwargs):
    """Trains on an env that fails in one of its steps; the error must come out as it is."""
    with pytest.raises(ZeroDivisionError, match="the env"):
        rlbench.train(Circle(_raising(step, ZeroDivisionError("the env"))), episodes=100, seed=0, **kwargs)


def _latest(store):
    return rlbench.load_run(store, "latest")


@pytest.mark.parametrize("at", [1, 25, 10, 11])
def test_an_error_of_the_env_interrupts_a_run_that_keeps_figures(at, store):
    _break_at(at, store=store, record="none")
    run = _latest(store)
    assert (run.status, run.episodes) == ("interrupted", (at - 1) // 10)
    assert run.returns.tolist() == [10.0] * run.episodes


@pytest.mark.parametrize("at", [25, 255])
@pytest.mark.parametrize("chunk", [2**16, 64])
def test_an_error_of_the_env_leaves_all_whole_episodes_before_it(at, chunk, store, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", chunk)
    _break_at(at, store=store)
    run = _latest(store)
    assert (run.status, run.episodes) == ("interrupted", at // 10)
    assert [len(e) for e in store.episodes(run.id)] == [10] * (at // 10)
    assert run.agent.timesteps == at - 1


def test_an_error_of_the_env_leaves_the_figures_of_all_whole_episodes_before_it(store, monkeypatch):
    monkeypatch.setattr(recorder, "UNRECORDED_EPISODES", 4)
    _break_at(125, store=store, record="none")
    assert _latest(store).episodes == 12


def test_an_error_between_two_episodes_loses_none(store):
    class Broken(Circle):
        def reset(self, *, seed=None, options=None):
            if self.steps == 50:
                raise ZeroDivisionError("the env")
            return super().reset(seed=seed)

    with pytest.raises(ZeroDivisionError, match="the env"):
        rlbench.train(Broken(), episodes=100, seed=0, store=store)
    run = _latest(store)
    assert (run.status, run.episodes, run.agent.episodes) == ("interrupted", 5, 5)
    assert [len(e) for e in store.episodes(run.id)] == [10] * 5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("record", ["all", "none"])
def test_a_reward_that_is_no_number_interrupts_the_run(value, record, store):
    env = Circle(lambda n: value if n == 125 else None)
    with pytest.raises(UsageError, match="episode 12, step 5: the reward must be a finite number"):
        rlbench.train(env, episodes=100, seed=0, store=store, record=record)
    run = _latest(store)
    assert run.status == "interrupted"
    assert np.isfinite(run.returns).all()
    assert run.episodes == len(run.returns) <= 12


def test_rewards_that_add_up_to_no_number_are_noticed_while_the_chunk_before_is_being_written(store, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 64)
    append, close, closing = store.append, Writer.close, threading.Event()

    def slow(run_id, chunk=None, *args, **kwargs):
        if chunk is None:
            closing.set()
        elif chunk.first_episode == 2:  # the one before episode 3
            assert closing.wait(HANG)
        append(run_id, chunk, *args, **kwargs)
        order.append("closed" if chunk is None else chunk.first_episode)

    order = []
    monkeypatch.setattr(store, "append", slow)
    monkeypatch.setattr(Writer, "close", lambda self: (closing.set(), close(self)))
    huge = Circle(lambda n: 1.7e308 if n in (35, 36) else None)
    with pytest.raises(UsageError, match="the rewards of episode 3 add up to no finite return"):
        rlbench.train(huge, "random", episodes=100, seed=0, store=store)
    assert order == [0, 1, 2, "closed"]
    assert store.run("latest").status == "interrupted"


@pytest.mark.parametrize("record", ["all", "none"])
def test_a_reward_that_is_no_number_leaves_a_checkpoint_that_fits_what_is_stored(record, store):
    env = Circle(lambda n: float("nan") if n == 125 else None)
    with pytest.raises(UsageError, match="must be a finite number"):
        rlbench.train(env, episodes=30, seed=0, store=store, record=record)
    run = _latest(store)
    for info in store.checkpoints(run.id):
        checkpoint = store.checkpoint(run.id, info.episodes)
        assert checkpoint.episodes <= run.episodes or checkpoint.numbers["unfinished_episode"]
        assert np.isfinite(checkpoint.arrays["q_table"]).all()


def _interrupting(*steps):
    def hook(step):
        if step in steps:
            signal.raise_signal(signal.SIGINT)

    return hook


def test_ctrl_c_ends_the_readable_loop_with_the_episode_under_way(store):
    before = signal.getsignal(signal.SIGINT)
    run = rlbench.train(Circle(_interrupting(25)), episodes=10**6, seed=0, store=store)
    assert (run.status, run.episodes, run.timesteps) == ("interrupted", 3, 30)
    assert [len(e) for e in _episodes(run)] == [10, 10, 10]
    assert signal.getsignal(signal.SIGINT) is before
    assert rlbench.evaluate(run, Circle(), episodes=2, seed=0).returns.tolist() == [10.0, 10.0]


def test_a_signal_while_the_loop_is_compiled_leaves_an_interrupted_run_that_can_be_resumed(store, monkeypatch):
    monkeypatch.setattr(_compiled, "compile_for", lambda *_: signal.raise_signal(signal.SIGTERM))
    run = rlbench.train("FrozenLake-v1", episodes=20, seed=0, store=store)
    assert (run.status, run.episodes, run.timesteps) == ("interrupted", 0, 0)
    monkeypatch.undo()
    assert outcome(rlbench.resume(run)) == outcome(rlbench.train("FrozenLake-v1", episodes=20, seed=0))


def test_a_second_ctrl_c_ends_at_once(store):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        rlbench.train(Circle(_interrupting(25, 27)), episodes=10**6, seed=0, store=store)
    assert signal.getsignal(signal.SIGINT) is before
    run = _latest(store)
    assert (run.status, run.episodes) == ("interrupted", 2)


def test_a_second_ctrl_c_ends_a_run_that_keeps_figures_at_once(store):
    with pytest.raises(KeyboardInterrupt):
        rlbench.train(Circle(_interrupting(25, 27)), episodes=10**6, seed=0, store=store, record="none")
    run = _latest(store)
    assert (run.status, run.episodes) == ("interrupted", 2)
    assert store.checkpoint(run.id).numbers["unfinished_episode"]


@pytest.fixture
def ctrl_c_from_outside(monkeypatch):
    """Sends SIGINT to this process once training has come to the end of an episode."""
    begun, look = threading.Event(), Monitor.look

    def noting(self):
        look(self)
        if self.agent.episodes:
            begun.set()

    def send():
        if begun.wait(HANG):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Monitor, "look", noting)
    threading.Thread(target=send, daemon=True).start()


@pytest.mark.usefixtures("ctrl_c_from_outside")
@pytest.mark.parametrize("record", ["all", "none"])
@pytest.mark.parametrize("env", ["safecab", "cartpole", "FrozenLake-v1"])
def test_ctrl_c_ends_the_compiled_loop_cleanly(env, record, store):
    run = rlbench.train(env, episodes=10**12, total_timesteps=10**13, seed=0, store=store, record=record)
    assert (run.engine, run.status) == ("compiled", "interrupted")
    assert run.episodes > 0
    assert run.timesteps == run.lengths.sum()
    assert store.run("latest").status == "interrupted"
    again = rlbench.load_run(store, run.id)
    assert frozen(again.agent.state_dict()) == frozen(run.agent.state_dict())
    assert (again.agent.episodes, again.agent.timesteps) == (run.episodes, run.timesteps)
    assert len(rlbench.evaluate(again, episodes=3, seed=0).returns) == 3
    if record == "all":
        last = store.episodes(run.id)[-1]
        assert last.index == run.episodes - 1
        assert last.total_return == run.returns[-1]


def test_ctrl_c_in_the_middle_of_a_split_episode_plays_it_to_its_end(store, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 37)
    monkeypatch.setattr(recorder, "RESERVE", 5)
    looks = []

    def look(self):
        looks.append(self)
        if len(looks) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Monitor, "look", look)
    run = rlbench.train("cartpole", episodes=10**6, total_timesteps=10**9, seed=0, store=store)
    assert run.status == "interrupted"
    assert sum(len(e) for e in _episodes(run)) == run.timesteps
    assert not store.checkpoint(run.id).numbers["unfinished_episode"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(engine, store, monkeypatch):
    looks = []

    def look(self):
        looks.append(self)
        if len(looks) == 2:
            signal.raise_signal(signal.SIGINT)

    whole = rlbench.train("FrozenLake-v1", episodes=300, seed=0, engine=engine)
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "CHUNK_STEPS", 200)
        patch.setattr(recorder, "RESERVE", 100)
        patch.setattr(Monitor, "look", look)
        stopped = rlbench.train("FrozenLake-v1", episodes=300, seed=0, engine=engine, store=store)
    assert stopped.status == "interrupted"
    assert 0 < stopped.episodes < 300
    resumed = outcome(rlbench.resume(stopped, engine=engine))
    expected = outcome(whole)
    for part in ("counts", "agent", "figures", "checkpoint", "episodes"):
        assert resumed[part] == expected[part], part


def test_a_run_whose_env_failed_in_a_reset_goes_on_as_if_it_had_not(store, monkeypatch):
    spec = gym.envs.registration.EnvSpec("toys/Fragile-v0", "training.toys:Fragile")
    monkeypatch.setitem(gym.registry, "toys/Fragile-v0", spec)
    whole = outcome(rlbench.train("toys/Fragile-v0", episodes=20, seed=0))
    with monkeypatch.context() as patch:
        patch.setattr(Fragile, "fails_after", 7)
        with pytest.raises(ZeroDivisionError):
            rlbench.train("toys/Fragile-v0", episodes=20, seed=0, store=store)
    assert _latest(store).episodes == 7
    resumed = outcome(rlbench.resume(_latest(store)))
    for part in ("counts", "agent", "figures", "checkpoint", "episodes"):
        assert resumed[part] == whole[part], part


TWICE = """
import os, signal, sys, threading, time, gymnasium, rlbench
from rlbench.training.monitor import Monitor

watching, look = threading.Event(), Monitor.look

def noting(self):
    look(self)
    Monitor.latest = self
    watching.set()

def send():
    watching.wait()
    os.kill(os.getpid(), signal.SIGINT)
    while not Monitor.latest.budget.stop:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

Monitor.look = noting
agent = rlbench.agents.QLearning(48, 4, seed=0, gamma=1.0, exploration_schedule="constant", exploration_initial_eps=0.0)
agent.q_table = [[1e9, 0.0, 0.0, 0.0]] * 48  # up, and against the wall for ever
env = gymnasium.make("CliffWalking-v1", max_episode_steps=10**9)
with rlbench.open_store("memory://") as store:
    threading.Thread(target=send).start()
    try:
        rlbench.train(env, agent, episodes=9, seed=0, store=store, record=sys.argv[1])
    except KeyboardInterrupt:
        print("insisted", store.run("latest").status)
"""


@pytest.mark.parametrize("record", ["all", pytest.param("none", marks=pytest.mark.long)])
def test_a_second_ctrl_c_ends_the_compiled_loop_in_an_episode_without_an_end(record):
    # in a process of its own, for nothing less than a crash is at stake
    answer = subprocess.run(
        [sys.executable, "-c", TWICE, record], check=False, timeout=HANG, capture_output=True, text=True
    )
    assert (answer.returncode, answer.stdout) == (0, "insisted interrupted\n")


def test_a_store_that_breaks_interrupts_the_run_with_its_own_error(store, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 64)
    append = store.append

    def breaking(run_id, chunk=None, *args, **kwargs):
        if chunk is not None and chunk.first_episode >= 12:
            raise StoreError("the disk is full")
        append(run_id, chunk, *args, **kwargs)

    monkeypatch.setattr(store, "append", breaking)
    with pytest.raises(StoreError, match="the disk is full"):
        rlbench.train(Circle(), episodes=100, seed=0, store=store)
    run = _latest(store)
    assert run.status == "interrupted"
    assert [len(e) for e in store.episodes(run.id)] == [10] * run.episodes


def test_a_store_that_breaks_for_a_moment_is_reported_too(store, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 64)
    append = store.append

    def breaking(run_id, chunk=None, *args, **kwargs):
        if chunk is not None and chunk.first_episode == 12:
            raise StoreError("the network is gone")
        append(run_id, chunk, *args, **kwargs)

    monkeypatch.setattr(store, "append", breaking)
    with pytest.raises(StoreError, match="the network is gone"):
        rlbench.train(Circle(), episodes=100, seed=0, store=store)
    assert _latest(store).status == "interrupted"


def test_a_store_that_breaks_in_the_end_interrupts_the_run(store, monkeypatch):
    append = store.append

    def breaking(run_id, chunk=None, *args, **kwargs):
        if chunk is not None:
            raise StoreError("the disk is full")
        append(run_id, chunk, *args, **kwargs)

    monkeypatch.setattr(store, "append", breaking)
    with pytest.raises(StoreError, match="the disk is full"):
        rlbench.train("FrozenLake-v1", episodes=20, seed=0, store=store, record="none")
    assert (store.run("latest").status, store.checkpoints("latest")) == ("interrupted", [])


def test_a_short_training_begins_no_thread_and_stores_its_end_and_its_figures_at_once(store, monkeypatch):
    append, appended = store.append, []
    monkeypatch.setattr(store, "append", lambda *args, **kwargs: (appended.append(args), append(*args, **kwargs)))
    monkeypatch.setattr(threading.Thread, "start", lambda self: pytest.fail(f"{self.name} began"))
    run = rlbench.train("FrozenLake-v1", episodes=20, seed=0, store=store, record="none")
    [(_, chunk, checkpoint)] = appended
    assert (run.status, chunk.episodes, checkpoint.episodes) == ("finished", 20, 20)


def test_training_in_a_thread_that_is_not_the_main_one_gives_the_same(tmp_path):
    runs = {}

    def work(name, engine):
        runs[name] = rlbench.train("safecab", episodes=30, seed=0, engine=engine, store=tmp_path / f"{name}.db")

    for engine in ENGINES:
        thread = threading.Thread(target=work, args=(engine, engine))
        thread.start()
        thread.join()
    expected = outcome(rlbench.train("safecab", episodes=30, seed=0))
    for engine in ENGINES:
        assert outcome(runs[engine]) == expected
        runs[engine].store.close()
