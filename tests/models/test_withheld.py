"""Columns that a model does not see: dropped ones not at all, hashed ones as numbers or pseudonyms that a key gives."""

import numpy as np
import pandas as pd
import pytest

from rlbench.errors import StoreError, UsageError
from rlbench.keys import KEY, NAME_KEY_FILE, Key
from rlbench.modelling import load_model, pseudonymise_models, save_model, train_model
from rlbench.modelling.figures import draw
from rlbench.modelling.hashing import fraction
from rlbench.store import open_store
from rlbench.store.pseudonyms import Pseudonyms
from rlbench.web.served import ServedModel

ONE, TWO = Key(bytes([1] * 32)), Key(bytes([2] * 32))
NAMES = Pseudonyms(ONE)
WHO = ("Ada", "Grace", "Hedy", "Mary")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    """Gives the key."""
    monkeypatch.setenv(KEY, ONE.text())


@pytest.fixture
def houses(tmp_path):
    """The path of a table where the price depends on who sells, and not on the phone."""
    dice = np.random.default_rng(0)
    rows = [(WHO[n % 4], n * 7919, dice.integers(40, 200), 100 * (n % 4)) for n in range(200)]
    path = tmp_path / "houses.csv"
    path.write_text("seller,phone,area,price\n" + "\n".join(",".join(map(str, row)) for row in rows))
    return path


def trained(path, **options):
    withheld = {"dropped": ["phone"], "hashed": ["seller"], **options}
    return train_model("tree-regressor", path, target="price", **withheld)


@pytest.mark.parametrize("options", [{}, {"features": ["seller", "area"]}])
def test_a_model_learns_from_hashes_alone_and_says_so(tmp_path, houses, options):
    model = trained(houses, **options)
    assert model.features == ("seller", "area")
    about = model.about["data"]
    assert (about["dropped"], about["hashed"]) == (["phone"], {"seller": ONE.id})
    assert model.about["metrics"]["test"]["r2"] == 1.0
    assert set(model.reference[:, 0]) == {fraction(NAMES.of(name)) for name in WHO}
    with open_store("memory://") as store:
        found = load_model(store, save_model(store, model).id)
    rows = [("Ada", 70), (" Grace ", 70), (NAMES.of("Hedy"), 70), (fraction(NAMES.of("Mary")), 70)]
    assert found.predict(rows).tolist() == [0, 100, 200, 300]
    frame = pd.DataFrame({"area": [70, 90], "seller": ["Mary", "Ada"]})
    assert found.predict(frame).tolist() == [300, 0]


def test_without_the_key_or_with_another_only_hashes_are_answered(houses, monkeypatch, tmp_path):
    model = trained(houses)
    monkeypatch.setenv(KEY, TWO.text())
    with pytest.raises(UsageError, match=f"names hashed by the key {ONE.id}, not by {TWO.id}: give --name-key-file"):
        model.predict([("Ada", 70)])
    monkeypatch.delenv(KEY)
    with pytest.raises(UsageError, match="hashing takes a key: give --name-key-file FILE"):
        model.predict([("Ada", 70)])
    assert model.predict([(NAMES.of("Ada"), 70)]).tolist() == [0]
    with pytest.raises(UsageError, match="hashing takes a key"):
        trained(houses)
    (tmp_path / "names.key").write_text(ONE.text())
    monkeypatch.setenv(NAME_KEY_FILE, str(tmp_path / "names.key"))
    monkeypatch.setenv(KEY, TWO.text())
    assert model.predict([("Ada", 70)]).tolist() == [0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dropped": ["price"]}, "the column 'price' is needed, so it cannot be dropped"),
        ({"features": ["phone"]}, "the column 'phone' is needed, so it cannot be dropped"),
        ({"dropped": ["seller"]}, "the column 'seller' is either dropped or hashed: leave one out"),
        ({"hashed": ["sellers"]}, "column of .*houses.csv 'sellers'; did you mean seller"),
    ],
)
def test_what_cannot_be_withheld_is_said(houses, options, said):
    with pytest.raises(UsageError, match=said):
        trained(houses, **options)


def test_a_number_is_no_hash(houses):
    with pytest.raises(UsageError, match="knows the column 'seller' by hashes: give a text, got 17"):
        trained(houses).predict([(17, 70)])
    with pytest.raises(UsageError, match="target, features, encoding and chunks apply to files only: iris is built in"):
        train_model("tree", "iris", dropped=["petal width (cm)"])


@pytest.mark.parametrize("options", [{}, {"chunk_rows": 16}])
def test_users_are_hashed_in_whole_files_and_in_chunks(tmp_path, options):
    lines = [f"{who},i{item},{1 + (len(who) + item) % 5}" for who in WHO for item in range(20) if (item + len(who)) % 3]
    path = tmp_path / "stars.csv"
    path.write_text("user,item,stars\n" + "\n".join(lines))
    settings = {"n_factors": 1, "n_epochs": 5}
    plain, hashed = (
        train_model("recommender", path, target="stars", settings=settings, test_size=0, **options, **more)
        for more in ({}, {"hashed": ["user"]})
    )
    assert sorted(hashed.users.tolist()) == sorted(map(NAMES.of, plain.users.tolist()))
    assert hashed.about["data"]["hashed"] == {"user": ONE.id}
    assert hashed.knows("Ada")
    assert hashed.knows(NAMES.of("Ada"))
    assert not hashed.knows("Ida")
    assert hashed.recommend("Ada").tolist() == hashed.recommend(NAMES.of("Ada")).tolist()
    assert hashed.predict([("Ada", "i3")]) == hashed.predict([(NAMES.of("Ada"), "i3")])


def test_classes_are_pseudonyms_and_texts_cannot_be(tmp_path):
    path = tmp_path / "mails.csv"
    path.write_text("who,mail\n" + "\n".join(f"{who},{who[0]} says {word}" for who in WHO for word in ("yes", "no")))
    model = train_model("text", path, target="who", hashed=["who"], test_size=0)
    assert sorted(model.estimator.classes_) == sorted(map(NAMES.of, WHO))
    with pytest.raises(UsageError, match="'mail' is the column of the texts, of which hashes tell nothing"):
        train_model("text", path, target="who", hashed=["mail"])


def test_it_is_served_and_drawn_with_the_same_hashes(houses):
    model = trained(houses)
    served = ServedModel(model)
    assert [(each.name, each.datatype) for each in served.inputs] == [("seller", "BYTES"), ("area", "FP64")]
    inputs = {"seller": np.array(["Ada", "Mary"], object), "area": np.array([70.0, 70.0])}
    assert served.answer(inputs, ["prediction"]).outputs["prediction"].tolist() == [0, 300]
    assert draw(model, "predictions") is not None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hashed": {"user": 3}}, "its hashed columns must name keys, got"),
        ({"hashed": ["user"]}, "its hashed columns must name keys, got"),
        ({"features": []}, "it must name the columns of users and items, got"),
    ],
)
def test_what_a_stranger_says_of_hashed_columns_is_checked(tmp_path, changes, said):
    path = tmp_path / "stars.csv"
    path.write_text("user,item,stars\n" + "\n".join(f"{who},i{item},{item}" for who in WHO for item in range(3)))
    model = train_model("recommender", path, target="stars", settings={"n_factors": 1, "n_epochs": 2}, test_size=0)
    with open_store("memory://") as store:
        saved = save_model(store, model)
        [info] = store.snapshots("model")
        arrays, numbers = store.load_snapshot("model", saved.id)
        numbers["about"]["data"] |= changes
        assert store.amend_snapshot(info, numbers, arrays, what="alter")
        with pytest.raises(StoreError, match=said):
            load_model(store, saved.id)
        with pytest.raises(StoreError, match=said):
            pseudonymise_models(store, NAMES)
