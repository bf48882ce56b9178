"""The gallery: each figure is made by a short script on public names, holds, and comes out the same again."""

import ast
import json
import runpy
import shutil
from pathlib import Path

import pytest

GALLERY = Path(__file__).parent.parent / "docs" / "gallery"
MAKE = runpy.run_path(str(GALLERY / "make.py"))
SCRIPTS = MAKE["scripts"]()
FIGURES = {
    GALLERY.parent.parent / entry["script"]: entry for entry in json.loads((GALLERY / "figures.json").read_text())
}
LINES = 40
AGAIN = 10  # seconds or more on an idle core are too long for a test

each = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


def test_the_figures_are_those_of_the_scripts():
    assert list(FIGURES) == SCRIPTS
    assert all(
        entry.keys() >= {"figure", "title", "script", "seconds", "book", "ours", "holds"} for entry in FIGURES.values()
    )


@each
def test_a_figure_holds_and_has_its_picture(script):
    assert FIGURES[script]["holds"] is True
    assert script.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@each
def test_a_script_is_short_and_uses_public_names(script):
    text = script.read_text()
    assert len(text.splitlines()) < LINES
    names = [node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    modules = [node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in (*names, *".".join(modules).split(".")) if name.startswith("_")]


@pytest.mark.long
@pytest.mark.parametrize(
    "script", [script for script, entry in FIGURES.items() if entry["seconds"] < AGAIN], ids=lambda script: script.stem
)
def test_a_figure_comes_out_the_same_again(script, tmp_path):
    for file in (script, GALLERY / "matplotlibrc"):
        shutil.copy(file, tmp_path)
    again = MAKE["run"](tmp_path / script.name)
    said = FIGURES[script]
    assert (again["ours"], again["holds"]) == (said["ours"], said["holds"])
    assert (tmp_path / script.name).with_suffix(".png").exists()
