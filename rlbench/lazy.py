"""Modules that are imported when something of them is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a compiled module until it is used: importing numba takes longer than most commands do."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the module, and keeps it: looking it up again costs no more than a global."""
        value = getattr(import_module(self._name), name)
        setattr(self, name, value)
        return value
