"""The uniform buffer: a ring, sampled evenly from its own generator; and what every buffer must keep."""

import hypothesis.strategies as st
import numpy as np
import pytest
from contracts.buffers import BUFFER_CHECKS
from gymnasium import spaces
from hypothesis import given
from scipy import stats

import rlbench
from rlbench.buffers import BUFFERS, Batch, PrioritizedReplayBuffer, ReplayBuffer, columns, make_buffer
from rlbench.errors import StoreError, UnknownNameError, UsageError
from rlbench.random_state import new_generator
from rlbench.store import open_store

ODDITY = 1e-6  # a correct implementation fails a chi-squared test on one seed in a million; the seeds are fixed


@pytest.mark.parametrize("check", BUFFER_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", BUFFERS)
def test_buffer_contract(name, check):
    check(BUFFERS[name])


def test_a_buffer_is_made_by_its_name():
    discrete = spaces.Discrete(3), spaces.Discrete(2)
    assert type(make_buffer("uniform", 5, *discrete)) is ReplayBuffer
    assert make_buffer("prioritized", 5, *discrete, alpha=0.5).alpha == 0.5
    with pytest.raises(UnknownNameError, match="did you mean prioritized"):
        make_buffer("prioritised", 5, *discrete)


def test_the_oldest_transition_makes_room():
    buffer = ReplayBuffer(3, spaces.Discrete(9), spaces.Discrete(2), seed=0)
    for i in range(5):
        buffer.add(i, i % 2, float(i), i + 1, False)
    assert len(buffer) == 3
    assert sorted(buffer.rows["observation"]) == [2, 3, 4]


@pytest.mark.parametrize("added", [1, 2, 7, 63, 64, 101])
@pytest.mark.parametrize("parameters", [{}, {"n_step": 2, "gamma": 0.9}], ids=["one step", "two steps"])
def test_every_transition_is_drawn_equally_often(added, parameters):
    buffer = ReplayBuffer(64, spaces.Discrete(200), spaces.Discrete(2), seed=3, **parameters)
    for i in range(added):
        buffer.add(i, 0, 0.0, i, False)
    held = min(added, 64)
    counts = np.bincount(buffer.sample(1000 * held).observations, minlength=added)[added - held :]
    assert stats.chisquare(counts).pvalue > ODDITY if held > 1 else counts.tolist() == [1000]


def test_draws_are_independent_of_those_before():
    buffer = ReplayBuffer(5, spaces.Discrete(5), spaces.Discrete(2), seed=1)
    for i in range(5):
        buffer.add(i, 0, 0.0, i, False)
    drawn = buffer.sample(50_001).observations
    pairs = np.bincount(5 * drawn[:-1] + drawn[1:], minlength=25)
    assert stats.chisquare(pairs, ddof=4).pvalue > ODDITY


def test_a_draw_is_one_number_of_the_buffers_generator():
    buffer, twin = ReplayBuffer(7, spaces.Discrete(7), spaces.Discrete(2), seed=9), new_generator(9)
    for i in range(7):
        buffer.add(i, 0, 0.0, i, False)
    assert buffer.sample(20).observations.tolist() == [int(7 * u) for u in twin.random(20)]
    assert buffer.rng.random() == twin.random()


def test_floats_of_a_box_are_rounded_to_its_dtype():
    buffer = ReplayBuffer(4, spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2), seed=0)
    buffer.add([0.1, 1 / 3], 1, 1, (np.inf, 5.0), True)  # a Box's bounds are advisory
    batch = buffer.sample(1)
    assert batch.observations.tolist() == [[np.float32(0.1), np.float32(1 / 3)]]
    assert batch.next_observations.tolist() == [[np.inf, 5.0]]
    assert (batch.rewards.dtype, batch.rewards[0]) == (np.float64, 1.0)


def test_numpy_numbers_are_as_good_as_pythons():
    buffer = ReplayBuffer(4, spaces.Discrete(5), spaces.Discrete(2), seed=0)
    buffer.add(np.int64(3), np.array(1), np.float32(0.5), np.uint8(4), np.bool_(True), np.False_)
    assert [column.tolist() for column in buffer.sample(1)[:6]] == [[3], [1], [0.5], [4], [True], [False]]


def test_an_extension_longer_than_the_ring_keeps_the_newest():
    buffer = ReplayBuffer(3, spaces.Discrete(9), spaces.Discrete(2), seed=0)
    n = np.arange(8)
    buffer.extend(Batch(n, n % 2, n.astype(float), n, n > 9, n > 9))
    one_by_one = ReplayBuffer(3, spaces.Discrete(9), spaces.Discrete(2), seed=0)
    for i in n:
        one_by_one.add(i, i % 2, float(i), i, False)
    assert (buffer.rows == one_by_one.rows).all()
    assert (buffer.cursor == one_by_one.cursor).all()


def test_columns_that_are_strided_or_read_only_are_stored_as_well():
    box = spaces.Box(-9, 9, (2,), np.float64)
    values = np.arange(24.0).reshape(6, 4)
    values.flags.writeable = False
    plain, strided = (ReplayBuffer(8, box, spaces.Discrete(2), seed=0) for _ in range(2))
    flags = np.zeros(12, np.bool_)
    for buffer, own in ((plain, np.ascontiguousarray), (strided, lambda array: array)):
        lists = values[:, ::2], np.ones(6, int), values[:, 0], values[:, 1:3], flags[::2], flags[1::2]
        buffer.extend([own(column) for column in lists])
    assert (plain.rows == strided.rows).all()
    assert len(strided) == 6


STEPS = st.tuples(st.integers(0, 9), st.integers(0, 2), st.floats(-8, 8), st.booleans(), st.booleans())


@given(
    capacity=st.integers(1, 9),
    chunks=st.lists(st.lists(STEPS, min_size=1, max_size=12), max_size=6),
    n_step=st.integers(1, 5),
    kind=st.sampled_from(sorted(BUFFERS)),
)
def test_a_buffer_is_a_list_of_the_newest_and_a_return_what_the_list_says(capacity, chunks, n_step, kind):
    buffer = BUFFERS[kind](capacity, spaces.Discrete(10), spaces.Discrete(3), n_step=n_step, gamma=0.5, seed=0)
    held = []
    for k, chunk in enumerate(chunks):
        o, a, r, terminated, truncated = map(list, zip(*chunk, strict=True))
        rows = list(zip(o, a, r, o, terminated, truncated, strict=True))
        if k % 2:
            buffer.extend([np.array(column) for column in zip(*rows, strict=True)])
        else:
            for row in rows:
                buffer.add(*row)
        held = [*held, *rows][-capacity:]
    assert len(buffer) == len(held)
    if held:
        batch = buffer.sample(20)
        expected = {_return(held[i:], n_step) for i in range(len(held))}
        found = zip(*(column.tolist() for column in batch[:7]), strict=True)
        assert set(found) <= expected


def _return(rows, n_step, gamma=0.5):
    """The return of at most n steps from the first of these rows: Sutton & Barto (2018), equation 7.1."""
    total, discount = 0.0, 1.0
    for row in rows[:n_step]:
        _, _, r, following, terminated, truncated = row
        total += discount * r
        discount *= gamma
        if terminated or truncated:
            break
    return (*rows[0][:2], total, following, terminated, truncated, discount)


def test_a_buffer_knows_gamma_or_gives_no_discounts():
    spaces_ = spaces.Discrete(2), spaces.Discrete(2)
    with_gamma, without = ReplayBuffer(2, *spaces_, gamma=0.9), ReplayBuffer(2, *spaces_)
    for buffer in (with_gamma, without):
        buffer.add(0, 0, 1.0, 1, False)
    assert with_gamma.sample(3).discounts.tolist() == [0.9] * 3
    assert without.sample(3)[6:] == (None, None, None)


def test_memory_is_taken_once():
    buffer = ReplayBuffer(5, spaces.Discrete(9), spaces.Discrete(2), seed=0)
    place = buffer.rows.ctypes.data
    for i in range(20):
        buffer.add(i % 9, 0, 0.0, 0, False)
    buffer.load_state_dict(buffer.state_dict())
    assert buffer.rows.ctypes.data == place


def test_a_row_fills_whole_cache_lines_and_begins_on_one():
    buffer = ReplayBuffer(5, spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2))
    assert (buffer.rows.dtype.itemsize, buffer.nbytes) == (64, 320)
    assert buffer.rows.ctypes.data % 64 == 0
    assert ReplayBuffer(5, spaces.Box(-1, 1, (9,), np.float32), spaces.Discrete(2)).nbytes == 5 * 128


def test_a_container_may_have_less_memory_than_its_machine(monkeypatch, tmp_path):
    discrete = spaces.Discrete(2), spaces.Discrete(2)
    monkeypatch.setattr(columns, "CONTAINER", tmp_path / "memory.max")
    for limit, refused in (("max\n", False), ("640\n", False), ("639\n", True)):
        columns.CONTAINER.write_text(limit)
        if refused:
            with pytest.raises(UsageError, match="a buffer of 10 transitions takes"):
                ReplayBuffer(10, *discrete)
        else:
            ReplayBuffer(10, *discrete)


@pytest.mark.parametrize("count", [0, 3, 7])
def test_a_saved_buffer_comes_back_as_it_was(count, tmp_path):
    box = spaces.Box(-1, 1, (2,), np.float32)
    buffer = ReplayBuffer(5, box, spaces.Discrete(4), seed=8)
    rng = np.random.default_rng(1)
    for i in range(count):
        buffer.add(rng.random(2, np.float32), i % 4, rng.random(), rng.random(2, np.float32), i % 3 == 0, i % 2 == 0)
    with open_store(tmp_path / "buffers.db") as store:
        buffer.save(store, "mine")
        found = ReplayBuffer.load(store, "mine")
    assert (found.rows == buffer.rows).all()
    assert found.rows.dtype == buffer.rows.dtype
    assert found.cursor.tolist() == buffer.cursor.tolist()
    assert found.rng.random() == buffer.rng.random()


def test_what_an_earlier_version_kept_is_read():
    buffer = ReplayBuffer(5, spaces.Discrete(6), spaces.Discrete(4), seed=8)
    for i in range(3):
        buffer.add(i, i, 1.0, i + 1, False)
    state = buffer.state_dict()
    known = [name for name in state if name.startswith("rows/")], ["capacity", "position", "rng"]
    arrays, numbers = ({name: state[name] for name in names} for names in known)
    with open_store("memory://") as store:
        store.save_snapshot("buffer", "old", arrays, numbers)
        found = ReplayBuffer.load(store, "old")
    assert (found.rows == buffer.rows).all()
    assert found.rng.random() == buffer.rng.random()


def test_a_buffer_of_another_kind_is_refused_with_its_own():
    with open_store("memory://") as store:
        PrioritizedReplayBuffer(2, spaces.Discrete(1), spaces.Discrete(1)).save(store, "mine")
        with pytest.raises(UsageError, match="'mine' is prioritized, not uniform"):
            ReplayBuffer.load(store, "mine")


def test_an_unknown_buffer_is_answered_with_the_nearest_known_one():
    with open_store("memory://") as store:
        ReplayBuffer(2, spaces.Discrete(1), spaces.Discrete(1)).save(store, "mine")
        with pytest.raises(StoreError, match="mine"):
            ReplayBuffer.load(store, "mind")


@pytest.mark.parametrize("kind", BUFFERS)
def test_stored_runs_fill_every_kind_of_buffer(kind):
    run = rlbench.train("safecab", "random", episodes=30, seed=0, store="memory://")
    env = run.make_env()
    buffer = make_buffer(kind, 10_000, env.observation_space, env.action_space, n_step=3, gamma=0.9, seed=0)
    assert rlbench.training.fill(buffer, run) == len(buffer) == run.timesteps
    ends = buffer.rows["terminated"][: len(buffer)] | buffer.rows["truncated"][: len(buffer)]
    assert ends.sum() == 30
    assert len(buffer.sample(32).rewards) == 32
    run.store.close()
