"""Replaying: is it the same again? Episodes re-executed, runs compared, and the command that makes a run again."""

from __future__ import annotations

from rlbench.replaying.differences import Difference, diff
from rlbench.replaying.reproduction import command_of, program_of
from rlbench.replaying.verification import Verification, verify

__all__ = ["Difference", "Verification", "command_of", "diff", "program_of", "verify"]
