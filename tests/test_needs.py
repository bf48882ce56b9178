"""What this machine lacks is named in one line at the end; under CI, tests that need it fail."""

import json
import sys

import needs
import pytest


def test_without_a_program_a_test_is_skipped_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None if name != "Xvfb" else "/usr/bin/Xvfb")
    with pytest.raises(pytest.skip.Exception, match=r"xdotool and chromium \(apt-get install xdotool c"):
        needs.needed("Xvfb", "xdotool", "chromium")


def test_under_ci_it_fails(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="mongod is missing, and under CI nothing may be: pip install it"):
        needs.without("mongod", "pip install it")


def test_a_package_of_an_extra_is_handled_alike(monkeypatch):
    assert needs.package("json", "all") is json
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r'missing here: optuna \(pip install "rlbench\[tune\]"\)'):
        needs.package("optuna", "tune")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="optuna is missing, and under CI nothing may be"):
        needs.package("optuna", "tune")


def test_one_line_names_all_that_is_missing_each_once():
    browser = f"Skipped: {needs.MARK}chromium (apt-get install chromium)"
    server = f"Skipped: {needs.MARK}mongod (pip install it)"
    assert needs.summary([browser, "Skipped: links cannot be made here", server, browser]) == (
        "3 tests were skipped for what is missing here: chromium (apt-get install chromium); mongod (pip install it)"
    )
    assert needs.summary(["Skipped: links cannot be made here"]) == ""
