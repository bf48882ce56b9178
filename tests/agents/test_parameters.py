"""The values that a parameter is said to take are those it takes."""

import itertools
import math
import re
from dataclasses import fields

import pytest

from rlbench.agents import AGENTS
from rlbench.errors import UsageError

INTERVAL = re.compile(r"([\[(])([\d.]+), ([\d.]+)([\])])")
TOGETHER = {"learning_rate_final": {"learning_rate_steps": 5}, "learning_rate_steps": {"learning_rate_final": 0.1}}
PARAMETERS = {f.name: (cls.Parameters, f.metadata) for cls in AGENTS.values() for f in fields(cls.Parameters)}


def takes(name, value):
    """Whether a parameter takes a value; what an error says of another parameter does not count."""
    cls, _ = PARAMETERS[name]
    try:
        cls.of({name: value, **TOGETHER.get(name, {})}, "an agent")
    except UsageError as error:
        return not str(error).startswith((f"{name} must be", f"unknown {name} ", f"unknown kind of {name}"))
    return True


def examples(values):
    """Returns some values that a text names, and some that it does not."""
    if found := INTERVAL.fullmatch(values):
        least, most = float(found.group(2)), float(found.group(3))
        ends = {least: found.group(1) == "[", most: found.group(4) == "]"}
        inside = [(least + most) / 2, *(end for end, belongs in ends.items() if belongs)]
        return inside, [least - 0.1, most + 0.1, math.nan, *(end for end, belongs in ends.items() if not belongs)]
    if found := re.fullmatch(r"([\d,]+) to ([\d,]+)", values):
        least, most = (int(bound.replace(",", "")) for bound in found.groups())
        return [least, most], [least - 1, most + 1]
    if found := re.fullmatch(r"(\d+) or more", values):
        return [int(found.group(1)), 1000], [int(found.group(1)) - 1]
    if values == "above 0":
        return [1e-9, 1000.0], [0.0, -1.0, math.inf, math.nan]
    if values == "any number":
        return [-1e9, 0.0, 1e9], [math.inf, math.nan]
    words = re.split(", | or ", values)
    return words, [word + "s" for word in words]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_takes_the_values_that_it_says_and_no_others(name):
    said = PARAMETERS[name][1]
    assert said["help"]
    good, bad = examples(said["values"])
    assert {value: takes(name, value) for value in itertools.chain(good, bad)} == {
        **dict.fromkeys(good, True),
        **dict.fromkeys(bad, False),
    }
