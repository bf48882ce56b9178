"""Callbacks and evaluations while training: at the same places in both loops, and training notices nothing."""

import contextlib
import dataclasses

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training.toys import Circle, outcome

import rlbench
from rlbench.agents import QLearning
from rlbench.errors import StoreError, UsageError
from rlbench.store.config import RunConfig
from rlbench.store.records import EVALUATION
from rlbench.training import recorder, session

ENGINES = ("compiled", "python")
ICE = "FrozenLake-v1"


@pytest.fixture
def store():
    with rlbench.open_store("memory://") as store:
        yield store


class Watch(rlbench.Callback):
    """Writes down what it sees, and says stop after some episodes."""

    def __init__(self, every=7, stop=None):
        self.every, self.stop, self.seen = every, stop, []

    def note(self, what, progress):
        table = progress.agent.q_table.tobytes()
        counts = (progress.episodes, progress.timesteps, progress.agent.episodes, progress.agent.timesteps)
        self.seen.append((what, counts, progress.returns.tobytes(), progress.lengths.tobytes(), table))
        return None if self.stop is None else progress.episodes < self.stop


class Ends(Watch):
    def on_episode_end(self, progress):
        return self.note("end", progress)


class Checkpoints(Watch):
    def on_checkpoint(self, progress):
        return self.note("checkpoint", progress)


class Evaluations(Watch):
    def on_evaluation(self, progress):
        return self.note(progress.evaluation.returns.tobytes(), progress)


def plain(run):
    """All that a run came to but for what evaluations found."""
    found = outcome(run)
    figures = {name: column for name, column in found["figures"].items() if name not in EVALUATION}
    return {**found, "figures": figures, "chunks": None}


@settings(max_examples=10, deadline=None)
@given(
    every=st.integers(1, 9),
    stop=st.none() | st.integers(1, 30),
    chunk=st.integers(20, 300),
    budget=st.fixed_dictionaries({"episodes": st.integers(1, 40)})
    | st.fixed_dictionaries({"total_timesteps": st.integers(1, 400)}),
    record=st.sampled_from(["all", "none"]),
    evaluates=st.booleans(),
)
def test_both_loops_call_at_the_same_places_and_end_there(every, stop, chunk, budget, record, evaluates):
    more = {"eval_every": every + 1, "eval_episodes": 3} if evaluates else {}
    told, runs = [], []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"CHUNK_STEPS": chunk, "RESERVE": 20, "UNRECORDED_STEPS": chunk}.items():
            patch.setattr(recorder, name, value)
        patch.setattr(session.Session, "_interval", np.inf)
        patch.setattr(session, "FLUSH_SECONDS", np.inf)
        for engine in ENGINES:
            callbacks = [Ends(), Checkpoints(every, stop), *([Evaluations()] if evaluates else [])]
            told.append([one.seen for one in callbacks])
            kwargs = {"seed": 5, "record": record, "engine": engine}
            runs.append(rlbench.train(ICE, **budget, **kwargs, callbacks=callbacks, **more))
        alone = rlbench.train(ICE, episodes=runs[0].episodes, **kwargs)
    assert told[0] == told[1]
    assert outcome(runs[0]) == outcome(runs[1])
    assert plain(runs[0]) == plain(alone)
    ended = runs[0].episodes
    assert [one[1][0] for one in told[0][0]] == list(range(1, ended + 1))
    assert [one[1][0] for one in told[0][1]] == list(range(every, ended + 1, every))
    if stop is not None and ended == -(-stop // every) * every:
        assert runs[0].record.config.stopped == "Checkpoints()"


def test_the_compiled_loop_runs_on_until_something_is_due(monkeypatch):
    looks, look = [], session.Session._look
    monkeypatch.setattr(session.Session, "_look", lambda self, budget: looks.append(look(self, budget)))
    rlbench.train(ICE, episodes=1000, seed=0, callbacks=[Checkpoints(500)])
    assert len(looks) <= 4


def test_what_a_callback_changes_in_the_agent_counts_in_both_loops():
    class Meddle(rlbench.Callback):
        every = 3

        def on_checkpoint(self, progress):
            progress.agent.q_table = progress.agent.q_table + progress.agent.rng.random()

    one, other = (rlbench.train(ICE, episodes=10, seed=0, engine=engine, callbacks=[Meddle()]) for engine in ENGINES)
    assert outcome(one) == outcome(other)
    assert one.agent.q_table.max() > 0.5


def test_places_are_counted_from_the_beginning_of_the_run_whatever_the_agent_has_learnt_before():
    agent = rlbench.train(ICE, episodes=3, seed=0).agent
    watch = Checkpoints(5)
    run = rlbench.train(ICE, agent, episodes=12, seed=1, callbacks=[watch], eval_every=4)
    lengths = run.lengths.cumsum()
    assert [one[1][:3] for one in watch.seen] == [(5, lengths[4], 8), (10, lengths[9], 13)]
    assert np.flatnonzero(~np.isnan(run.figures["evaluation"])).tolist() == [3, 7, 11]


def test_evaluations_are_a_figure_of_the_episodes_after_which_they_were_made():
    run = rlbench.train(ICE, episodes=25, seed=0, eval_every=10, eval_episodes=7)
    mean, low, high = (run.figures[name] for name in EVALUATION)
    assert np.flatnonzero(~np.isnan(mean)).tolist() == [9, 19]
    assert (low <= mean)[[9, 19]].all()
    assert (mean <= high)[[9, 19]].all()


def test_evaluations_are_those_of_an_env_object_with_a_spec_too_and_else_refused():
    run = rlbench.train(gym.make(ICE), episodes=25, seed=0, eval_every=10)
    named = rlbench.train(ICE, episodes=25, seed=0, eval_every=10, engine=run.engine)
    assert np.array_equal(run.figures["evaluation"], named.figures["evaluation"], equal_nan=True)
    with pytest.raises(UsageError, match="eval_every needs an env that can be made again"):
        rlbench.train(Circle(), episodes=2, eval_every=1)


def test_the_early_stop_ends_a_run_that_is_finished_and_says_so(store):
    run = rlbench.train(ICE, episodes=20_000, seed=0, store=store, callbacks=[rlbench.StopOnReturn(0.2, window=50)])
    assert run.status == "finished"
    assert run.episodes < 20_000
    assert run.episodes % 50 == 0
    assert run.record.config.stopped == "StopOnReturn(threshold=0.2, window=50, every=50)"
    assert run.returns[-50:].mean() >= 0.2
    means = run.returns.reshape(-1, 50).mean(axis=1)
    assert (means[:-1] < 0.2).all()


def test_the_early_stop_on_evaluations_ends_with_the_first_that_reaches_the_threshold():
    stop = rlbench.StopOnEvaluation(0.4)
    run = rlbench.train(ICE, episodes=20_000, seed=0, callbacks=[stop], eval_every=500)
    points = run.figures["evaluation"][499::500]
    assert len(points) == run.episodes / 500 < 40
    assert points[-1] >= 0.4 > points[:-1].max(initial=0)
    with pytest.raises(UsageError, match=r"StopOnEvaluation\(threshold=0.4\) waits for evaluations: give eval_every"):
        rlbench.train(ICE, episodes=1, callbacks=[stop])


# ------------------------------------------------------------------------------------------------ the cache


def early(store, episodes=20_000, **kwargs):
    kwargs = {"callbacks": [rlbench.StopOnReturn(0.2, window=50)], **kwargs}
    return rlbench.train(ICE, episodes=episodes, seed=0, store=store, **kwargs)


class Breaks(rlbench.StopOnReturn):
    def on_checkpoint(self, progress):
        if progress.episodes == 250:
            raise ZeroDivisionError("mine")
        return super().on_checkpoint(progress)


def breaking():
    """What a record takes for the callback of `early`; it raises an error after 250 episodes."""
    stop = rlbench.StopOnReturn(0.2, window=50)
    stop.on_checkpoint = Breaks(0.2, window=50).on_checkpoint
    return stop


def test_a_run_with_settings_is_cached_and_an_early_stop_answers_every_larger_budget(store):
    first = early(store)
    assert early(store).cache == early(store, 10**6).cache == "hit"
    assert early(store, first.episodes - 1).cache == "miss"
    assert early(store, callbacks=[rlbench.StopOnReturn(0.25, window=50)]).cache == "miss"
    assert early(store, first.episodes, callbacks=[]).cache == "miss"


def test_going_on_from_a_stored_prefix_stops_where_a_cold_run_does(store):
    part = early(store, 120)
    whole = early(store)
    assert (part.cache, whole.cache, whole.cached_episodes) == ("miss", "prefix", 120)
    cold = early(None)
    assert plain(whole) | {"checkpoint": None} == plain(cold) | {"checkpoint": None}
    assert whole.record.config.stopped == cold.record.config.stopped


def test_a_mean_return_takes_a_whole_window():
    assert early(None, callbacks=[rlbench.StopOnReturn(-1.0, window=100, every=10)]).episodes == 100


def test_each_evaluation_draws_anew():
    agent = QLearning(16, 4, seed=0, learning_rate=1e-9)  # has the same policy to the end
    agent.q_table[range(16), [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]] = 1.0
    run = rlbench.train(ICE, agent, episodes=40, seed=0, eval_every=10)
    means = run.figures["evaluation"]
    assert len(set(means[~np.isnan(means)])) > 1


def test_evaluations_are_part_of_what_is_asked_for(store):
    rlbench.train(ICE, episodes=30, seed=0, store=store)
    run = rlbench.train(ICE, episodes=30, seed=0, store=store, eval_every=10)
    again = rlbench.train(ICE, episodes=50, seed=0, store=store, eval_every=10)
    assert (run.cache, again.cache) == ("miss", "prefix")
    cold = rlbench.train(ICE, episodes=50, seed=0, eval_every=10)
    assert outcome(again)["figures"] == outcome(cold)["figures"]


def test_a_callback_without_settings_is_not_cached_and_that_is_said(store):
    for _ in range(2):
        with pytest.warns(UserWarning, match="not cached: the callback .*Ends does not say its settings"):
            assert rlbench.train(ICE, episodes=3, seed=0, store=store, callbacks=[Ends()]).cache == "miss"


# ------------------------------------------------------------------------------------------------ going on


def test_a_run_that_was_ended_goes_on_only_without_what_ended_it(store):
    run = early(store)
    with pytest.raises(UsageError, match=r"ended by StopOnReturn\(.*callbacks=\[\], --no-callbacks"):
        rlbench.resume(run)
    longer = rlbench.resume(run, episodes=run.episodes + 30, callbacks=[])
    assert longer.record.config.stopped is None
    assert plain(longer) == plain(rlbench.train(ICE, episodes=longer.episodes, seed=0))
    assert early(store).id == run.id


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupted_run_goes_on_with_the_same_callbacks_and_evaluations(engine, store, monkeypatch):
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 512)
    monkeypatch.setattr(recorder, "RESERVE", 128)
    kwargs = {"eval_every": 40, "engine": engine}
    with pytest.raises(ZeroDivisionError, match="mine"):
        early(store, callbacks=[breaking()], **kwargs)
    run = rlbench.load_run(store, "latest")
    assert (run.status, run.episodes) == ("interrupted", 250)
    resumed = rlbench.resume(run, engine=engine)
    cold = early(None, **kwargs)
    assert resumed.record.config.stopped == cold.record.config.stopped != ""
    assert outcome(resumed)["figures"] == outcome(cold)["figures"]


@pytest.mark.parametrize("status", ["interrupted", "finished"])
def test_a_run_that_went_on_without_its_callbacks_does_not_answer_for_them(status, store):
    with contextlib.suppress(ZeroDivisionError):
        early(store, **({"callbacks": [breaking()]} if status == "interrupted" else {}))
    begun = rlbench.load_run(store, "latest")
    assert begun.status == status
    on = rlbench.resume(begun, episodes=5000, callbacks=[])
    assert (on.episodes, on.record.config.stopped) == (5000, None)
    again, cold = early(store), early(None)
    assert again.episodes == cold.episodes < 5000
    assert again.record.config.stopped == cold.record.config.stopped != ""


def test_a_callback_that_ends_a_run_before_the_end_of_what_it_stored_is_not_the_same(store, monkeypatch):
    with monkeypatch.context() as patch:  # as if killed: without a checkpoint
        close = lambda self, status, rest: self.store.append(self.run.id, rest, status=status)  # noqa: E731
        patch.setattr(session.Session, "_close", close)
        with pytest.raises(ZeroDivisionError):
            early(store, callbacks=[breaking()])
    changed = rlbench.StopOnReturn(0.2, window=50)
    changed.on_checkpoint = Breaks(-1.0, window=50).on_checkpoint  # as soon as it can
    with pytest.raises(StoreError, match="ends it before the end of what it stored"):
        rlbench.resume(rlbench.load_run(store, "latest"), callbacks=[changed])
    assert rlbench.load_run(store, "latest").episodes == 250


def test_a_callback_of_the_users_must_be_given_again(store):
    run = rlbench.train(ICE, episodes=3, seed=0, store=store, cache=False, callbacks=[Ends()])
    with pytest.raises(UsageError, match=r"trained with the callback Ends\(\): give it again"):
        rlbench.resume(run, episodes=5)
    with pytest.raises(UsageError, match=r"trained with other callbacks \(Ends\(\)\)"):
        rlbench.resume(run, episodes=5, callbacks=[Checkpoints()])
    watch = Ends()
    assert rlbench.resume(run, episodes=5, callbacks=[watch]).episodes == 5
    assert [one[1][0] for one in watch.seen] == [4, 5]


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([lambda progress: None], "a callback is an object with one of the methods on_episode_end, on_checkpoint"),
        ([rlbench.StopOnReturn], "a callback is an object with one of the methods"),
        ([rlbench.Callback()], "a callback is an object with one of the methods"),
        (Ends(), "callbacks must be a list of callbacks"),
        ([Checkpoints(every=0)], "every must be a whole number, 1 or more, got 0"),
    ],
)
def test_what_is_no_callback_is_refused_in_one_line(callbacks, message):
    with pytest.raises(UsageError, match=message):
        rlbench.train(ICE, episodes=1, callbacks=callbacks)


def test_an_answer_that_is_none_is_refused_and_settings_must_be_plain():
    class Odd(rlbench.Callback):
        def on_episode_end(self, progress):
            return "stop"

    class Strange(Odd):
        def settings(self):
            return {"a": self.value}

        def __init__(self, value):
            self.value = value

    with pytest.raises(UsageError, match=r"callback Odd\(\) must return None, True or False \(to stop\), got 'stop'"):
        rlbench.train(ICE, episodes=1, callbacks=[Odd()])
    for value in (object(), float("nan")):
        with pytest.raises(UsageError, match=r"the settings of .*Strange must be a dict of names and JSON values"):
            rlbench.train(ICE, episodes=1, callbacks=[Strange(value)])


def test_an_object_with_one_of_the_methods_is_a_callback():
    class Bare:
        def on_episode_end(self, progress):
            return np.bool_(progress.episodes < 2)

    assert rlbench.train(ICE, episodes=9, seed=0, callbacks=[Bare()]).episodes == 2


def stopping(**settings):
    return {"callbacks": [{"name": "StopOnReturn", "settings": settings}]}


@pytest.mark.parametrize(
    "callbacks", [{}, ["x"], [{"name": 1, "settings": {}}], [{"name": "a"}], [{"name": "a", "settings": [1]}]]
)
def test_a_record_with_another_form_of_callbacks_is_read_without_them(callbacks):
    assert RunConfig.of({"callbacks": callbacks}).callbacks is None


def test_a_record_that_says_nonsense_of_its_callbacks_is_damaged(store):
    for damage, message in (
        (stopping(a=1), "its callback StopOnReturn.* cannot be made"),
        (stopping(threshold=1, every=0), "every must be a whole number, 1 or more, got 0"),
        (stopping(threshold=1, window="x"), "window must be a whole number, 1 or more, got 'x'"),
        ({"evaluating": rlbench.store.config.EvaluatingConfig(0, 3)}, "how often its agent was evaluated"),
    ):
        made = rlbench.train(ICE, episodes=2, seed=0, store=store, cache=False)
        config = dataclasses.replace(made.record.config, **damage)
        made.record = dataclasses.replace(made.record, config=config)
        with pytest.raises(StoreError, match=message):
            rlbench.resume(made, episodes=4)
