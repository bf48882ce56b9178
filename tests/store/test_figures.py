"""Figures that follow from the rest of their chunk are not stored, and come back bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench import train
from rlbench.agents._rules import KINDS, Schedule, schedule_value
from rlbench.errors import StoreError, UsageError
from rlbench.store import OPEN, TERMINATED, EpisodeChunk, codec, open_store, reading, schedules
from rlbench.store.documents import about_part, assembled, chunk_row, verified
from rlbench.store.figures import ULPS

DERIVED = ["length", "return", "explored", "action_counts"]
ACTIONS = 3
RATES = st.floats(1e-6, 1.0)
REWARDS = st.one_of(st.floats(-1e300, 1e300), st.sampled_from([-0.0, 5e-324, 0.1, 1e16, 1.0]))


@st.composite
def chunks(draw):
    """A chunk, and how many steps came before it in its run."""
    lengths = np.array(draw(st.lists(st.integers(0, 6), min_size=1, max_size=8)), np.int64)
    steps, first_step = int(lengths.sum()), draw(st.sampled_from([0, 0, 7]))
    ends = np.full(len(lengths), TERMINATED, np.uint8)
    ends[-1] = draw(st.sampled_from([OPEN, TERMINATED]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    columns = {
        "observations": np.zeros(steps + len(lengths), np.int32),
        "actions": rng.integers(0, ACTIONS, steps).astype(np.int16),
        "rewards": np.array(draw(st.lists(REWARDS, min_size=steps, max_size=steps)), np.float64),
        "explored": rng.random(steps) < 0.5,
    }
    chunk = EpisodeChunk(draw(st.integers(0, 1000)), first_step, lengths, ends, {}, columns)
    schedule = draw(schedule_of())
    timesteps = draw(st.integers(first_step, 2000))
    return with_figures(chunk, schedule, timesteps, earlier=rng.random()), timesteps


@st.composite
def schedule_of(draw):
    kind, per_step = draw(st.sampled_from(sorted(KINDS))), draw(st.booleans())
    rate = draw(st.floats(1.0, 1e4)) if kind == "linear" else draw(RATES)
    final, initial = sorted((draw(RATES), draw(RATES)))  # one that rises may cancel: it is stored where ulps are many
    return schedules.Schedule(kind, per_step, initial, final, rate, draw(st.integers(0, 10**6)))


def compiled(schedule, count):
    kind, *others, _ = schedule
    return schedule_value(Schedule(KINDS[kind], *others), count)


def with_figures(chunk, schedule, timesteps, earlier=0.0):
    """A chunk with the figures that the loops write; `earlier` was the return of its first episode before it."""
    rows = {"length": [], "return": [], "exploration_rate": [], "explored": [], "action_counts": []}
    begun = timesteps - chunk.first_step
    for episode in range(chunk.episodes):
        part, before = chunk.segment(episode), chunk.first_step if episode == 0 else 0
        total = earlier if before else 0.0
        for reward in part["rewards"].tolist():
            total += reward
        count = begun if schedule.per_step else chunk.first_episode + episode
        length = len(part["rewards"]) + before
        begun += length
        values = [length, total, compiled(schedule, schedule.before + count), part["explored"].sum() + (before > 0)]
        counts = np.bincount(part["actions"], minlength=ACTIONS) + (before > 0)
        for column, value in zip(rows.values(), [*values, counts], strict=True):
            column.append(value)
    dtypes = (np.int32, np.float64, np.float64, np.int32, np.int32)
    figures = {name: np.array(rows[name], dtype) for name, dtype in zip(rows, dtypes, strict=True)}
    figures["action_counts"] = figures["action_counts"].reshape(-1, ACTIONS)
    return replace(chunk, figures=figures, exploration=schedule)


def packed(chunk, timesteps=0):
    """The row of a chunk, and what is stored of its figures."""
    place = {"next_episode": chunk.first_episode, "next_step": chunk.first_step}
    row = chunk_row({"id": "0123456789ab", "chunks": 0, "timesteps": timesteps, **place}, chunk)
    return row, codec.unpack(row.figures)[0]


def read(row, **others):
    wanted = {part: getattr(row, part) for part in ("segments", "figures", "steps")} | others
    parts = {part: verified(blob, part, about_part(row.span, part)) for part, blob in wanted.items() if blob}
    return assembled("0123456789ab", row.span, parts, lambda _: None, keeps_steps=row.steps is not None)


def bits(figures):
    return [(name, column.dtype, column.shape, column.tobytes()) for name, column in figures.items()]


@settings(max_examples=50)
@given(chunks())
def test_figures_come_back_bit_for_bit_and_only_what_does_not_follow_is_stored(given_chunk):
    chunk, timesteps = given_chunk
    with np.errstate(all="ignore"):
        row, stored = packed(chunk, timesteps)
        assert bits(read(row).figures) == bits(chunk.figures)
    assert {len(stored[name]) for name in DERIVED} <= {0, min(chunk.episodes, int(chunk.first_step > 0))}
    assert len(stored["exploration_rate"]) == 0


@given(schedule_of(), st.lists(st.integers(0, 2000), min_size=1, max_size=20))
def test_schedules_are_those_of_the_agents_but_for_an_ulp_or_two(schedule, lengths):
    counts = np.cumsum([0, *lengths[:-1]]) if schedule.per_step else np.arange(len(lengths))
    expected = np.array([compiled(schedule, int(count) + schedule.before) for count in counts], np.float64)
    found = schedule.values(np.array(lengths, np.int64))
    assert np.abs(found.view(np.int64) - expected.view(np.int64)).max() <= 2


def a_chunk(**figures):
    """Two episodes of two steps each."""
    lengths, ends = np.array([2, 2]), np.full(2, TERMINATED, np.uint8)
    steps = {"observations": np.zeros(6, np.int32), "actions": np.array([0, 1, 2, 2], np.int16)}
    steps |= {"rewards": np.array([1.0, 0.5, 0.0, 0.0]), "explored": np.array([True, True, False, False])}
    return EpisodeChunk(0, 0, lengths, ends, figures, steps)


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("return", np.array([1.5, -0.0])),  # it is 0.0
        ("length", np.array([2, 3])),
        ("explored", np.array([2.0, 0.0])),  # it is a count
        ("action_counts", np.array([[1, 1], [0, 2]])),  # of three actions
        ("exploration_rate", np.array([0.5, 0.25])),
        ("evaluation", np.array([np.nan, 1.0])),
    ],
)
def test_a_figure_that_does_not_follow_is_stored(name, figure):
    chunk = replace(a_chunk(**{name: figure}), exploration=schedules.Schedule("constant", False, 0.5, 0.5, 0.0, 0))
    row, stored = packed(chunk)
    assert bits(stored) == bits(read(row).figures) == bits(chunk.figures)


def test_a_chunk_without_steps_keeps_the_figures_that_follow_from_them():
    chunk = replace(a_chunk(**{"return": np.array([1.5, 0.0]), "length": np.array([2, 2])}), steps=None)
    row, stored = packed(chunk)
    assert bits(read(row).figures) == bits(chunk.figures)
    assert {name: len(column) for name, column in stored.items()} == {"return": 2, "length": 0}


@pytest.mark.parametrize(
    ("columns", "about"),
    [
        ({"return": np.empty((0, 2))}, {}),
        ({"of nothing": np.empty(0)}, {}),
        ({"action_counts": np.empty((0, 2), np.int32)}, {}),  # there are three
        ({"action_counts": np.empty((0, 2**40), np.int32)}, {}),
        ({"length": np.empty((0, 2**40), np.int32)}, {}),
        ({"exploration_rate": np.empty(0)}, {}),
        ({"exploration_rate": np.empty(0)}, {"exploration": {"kind": "constant"}}),
        ({"exploration_rate": np.empty(0)}, {"exploration": []}),
        ({"exploration_rate": np.empty(0), ULPS: np.zeros(3, np.int8)}, {"exploration": True}),
    ],
)
def test_figures_that_claim_to_follow_but_do_not_are_damaged(columns, about):
    if about.get("exploration") is True:
        about = {"exploration": schedules.Schedule("linear", True, 1.0, 0.0, 9.0, 0)._asdict()}
    row, _ = packed(a_chunk())
    blob = codec.pack(columns, {**about_part(row.span, "figures"), **about})
    with pytest.raises(StoreError, match="figures is damaged: its figures do not follow from the rest of it: expected"):
        read(row, figures=blob)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "x"},
        {"kind": []},
        {"rate": "1"},
        {"rate": np.nan},
        {"before": -1},
        {"before": 0.5},
        {"per_step": 1},
        {"kind": "multiplicative", "rate": 0.0},
    ],
)
def test_a_schedule_is_read_only_if_it_is_one(wrong):
    whole = schedules.Schedule("exponential", False, 1.0, 0.1, 0.01, 3)._asdict()
    assert schedules.Schedule.of(whole) == schedules.Schedule(**whole)
    with pytest.raises(ValueError, match="schedule"):
        schedules.Schedule.of({**whole, **wrong})


def test_lengths_whose_sum_wraps_around_are_malformed():
    lengths = np.array([2**63 - 1, 2**63 - 1, 4])
    chunk = EpisodeChunk(0, 0, lengths, np.full(3, TERMINATED, np.uint8), {}, {"rewards": np.zeros(2)})
    with pytest.raises(UsageError, match="malformed chunk: its ends must be 3 codes"):
        packed(chunk)


def test_some_figures_may_be_read_alone():
    with open_store("memory://") as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        figures = {"return": np.array([1.5, 0.0]), "length": np.array([2, 2]), "explored": np.array([2, 0])}
        store.append(run.id, a_chunk(**figures))
        assert bits(store.figures(run.id, ["explored"])) == bits({"explored": figures["explored"]})
        assert bits(store.figures(run.id)) == bits(figures)


@pytest.mark.parametrize("unit", ["episode", "step"])
def test_the_rates_of_a_run_and_of_one_that_continues_it_follow_from_their_schedule(unit):
    schedule = schedules.Schedule("exponential", unit == "step", 1.0, 0.02, 0.05, 0)
    parameters = {"exploration_schedule": "exponential", "exploration_unit": unit, "exploration_decay": 0.05}
    parameters |= {"exploration_initial_eps": 1.0, "exploration_final_eps": 0.02}
    with open_store("memory://") as store:
        for episodes in (30, 60):
            run = train("FrozenLake-v1", episodes=episodes, seed=1, store=store, agent_kwargs=parameters)
        spans = store.backend.select_spans(run.id)
        headers = [codec.described(store.backend.select_part(run.id, span, "figures")[1])[0] for span in spans]
        assert [header["exploration_rate"] for header in headers] == [(0,), (0,)]
        assert list(reading.row_shapes(store.backend, run.id, spans[0], "figures")) == list(run.figures)
        counts = np.arange(60) if unit == "episode" else np.cumsum(run.figures["length"]) - run.figures["length"]
        assert run.figures["exploration_rate"].tolist() == [compiled(schedule, int(count)) for count in counts]
