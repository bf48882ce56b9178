"""`rlbench model train|list|show|predict|compare|plot|delete`."""

import csv
import io
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

import rlbench as rl
from rlbench.cli import COMMANDS
from rlbench.errors import UsageError
from rlbench.modelling import load_model

pytest.importorskip("sklearn", reason="the extra models is not installed")


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    if "model" not in COMMANDS:
        monkeypatch.setitem(COMMANDS, "model", ("rlbench.cli.model:model", ""))


@pytest.fixture
def model(rlbench):
    """A function that runs `rlbench model ...`."""
    return lambda *arguments: rlbench("model", *arguments)


@pytest.fixture
def tree(model):
    return model("train", "tree", "--set", "max_depth=3", "--json").document


def test_train_says_what_was_learnt_and_how_well(model):
    outcome = model("train", "tree", "--set", "max_depth=3")
    assert (outcome.code, outcome.err) == (0, "")
    first, *rest = outcome.out.splitlines()
    assert re.fullmatch(
        r"tree-iris@1 \([0-9a-f]{12}\): DecisionTreeClassifier on iris, 112 rows learnt from and 38 held out, "
        r"4 columns, \d+\.\d\d s",
        first,
    )
    assert rest == [
        "  learnt from accuracy 0.9643, macro f1 0.9644",
        "  held out    accuracy 0.9474, macro f1 0.9459",
    ]


def test_train_as_json_is_one_object_with_parameters_figures_and_fingerprint(tree):
    assert (tree["name"], tree["version"], tree["kind"]) == ("tree-iris", 1, "tree")
    assert (tree["parameters"]["max_depth"], tree["settings"]) == (3, {"max_depth": 3})
    assert len(tree["data"]["fingerprint"]) == 64
    assert np.sum(tree["metrics"]["test"]["confusion"]) == tree["data"]["test_rows"] == 38
    assert tree["metrics"]["test"]["report"]["setosa"]["recall"] == 1.0


@pytest.mark.parametrize(
    ("kind", "figure"),
    [
        ("linear", "r2"),
        ("logistic", "accuracy"),
        ("tree-regressor", "r2"),
        ("k-means", "mean_squared_distance"),
        ("pca", "explained_variance"),
        ("naive-bayes", "accuracy"),
    ],
)
def test_every_kind_trains_without_options_and_is_shown(model, kind, figure):
    trained = model("train", kind, "--json").document
    assert (trained["metrics"]["test"] or trained["metrics"]["train"])[figure] is not None
    shown = model("show", "latest")
    assert (shown.code, shown.err) == (0, "")
    assert figure.replace("_", " ") in shown.out
    assert trained["data"]["fingerprint"][:16] in shown.out


def test_list_shows_the_newest_first_and_what_they_are_worth(model, tree):
    model("train", "k-means", "--set", "n_clusters=3", "--name", "groups")
    lines = model("list").out.splitlines()
    assert lines[0].split() == ["id", "model", "kind", "data", "rows", "figure", "trained"]
    assert lines[1].split()[1:5] == ["groups@1", "k-means", "iris", "150"]
    assert lines[2].split()[:7] == [tree["model"], "tree-iris@1", "tree", "iris", "150", "accuracy", "0.9474"]
    assert [one["name"] for one in model("list", "--json").document["models"]] == ["groups", "tree-iris"]
    assert [one["name"] for one in model("list", "--kind", "tree", "--json").document["models"]] == ["tree-iris"]


def test_an_empty_store_says_how_to_train(model, rlbench):
    rlbench("train", "FrozenLake-v1", "--episodes", 5)
    assert model("list").out == "no models yet: train one with `rlbench model train tree`\n"
    assert model("list", "--kind", "pca").out == "no models fit\n"


def test_show_prints_the_report_the_confusion_and_the_questions(model, tree):
    out = model("show", "tree-iris").out
    assert "  setosa         1.0000  1.0000  1.0000      13\n" in out
    assert "  virginica      0   2  10\n" in out
    assert "|--- petal length (cm) <= 2.45\n|   |--- class: setosa\n" in out
    assert model("show", tree["model"][:6], "--json").document == tree


def test_predict_answers_rows_in_their_order(model, tree):
    asked = ("--row", "5.1,3.5,1.4,0.2", "--row", "6.7, 3.0, 5.2, 2.3")
    assert model("predict", "tree-iris", *asked).out == "setosa\nvirginica\n"
    found = model("predict", "latest", *asked, "--json").document
    assert found == {"model": tree["model"], "predictions": ["setosa", "virginica"]}


@pytest.fixture
def houses(tmp_path):
    """150 houses whose price is a sum, by columns that stand in another order than the model wants."""
    random = np.random.default_rng(0)
    rows = np.column_stack([random.integers(600, 3000, 150), random.integers(1, 11, 150)])
    path = tmp_path / "houses.csv"
    lines = [f"Pave,{area},{1000 + 100 * area + 5000 * quality},{quality}" for area, quality in rows]
    path.write_text("\n".join(["Street,GrLivArea,SalePrice,OverallQual", *lines]))
    return path


def test_a_file_is_learnt_from_by_the_columns_named_and_answered_into_a_new_one(model, houses, tmp_path):
    asked = ("--target", "SalePrice", "--features", "OverallQual,GrLivArea")
    trained = model("train", "linear", "--data", houses, *asked, "--json").document
    assert trained["metrics"]["test"]["r2"] == pytest.approx(1.0)
    assert trained["data"]["source"] == str(houses)
    outcome = model("predict", "linear-houses", "--data", "houses.csv", "--out", "prices.csv")
    assert (outcome.code, outcome.out) == (0, "wrote prices.csv (150 rows)\n")
    with houses.open() as a, (tmp_path / "prices.csv").open() as b:
        pairs = [
            (float(x["SalePrice"]), float(y["SalePrice"]))
            for x, y in zip(csv.DictReader(a), csv.DictReader(b), strict=True)
        ]
    assert all(right == pytest.approx(answer) for right, answer in pairs)
    again = model("predict", "linear-houses", "--data", "houses.csv", "--out", "prices.csv")
    assert (again.code, again.err.count("\n")) == (2, 1)


def test_a_file_is_streamed_in_chunks(model, tmp_path):
    lines = [f"{i % 2},{'great fun' if i % 2 else 'dull mess'} of a film" for i in range(200)]
    (tmp_path / "reviews.csv").write_text("\n".join(["sentiment,review", *lines]))
    asked = ("--data", "reviews.csv", "--target", "sentiment", "--chunk-rows", 32)
    trained = model("train", "text", *asked, "--json").document
    assert trained["data"]["chunk_rows"] == 32
    assert trained["metrics"]["test"]["accuracy"] == 1.0
    assert model("predict", "text-reviews", "--row", "what a mess").out == "0\n"
    assert model("plot", "latest", "--kind", "words").code == 0
    refused = model("plot", "latest", "--kind", "learning")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "the file was read in chunks" in refused.err


def test_a_recommender_names_items_for_users(model, tmp_path):
    lines = [f"u{u},i{i},{5 - 4 * ((u + i) % 2)}" for u in range(10) for i in range(8) if (u * i) % 5 != 1]
    (tmp_path / "stars.csv").write_text("\n".join(["user,item,stars", *lines]))
    settings = ("--set", "n_factors=1", "--set", "n_epochs=200")
    trained = model("train", "recommender", "--data", "stars.csv", "--target", "stars", *settings, "--json").document
    assert trained["metrics"]["train"]["rmse"] < 0.5
    found = model("predict", "latest", "--row", "u1", "--row", "stranger", "--json").document["predictions"]
    assert set(found[0]) < {f"i{i}" for i in range(8)}
    assert len(found[1]) == 8
    asked = model("predict", "latest", "--row", "u1", "--row", "U1")
    assert asked.err == "'U1' is no user in the data: what follows are the overall favourites\n"
    assert len(asked.out.splitlines()) == 2
    assert model("plot", "latest").out == "wrote recommender-stars-1-loss.png\n"


@pytest.mark.parametrize("options", [(), ("--chunk-rows", 16)])
def test_an_id_is_answered_as_it_stands_in_the_file_also_after_storing(model, tmp_path, options):
    lines = [f"{u:03d},{i:04d},{1 + (u + i) % 5}" for u in range(20) for i in range(15) if (u * i) % 4]
    (tmp_path / "stars.csv").write_text("user,item,stars\n" + "\n".join(lines))
    assert model("train", "recommender", "--data", "stars.csv", "--target", "stars", *options).code == 0
    with rl.open_store("rlbench.db") as store:
        found = load_model(store, "latest")
    assert found.users.tolist() == sorted({line[:3] for line in lines})
    assert found.recommend("001").tolist() != found.recommend("1").tolist() == found.recommend("nobody").tolist()
    said = model("predict", "latest", "--row", "001", "--json").document["predictions"]
    assert said == [found.recommend("001").tolist()]
    answers = model("predict", "latest", "--data", "stars.csv", "--json").document["predictions"]
    asked = pd.read_csv("stars.csv", dtype=str)[["stars", "item", "user"]]
    assert answers == found.predict(asked).tolist() == found.predict(asked[["user", "item"]].to_numpy()).tolist()
    with pytest.raises(UsageError, match="an item must be one of the 11 in the data, got '3'"):
        found.predict([("001", "3")])


def test_classes_are_stored_and_said_as_written(model, tmp_path):
    lines = "".join(f"{i},{'01234' if i < 20 else '1234'}\n" for i in range(40))
    (tmp_path / "zips.csv").write_text("x,zip\n" + lines)
    trained = model("train", "tree", "--data", "zips.csv", "--target", "zip", "--json").document
    assert trained["metrics"]["test"]["classes"] == ["01234", "1234"]
    assert model("predict", "latest", "--row", "3", "--json").document["predictions"] == ["01234"]


def test_compare_puts_figures_side_by_side(model, tree):
    model("train", "logistic")
    same = model("compare", "tree-iris", "logistic-iris", "tree-iris@1")
    assert [line.split()[0] for line in same.out.splitlines()] == ["model", "tree-iris@1", "logistic-iris@1"]
    for seed, clusters in ((0, 2), (1, 3)):  # all rows are measured: the seed chooses none
        model("train", "k-means", "--set", f"n_clusters={clusters}", "--seed", seed, "--name", f"groups-{seed}")
    assert model("compare", "groups-0", "groups-1").code == 0


def test_compare_says_what_differs_where_no_figure_ranks(model, tree, tmp_path):
    (tmp_path / "a.csv").write_text("x,y,z\n" + "".join(f"{i},{i % 2},{i % 3}\n" for i in range(60)))
    for name, *options in (
        ("tree-wine", "tree", "--data", "wine"),
        ("other-seed", "tree", "--seed", 1),
        ("linear-diabetes", "linear"),
        ("of-y", "naive-bayes", "--data", "a.csv", "--target", "y"),
        ("of-z", "naive-bayes", "--data", "a.csv", "--target", "z"),
        ("chunked", "naive-bayes", "--data", "a.csv", "--target", "y", "--chunk-rows", 10),
        ("plain", "k-means"),
        ("scaled", "k-means", "--scale"),
    ):
        assert model("train", *options, "--name", name).code == 0
    for one, other, difference in (
        ("tree-iris", "tree-wine", r"on different data \(tree-iris@1 SHA-256 \w{12}, tree-wine@1 SHA-256 \w{12}\)"),
        ("tree-iris", "other-seed", r"on different rows of the same data \(.* 0\.25 of the rows, seed 0, .* seed 1\)"),
        ("of-y", "of-z", r"by different targets \(of-y@1 y, of-z@1 z\): train them for the same"),
        ("of-y", "chunked", r"on different rows of the same data \(.*, seed 0 in chunks of 10\)"),
        ("plain", "scaled", r"in different units \(.*petal width \(cm\), scaled\)"),
        ("tree-iris", "linear-diabetes", r"do not compare: tree \(classes\), linear \(numbers\)"),
    ):
        refused = model("compare", one, other)
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
        assert re.search(difference, refused.err), refused.err


PICTURES = {
    "tree": ["confusion", "learning", "tree", "importance"],
    "linear": ["predictions", "learning"],
    "logistic": ["confusion", "loss"],
    "tree-regressor": ["predictions", "tree", "importance"],
    "k-means": ["clusters", "elbow"],
    "pca": ["variance", "components"],
}


@pytest.mark.parametrize("kind", PICTURES)
def test_plot_draws_what_fits_a_kind(model, tmp_path, kind):
    model("train", kind)
    for picture in PICTURES[kind]:
        assert model("plot", "latest", "--kind", picture, "--out", "a.svg").code == 0
        assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_plot_names_its_file_after_model_and_picture(model, tree, tmp_path):
    found = model("plot", "tree-iris", "--json").document
    assert found == {"model": tree["model"], "kind": "confusion", "out": "tree-iris-1-confusion.png"}
    assert (tmp_path / found["out"]).read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_data_that_are_gone_or_others_is_refused(model, houses):
    model("train", "linear", "--data", houses, "--target", "SalePrice", "--features", "GrLivArea")
    houses.write_text(houses.read_text().replace("Pave", "Grvl"))
    changed = model("plot", "latest")
    houses.unlink()
    gone = model("plot", "latest")
    assert [(one.code, one.err.count("\n")) for one in (changed, gone)] == [(1, 1), (1, 1)]
    assert "has changed since this model was trained on it: train again" in changed.err
    assert "are gone" in gone.err


def test_delete_asks_first_and_takes_versions_by_name(model, tree, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert model("delete", "tree-iris@1").code == 130
    assert model("show", "tree-iris@1").code == 0
    outcome = model("delete", "tree-iris@1", "--yes")
    assert outcome.out == f"deleted tree-iris@1 ({tree['model']})\n"
    assert model("list", "--json").document == {"models": []}


def test_models_lie_beside_the_runs_and_store_check_covers_them(model, tree, rlbench):
    assert rlbench("store", "info", "--json").document["snapshots"] == 1
    assert rlbench("store", "check").code == 0
    assert rlbench("store", "copy", "rlbench.db", "copy.db").code == 0
    assert model("show", "latest", "--store", "copy.db", "--json").document == tree


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "tre"], 2, "unknown kind of model 'tre'; did you mean tree"),
        (["train", "tree", "--set", "depth=3"], 2, "unknown parameter of tree 'depth'; did you mean max_depth"),
        (["train", "tree", "--data", "irsi"], 2, "unknown data set 'irsi'; did you mean iris"),
        (["train", "tree", "--data", "none.csv", "--target", "y"], 2, "cannot read none.csv: No such file"),
        (["train", "tree", "--test-size", "2"], 2, "test_size must be a share in [0, 1), got 2.0"),
        (["train", "text"], 2, "text learns from texts: give the path of a CSV file"),
        (["train", "tree", "--name", "a b"], 2, "a model's name must have 1 to 150 characters"),
        (["show", "none"], 1, "there is no model 'none'"),
        (["predict", "tree-iris"], 2, "say what is asked: either --row, once or more, or --data FILE"),
        (["predict", "tree-iris", "--row", "1,2"], 2, "--row takes 4 values (sepal length (cm),"),
        (["predict", "tree-iris", "--row", "1,2,3,x"], 2, "--row takes numbers, got '1,2,3,x'"),
        (["predict", "tree-iris", "--row", "1,2,3,1_0"], 2, "--row takes numbers, got '1,2,3,1_0'"),
        (["predict", "tree-iris", "--row", "1,2,3,4", "--out", "a.csv"], 2, "--out needs a data file"),
        (["plot", "tree-iris", "--kind", "elbow"], 2, "elbow does not fit a tree model: draw confusion, lear"),
        (["plot", "tree-iris", "--kind", "tre"], 2, "unknown plot of a model 'tre'; did you mean tree"),
        (["plot", "tree-iris", "--out", "a.jpg"], 2, "a picture must end in .png, .svg or .pdf"),
        (["list", "--kind", "tre"], 2, "unknown kind of model 'tre'"),
    ],
)
def test_a_mistake_is_one_line(model, tree, arguments, code, message):
    outcome = model(*arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_store_that_is_not_there_is_not_made_by_looking(model, tmp_path):
    outcome = model("list")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert list(tmp_path.iterdir()) == []


def test_help_of_the_commands_imports_no_scikit_learn():
    import subprocess

    program = (
        "import sys; from rlbench.cli import cli; cli(['model', 'train', '--help'], standalone_mode=False);"
        "assert not {'numpy', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'numba'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.dumps("rlbench model train tree") not in done.stdout
    assert "--chunk-rows" in done.stdout


def test_a_damaged_model_is_listed_and_deleted_and_blocks_no_other(model):
    damaged, sound = (model("train", "tree", "--json").document for _ in range(2))
    with rl.open_store("rlbench.db") as store:
        info = next(info for info in store.snapshots("model") if info.name == damaged["model"])
        blob = bytearray(store.backend.select_snapshot(*info[:2]))
        blob[20] ^= 1
        store.backend.put_snapshot(info, bytes(blob))
    listed = model("list")
    assert (listed.code, listed.err) == (0, "")
    assert re.search(rf"{damaged['model']} +damaged .*its checksum is wrong", listed.out)
    problems = [entry.get("damaged") for entry in model("list", "--json").document["models"]]
    assert [bool(problem) for problem in problems] == [False, True]
    assert model("show", "latest", "--json").document["model"] == sound["model"]
    refused = model("show", damaged["model"])
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert f"rlbench model delete {damaged['model']}" in refused.err
    assert model("compare", damaged["model"], "latest").code == 1
    assert model("train", "tree", "--json").document["version"] == 3
    assert model("delete", damaged["model"], "--yes").code == 0
    assert len(model("list", "--json").document["models"]) == 2
