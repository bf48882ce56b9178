"""Imports pygame, or says how to install it."""

from __future__ import annotations

import os

from gymnasium.error import DependencyNotInstalled

from rlbench.errors import UsageError


class ViewerMissingError(UsageError, DependencyNotInstalled, ModuleNotFoundError):
    """The extra `viewer` is not installed; `name` is the module that is missing."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{what}, which is not installed: pip install 'rlbench[viewer]', or draw in text ('ansi')")
        self.name = name


os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # its greeting would corrupt JSON on stdout
try:
    import pygame
except ImportError as missing:
    raise ViewerMissingError("pygame", "pictures are drawn by pygame") from missing

__all__ = ["ViewerMissingError", "pygame"]
