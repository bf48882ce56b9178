"""Modules that are imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module until it is used: importing numba or NumPy takes longer than many a command."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the module, and keeps it: looking it up again costs no more than a global."""
        value = getattr(import_module(self._name), name)
        setattr(self, name, value)
        return value
