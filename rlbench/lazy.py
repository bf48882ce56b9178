"""Modules that are imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands in for a module until its first use: importing numba or NumPy takes longer than many commands."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the module, and keeps it: the next lookup is as fast as a global."""
        value = getattr(import_module(self._name), name)
        setattr(self, name, value)
        return value
