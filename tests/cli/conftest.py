"""Runs `rlbench ...` in this process, in a folder of its own, and tells what came of it."""

import json
import os
import re
from dataclasses import dataclass

import pytest

from rlbench.cli import main, output

HEAD = re.compile(r".*: audit head [0-9a-f]{64}")
OURS = ("RLBENCH_STORE", "RLBENCH_DEBUG", "NO_COLOR", "FORCE_COLOR")


@dataclass
class Outcome:
    """What a command printed, and the code it ended with."""

    code: int
    out: str
    err: str  # without the lines that tell the heads of audit logs
    heads: list[str]  # what these say

    @property
    def document(self):
        """The one JSON object on stdout; NaN and infinities are not JSON."""
        return {name: value for name, value in self.whole_document.items() if name != "audit_heads"}

    @property
    def whole_document(self):
        """The same with the heads of audit logs, where there are some."""
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture
def rlbench(tmp_path, monkeypatch, capsys):
    """A function that runs a command line and returns its Outcome; the working folder is `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    for name in OURS:
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "\x1b" not in err
        assert "\x1b" not in out or "FORCE_COLOR" in os.environ or output.is_terminal()
        heads = [line for line in err.splitlines() if HEAD.fullmatch(line)]
        others = [line for line in err.splitlines(keepends=True) if line.strip() not in heads]
        return Outcome(int(exited.value.code or 0), out, "".join(others), heads)

    return run
