"""Tables as users bring them: labels, ids, names and texts are read as written, or refused in a clear line."""

from __future__ import annotations

import csv
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.errors import UsageError
from rlbench.modelling import CsvFile, load_built_in, load_csv, load_ratings, load_texts, train_model

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "größe") for form in ("NFC", "NFD"))
WORDS = [
    "1",
    "01",
    "001",
    "+1",
    "1.0",
    "1e3",
    "1000",
    "1_0",
    "10",
    "-0",
    "0",
    "nan",
    "NA",
    "inf",
    "True",
    "\uff11",
    "a,b",
]
UNLIKE = [" 1", "1 ", COMPOSED, DECOMPOSED]  # look like others


@pytest.fixture
def file(tmp_path):
    """A function that writes a text, or bytes, to a file and returns its path."""

    def write(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refusal(function, *arguments, **named):
    """The one line in which a call is refused."""
    with pytest.raises(UsageError) as raised:
        function(*arguments, **named)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def outcome(function, *arguments, **named):
    """What a function returns, or the line in which it refuses."""
    try:
        return function(*arguments, **named)
    except UsageError as error:
        return str(error)


def classes(path, feature, **named):
    """The classes that naive Bayes finds in the column "who"."""
    model = train_model("naive-bayes", path, target="who", features=[feature], test_size=0.0, **named)
    return model.estimator.classes_.tolist()


def are_alike(words):
    return len({unicodedata.normalize("NFC", word).strip() for word in words}) < len(set(words))


# --- labels and ids


@given(
    labels=st.lists(st.sampled_from(WORDS), min_size=1, max_size=8)
    | st.lists(st.sampled_from(WORDS + UNLIKE), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    chunk=st.integers(1, 5),
)
@settings(max_examples=40, deadline=None)
def test_labels_and_ids_are_those_written_however_the_file_is_read(
    labels, delimiter, newline, encoding, chunk, tmp_path_factory
):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    with path.open("w", encoding=encoding, newline="") as out:
        quoting = csv.QUOTE_ALL if newline == "\r" else csv.QUOTE_MINIMAL  # which forgets the other line breaks
        writer = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=quoting)
        writer.writerow([f"size\n{COMPOSED}", "who", "n"])
        writer.writerows([i, label, i + 1] for i, label in enumerate(labels))
    size = f"size {DECOMPOSED}"
    whole = outcome(classes, path, size)
    parts = outcome(classes, path, size, chunk_rows=chunk)
    users = outcome(lambda names: load_ratings(path, "n", features=names).users.tolist(), ["who", size])
    assert whole == parts == users
    if are_alike(labels):
        assert "column 'who' has labels that look the same, " in whole
    else:
        canonical = all(word in ("1", "10", "1000", "0") for word in labels)
        assert whole == sorted({int(word) if canonical else word for word in labels})


@pytest.mark.parametrize("chunk_rows", [None, 100, 2])
def test_of_repeated_ratings_the_last_counts_however_the_file_is_read(file, chunk_rows):
    path = file("who,what,stars\n7,a,1\n7,b,2\n8,a,3\n7,a,5\n8,b,4\n8,b,2\n")
    model = train_model("recommender", path, target="stars", chunk_rows=chunk_rows, test_size=0.0)
    once = file("who,what,stars\n7,b,2\n8,a,3\n7,a,5\n8,b,2\n", "once.csv")
    assert model.about["data"]["rows"] == 4
    if chunk_rows != 2:
        expected = train_model("recommender", once, target="stars", chunk_rows=chunk_rows, test_size=0.0)
        assert model.about["metrics"] == expected.about["metrics"]


def test_a_label_first_seen_in_a_late_chunk_makes_words_of_all(file):
    path = file("x,zip\n" + "".join(f"{i},{'01234' if i == 39 else '1234'}\n" for i in range(40)))
    model = train_model("naive-bayes", path, target="zip", chunk_rows=10, test_size=0.0)
    assert model.estimator.classes_.tolist() == ["01234", "1234"]
    assert load_csv(path, "zip").targets.tolist() == ["1234"] * 39 + ["01234"]


def test_a_code_is_no_number_to_predict_unless_one_says_so(file):
    path = file("x,code\n1,007\n2,8\n")
    assert load_csv(path, "code").targets.tolist() == ["007", "8"]
    assert load_csv(path, "code", labels=False).targets.tolist() == [7.0, 8.0]


@pytest.mark.parametrize("label", ["x" * 1001, "a\0"])
def test_what_can_be_no_label_is_refused_with_its_line(file, label):
    assert "line 3: column 'y' must hold labels of 1,000 characters" in refusal(
        load_csv, file(f"x,y\n1,a\n2,{label}\n"), "y"
    )


# --- numbers


@pytest.mark.parametrize("cell", ["1_0", "nan", "infinity", "\uff11", "0x10", "1,5", "True", "1 000"])
@pytest.mark.parametrize("chunk_rows", [None, 1])
def test_what_only_python_takes_for_a_number_is_none(file, cell, chunk_rows):
    path = file(f"x;y\n1;a\n{cell};b\n")
    told = refusal(train_model, "naive-bayes", path, target="y", chunk_rows=chunk_rows, test_size=0.0)
    assert f"line 3: column 'x' must hold finite numbers, got {cell!r}" in told


# --- names of columns


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "Unnamed: 0.1", "Unnamed: 0_level_1"])
@pytest.mark.parametrize("chunk_rows", [None, 10])
def test_a_column_without_a_name_is_learnt_from_only_if_it_is_named(file, name, chunk_rows):
    path = file(f"{name},x,y\n" + "".join(f"{i},{i % 7},{'a' if i < 30 else 'b'}\n" for i in range(60)))
    named = {"target": "y", "chunk_rows": chunk_rows}
    assert "column 1 has no name, as the index that pandas writes" in refusal(train_model, "naive-bayes", path, **named)
    assert train_model("naive-bayes", path, features=["x"], **named).features == ("x",)
    for load in (load_ratings, load_texts):
        assert "column 1 has no name" in refusal(load, path, "y")


def test_a_name_over_two_lines_is_one_line_here(file):
    data = load_csv(
        file('area,"price, in\r\n(USD)",rooms\r\n50,100,2\r\n80,150,3\r\n'), "rooms", features=["price, in (USD)"]
    )
    assert (data.features, data.rows.tolist()) == (("price, in (USD)",), [[100.0], [150.0]])
    assert CsvFile(file('a;"x,y,\nz";c\n1;2;3\n')).header == ("a", "x,y, z", "c")
    assert CsvFile(file('a,5" pipe,"say ""x;;"""\n1,2,3\n')).header == ("a", '5" pipe', 'say "x;;"')


def test_empty_lines_before_the_names_are_skipped_as_those_between_rows_are(file):
    data = load_csv(file("\n\r\nx,y\n1,2\n\n3,4\n"), "y")
    assert (data.features, data.rows.tolist()) == (("x",), [[1.0], [3.0]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1.5,NA,3\n2.5,1,4\n", "begins with numbers"),
        (f"{COMPOSED},{DECOMPOSED}\n1,2\n", "has several columns named"),
        ('"a\nb",a b\n1,2\n', "has several columns named 'a b'"),
        ("x,y\n1,2\n".encode("utf-16-le"), "holds NUL bytes: name its encoding, such as utf-16"),
        ('x,y\n1,"a\n2,b\n', "is not a CSV file: unexpected end of data"),
    ],
)
def test_a_first_row_that_holds_no_names_is_refused(file, content, message):
    assert message in refusal(load_csv, file(content))


def test_a_byte_order_mark_is_no_letter_of_a_name_whatever_the_encoding_named(file):
    path = file('"x",y\n1,2\n'.encode("utf-8-sig"))
    assert CsvFile(path, encoding="utf-8").header == CsvFile(path).header == ("x", "y")


@pytest.mark.parametrize("chunk_rows", [None, 1])
@pytest.mark.parametrize(("kind", "features"), [("naive-bayes", "x,y"), ("text", "y"), ("recommender", "x,y")])
def test_the_target_is_no_column_to_learn_from(file, kind, features, chunk_rows):
    told = refusal(
        train_model, kind, file("x,y\n1,2\n3,4\n"), target="y", features=features.split(","), chunk_rows=chunk_rows
    )
    assert told == "the target 'y' cannot be one of the columns to learn from"


def test_a_table_in_memory_is_no_file():
    told = refusal(train_model, "tree", pd.DataFrame({"x": [1]}), target="x")
    assert "data must be the name of a data set or the path of a file, got a DataFrame: fit the DecisionTreeC" in told


# --- texts


def test_texts_keep_their_backslashes_their_quotes_and_their_length(file, tmp_path):
    texts = [r"C:\new\table", r"ends with \ ".strip(), 'says "no"', "two\nlines", "\\", "x" * 200_000, "tab\there"]
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        frame = pd.DataFrame({"text": texts, "y": range(len(texts))})
        frame.to_csv(tmp_path / name, sep=delimiter, index=False, quoting=csv.QUOTE_ALL)
        assert load_texts(tmp_path / name, "y").rows == texts
    kaggle = file(b'id\treview\n1\t"a \\"b\\" c:\\d"\n2\t"\\"b\\""\n3\t5\\" pipe\n', "reviews.tsv")
    assert load_texts(kaggle, "id").rows == ['a "b" c:\\d', '"b"', '5\\" pipe']


# --- data frames


@pytest.mark.parametrize("kind", ["tree", "logistic", "k-means", "pca", "naive-bayes", "network"])
def test_a_data_frame_is_answered_by_the_names_of_its_columns(kind):
    model = train_model(kind, "iris", settings={"max_iter": 5} if kind == "network" else {})
    rows = load_built_in("iris").rows
    frame = pd.DataFrame(rows, columns=model.features)
    right = model.predict(rows)
    shuffled = frame[[*frame.columns[::-1]]].assign(label="?")
    for asked in (frame, shuffled, pd.DataFrame(rows)):
        assert np.array_equal(model.predict(asked), right)
    answer = model.predict(shuffled.drop(columns="label").iloc[7])
    assert answer.tolist() == right[7:8].tolist() or answer == pytest.approx(right[7:8])
    told = refusal(model.predict, shuffled.drop(columns="petal width (cm)"))
    assert "the data frame must have one column 'petal width (cm)', got 0 among petal length (cm), " in told
    assert "got 2 among" in refusal(model.predict, pd.concat([frame, frame], axis=1))


def test_texts_are_answered_from_the_column_they_were_learnt_from(file):
    path = file("review,y\n" + "great film,1\ndull mess,0\n" * 20)
    model = train_model("text", path, target="y")
    frame = pd.DataFrame({"y": [9, 9], "review": ["great", "dull"]})
    assert model.predict(frame).tolist() == model.predict(frame["review"]).tolist() == [1, 0]


def test_a_recommender_is_asked_in_pairs(file):
    model = train_model("recommender", file("u,i,r\n1,2,3\n2,2,4\n1,3,5\n"), target="r", test_size=0.0)
    assert model.predict([]).shape == (0,)
    assert model.predict(pd.DataFrame({"i": [2, 3], "u": [1, 2]})).tolist() == model.predict([(1, 2), (2, 3)]).tolist()
    for pairs in ([(1, 2, 3)], [1, 2], ["123"]):
        assert "pairs of u and i" in refusal(model.predict, pairs) or pairs == [1, 2]
    assert (model.knows("1"), model.knows(" 1"), model.knows("01"), model.knows("x")) == (True, True, False, False)


@pytest.mark.parametrize("rows", [[["a", "b", "c", "d"]], [{"a": 1}], [[1, 2, 3, float("nan")]], None, [[1], [2, 3]]])
def test_rows_that_are_no_numbers_are_refused_in_a_line(rows):
    refusal(train_model("tree").predict, rows)


def test_a_table_of_very_many_columns_is_read(tmp_path):
    """Each name was compared with all others, for minutes."""
    names = [f"c{number}" for number in range(50_000)]
    (tmp_path / "wide.csv").write_text(",".join([*names, "y"]) + "\n" + ",".join("1" for _ in names) + ",2\n")
    found = load_csv(tmp_path / "wide.csv", "y")
    assert (found.rows.shape, found.targets.tolist()) == ((1, 50_000), [2])
