"""Settings as they are typed and printed: K=V pairs whose values read back the same as they were written."""

from __future__ import annotations

import json
import re
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)
WHOLE = re.compile(r"[+-]?\d[\d_]*")
WORDS = {"true": True, "True": True, "false": False, "False": False, "None": None}


def parse_settings(settings: Iterable[str], option: str) -> dict[str, Any]:
    """Reads K=V pairs: numbers, true and false, None, [lists], {tables}, "quoted text"; anything else is text.

    Raises:
        UsageError: a setting is not a K=V pair, or a name is given twice.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or not name:
            raise UsageError(f"{option} takes K=V, such as gamma=0.9, got {setting!r}")
        if name in parsed:
            raise UsageError(f"{option} {name}=... is given twice: give it once")
        parsed[name] = parse_value(text)
    return parsed


def parse_value(text: str) -> Any:
    """Reads the value of a setting; see `parse_settings`."""
    if text in WORDS:
        return WORDS[text]
    if NUMBER.fullmatch(text):
        with suppress(ValueError):  # 1__0, or more digits than Python reads
            return int(text) if WHOLE.fullmatch(text) else float(text)
    return _toml(text) if text[:1] in {"[", "{", '"', "'"} else text  # 0x5 is a city and 2024-01-01 stays text


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def write_setting(value: Any) -> str:
    """Returns a value as text that `parse_settings` reads back."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if parse_value(value.strip()) != value else value
    return "None" if value is None else json.dumps(value)


def write_call(name: str, arguments: Mapping[str, Any]) -> str:
    """Returns a name and its arguments as they are typed: ClipReward:min_reward=-1,max_reward=1."""
    told = ",".join(f"{argument}={write_setting(value)}" for argument, value in arguments.items())
    return f"{name}:{told}" if told else name
