"""Imports pygame, or says how to install it."""

from __future__ import annotations

import os

from gymnasium.error import DependencyNotInstalled

from rlbench.errors import MissingPackageError


class ViewerMissingError(MissingPackageError, DependencyNotInstalled):
    """The extra `viewer` is not installed."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(what, name, "viewer", or_else=", or draw in text ('ansi')")


os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # its greeting would corrupt JSON on stdout
try:
    import pygame
except ImportError as missing:
    raise ViewerMissingError("pygame", "pictures are drawn by pygame") from missing

__all__ = ["ViewerMissingError", "pygame"]
