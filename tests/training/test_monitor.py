"""The progress bar and Ctrl-C."""

import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from rlbench.agents import QLearning
from rlbench.signals import ENDING
from rlbench.training import monitor
from rlbench.training.budgets import Budget
from rlbench.training.monitor import INTERVAL, PATIENCE, Monitor, stopping_on_signal


class Clock:
    """Shows the time that a test says it is."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(monitor, "time", SimpleNamespace(perf_counter=clock))
    return clock


def made(budget=None, *, shown=True, episodes=0, timesteps=0):
    agent = QLearning(2, 2, seed=0, exploration_schedule="constant", exploration_initial_eps=0.25)
    agent.episodes, agent.timesteps = episodes, timesteps
    return Monitor(agent, budget or Budget(episodes=1000), shown=shown)


def heard(*returns):
    return SimpleNamespace(figures={"return": np.array(returns, dtype=float)})


def test_no_bar_appears_for_what_is_over_soon(clock, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    watch = made()
    for _ in range(9):
        clock.now += 0.99 * PATIENCE / 9
        watch.look()
    watch.close()
    assert watch._bar._bar is None
    assert capsys.readouterr() == ("", "")


def test_a_bar_that_nobody_wants_never_appears(clock):
    watch = made(shown=False)
    clock.now += 100 * PATIENCE
    watch.look()
    assert watch._bar._bar is None
    watch.close()


def test_the_bar_tells_return_epsilon_and_steps_a_second(clock):
    watch = made(timesteps=500)
    watch.hear(heard(1.0, 2.0))
    watch.hear(heard(*range(3000)))  # the mean is of the last thousand
    watch.hear(heard())
    watch.agent.episodes, watch.agent.timesteps = 250, 500 + 3_000_000
    clock.now += 2.0
    watch.look()
    [task] = watch._bar._bar.tasks
    assert task.fields["status"] == "episode 250  return 2499.5  epsilon 0.250  1.5 M steps/s"
    assert (task.completed, task.total) == (250, 1000)
    watch.agent.timesteps = 500 + 6_000
    clock.now += 1.0
    watch.look()
    assert watch._bar._bar.tasks[0].fields["status"].endswith("2.0 k steps/s")
    watch.close()


def test_before_an_episode_has_ended_the_bar_shows_no_return(clock):
    watch = made()
    clock.now += 2.0
    watch.look()
    assert watch._bar._bar.tasks[0].fields["status"].startswith("episode 0  epsilon")
    watch.close()


def test_the_bar_counts_steps_where_they_are_the_budget(clock):
    watch = made(Budget(timesteps=10_000), episodes=3, timesteps=700)
    clock.now += 2.0
    watch.look()
    [task] = watch._bar._bar.tasks
    assert (task.completed, task.total) == (700, 10_000)
    watch.close()


def test_of_two_budgets_the_bar_shows_the_one_that_is_nearer_to_its_end(clock):
    watch = made(Budget(episodes=1000, timesteps=2000), episodes=10, timesteps=1000)
    clock.now += 2.0
    watch.look()
    [task] = watch._bar._bar.tasks
    watch.close()
    assert task.completed / task.total == 0.5


def test_the_bar_is_drawn_only_so_often(clock):
    watch = made()
    clock.now += 2.0
    watch.look()
    watch.agent.episodes = 5
    clock.now += INTERVAL / 2
    watch.look()
    assert watch._bar._bar.tasks[0].completed == 0
    clock.now += INTERVAL
    watch.look()
    assert watch._bar._bar.tasks[0].completed == 5
    watch.close()


def test_on_a_terminal_the_bar_is_drawn_and_taken_away(clock, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    watch = made()
    watch.hear(heard(7.0))
    clock.now += 2.0
    watch.look()
    watch.close()
    out, err = capsys.readouterr()
    assert out == ""
    for word in ("return 7.0", "epsilon 0.250", "steps/s"):
        assert word in err
    assert err.endswith("\x1b[2K")  # the line is wiped


def test_in_a_pipe_nothing_is_written(clock, capsys, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    watch = made()
    clock.now += 2.0
    watch.look()
    watch.close()
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------------------------------ signals


def _handlers():
    return [signal.getsignal(number) for number in ENDING]


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_asks_and_the_second_insists(number):
    before, budget = _handlers(), Budget()
    with stopping_on_signal(budget):
        signal.raise_signal(number)
        assert budget.stop
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert _handlers() == before


def test_the_old_handlers_come_back_after_an_error():
    before = _handlers()
    with pytest.raises(ZeroDivisionError), stopping_on_signal(Budget()):
        raise ZeroDivisionError
    assert _handlers() == before


def test_a_signal_that_the_process_ignores_asks_for_nothing():
    budget, before = Budget(), signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stopping_on_signal(budget):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not budget.stop


def test_in_another_thread_signals_are_left_alone():
    before, seen = _handlers(), []

    def work():
        with stopping_on_signal(Budget()):
            seen.append(_handlers())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
