"""Walks: steps over a known table, made of it again bit for bit, and nothing else taken for one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.errors import StoreError, UsageError
from rlbench.store import TERMINATED, TRUNCATED, EpisodeChunk, codec
from rlbench.store.documents import about_part, assembled, chunk_row, verified
from rlbench.store.walks import Table, Walk, action_dtype, table_of

REWARDS = [0.0, -0.0, 1.0, 1.0 + 2**-52, -1e300]  # few: outcomes of a pair are often equal, or nearly


def random_model(rng, n_states, n_actions, most_outcomes):
    """Returns (n_actions, offsets, successor, reward, terminated), with equal outcomes among them."""
    counts = rng.integers(1, most_outcomes + 1, n_states * n_actions)
    total = int(counts.sum())
    offsets = np.concatenate([[0], np.cumsum(counts)])
    successor = rng.integers(0, min(n_states, 3), total, dtype=np.int32)
    return n_actions, offsets, successor, rng.choice(REWARDS, total), rng.random(total) < 0.2


def distinct_outcomes(model, pair):
    """Returns the outcomes of a pair in the order of their first appearance, and which of them each is."""
    _, offsets, *columns = model
    here = slice(offsets[pair], offsets[pair + 1])
    successor, reward, terminated = (column[here] for column in columns)
    outcomes = list(zip(successor.tolist(), reward.view(np.int64).tolist(), terminated.tolist(), strict=True))
    distinct = list(dict.fromkeys(outcomes))
    return distinct, [distinct.index(outcome) for outcome in outcomes]


def random_walk(rng, model, segments):
    """Returns (steps, lengths, terminations, outcomes) of a chunk that plays random actions in a model."""
    n_actions, offsets, successor, reward, terminated = model
    n_states = (len(offsets) - 1) // n_actions
    observations, actions, rewards, outcomes, lengths, ends = [], [], [], [], [], []
    for _ in range(segments):
        state, length, is_over, most = rng.integers(n_states), 0, False, rng.integers(0, 12)
        observations.append(state)
        while length < most and not is_over:
            action = rng.integers(n_actions)
            pair = state * n_actions + action
            i = rng.integers(offsets[pair], offsets[pair + 1])
            state, is_over, length = successor[i], terminated[i], length + 1
            observations.append(state)
            actions.append(action)
            rewards.append(reward[i])
            outcomes.append(distinct_outcomes(model, pair)[1][i - offsets[pair]])
        lengths.append(length)
        ends.append(is_over)
    steps = {
        "observations": np.array(observations, np.int32),
        "actions": np.array(actions, action_dtype(n_actions)),
        "rewards": np.array(rewards, np.float64),
        "explored": rng.random(len(actions)) < rng.choice([0, 0.3, 1]),
    }
    return steps, np.array(lengths, np.int64), np.array(ends, np.bool_), np.array(outcomes, np.uint8)


def assert_same_bits(found, expected):
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name].dtype == column.dtype
        assert found[name].tobytes() == column.tobytes(), name


cases = given(
    seed=st.integers(0, 2**32 - 1),
    n_states=st.integers(1, 6),
    n_actions=st.sampled_from([1, 2, 5, 16, 17, 256]),
    most_outcomes=st.sampled_from([1, 4]),
    segments=st.integers(1, 12),
)


@settings(deadline=None, max_examples=150)
@cases
def test_steps_in_a_table_come_back_from_what_is_stored_of_them(seed, n_states, n_actions, most_outcomes, segments):
    rng = np.random.default_rng(seed)
    model = random_model(rng, n_states, n_actions, most_outcomes)
    table = table_of(*model)
    steps, lengths, terminations, outcomes = random_walk(rng, model, segments)
    walk = Walk.of(table, steps, lengths, terminations)
    expected = [] if table.is_deterministic else outcomes.tolist()
    assert walk.kept.get("outcomes", np.empty(0)).tolist() == expected
    assert_same_bits(walk, steps)
    again = Table.unpack(table.blob, table.digest)
    stored, _ = codec.unpack(codec.pack(walk.packed()))
    assert "observations" not in stored
    assert "actions" not in stored
    back = Walk.unpacked(again, stored, lengths, terminations)
    assert_same_bits(back, steps)
    assert_same_bits(back.packed(), walk.packed())


@settings(deadline=None, max_examples=150)
@cases
def test_equal_outcomes_of_a_pair_are_kept_once_where_the_first_was(seed, n_states, n_actions, most_outcomes, segments):
    model = random_model(np.random.default_rng(seed), n_states, n_actions, most_outcomes)
    table, offsets = table_of(*model), model[1]
    kept = list(zip(table.successor, table.reward.view(np.int64), table.terminated, strict=True))
    for pair in range(len(offsets) - 1):
        assert kept[table.offsets[pair] : table.offsets[pair + 1]] == distinct_outcomes(model, pair)[0]


@settings(deadline=None, max_examples=150)
@cases
def test_steps_that_differ_from_the_table_in_one_bit_are_no_walk(seed, n_states, n_actions, most_outcomes, segments):
    rng = np.random.default_rng(seed)
    model = random_model(rng, n_states, n_actions, most_outcomes)
    table = table_of(*model)
    steps, lengths, terminations, _ = random_walk(rng, model, segments)
    rewards = steps["rewards"].view(np.int64).copy()
    if not len(rewards):
        return
    rewards[rng.integers(len(rewards))] ^= 1 << 40  # no reward of any table here
    assert Walk.of(table, {**steps, "rewards": rewards.view(np.float64)}, lengths, terminations) is None


TWO_STATES = table_of(
    2, np.arange(5), np.array([0, 1, 1, 1], np.int32), np.array([0.0, 1, 0, 0]), np.array([0, 1, 0, 0]) > 0
)
STEPS = {
    "observations": np.array([0, 0, 1], np.int32),
    "actions": np.array([0, 1], np.int16),
    "rewards": np.array([0.0, 1]),
    "explored": np.array([True, False]),
}
LENGTHS, ENDED = np.array([2]), np.array([True])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("observations", np.array([0, 1, 1], np.int32)),
        ("observations", np.array([0, 0, 2], np.int32)),
        ("observations", np.array([-1, 0, 1], np.int32)),
        ("observations", np.array([0, 0, 1], np.int64)),
        ("actions", np.array([0, 2], np.int16)),
        ("actions", np.array([-1, 1], np.int16)),
        ("rewards", np.array([-0.0, 1])),
        ("explored", np.array([1, 0], np.uint8)),
        ("seen", np.array([1, 0])),
    ],
)
def test_steps_with_another_observation_action_reward_or_dtype_are_no_walk(column, value):
    assert Walk.of(TWO_STATES, STEPS, LENGTHS, ENDED) is not None
    assert Walk.of(TWO_STATES, {**STEPS, column: value}, LENGTHS, ENDED) is None


def test_steps_that_end_where_the_table_does_not_are_no_walk():
    assert Walk.of(TWO_STATES, STEPS, LENGTHS, ~ENDED) is None
    assert Walk.of(TWO_STATES, {name: rows[:-1] for name, rows in STEPS.items()}, LENGTHS - 1, ENDED) is None


@pytest.mark.parametrize("lengths", [[3], [1], [2, 0], [3, -1], [2**63 - 1, 2**63 - 1, 4]])
def test_steps_that_do_not_fill_their_segments_are_no_walk(lengths):
    assert Walk.of(TWO_STATES, STEPS, np.array(lengths), np.ones(len(lengths), np.bool_)) is None


def test_outcomes_that_differ_in_their_end_alone_are_told_apart():
    table = table_of(1, np.array([0, 2]), np.zeros(2, np.int32), np.zeros(2), np.array([False, True]))
    steps = {
        "observations": np.zeros(4, np.int32),
        "actions": np.zeros(3, np.int16),
        "rewards": np.zeros(3),
        "explored": np.zeros(3, np.bool_),
    }
    assert Walk.of(table, steps, np.array([3]), np.array([True])).kept["outcomes"].tolist() == [0, 0, 1]
    assert Walk.of(table, steps, np.array([3]), np.array([False])).kept["outcomes"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("starts", np.array([2], np.int32)),
        ("starts", np.array([0, 0], np.int32)),
        ("explored", np.array([True, True])),
        ("repeats", np.array([True])),
        ("changes", np.array([2], np.uint8)),
        ("changes", np.array([0], np.uint8)),
        ("tries", np.array([200], np.uint8)),
        ("tries", None),
    ],
)
def test_stored_columns_that_are_no_walk_over_the_table_are_refused(column, value):
    packed = Walk.of(TWO_STATES, STEPS, LENGTHS, ENDED).packed()
    assert_same_bits(Walk.unpacked(TWO_STATES, packed, LENGTHS, ENDED), STEPS)
    columns = {name: rows for name, rows in {**packed, column: value}.items() if rows is not None}
    with pytest.raises(UsageError):
        Walk.unpacked(TWO_STATES, columns, LENGTHS, ENDED)


@pytest.mark.parametrize(("offsets", "action"), [([0, 1, 3], 0), ([0, 2, 3], 1)])
def test_an_outcome_beyond_those_of_an_action_is_refused(offsets, action):
    alike = np.zeros(3, np.int32), np.zeros(3), np.zeros(3, np.bool_)
    table = Table(2, np.array(offsets), *alike)  # one action has two outcomes, the other, which is taken, has one
    columns = np.zeros(2, np.int32), np.full(1, action, np.int16), np.zeros(1), np.zeros(1, np.bool_)
    lengths, terminations = np.array([1]), np.array([False])
    stored = Walk.of(table, dict(zip(STEPS, columns, strict=True)), lengths, terminations).packed()
    one = np.array([0b1000_0000], np.uint8)  # eight outcomes a byte, the first in its highest bit
    with pytest.raises(UsageError, match="step 0 "):
        Walk.unpacked(table, {**stored, "outcomes": one}, lengths, terminations)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_actions", 3),
        ("offsets", np.array([0, 1, 2, 3, 5])),
        ("offsets", np.array([0, 1, 1, 3, 4])),
        ("successor", np.array([0, 2, 1, 1], np.int32)),
        ("successor", np.array([0, -1, 1, 1], np.int32)),
        ("reward", np.array([0, np.inf, 0, 0])),
        ("terminated", np.zeros(3, np.bool_)),
    ],
)
def test_arrays_that_are_no_table_are_refused(name, value):
    arrays = {
        field: getattr(TWO_STATES, field) for field in ("n_actions", "offsets", "successor", "reward", "terminated")
    }
    Table(**arrays)
    with pytest.raises(UsageError):
        Table(**{**arrays, name: value})


def test_a_pair_with_more_outcomes_than_a_byte_counts_makes_no_table():
    most = np.arange(256.0), np.arange(257.0)
    for rewards in most[:1]:
        table = table_of(1, np.array([0, 256]), np.zeros(256, np.int32), rewards, np.zeros(256, np.bool_))
        assert table.most_outcomes == 256
    with pytest.raises(UsageError, match="1 to 256 outcomes"):
        table_of(1, np.array([0, 257]), np.zeros(257, np.int32), most[1], np.zeros(257, np.bool_))


def test_a_table_is_known_by_all_of_its_content():
    arrays = {
        field: getattr(TWO_STATES, field) for field in ("n_actions", "offsets", "successor", "reward", "terminated")
    }
    others = [
        Table(**arrays),
        Table(**{**arrays, "n_actions": 1, "successor": arrays["successor"]}),
        Table(**{**arrays, "reward": np.array([-0.0, 1, 0, 0])}),
        Table(**{**arrays, "terminated": np.zeros(4, np.bool_)}),
        Table(**{**arrays, "successor": np.zeros(4, np.int32)}),
    ]
    assert [other.digest == TWO_STATES.digest for other in others] == [True, False, False, False, False]


def test_a_table_that_is_damaged_or_another_is_refused():
    other = Table.unpack(TWO_STATES.blob, TWO_STATES.digest)
    assert other.digest == TWO_STATES.digest
    with pytest.raises(StoreError, match="is damaged"):
        Table.unpack(TWO_STATES.blob, "0" * 32)
    with pytest.raises(StoreError, match="is damaged"):
        Table.unpack(codec.pack({"offsets": np.zeros(1)}, {"n_actions": 1}), TWO_STATES.digest)
    with pytest.raises(StoreError, match="is damaged"):
        Table.unpack(codec.pack({}, None), TWO_STATES.digest)


BEFORE = {"timesteps": 0, "id": "0123456789ab", "next_episode": 0, "next_step": 0, "chunks": 0}


def row_and_parts():
    """Returns a chunk of a walk as a backend stores it, and its parts as they are read."""
    walk = Walk.of(TWO_STATES, STEPS, LENGTHS, ENDED)
    chunk = EpisodeChunk(0, 0, LENGTHS, np.array([TERMINATED], np.uint8), {"return": np.array([1.0])}, walk)
    row = chunk_row(BEFORE, chunk)
    parts = {part: verified(getattr(row, part), part, about_part(row.span, part)) for part in ("segments", "steps")}
    return row, parts


def test_a_chunk_over_a_table_stores_and_names_it():
    row, parts = row_and_parts()
    assert Table.unpack(row.table.blob, row.table.digest).digest == TWO_STATES.digest
    chunk = assembled(BEFORE["id"], row.span, parts, {row.table.digest: TWO_STATES}.__getitem__, keeps_steps=True)
    assert_same_bits(chunk.steps, STEPS)


def test_a_chunk_with_another_table_than_its_own_is_damaged():
    row, parts = row_and_parts()
    other = table_of(2, np.arange(5), np.zeros(4, np.int32), np.zeros(4), np.zeros(4, np.bool_))
    with pytest.raises(StoreError, match=r"chunk 0, steps is damaged: step 1 .* does not follow from its table"):
        assembled(BEFORE["id"], row.span, parts, lambda _: other, keeps_steps=True)


def test_a_walk_of_other_episodes_than_the_chunk_is_malformed():
    walk = Walk.of(TWO_STATES, STEPS, LENGTHS, ENDED)
    chunk = EpisodeChunk(0, 0, LENGTHS, np.array([TRUNCATED], np.uint8), {"return": np.array([1.0])}, walk)
    assert "its walk must have its lengths" in chunk.problem()


def test_steps_over_a_table_larger_than_a_document_takes_are_stored_as_they_are(monkeypatch):
    monkeypatch.setattr("rlbench.store.documents.MOST_TABLE", 9)
    row, parts = row_and_parts()
    assert row.table is None
    assert_same_bits(assembled(BEFORE["id"], row.span, parts, lambda _: None, keeps_steps=True).steps, STEPS)
