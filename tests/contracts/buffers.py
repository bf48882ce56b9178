"""The checks that every registered buffer must pass."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from gymnasium import spaces

from rlbench.buffers import Batch
from rlbench.errors import UsageError
from rlbench.store import (
    open_store,
)


def _filled(buffer_class, seed, n=10, capacity=7, **parameters):
    buffer = buffer_class(capacity, spaces.Discrete(50), spaces.Discrete(4), seed=seed, **parameters)
    for i in range(n):
        buffer.add(i, i % 4, i / 2, i + 1, i % 3 == 0, i % 5 == 0)
    return buffer


def _same_state(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def _same_batch(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def it_holds_no_more_than_its_capacity(buffer_class):
    sizes = [len(_filled(buffer_class, 0, n)) for n in (0, 3, 7, 20)]
    assert sizes == [0, 3, 7, 7]
    assert _filled(buffer_class, 0).capacity == 7


def the_same_seed_and_history_sample_alike(buffer_class):
    assert _same_batch(_filled(buffer_class, 4).sample(32), _filled(buffer_class, 4).sample(32))


def another_seed_samples_otherwise(buffer_class):
    assert not _same_batch(_filled(buffer_class, 4).sample(32), _filled(buffer_class, 5).sample(32))


def a_sample_is_made_of_transitions_that_were_added(buffer_class):
    batch = _filled(buffer_class, 1).sample(64)
    i = batch.observations
    assert ((i >= 3) & (i < 10)).all()
    assert (batch.actions == i % 4).all()
    assert (batch.rewards == i / 2).all()
    assert (batch.next_observations == i + 1).all()
    assert (batch.terminations == (i % 3 == 0)).all()
    assert (batch.truncations == (i % 5 == 0)).all()


def a_sample_stays_as_it_was_when_the_buffer_goes_on(buffer_class):
    buffer = _filled(buffer_class, 1)
    batch = buffer.sample(16)
    before = [None if column is None else column.copy() for column in batch]
    for i in range(20, 40):
        buffer.add(i, 0, 9.0, i, False)
    buffer.sample(16)
    assert _same_batch(batch, before)


def every_row_is_drawn_sooner_or_later(buffer_class):
    for capacity in (1, 2, 5, 8, 13):  # missed by chance: below 13 e^-77
        found = _filled(buffer_class, 2, 2 * capacity + 1, capacity).sample(1000).observations
        assert set(found.tolist()) == set(range(capacity + 1, 2 * capacity + 1))


def extending_is_adding_one_by_one(buffer_class):
    i = np.arange(4, 20)
    columns = Batch(i, i % 4, i / 2, i + 1, i % 3 == 0, i % 5 == 0)
    for capacity in (1, 5, 7, 16, 40):
        one_by_one, at_once, by_lists = (_filled(buffer_class, 2, n, capacity) for n in (20, 4, 4))
        at_once.extend(columns)
        by_lists.extend([column.tolist() for column in columns[:6]])
        assert _same_state(one_by_one.state_dict(), at_once.state_dict())
        assert _same_state(one_by_one.state_dict(), by_lists.state_dict())
        assert _same_batch(one_by_one.sample(50), at_once.sample(50))


def an_extension_by_nothing_changes_nothing(buffer_class):
    buffer = _filled(buffer_class, 2)
    before = buffer.state_dict()
    buffer.extend([np.zeros(0, dtype) for dtype in (int, int, float, int, bool, bool)])
    assert _same_state(buffer.state_dict(), before)


def a_stored_buffer_goes_on_as_if_nothing_had_happened(buffer_class):
    first, second = _filled(buffer_class, 3), _filled(buffer_class, 8, 0)
    first.sample(3)
    second.load_state_dict(first.state_dict())
    for buffer in (first, second):
        buffer.add(40, 1, 1.0, 41, False, False)
    assert _same_batch(first.sample(50), second.sample(50))
    assert _same_state(first.state_dict(), second.state_dict())


def its_state_is_plain_arrays_and_json(buffer_class):
    state = _filled(buffer_class, 1).state_dict()
    json.dumps({name: value for name, value in state.items() if not isinstance(value, np.ndarray)})
    assert all(value.dtype != object for value in state.values() if isinstance(value, np.ndarray))


def it_survives_a_store(buffer_class):
    for n in (0, 3, 7, 20):
        buffer = _filled(buffer_class, 3, n, n_step=2, gamma=0.9)
        with open_store("memory://") as store:
            buffer.save(store, "mine")
            found = buffer_class.load(store, "mine")
        assert _same_state(found.state_dict(), buffer.state_dict())
        assert found.rows.dtype == buffer.rows.dtype
        for each in (found, buffer):
            each.add(1, 1, 1.0, 2, False)
        assert _same_batch(found.sample(20), buffer.sample(20))


def a_copy_goes_its_own_way(buffer_class):
    buffer = _filled(buffer_class, 3)
    before = buffer.state_dict()
    copied = copy.deepcopy(buffer)
    assert _same_state(copied.state_dict(), before)
    copied.add(1, 1, 1.0, 2, False)
    copied.sample(4)
    assert len(copied.sample(9).rewards) == 9
    assert _same_state(buffer.state_dict(), before)


def a_pickled_buffer_goes_on_as_the_one_it_was_made_of(buffer_class):
    for n in (0, 5, 10):
        buffer = _filled(buffer_class, 3, n, n_step=2, gamma=0.9)
        again = pickle.loads(pickle.dumps(buffer))  # noqa: S301
        for each in (buffer, again):
            each.add(1, 1, 1.0, 2, False)
        assert _same_batch(buffer.sample(9), again.sample(9))
        assert _same_state(buffer.state_dict(), again.state_dict())


def without_spaces_the_first_transition_decides(buffer_class):
    first = np.arange(6, dtype=np.float32).reshape(2, 3), 1, 0.5, np.ones((2, 3), np.float32), False
    twice = [np.stack([first[0]] * 2), np.array([1, 0]), [0.5, 0.5], [first[3]] * 2, [0, 0], [0, 1]]
    for store in (lambda buffer: buffer.add(*first), lambda buffer: buffer.extend(twice)):
        buffer = buffer_class(5, seed=0)
        assert (len(buffer), buffer.stats().size, buffer.stats().pairs) == (0, 0, None)
        with pytest.raises(UsageError, match="cannot sample from an empty buffer: add transitions first"):
            buffer.sample(1)
        store(buffer)
        batch = buffer.sample(4)
        assert (batch.observations.shape, batch.observations.dtype, batch.actions.dtype) == ((4, 2, 3), "f4", "i8")
        assert (batch.observations == first[0]).all()
        with pytest.raises(UsageError, match=r"an observation must have shape \(2, 3\), got \(2,\)"):
            buffer.add([1.0, 2.0], *first[1:])


def whole_numbers_need_no_spaces(buffer_class):
    buffer, known = buffer_class(7, seed=0), _filled(buffer_class, 0)
    for i in range(10):
        buffer.add(i, i % 4, i / 2, i + 1, i % 3 == 0, i % 5 == 0)
    assert _same_batch(buffer.sample(20), known.sample(20))
    assert _same_batch(buffer.sample(20, balanced=True), known.sample(20, balanced=True))
    stats = buffer.stats()
    assert (stats.pairs, stats.coverage) == (known.stats().pairs, None)


def what_cannot_be_stored_decides_nothing(buffer_class):
    buffer = buffer_class(5, seed=0)
    for wrong in (
        lambda: buffer.add(0, 1, 0.5, [1.0, 2.0], False),
        lambda: buffer.add(0, 1, math.nan, 1, False),
        lambda: buffer.add({"a": 1}, 1, 0.5, 1, False),
        lambda: buffer.add([], 1, 0.5, [], False),
        lambda: buffer.add("left", 1, 0.5, 1, False),
        lambda: buffer.extend([[0, 1], [1, 1], [0.5, math.inf], [1, 2], [0, 0], [0, 0]]),
        lambda: buffer.extend([[0, 1], [1], [0.5, 0.5], [1, 2], [0, 0], [0, 0]]),
        lambda: buffer_class(5, spaces.Discrete(3)),
    ):
        with pytest.raises(UsageError):
            wrong()
    buffer.extend([[], [], [], [], [], []])
    buffer.add([0.5], [1.0, 2.0], 1.0, [0.25], False)
    assert buffer.sample(3).actions.tolist() == [[1.0, 2.0]] * 3


def one_without_spaces_survives_a_store_and_copies(buffer_class):
    for n in (0, 3, 20):
        buffer, known = buffer_class(7, n_step=2, gamma=0.9, seed=3), _filled(buffer_class, 3, n, n_step=2, gamma=0.9)
        for i in range(n):
            buffer.add(i, i % 4, i / 2, i + 1, i % 3 == 0, i % 5 == 0)
        with open_store("memory://") as store:
            buffer.save(store, "mine")
            again = [buffer_class.load(store, "mine"), copy.deepcopy(buffer), pickle.loads(pickle.dumps(buffer))]  # noqa: S301
        again.append(buffer_class(7, n_step=2, gamma=0.9))
        again[-1].load_state_dict(buffer.state_dict())
        for each in (known, *again):
            assert len(each) == min(n, 7)
            each.add(1, 1, 1.0, 2, False)
        wanted = known.sample(20)
        assert all(_same_batch(each.sample(20), wanted) for each in again)


def it_takes_back_only_a_state_of_its_like(buffer_class):
    state = _filled(buffer_class, 0).state_dict()
    others = [
        buffer_class(8, spaces.Discrete(50), spaces.Discrete(4)),
        buffer_class(7, spaces.Discrete(49), spaces.Discrete(4)),
        buffer_class(7, spaces.Discrete(50), spaces.Discrete(4, start=1)),
        buffer_class(7, spaces.Box(0, 1, (2,)), spaces.Discrete(4)),
        buffer_class(7, spaces.Discrete(50), spaces.Discrete(4), n_step=2, gamma=0.5),
    ]
    for other in others:
        before = other.state_dict()
        with pytest.raises(UsageError, match="the state"):
            other.load_state_dict(state)
        assert _same_state(other.state_dict(), before)
    for name in ("rng", "rows/reward", "position"):
        with pytest.raises(UsageError, match=f"the state lacks {name}"):
            _filled(buffer_class, 0).load_state_dict({key: value for key, value in state.items() if key != name})
    for position in (-1, 7, 3):
        damaged = {**_filled(buffer_class, 0, 5).state_dict(), "position": position}
        with pytest.raises(UsageError, match="damaged"):
            _filled(buffer_class, 0).load_state_dict(damaged)


def arrays_of_any_shape_and_dtype_come_back_as_they_were(buffer_class):
    boxes = [
        spaces.Box(-1, 1, (4,), np.float32),
        spaces.Box(-1, 1, (3,), np.float32),
        spaces.Box(-1, 1, (2, 3), np.float64),
        spaces.Box(-1, 1, (), np.float64),
        spaces.Box(0, 255, (5, 4, 3), np.uint8),
        spaces.Box(-9, 9, (2, 1), np.int16),
        spaces.Box(-9, 9, (2,), np.int64),
    ]
    for k, box in enumerate(boxes):
        box.seed(k)
        action_space = boxes[-1 - k]
        action_space.seed(k)
        o, a, following = ([space.sample() for _ in range(9)] for space in (box, action_space, box))
        buffer, at_once = (buffer_class(9, box, action_space, seed=k) for _ in range(2))
        for i in range(9):
            buffer.add(o[i], a[i], float(i), following[i], i == 4)
        at_once.extend(
            [np.array(o), np.array(a), np.arange(9.0), np.array(following), np.arange(9) == 4, np.zeros(9, bool)]
        )
        batch = buffer.sample(30)
        assert (batch.observations.dtype, batch.actions.dtype) == (box.dtype, action_space.dtype)
        i = batch.rewards.astype(int)
        assert np.array_equal(batch.observations, np.array(o)[i])
        assert np.array_equal(batch.actions, np.array(a)[i])
        assert np.array_equal(batch.next_observations, np.array(following)[i])
        assert _same_batch(batch, at_once.sample(30))


def discrete_spaces_may_begin_anywhere(buffer_class):
    buffer = buffer_class(3, spaces.Discrete(4, start=-2), spaces.Discrete(2, start=5), seed=0)
    buffer.add(-2, 6, 0.5, 1, False)
    batch = buffer.sample(2)
    assert (batch.observations.tolist(), batch.actions.tolist()) == ([-2, -2], [6, 6])
    for o, a, following in ((2, 5, 0), (-3, 5, 0), (0, 4, 0), (0, 7, 0), (0, 5, 2)):
        with pytest.raises(UsageError, match="must be a whole number from"):
            buffer.add(o, a, 0.5, following, False)


def what_is_refused_leaves_no_trace(buffer_class):
    box, good = spaces.Box(-1, 1, (2,), np.float32), np.zeros(2, np.float32)
    buffer = buffer_class(3, box, spaces.Discrete(2), seed=0)
    for _ in range(4):
        buffer.add(good, 1, 0.5, good, False)
    before = buffer.state_dict()
    wrong = [
        (good, 1, math.nan, good, "finite"),
        (good, 1, math.inf, good, "finite"),
        (good, 1, "much", good, "a number"),
        (good, 1, None, good, "a number"),
        (np.zeros(3, np.float32), 1, 0.5, good, r"shape \(2,\)"),
        (good, 1, 0.5, np.zeros((2, 1), np.float32), r"shape \(2,\)"),
        ([[1.0], [1.0, 2.0]], 1, 0.5, good, "shape"),
        (np.array(["a", "b"]), 1, 0.5, good, "numbers of dtype float32"),
        (np.array([1e300, 0.0]), 1, 0.5, good, "fit dtype float32"),
        (good, 2, 0.5, good, "0 to 1"),
        (good, -1, 0.5, good, "0 to 1"),
        (good, 0.5, 0.5, good, "whole number"),
        (good, None, 0.5, good, "whole number"),
    ]
    for o, a, r, following, message in wrong:
        with pytest.raises(UsageError, match=message):
            buffer.add(o, a, r, following, False)
        assert _same_state(buffer.state_dict(), before)
        many = ([good, o], [1, a], [0.5, r], [good, following], [False, False], [False, False])
        with pytest.raises(UsageError):
            buffer.extend(many)
        assert _same_state(buffer.state_dict(), before)


def a_wrong_transition_among_many_is_named(buffer_class):
    buffer = _filled(buffer_class, 0)
    before = buffer.state_dict()
    for column, value, message in [
        (0, 50, "transition 3: an observation must be"),
        (1, -1, "transition 3: an action must be"),
        (2, math.nan, "transition 3: a reward must be a finite number, got nan"),
        (3, 99, "transition 3: an observation must be"),
    ]:
        columns = [np.zeros(5, dtype) for dtype in (int, int, float, int, bool, bool)]
        columns[column][3] = value
        with pytest.raises(UsageError, match=message):
            buffer.extend(columns)
        assert _same_state(buffer.state_dict(), before)
    for wrong in (columns[:5], [*columns[:5], np.zeros(4, bool)], [columns[0][:, None], *columns[1:]]):
        with pytest.raises(UsageError, match=r"expected (6 )?arrays"):
            buffer.extend(wrong)
        assert _same_state(buffer.state_dict(), before)


def a_sample_that_cannot_be_is_refused(buffer_class):
    with pytest.raises(UsageError, match="empty buffer"):
        _filled(buffer_class, 0, 0).sample(1)
    buffer = _filled(buffer_class, 0)
    for size, message in ((0, "at least 1"), (-3, "at least 1"), (1.5, "whole number"), ("2", "whole number")):
        with pytest.raises(UsageError, match=message):
            buffer.sample(size)
    assert len(buffer.sample(np.int64(40)).rewards) == 40  # more than it holds: it draws with replacement


def a_capacity_of_one_holds_the_newest(buffer_class):
    buffer = _filled(buffer_class, 0, 9, 1, n_step=3, gamma=0.5)
    batch = buffer.sample(4)
    assert batch.observations.tolist() == [8] * 4
    assert batch.rewards.tolist() == [4.0] * 4
    assert batch.discounts.tolist() == [0.5] * 4


def parameters_out_of_range_are_refused(buffer_class):
    discrete = spaces.Discrete(2), spaces.Discrete(2)
    for capacity, message in ((0, "at least 1"), (-1, "at least 1"), (2.5, "whole number"), ("9", "whole number")):
        with pytest.raises(UsageError, match=f"capacity must be .*{message}"):
            buffer_class(capacity, *discrete)
    for wrong, message in [
        ({"n_step": 0, "gamma": 0.5}, "n_step must be at least 1"),
        ({"n_step": 2}, "n_step=2 needs a discount"),
        ({"gamma": 1.5}, r"gamma must be in \[0, 1\], got 1.5"),
        ({"gamma": math.nan}, "gamma must be"),
        ({"gamma": "0.9"}, "gamma must be"),
    ]:
        with pytest.raises(UsageError, match=message):
            buffer_class(3, *discrete, **wrong)
    with pytest.raises(UsageError, match="Discrete and Box"):
        buffer_class(3, spaces.Text(3), spaces.Discrete(2))


def it_says_what_memory_it_takes_and_refuses_more_than_there_is(buffer_class):
    discrete = spaces.Discrete(2), spaces.Discrete(2)
    buffer = buffer_class(1000, *discrete)
    own = [value for value in vars(buffer).values() if isinstance(value, np.ndarray) and value.nbytes > 100]
    assert buffer.nbytes == buffer_class.bytes_needed(1000, *discrete) == sum(array.nbytes for array in own)
    with pytest.raises(
        UsageError, match=r"a buffer of 1,000,000,000,000 transitions takes [\d,.]+ GB, .* has [\d,.]+ GB"
    ):
        buffer_class(10**12, *discrete)


def a_return_adds_up_n_rewards_and_ends_with_its_episode(buffer_class):
    # rewards 1 2 4 8 16 32; the 2nd step terminates, the 4th is truncated; n = 3, gamma = 1/2
    buffer = buffer_class(8, spaces.Discrete(9), spaces.Discrete(2), n_step=3, gamma=0.5, seed=0)
    for i in range(6):
        buffer.add(i, 0, 2.0**i, i + 1, i == 1, i == 3)
    expected = {  # first: return, discount, next observation, terminated, truncated
        0: (1 + 2 / 2, 0.25, 2, True, False),  # stops at the end: the next episode adds nothing
        1: (2, 0.5, 2, True, False),
        2: (4 + 8 / 2, 0.25, 4, False, True),  # bootstraps from the last observation
        3: (8, 0.5, 4, False, True),
        4: (16 + 32 / 2, 0.25, 6, False, False),  # nothing newer is held
        5: (32, 0.5, 6, False, False),
    }
    batch = buffer.sample(100)
    ends = batch.next_observations, batch.terminations, batch.truncations
    columns = [column.tolist() for column in (batch.observations, batch.rewards, batch.discounts, *ends)]
    assert {first: tuple(about) for first, *about in zip(*columns, strict=True)} == expected


def returns_go_round_the_ring_but_not_past_the_newest(buffer_class):
    buffer = buffer_class(3, spaces.Discrete(9), spaces.Discrete(2), n_step=2, gamma=0.5, seed=0)
    for i in range(5):  # rows 3 4 2
        buffer.add(i, 0, 2.0**i, i + 1, False)
    batch = buffer.sample(60)
    assert dict(zip(batch.observations.tolist(), batch.rewards.tolist(), strict=True)) == {2: 8.0, 3: 16.0, 4: 16.0}
    assert dict(zip(batch.observations.tolist(), batch.discounts.tolist(), strict=True)) == {2: 0.25, 3: 0.25, 4: 0.5}


def an_episode_that_was_left_is_not_gone_past(buffer_class):
    buffer = buffer_class(5, spaces.Discrete(9), spaces.Discrete(2), n_step=3, gamma=1.0, seed=0)
    buffer.end_episode()
    for i in range(4):
        buffer.add(i, 0, 1.0, i + 1, i == 2)
        if i in (0, 2):
            buffer.end_episode()
    batch = buffer.sample(60)
    assert dict(zip(batch.observations.tolist(), batch.rewards.tolist(), strict=True)) == {0: 1, 1: 2, 2: 1, 3: 1}
    assert dict(zip(batch.observations.tolist(), batch.truncations.tolist(), strict=True)) == {
        0: True,
        1: False,  # terminated
        2: False,
        3: False,
    }


def a_balanced_sample_draws_pairs_evenly(buffer_class):
    buffer = buffer_class(99, spaces.Discrete(5), spaces.Discrete(2), seed=6)
    for i in range(110):
        buffer.add(0 if i % 11 else 3, i % 2, float(i), 1, False)  # pair (0, .) ten times as often as (3, .)
    batch = buffer.sample(4000, balanced=True)
    counts = np.bincount(2 * batch.observations + batch.actions, minlength=10)
    assert counts.nonzero()[0].tolist() == [0, 1, 6, 7]
    # chi-squared, 3 degrees of freedom: above 30.7 with probability 1e-6
    assert ((counts[[0, 1, 6, 7]] - 1000) ** 2 / 1000).sum() < 30.7
    buffer.add(4, 1, 0.0, 1, False)  # recounted
    assert (buffer.sample(200, balanced=True).observations == 4).any()
    box = buffer_class(2, spaces.Box(0, 1, (1,)), spaces.Discrete(2))
    box.add([0.5], 0, 0.0, [0.5], False)
    with pytest.raises(UsageError, match="needs Discrete"):
        box.sample(1, balanced=True)


def its_stats_are_what_it_holds(buffer_class):
    buffer = buffer_class(8, spaces.Discrete(3), spaces.Discrete(2), seed=0)
    empty = buffer.stats()
    assert (empty.size, empty.fill, empty.pairs, empty.coverage) == (0, 0.0, 0, 0.0)
    assert (empty.oldest_age, empty.expected_age, empty.rarest) == (None, None, None)
    for s, a in ((0, 0), (0, 1), (0, 1), (2, 1)):
        buffer.add(s, a, 0.0, 1, False)
    stats = buffer.stats()
    assert (stats.size, stats.capacity, stats.nbytes, stats.fill) == (4, 8, buffer.nbytes, 0.5)
    assert (stats.pairs, stats.coverage, stats.rarest, stats.commonest) == (3, 0.5, 1, 2)
    assert (stats.oldest_age, stats.expected_age) == (3, 1.5)  # all equally likely: new ones share one priority
    box = buffer_class(2, spaces.Box(0, 1, (1,)), spaces.Discrete(2))
    assert (box.stats().pairs, box.stats().coverage) == (None, None)


def its_probabilities_sum_to_one(buffer_class):
    for n in (1, 5, 20):
        found = _filled(buffer_class, 0, n).probabilities()
        assert found.shape == (min(n, 7),)
        assert (found > 0).all()
        assert math.isclose(found.sum(), 1.0)


def it_leaves_the_global_generator_alone(buffer_class):
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - it is this one that must not move
    _filled(buffer_class, None).sample(9)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


BUFFER_CHECKS = [
    it_holds_no_more_than_its_capacity,
    the_same_seed_and_history_sample_alike,
    another_seed_samples_otherwise,
    a_sample_is_made_of_transitions_that_were_added,
    a_sample_stays_as_it_was_when_the_buffer_goes_on,
    every_row_is_drawn_sooner_or_later,
    extending_is_adding_one_by_one,
    an_extension_by_nothing_changes_nothing,
    a_stored_buffer_goes_on_as_if_nothing_had_happened,
    its_state_is_plain_arrays_and_json,
    it_survives_a_store,
    a_copy_goes_its_own_way,
    a_pickled_buffer_goes_on_as_the_one_it_was_made_of,
    without_spaces_the_first_transition_decides,
    whole_numbers_need_no_spaces,
    what_cannot_be_stored_decides_nothing,
    one_without_spaces_survives_a_store_and_copies,
    it_takes_back_only_a_state_of_its_like,
    arrays_of_any_shape_and_dtype_come_back_as_they_were,
    discrete_spaces_may_begin_anywhere,
    what_is_refused_leaves_no_trace,
    a_wrong_transition_among_many_is_named,
    a_sample_that_cannot_be_is_refused,
    a_capacity_of_one_holds_the_newest,
    parameters_out_of_range_are_refused,
    it_says_what_memory_it_takes_and_refuses_more_than_there_is,
    a_return_adds_up_n_rewards_and_ends_with_its_episode,
    returns_go_round_the_ring_but_not_past_the_newest,
    an_episode_that_was_left_is_not_gone_past,
    a_balanced_sample_draws_pairs_evenly,
    its_stats_are_what_it_holds,
    its_probabilities_sum_to_one,
    it_leaves_the_global_generator_alone,
]
