import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rlbench.errors import UsageError
from rlbench.store.columns import Layout, flatten, parts, unflatten

SIMPLE = [
    spaces.Discrete(7),
    spaces.Discrete(5, start=-2),
    spaces.Box(-1.0, 1.0, (3,), np.float32),
    spaces.Box(-np.inf, np.inf, (), np.float64),
    spaces.Box(0, 255, (2, 3, 1), np.uint8),
    spaces.Box(-4, 4, (2, 0), np.int16),
    spaces.Box(-1.0, 1.0, (2,), np.float16),
    spaces.MultiDiscrete([3, 4, 5]),
    spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
    spaces.MultiBinary(4),
    spaces.MultiBinary([2, 3]),
]
NESTED = spaces.Dict(
    {
        "position": spaces.Box(-1.0, 1.0, (2,), np.float32),
        "a/b": spaces.Discrete(3),
        "pair": spaces.Tuple((spaces.MultiBinary(2), spaces.Dict({"deep": spaces.MultiDiscrete([2, 2])}))),
        "": spaces.Discrete(2),
    }
)


def same(a, b):
    """Whether two values of a space are equal in every bit, and of the same types."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a.dtype == b.dtype and np.shape(a) == np.shape(b) and a.tobytes() == b.tobytes()


def names_of(space, name=""):
    """The paths to the simple spaces in a space."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        items = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, inner in items:
            yield from names_of(inner, f"{name}/{key}")
    else:
        yield name


def there_and_back(space, values):
    layout = Layout(space, "x")
    columns = layout.columns([layout.copy(value) for value in values])
    return [unflatten(space, columns, "x", i) for i in range(len(values))]


trees = st.recursive(
    st.sampled_from(SIMPLE),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(spaces.Tuple),
        st.dictionaries(st.text("ab/%", max_size=3), inner, max_size=3).map(spaces.Dict),
    ),
    max_leaves=6,
)


@settings(max_examples=60, derandomize=True)
@given(space=trees, seed=st.integers(0, 2**31), count=st.integers(0, 3))
def test_values_of_any_space_come_back_from_their_columns_as_they_were(space, seed, count):
    space.seed(seed)
    values = [space.sample() for _ in range(count)]
    assume(len(list(names_of(space))) == len(set(names_of(space))))  # otherwise two parts have the same name
    assert all(map(same, there_and_back(space, values), values))


@pytest.mark.parametrize("space", [*SIMPLE, NESTED], ids=str)
def test_what_a_space_samples_comes_back_in_its_dtype(space):
    space.seed(1)
    values = [space.sample() for _ in range(5)]
    assert all(map(same, there_and_back(space, values), values))


def test_parts_are_named_by_keys_and_positions():
    names = [part.name for part in parts(NESTED, "observations")]
    assert names == [
        "observations/",
        "observations/a/b",
        "observations/pair/0",
        "observations/pair/1/deep",
        "observations/position",
    ]


def test_a_value_is_flattened_to_the_names_of_its_columns():
    value = {"position": 1, "a/b": 2, "pair": (3, {"deep": 4}), "": 5}
    assert flatten(NESTED, value, "x") == {"x/": 5, "x/a/b": 2, "x/pair/0": 3, "x/pair/1/deep": 4, "x/position": 1}


def test_two_parts_of_one_name_are_refused():
    space = spaces.Dict({"a/b": spaces.Discrete(2), "a": spaces.Dict({"b": spaces.Discrete(2)})})
    with pytest.raises(UsageError, match=r"two parts .* would be the column 'x/a/b'"):
        parts(space, "x")


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(5),
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Graph(spaces.Discrete(2), None),
        spaces.OneOf((spaces.Discrete(2), spaces.Discrete(3))),
    ],
    ids=lambda space: type(space).__name__,
)
def test_a_space_of_no_fixed_size_is_refused_by_name_and_place(space):
    with pytest.raises(UsageError, match=rf"x/0/key: a {type(space).__name__} space cannot be stored"):
        Layout(spaces.Tuple((spaces.Dict({"key": space}),)), "x")


def test_arrays_keep_the_dtype_in_which_they_come():
    space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    values = [np.array([0.1, -0.0]), np.array([np.nan, np.inf])]
    assert all(map(same, there_and_back(space, values), values))


def test_foreign_byte_order_survives():
    value = np.array([1.5, 2.5], ">f4")
    (found,) = there_and_back(spaces.Box(0, 9, (2,), np.float32), [value])
    assert same(found, value)


def test_rows_of_several_dtypes_take_the_one_that_holds_them_all():
    layout = Layout(spaces.Box(-1.0, 1.0, (1,), np.float32), "x")
    rows = [layout.copy(np.array([0])), layout.copy(np.array([0.1], np.float32))]
    column = layout.columns(rows)["x"]
    assert column.dtype == np.float64
    assert column.ravel().tolist() == [0.0, float(np.float32(0.1))]


def test_rows_that_no_dtype_holds_exactly_are_refused():
    layout = Layout(spaces.Box(-1.0, 1.0, (1,), np.float32), "x")
    rows = [layout.copy(np.array([2**53 + 1])), layout.copy(np.array([0.5]))]
    with pytest.raises(UsageError, match="x came as int64"):
        layout.columns(rows)


def test_whole_numbers_outside_of_the_dtype_of_their_space_are_not_wrapped():
    layout = Layout(spaces.MultiDiscrete([3], dtype=np.int8), "x")
    assert layout.columns([layout.copy([300])])["x"].tolist() == [[300]]
    layout = Layout(spaces.Discrete(3), "x")
    with pytest.raises(UsageError, match="beyond 64 bits"):
        layout.columns([layout.copy(2**64)])


def test_a_copy_does_not_change_with_the_array_it_was_made_of():
    layout, value = Layout(spaces.Box(0, 1, (2,)), "x"), np.zeros(2, np.float32)
    row = layout.copy(value)
    value[:] = 1
    assert row.tolist() == [0, 0]
    column = layout.columns([row])
    unflatten(spaces.Box(0, 1, (2,)), column, "x", 0)[:] = 1
    assert column["x"].tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Discrete(3), 1.0),
        (spaces.Discrete(3), "1"),
        (spaces.Box(0, 1, (2,)), [0.0]),
        (spaces.Box(0, 1, (2,)), ["a", "b"]),
        (spaces.Box(0, 1, (2,)), None),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"b": 1}),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"a": 1, "b": 1}),
        (spaces.Tuple((spaces.Discrete(2),)), (1, 1)),
        (spaces.Tuple((spaces.Discrete(2),)), 1),
    ],
)
def test_a_value_that_does_not_fit_is_refused(space, value):
    with pytest.raises((UsageError, TypeError, LookupError)):
        Layout(space, "x").copy(value)
