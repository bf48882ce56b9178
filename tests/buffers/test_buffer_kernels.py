"""The compiled parts of buffers: the generator, the sum tree, the returns; also run as plain Python."""

import gc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from rlbench.buffers import _kernels, _sfc64, _sum_tree
from rlbench.random_state import new_generator

LEAVES = 8


def test_sfc64_draws_what_numpy_draws():
    rng, state = new_generator(5), tuple(_sfc64.live_words(new_generator(5)))
    with np.errstate(over="ignore"):  # as plain Python
        state = tuple(np.uint64(word) for word in state)
        for _ in range(100):
            u, state = _sfc64.sfc64_random.py_func(state)
            assert u == rng.random()
    compiled = np.empty(100, np.int64)
    _kernels.draw_rows(_sfc64.live_words(new_generator(6)), 2**52, compiled)
    assert (compiled == (new_generator(6).random(100) * 2**52).astype(np.int64)).all()


def test_the_words_of_a_generator_outlive_its_name():
    words = _sfc64.live_words(new_generator(4))
    gc.collect()
    others = [new_generator(i) for i in range(50)]
    assert (words == new_generator(4).bit_generator.state["state"]["state"]).all()
    assert len(others) == 50


def test_moving_the_words_of_a_generator_moves_it():
    rng, twin = new_generator(1), new_generator(1)
    words = _sfc64.live_words(rng)
    _kernels.draw_rows(words, 10, np.empty(7, np.int64))
    twin.random(7)
    assert rng.random() == twin.random()
    assert (words == rng.bit_generator.state["state"]["state"]).all()


OPERATIONS = st.one_of(
    st.tuples(st.just("range"), st.integers(0, 7), st.integers(1, 8), st.floats(0.1, 9)),
    st.tuples(st.just("set"), st.lists(st.tuples(st.integers(0, 7), st.floats(0.1, 9)), min_size=1, max_size=20)),
)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "as Python"])
@given(operations=st.lists(OPERATIONS, max_size=8))
def test_a_tree_depends_on_its_leaves_alone(compiled, operations):
    tree, values, largest = np.zeros(2 * LEAVES), np.zeros(LEAVES), 1.0
    for what, *about in operations:
        if what == "range":
            start, count, value = about[0], min(about[1], LEAVES - about[0]), about[2]
            _called(_sum_tree.set_range, compiled)(tree, start, count, value)
            values[start : start + count] = value
        else:
            indices, priorities = map(np.array, zip(*about[0], strict=True))
            largest = _called(_sum_tree.set_priorities, compiled)(tree, LEAVES, indices, priorities, 1.0, largest)
            for i, p in about[0]:
                values[i] = p
            assert largest >= priorities.max()
    fresh = np.zeros(2 * LEAVES)
    _sum_tree.set_all(fresh, values, 0)
    assert (tree == fresh).all()
    assert (tree[LEAVES:] == values).all()
    assert np.isclose(tree[1], values.sum())


def _called(function, compiled):
    return function if compiled else function.py_func


@given(
    values=st.lists(st.sampled_from([0.1, 0.3, 1 / 3, 1e-12, 1e12, 7.0]), min_size=1, max_size=33),
    n=st.integers(1, 64),
    seed=st.integers(0, 99),
)
def test_what_holds_nothing_is_never_drawn(values, n, seed):
    leaves = 1 << (len(values) - 1).bit_length()
    tree, indices = np.zeros(2 * leaves), np.empty(n, np.int64)
    _sum_tree.set_all(tree, np.array(values), 0)
    _sum_tree.draw_leaves(tree, _sfc64.live_words(new_generator(seed)).copy(), indices)
    assert ((indices >= 0) & (indices < len(values))).all()
    assert (np.diff(indices) >= 0).all()  # share by share


@pytest.mark.parametrize("leaves", [1, 2, 4])
def test_rounding_beyond_the_last_leaf_stays_on_it(leaves, monkeypatch):
    tree, indices = np.zeros(2 * leaves), np.empty(3, np.int64)
    _sum_tree.set_all.py_func(tree, np.full((leaves + 1) // 2, 0.1), 0)
    monkeypatch.setattr(_sum_tree, "sfc64_random", lambda state: (2.0, state))  # far too large: a draw is below 1
    _sum_tree.draw_leaves.py_func(tree, np.zeros(4, np.uint64), indices)
    assert indices.max() == (leaves + 1) // 2 - 1


def test_leaf_i_is_drawn_from_the_ith_share_by_the_ith_number_of_the_generator():
    values, tree, indices = np.array([3.0, 1.0, 2.0, 0.5, 9.0]), np.zeros(16), np.empty(10, np.int64)
    _sum_tree.set_all(tree, values, 0)
    rng, twin = new_generator(3), new_generator(3)
    for _ in range(20):
        _sum_tree.draw_leaves(tree, _sfc64.live_words(rng), indices)
        places = (np.arange(10) + twin.random(10)) * 15.5 / 10
        assert (indices == np.searchsorted(values.cumsum(), places, side="right")).all()


def test_new_rows_get_the_greatest_priority_round_the_end_of_the_ring():
    tree, greatest = np.zeros(16), np.array([9.0])
    _sum_tree.set_all(tree, np.ones(5), 0)
    for added, position, expected in [
        ((7, 7), 2, [1, 1, 1, 1, 1]),
        ((9, 7), 1, [3, 1, 1, 1, 3]),
        ((12, 10), 3, [3, 3, 3, 1, 3]),
        ((99, 12), 2, [3, 3, 3, 3, 3]),
    ]:
        counts = np.array(added)
        _sum_tree.settle(tree, np.array([position, 5]), 5, counts, greatest, 0.5)
        assert tree[8:13].tolist() == expected
        assert tree[13:].tolist() == [0, 0, 0]
        assert counts[0] == counts[1]


def test_updating_is_setting_the_size_of_the_error_plus_epsilon():
    one, other = np.zeros(16), np.zeros(16)
    indices, errors = np.array([3, 1, 3]), np.array([-2.0, 0.5, 1.0])
    found = _sum_tree.update_priorities(one, 5, indices, errors, 0.25, 0.6, 1.0)
    expected = _sum_tree.set_priorities(other, 5, indices, np.abs(errors) + 0.25, 0.6, 1.0)
    assert (one == other).all()
    assert found == expected == 2.25


def test_a_power_is_pythons_own():
    tree, p = np.zeros(2), 1.2345678901234567
    _sum_tree.set_priorities(tree, 1, np.array([0]), np.array([p]), 0.6, 1.0)
    assert tree[1] == p**0.6
    _sum_tree.settle(tree, np.array([0, 1]), 1, np.array([2, 1]), np.array([p]), 0.7)
    assert tree[1] == p**0.7


@pytest.mark.parametrize("function", [_kernels.n_step_returns, _kernels.n_step_returns.py_func])
def test_a_return_is_made_of_the_rewards_that_follow_in_the_ring(function):
    # a ring of 5 whose newest row is 1; row 3 terminates; n = 3, gamma = 1/2
    reward, terminated = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), np.arange(5) == 3
    first = np.arange(5)
    last, returns, discounts = np.empty(5, np.int64), np.empty(5), np.empty(5)
    function(reward, terminated, np.zeros(5, bool), np.array([2, 5]), 3, 0.5, first, last, returns, discounts)
    assert last.tolist() == [1, 1, 3, 3, 1]
    assert returns.tolist() == [2.0, 2.0, 8.0, 8.0, 17.0]
    assert discounts.tolist() == [0.25, 0.5, 0.25, 0.5, 0.125]
