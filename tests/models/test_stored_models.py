"""Models trained by name: measured, stored and read back bit for bit; data of every shape and fault."""
# ruff: noqa: N806 - X is what the field writes

from __future__ import annotations

import io
import json
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    classification_report,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)
from sklearn.preprocessing import StandardScaler

from rlbench import models as estimators
from rlbench.errors import StoreError, UnknownNameError, UsageError
from rlbench.modelling import (
    KINDS,
    CsvFile,
    delete_model,
    find_model,
    load_built_in,
    load_csv,
    load_fashion,
    load_house_prices,
    load_model,
    load_plays,
    load_reviews,
    models,
    save_model,
    train_model,
)
from rlbench.modelling.metrics import Confusion, Errors
from rlbench.modelling.packing import pack_estimator, unpack_estimator
from rlbench.store import checking, copying, open_store
from rlbench.store.codec import pack, unpack

QUICK = {
    "forest": {"n_estimators": 5},
    "network": {"max_iter": 5, "hidden_layer_sizes": [8]},
    "k-means": {"n_clusters": 3},
}
BUILT_IN = {"linear": "diabetes", "tree-regressor": "diabetes", "forest": "diabetes", "naive-bayes": "digits"}


@pytest.fixture
def store():
    with open_store("memory://") as store:
        yield store


@pytest.fixture
def file(tmp_path):
    """A function that writes a file and returns its path."""

    def write(text, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.fixture
def reviews(file):
    """120 reviews, half of them good, with HTML and escaped quotes in them, as tab-separated text."""
    words = {0: "dull awful boring", 1: "great lovely superb"}
    lines = [f'"{i}"\t{i % 2}\t"A <b>{words[i % 2]}</b> film, \\"{i}\\" times"' for i in range(120)]
    return file("\n".join(["id\tsentiment\treview", *lines]), "reviews.tsv")


@pytest.fixture
def plays(file):
    """20 users who play 12 artists each of 24; users play the artists of their own half most."""
    random = np.random.default_rng(0)
    lines = ["userID\tartistID\tweight"]
    for user in range(20):
        artists = random.choice(24, 12, replace=False)
        lines += [f"{user + 2}\t{a + 50}\t{100 + 300 * (user % 2 == a % 2) + random.integers(20)}" for a in artists]
    return file("\n".join(lines), "user_artists.dat")


def trained(kind, reviews, plays, **more):
    if kind == "text":
        return train_model(kind, reviews, target="sentiment", features=["review"], **more)
    if kind == "recommender":
        return train_model(kind, plays, target="weight", settings={"n_epochs": 5, "n_factors": 2}, **more)
    return train_model(kind, BUILT_IN.get(kind, "iris"), settings=QUICK.get(kind, {}), **more)


def asked(kind):
    """What a model of a kind is asked."""
    if kind == "text":
        return ["great film", "awful", "nothing known"]
    if kind == "recommender":
        return [("2", 50), ("3", 51), ("nobody", 52)]
    return load_built_in(BUILT_IN.get(kind, "iris")).rows


# --- storing


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_every_kind_is_read_back_bit_for_bit(store, kind, reviews, plays):
    model = save_model(store, trained(kind, reviews, plays))
    again = load_model(store, model.id)
    assert again.about == json.loads(json.dumps(model.about))
    assert (again.id, again.name, again.version, again.created_at) == (
        model.id, model.name, 1, model.created_at,
    )  # fmt: skip
    assert again.predict(asked(kind)).tobytes() == model.predict(asked(kind)).tobytes()
    assert_same(vars(again.estimator), vars(model.estimator))
    assert again.users.tolist() == model.users.tolist()


def assert_same(a, b):
    """The same values of the same types, arrays bit for bit and in the same order in memory."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for name, value in a.items():
            assert_same(value, b[name])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.flags.c_contiguous) == (b.dtype, b.shape, b.flags.c_contiguous)
        assert a.tobytes() == b.tobytes() if a.dtype != object else a.tolist() == b.tolist()
    elif isinstance(a, np.random.RandomState):
        assert_same(a.get_state(legacy=False), b.get_state(legacy=False))
    elif hasattr(a, "get_params"):
        assert_same(vars(a), vars(b))
    else:
        assert a == b or (a != a and b != b)  # noqa: PLR0124 - NaN is NaN


def test_a_network_that_was_stored_half_way_goes_on_as_if_it_had_not_been(store):
    X = np.random.default_rng(0).normal(size=(300, 4))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    whole = estimators.NeuralNetworkClassifier((8,), random_state=3)
    half = estimators.NeuralNetworkClassifier((8,), random_state=3)
    for model in (whole, half):
        model.partial_fit(X[:150], y[:150], classes=[0, 1])
    document, arrays = pack_estimator(half)
    arrays, document = unpack(pack(arrays, document))
    half = unpack_estimator(document, arrays)
    for model in (whole, half):
        model.partial_fit(X[150:], y[150:])
    assert whole.predict_proba(X).tobytes() == half.predict_proba(X).tobytes()


@pytest.mark.parametrize(
    "estimator",
    [
        estimators.LogisticRegression(C=np.inf),
        estimators.LinearRegression(random_state=np.random.RandomState(5)),
        estimators.Tokenizer(stop_words={"und", "oder"}),
        estimators.Tokenizer(stop_words=("the", "a")),
        estimators.KMeans(2, init=np.asfortranarray([[0.0, 1.0], [2.0, -0.0]])),
        estimators.TextClassifier(tokenizer=estimators.Tokenizer(stop_words=None)),
        StandardScaler(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_parameters_of_every_sort_come_back(estimator):
    document, arrays = pack_estimator(estimator)
    arrays, document = unpack(pack(arrays, document))
    assert_same(vars(unpack_estimator(document, arrays)), vars(estimator))


def test_an_estimator_that_is_none_of_ours_is_not_stored():
    from sklearn.linear_model import Ridge

    class Mine(estimators.KMeans):
        pass

    for stranger in (Ridge(), Mine(), type("KMeans", (), {})()):
        with pytest.raises(UsageError, match=r"only the estimators of rlbench\.models can be stored, got"):
            pack_estimator(stranger)
    with pytest.raises(UsageError, match="init of the model cannot be stored: got a function"):
        pack_estimator(estimators.KMeans(init=asked))


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        {},
        {"class": "Ridge", "parameters": {}, "state": {}},
        {"class": "os.system", "parameters": {}, "state": {}},
        {"class": "KMeans", "parameters": {"n": 1}, "state": {}},
        {"class": "KMeans", "parameters": {}, "state": {"cluster_centers_": {"$array": "gone", "order": "C"}}},
        {"class": "KMeans", "parameters": {}, "state": {"x": {"$unknown": 1}}},
        {"class": "KMeans", "parameters": {}, "state": {"x": {"$labels": ["a"], "dtype": "nonsense"}}},
    ],
)
def test_a_damaged_document_is_told_in_a_line(damaged):
    with pytest.raises(StoreError, match="a stored model is damaged: "):
        unpack_estimator(damaged, {})


def test_models_of_one_name_are_its_versions_and_the_name_means_the_newest(store):
    first, second = (save_model(store, train_model("tree", settings={"max_depth": d})) for d in (1, 2))
    other = save_model(store, train_model("k-means"), "groups")
    assert [(entry.title, entry.kind) for entry in models(store)] == [
        ("groups@1", "k-means"), ("tree-iris@2", "tree"), ("tree-iris@1", "tree"),
    ]  # fmt: skip
    for ref, wanted in (
        ("tree-iris", second), ("tree-iris@1", first), (first.id, first), (first.id[:8], first), ("latest", other),
    ):  # fmt: skip
        assert find_model(store, ref).id == wanted.id
    assert load_model(store, "tree-iris").estimator.max_depth == 2
    delete_model(store, "tree-iris@2")
    assert find_model(store, "tree-iris").id == first.id


def test_a_version_is_never_given_to_two_models(store):
    model = train_model("tree")
    with ThreadPoolExecutor(4) as pool:
        versions = sorted(saved.version for saved in pool.map(lambda _: save_model(store, model, "race"), range(8)))
    assert versions == [1, 2, 3, 4, 5, 6, 7, 8]
    delete_model(store, "race@8")
    assert save_model(store, model, "race").version == 9
    delete_model(store, "race@9")
    assert save_model(store, model, "race-2").version == 1


@pytest.mark.long  # two interpreters of its own
def test_the_versions_of_two_processes_differ(tmp_path):
    program = """if True:
        import sys
        from rlbench.modelling import save_model, train_model
        from rlbench.store import open_store
        model = train_model("tree")
        with open_store("models.db") as store:
            print("ready", flush=True)
            sys.stdin.readline()
            print(*[save_model(store, model, "race").version for _ in range(5)])
    """
    command = [sys.executable, "-c", program]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        assert [process.stdout.readline() for process in (one, other)] == ["ready\n"] * 2
        for process in (one, other):
            process.stdin.write("go\n")
            process.stdin.flush()
        given = [int(version) for process in (one, other) for version in process.stdout.read().split()]
    assert sorted(given) == list(range(1, 11))


def test_models_saved_before_versions_were_reserved_keep_theirs(store):
    model = train_model("tree")
    save_model(store, model)
    store.delete_snapshot("reserved model", "tree-iris@1")
    assert save_model(store, model).version == 2


def test_a_copied_store_remembers_the_versions_that_were_deleted(store):
    model = train_model("tree")
    save_model(store, model)
    delete_model(store, "tree-iris@1")
    with open_store("memory://") as copied:
        copying.copy(store, copied)
        assert save_model(copied, model).version == 2


@pytest.mark.parametrize("damage", ["bit", "record", "about"])
def test_a_damaged_model_blocks_no_other(store, damage):
    model = train_model("tree")
    sound, damaged = save_model(store, model), save_model(store, model)
    if damage == "bit":
        blob = bytearray(store.backend.select_snapshot("model", damaged.id))
        blob[20] ^= 1
        store.backend.put_snapshot(store.snapshots("model")[0]._replace(name=damaged.id), bytes(blob))
    else:
        arrays, numbers = store.load_snapshot("model", damaged.id)
        change = {"version": "2"} if damage == "record" else {"about": {"data": {}}}
        store.save_snapshot("model", damaged.id, arrays, {**numbers, **change})
    listed = {entry.id: entry.problem for entry in models(store)}
    assert (listed[sound.id], damaged.id in listed[damaged.id]) == ("", True)
    assert load_model(store, "latest").id == load_model(store, "tree-iris").id == sound.id
    with pytest.raises(StoreError, match=rf"{damaged.id}.*is damaged.*rlbench model delete {damaged.id}"):
        load_model(store, damaged.id)
    assert save_model(store, model).version == 3
    assert delete_model(store, damaged.id).id == damaged.id
    assert [entry.title for entry in models(store)] == ["tree-iris@3", "tree-iris@1"]


@pytest.mark.parametrize("name", ["a b", "a@1", "latest", "beef", "", "x" * 151, "a\n"])
def test_a_name_that_could_be_something_else_is_refused(store, name):
    if name:
        with pytest.raises(UsageError, match=r"a model's name must have 1 to 150|the name of a model must be"):
            save_model(store, train_model("tree"), name)
    else:
        assert save_model(store, train_model("tree"), name).name == "tree-iris"


def test_a_model_that_is_not_there_is_told_with_those_that_are(store):
    with pytest.raises(StoreError, match=r"no model 'tree' in .*known: none: `rlbench model train tree` makes one"):
        load_model(store, "tree")
    save_model(store, train_model("tree"))
    with pytest.raises(StoreError, match=r"there is no model 'tre' in .*known: tree-iris@1"):
        load_model(store, "tre")


def test_a_beginning_of_two_ids_is_ambiguous(store, monkeypatch):
    ids = iter(["abc000000000", "abc111111111"])
    monkeypatch.setattr("rlbench.modelling.stored.secrets.token_hex", lambda _: next(ids))
    for _ in range(2):
        save_model(store, train_model("tree"))
    with pytest.raises(StoreError, match="model 'abc' is ambiguous, it could be abc111111111 or abc000000000"):
        find_model(store, "abc")


def test_a_model_of_a_later_rlbench_or_with_a_broken_record_is_told_in_a_line(store):
    model = save_model(store, train_model("tree"))
    arrays, numbers = store.load_snapshot("model", model.id)
    for change, message in (
        ({"format": 99, "rlbench": "9.9"}, "was stored by rlbench 9.9: read it with that version or a later one"),
        ({"kind": "forest-of-cats"}, "has the kind 'forest-of-cats', unknown to this version"),
        ({"format": None}, "is damaged"),
    ):
        store.save_snapshot("model", model.id, arrays, {**numbers, **change})
        with pytest.raises(StoreError, match=f"model {model.id} {message}"):
            load_model(store, model.id)
    store.save_snapshot("model", model.id, {}, numbers)
    with pytest.raises(StoreError, match=f"model {model.id} is damaged: KeyError"):
        load_model(store, model.id)


def test_models_are_checked_copied_and_backed_up_with_the_store(store, tmp_path):
    model = save_model(store, train_model("tree"))
    assert list(checking.check(store)) == []
    with open_store(tmp_path / "copy.db") as copy:
        copying.copy(store, copy)
        assert load_model(copy, model.id).predict(asked("tree")).tolist() == model.predict(asked("tree")).tolist()
    copying.backup(store, tmp_path / "backup.db")
    with open_store(tmp_path / "backup.db") as backup:
        assert [entry.id for entry in models(backup)] == [model.id]


# --- training and its figures


@pytest.mark.parametrize("kind", ["logistic", "tree", "network"])
def test_the_figures_of_classes_are_those_of_scikit_learn(kind):
    from sklearn.model_selection import train_test_split

    model = train_model(kind, "wine", settings=QUICK.get(kind, {}), seed=4)
    data = load_built_in("wine")
    _, X, _, y = train_test_split(data.rows, data.targets, test_size=44, random_state=4, stratify=data.targets)
    answers, found = model.predict(X), model.about["metrics"]["test"]
    theirs = classification_report(y, answers, output_dict=True, zero_division=0)
    assert found["confusion"] == confusion_matrix(y, answers).tolist()
    assert found["accuracy"] == pytest.approx(theirs["accuracy"])
    assert found["macro_f1"] == pytest.approx(theirs["macro avg"]["f1-score"])
    for label in found["classes"]:
        ours = found["report"][label]
        assert [ours["precision"], ours["recall"], ours["f1"], ours["rows"]] == pytest.approx(
            list(theirs[label].values())
        )


@given(
    chunks=st.lists(
        st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1), min_size=1, max_size=5
    ),
    offset=st.sampled_from([0.0, 1e6]),
)
@settings(max_examples=50)
def test_errors_added_up_by_the_chunk_are_those_of_all_rows_at_once(chunks, offset):
    errors = Errors()
    for chunk in chunks:
        right, answers = np.array(chunk).T + offset
        errors.add(right, answers)
    right, answers = np.array([pair for chunk in chunks for pair in chunk]).T + offset
    found = errors.summary()
    assert found["rmse"] == pytest.approx(root_mean_squared_error(right, answers), abs=1e-9)
    assert found["mae"] == pytest.approx(mean_absolute_error(right, answers), abs=1e-9)
    if len(right) > 1 and np.ptp(right) > 1:
        assert found["r2"] == pytest.approx(r2_score(right, answers), rel=1e-4, abs=1e-4)


def test_a_label_that_was_never_learnt_counts_as_wrong():
    confusion = Confusion(np.array(["a", "c"]))
    confusion.add(["a", "b", "c", "z"], ["a", "a", "a", "c"])
    found = confusion.summary()
    assert (found["confusion"], found["unknown_labels"], found["accuracy"]) == ([[1, 0], [1, 0]], 2, 0.25)


@given(pairs=st.lists(st.tuples(st.sampled_from("abcdxy"), st.sampled_from("abcd")), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_the_mean_f1_is_that_of_scikit_learn_with_labels_absent_or_never_learnt(pairs):
    right, answers = map(np.array, zip(*pairs, strict=True))
    confusion = Confusion(np.array(list("abcd")))
    for half in (slice(0, 5), slice(5, None)):
        confusion.add(right[half], answers[half])
    theirs = f1_score(right, answers, average="macro", zero_division=0)
    assert confusion.summary()["macro_f1"] == pytest.approx(theirs)


@pytest.mark.parametrize("kind", ["k-means", "pca"])
@pytest.mark.parametrize("chunk_rows", [None, 40])
def test_without_a_target_all_rows_are_learnt_from_unless_a_share_is_asked_for(file, kind, chunk_rows):
    if kind == "pca" and chunk_rows:
        return
    path = file("a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(100)))
    asked = {"settings": {"n_clusters": 3} if kind == "k-means" else {}, "chunk_rows": chunk_rows}
    model = train_model(kind, path, **asked)
    assert (model.about["data"]["rows"], model.about["metrics"]["test"]) == (100, None)
    assert train_model(kind, path, **asked, test_size=0.5).about["metrics"]["test"]["rows"] > 30


def test_a_seed_gives_the_same_model_and_another_seed_another_split():
    first, same, other = (train_model("forest", "diabetes", settings=QUICK["forest"], seed=s) for s in (1, 1, 2))
    assert first.about["metrics"] == same.about["metrics"] != other.about["metrics"]
    assert first.estimator.nodes_.tobytes() == same.estimator.nodes_.tobytes()


def test_scaling_is_part_of_the_model():
    scaled, plain = (train_model("k-means", "wine", settings={"n_clusters": 3}, scale=scale) for scale in (True, False))
    X = load_built_in("wine").rows
    assert np.allclose(scaled.prepared(X).std(axis=0), 1, atol=0.1)
    assert plain.scaler is None
    assert scaled.predict(X).tolist() == scaled.estimator.predict(scaled.scaler.transform(X)).tolist()


def test_the_nine_customers_of_the_book_are_learnt_from_a_file(file):
    rows = zip([50, 10, 20, 5, 95, 70, 100, 200, 0], [0, 1, 1, 1, 0, 0, 0, 0, 1], strict=True)
    path = file("amount_spent,send_discount\n" + "\n".join(f"{a},{b}" for a, b in rows))
    model = train_model("logistic", path, target="send_discount", test_size=0.0)
    assert model.predict([[10.0], [250.0]]).tolist() == [1, 0]
    assert model.about["metrics"]["test"] is None
    assert model.about["metrics"]["train"]["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "tre"}, "unknown kind of model 'tre'; did you mean tree"),
        ({"kind": "tree", "data": "irsi"}, "unknown data set 'irsi'; did you mean iris"),
        (
            {"kind": "tree", "settings": {"max_depht": 3}},
            "unknown parameter of tree 'max_depht'; did you mean max_depth",
        ),
        ({"kind": "tree", "settings": {"max_depth": 0}}, "max_depth must be a whole number >= 1, got 0"),
        ({"kind": "text", "settings": {"tokenizer": 3}}, "text learns from texts"),
        ({"kind": "linear", "data": "iris"}, "linear predicts numbers, but iris has classes"),
        ({"kind": "tree", "data": "diabetes"}, "tree predicts classes, but diabetes has numbers"),
        ({"kind": "text", "data": "iris"}, "text learns from texts: give the path of a CSV file"),
        ({"kind": "tree", "data": "iris", "target": "x"}, "target, features, encoding and chunks apply to files only"),
        ({"kind": "tree", "data": "x.csv"}, "tree learns to predict a column of the file: name it as target"),
        ({"kind": "tree", "test_size": 1.0}, r"test_size must be a share in \[0, 1\), got 1.0"),
        ({"kind": "tree", "seed": -1}, "seed must be a whole number, 0 or more, got -1"),
        ({"kind": "tree", "data": "x.csv", "target": "y", "chunk_rows": 5}, "tree cannot learn chunk by chunk"),
        ({"kind": "k-means", "settings": {"n_clusters": 1000}}, "n_clusters must be at most n_samples=150, got 1000"),
    ],
)
def test_what_cannot_be_trained_is_told_in_a_line(arguments, message):
    with pytest.raises(UsageError, match=message) as raised:
        train_model(**arguments)
    assert "\n" not in str(raised.value)


def test_a_row_of_another_width_is_refused_with_the_names_of_the_columns():
    with pytest.raises(UsageError, match=r"a row has 4 values \(sepal length \(cm\), .*\), got 3"):
        train_model("tree").predict([[1.0, 2.0, 3.0]])


# --- files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,y\n1,2,x\n3,4\n", "line 3: expected 3 cells as in the header, got 2"),
        ("a,b,y\n1,2,x\n3,4,x,5\n", "line 3: expected 3 cells as in the header, got 4; put quotes around a cell"),
        ("a,b,y\n1,,x\n", "line 2: column 'b' is empty"),
        ("a,b,y\n1,2,x\n1,2,\n", "line 3: column 'y' is empty"),
        ("a,b,y\n1,2,x\n1,red,x\n", "line 3: column 'b' must hold finite numbers, got 'red'"),
        ("a,b,y\n1,nan,x\n", "line 2: column 'b' must hold finite numbers, got 'nan'"),
        ("a,b,y\n1,inf,x\n", "line 2: column 'b' must hold finite numbers, got 'inf'"),
        ("a,b,z\n1,2,x\n", "unknown column of .* 'y'; did you mean|unknown column of .* 'y'; known: a, b, z"),
        ("y\nx\n", "must have a column to learn from besides y"),
        ("", "is empty: its first line must hold the names"),
        ("\n\n", "is empty: its first line must hold the names"),
        ("a,b,y\n", "has no rows, only the names of its columns"),
        ("1,2,3\n4,5,6\n", "begins with numbers: its first line must hold the names"),
        ("a,a,y\n1,2,x\n", "has several columns named 'a'"),
        ('a,b,y\n1,"2"3,x\n', "is not a CSV file"),
        ("a,b,y\n1,2,x\n", "at least 2 classes, got 1 class"),
    ],
)
@pytest.mark.parametrize("chunk_rows", [None, 1])
def test_a_file_that_is_no_such_table_is_told_with_its_line(file, text, message, chunk_rows):
    with pytest.raises(UsageError, match=message) as raised:
        train_model("logistic", file(text), target="y", test_size=0.0, chunk_rows=chunk_rows)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_tells_its_encoding_by_its_first_bytes(file, encoding):
    path = file("größe;art\n1.5;süß\n2.5;süß\n", encoding=encoding)
    data = load_csv(path, "art")
    assert (data.features, data.targets.tolist(), data.rows.tolist()) == (("größe",), ["süß"] * 2, [[1.5], [2.5]])


def test_a_file_in_another_encoding_is_refused_until_it_is_named(file):
    path = file("größe,art\n1.5,süß\n", encoding="latin-1")
    with pytest.raises(UsageError, match=r"is not UTF-8 \(byte 0xf6\): name its encoding, such as latin-1"):
        load_csv(path, "art")
    assert load_csv(path, "art", encoding="latin-1").targets.tolist() == ["süß"]
    with pytest.raises(UsageError, match="encoding must be one that Python knows, such as latin-1, got 'martian'"):
        load_csv(path, "art", encoding="martian")


def test_a_wrong_letter_far_down_is_found_too(file, tmp_path):
    path = tmp_path / "long.csv"
    path.write_bytes(b"a,y\n" + b"1,x\n" * 50_000 + b"2,\xff\n")
    with pytest.raises(UsageError, match=r"is not UTF-8 \(byte 0xff\)"):
        list(CsvFile(path).chunks())


def test_a_file_that_is_not_there_or_a_folder_is_told_in_a_line(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UsageError, match=f"cannot read {path}: "):
            load_csv(path)


@given(
    header=st.lists(
        st.text("abcdefgh ,\"'é", min_size=1, max_size=6).map(str.strip).filter(bool), min_size=2, unique=True
    ),
    data=st.data(),
)
@settings(max_examples=40)
def test_what_the_csv_module_writes_is_read_back_exactly(header, data, tmp_path_factory):
    import csv

    rows = data.draw(
        st.lists(st.lists(st.floats(-1e9, 1e9), min_size=len(header), max_size=len(header)), min_size=1, max_size=20)
    )
    header = [f"x{name}" for name in header]
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(header)
        writer.writerows(rows)
    file = CsvFile(path)
    assert file.header == tuple(header)
    chunks = list(file.chunks(7))
    assert np.concatenate([chunk.numbers(header) for chunk in chunks]).tolist() == rows
    assert [len(chunk) for chunk in chunks[:-1]] == [7] * (len(chunks) - 1)


@pytest.mark.parametrize("kind", ["logistic", "naive-bayes", "network", "k-means"])
def test_a_file_read_in_chunks_is_learnt_as_well_as_at_once(file, kind):
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 3000)
    X = np.abs(random.normal(0, 0.5, (3000, 4)) + np.eye(3, 4)[y] * 4)
    lines = [",".join([*map(str, row), "abc"[label]]) for row, label in zip(X.round(3), y, strict=True)]
    path = file("\n".join(["p,q,r,s,label", *lines]))
    more = {"k-means": {"n_clusters": 3}, "network": {"hidden_layer_sizes": [16], "learning_rate": 0.01}}
    target = None if kind == "k-means" else "label"
    features = ["p", "q", "r", "s"]
    named = {"target": target, "features": features, "settings": more.get(kind, {}), "test_size": 0.25}
    told = train_model(kind, path, **named, chunk_rows=250, passes=3)
    whole = train_model(kind, path, **named)
    name = "mean_squared_distance" if kind == "k-means" else "accuracy"
    assert told.about["metrics"]["test"][name] == pytest.approx(whole.about["metrics"]["test"][name], rel=0.05)
    found = told.about["data"]
    assert (found["chunk_rows"], found["passes"], found["rows"] + found["test_rows"]) == (250, 3, 3000)
    assert 600 < found["test_rows"] < 900


def test_what_is_held_out_of_a_stream_is_never_learnt_from(file, monkeypatch):
    path = file("\n".join(["x,y", *(f"{i},{i % 2}" for i in range(400))]))
    seen, measured = [], []
    fit, predict = estimators.MultinomialNB.partial_fit, estimators.MultinomialNB.predict

    def learn(model, rows, *rest, **named):
        seen.extend(rows[:, 0])
        return fit(model, rows, *rest, **named)

    def answer(model, rows):
        measured.append(len(rows))
        return predict(model, rows)

    monkeypatch.setattr(estimators.MultinomialNB, "partial_fit", learn)
    monkeypatch.setattr(estimators.MultinomialNB, "predict", answer)
    model = train_model("naive-bayes", path, target="y", chunk_rows=64, passes=2)
    assert len(seen) == 2 * len(set(seen)) == 2 * model.about["data"]["rows"]
    assert sum(measured) == 400


def test_a_large_file_is_streamed_by_itself_and_a_tree_reads_it_whole(file, monkeypatch):
    monkeypatch.setattr("rlbench.modelling.training.STREAMED", 100)
    path = file("\n".join(["x,y", *(f"{i},{i % 2}" for i in range(100))]))
    assert train_model("naive-bayes", path, target="y").about["data"]["chunk_rows"] == 10_000
    assert train_model("tree", path, target="y").about["data"]["chunk_rows"] is None


def test_a_target_with_too_many_values_is_no_class(file, monkeypatch):
    monkeypatch.setattr("rlbench.modelling.streaming.MOST_CLASSES", 10)
    path = file("\n".join(["x,y", *(f"{i},{i}" for i in range(100))]))
    with pytest.raises(UsageError, match="the target 'y' has over 10 distinct values, too many for classes"):
        train_model("naive-bayes", path, target="y", chunk_rows=30)


def test_texts_in_chunks_learn_the_words_of_all(reviews):
    told = train_model("text", reviews, target="sentiment", features=["review"], chunk_rows=25)
    whole = train_model("text", reviews, target="sentiment", features=["review"], test_size=0.0)
    assert set(told.estimator.tokenizer_.vocabulary_) <= set(whole.estimator.tokenizer_.vocabulary_)
    assert told.predict(["great", "awful"]).tolist() == whole.predict(["great", "awful"]).tolist() == [1, 0]
    assert told.about["metrics"]["test"]["accuracy"] == 1.0


def test_ratings_in_chunks_are_recommended_from_by_name(plays):
    told = train_model(
        "recommender", plays, target="weight", chunk_rows=50, passes=60, settings={"n_factors": 2}, test_size=0.2
    )
    assert told.users.tolist() == list(range(2, 22))
    assert told.items.min() == 50
    liked = told.recommend(2, 3)
    rated = {int(line.split("\t")[1]) for line in plays.read_text().splitlines() if line.startswith("2\t")}
    assert not set(liked.tolist()) & rated & set(_learnt_items(told, 2))
    assert sum(int(item) % 2 == 0 for item in liked) >= 2  # user 2 is the first, and even
    assert told.recommend("nobody", 2).tolist() == told.recommend(None, 2).tolist()
    assert told.about["metrics"]["test"]["rmse"] < 100
    with pytest.raises(UsageError, match="an item must be one of the 24 in the data, got 7"):
        told.predict([(2, 7)])


def _learnt_items(model, user):
    at = model.users.tolist().index(user)
    start = model.estimator.rated_ends_[at - 1] if at else 0
    return model.items[model.estimator.rated_items_[start : model.estimator.rated_ends_[at]]].tolist()


# --- the books' sets, in files of their shape


def test_house_prices_are_read_by_the_columns_of_the_book(file):
    path = file(
        "Id,OverallQual,Street,GrLivArea,GarageCars,SalePrice\n1,7,Pave,1710,2,208500\n2,6,Pave,1262,2,181500\n"
    )
    houses = load_house_prices(path)
    assert houses.rows.tolist() == [[7, 1710, 2], [6, 1262, 2]]
    assert (houses.targets.tolist(), houses.targets.dtype) == ([208500.0, 181500.0], np.float64)


def test_reviews_are_read_with_escaped_quotes(reviews):
    data = load_reviews(reviews)
    assert data.rows[3] == 'A <b>great lovely superb</b> film, "3" times'
    assert data.targets.tolist() == [0, 1] * 60


def test_plays_are_scaled_to_one(plays):
    found = load_plays(plays)
    assert found.matrix.shape == (20, 24)
    assert (found.matrix.data.min(), found.matrix.data.max()) == (0.0, 1.0)


def test_pictures_of_clothes_are_scaled_to_one(file):
    path = file("label,pixel1,pixel2\n9,0,255\n0,51,0\n")
    data = load_fashion(path)
    assert (data.rows.tolist(), data.targets.tolist()) == ([[0.0, 1.0], [0.2, 0.0]], [9, 0])


def test_equal_data_have_equal_fingerprints_and_a_changed_cell_another(file):
    first, same, other = (file(f"a,y\n1,{x}\n", f"{i}.csv") for i, x in enumerate("xxz"))
    prints = [load_csv(path, "y").fingerprint for path in (first, same, other)]
    assert prints[0] == prints[1] != prints[2]
    assert load_built_in("iris").fingerprint == load_built_in("iris").fingerprint
    assert len({load_built_in(name).fingerprint for name in ("iris", "wine", "digits")}) == 3


def test_an_unknown_column_suggests_the_nearest(file):
    path = file("petal,species\n1,x\n")
    with pytest.raises(UnknownNameError, match="'specis'; did you mean species"):
        load_csv(path, "specis")
    with pytest.raises(UsageError, match="the target 'species' cannot be one of the columns to learn from"):
        load_csv(path, "species", features=["petal", "species"])


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self):
        return True


def test_a_bar_shows_on_a_terminal_how_far_a_file_is_read_and_nowhere_else(file, monkeypatch):
    path = file("\n".join(["x,y", *(f"{i},{i % 2}" for i in range(100))]))
    for screen, progress, shown in ((Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False)):
        monkeypatch.setattr("sys.stderr", screen)
        train_model("naive-bayes", path, target="y", chunk_rows=10, passes=2, progress=progress)
        assert all((what in screen.getvalue()) == shown for what in ("scanning", "pass 2 of 2", "measuring"))


@pytest.mark.long  # traces every allocation
def test_a_stream_holds_one_chunk_at_a_time(file):
    path = file("\n".join(["x,y", *(f"{i % 100},{i % 2}" for i in range(20_000))]))
    train_model("naive-bayes", path, target="y", chunk_rows=100)  # what is loaded once is loaded
    peaks = []
    for rows in (100, 20_000):
        tracemalloc.start()
        train_model("naive-bayes", path, target="y", chunk_rows=rows)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < peaks[1] / 10
