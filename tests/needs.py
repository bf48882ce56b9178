"""What some tests need besides Python: without it they are skipped, but under CI they fail."""

import importlib
import os
import shutil

import pytest

PACKAGES = {  # of Debian and Ubuntu
    "Xvfb": "xvfb",
    "xdotool": "xdotool",
    "chromium": "chromium",
    "curl": "curl",
    "promtool": "prometheus",
}
MARK = "missing here: "  # begins the reason of such a skip


def without(what, how):
    """Skips a test, or fails it under CI, because something is missing; `how` says how to get it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and under CI nothing may be: {how}")
    pytest.skip(f"{MARK}{what} ({how})", allow_module_level=True)


def needed(*programs):
    """Skips a test, or fails it under CI, without these programs."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        without(" and ".join(missing), f"apt-get install {' '.join(PACKAGES[name] for name in missing)}")


def package(name, extra):
    """Returns a package of an extra; without it, skips or fails the test, or the whole module of tests."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return without(name, f'pip install "rlbench[{extra}]"')


def summary(reasons):
    """Returns one line on the tests that were skipped because something is missing; "" if none was."""
    wants = [reason.split(MARK, 1)[1] for reason in reasons if MARK in reason]
    if not wants:
        return ""
    return f"{len(wants)} tests were skipped for what is missing here: {'; '.join(sorted(set(wants)))}"
