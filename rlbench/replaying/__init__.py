"""Replaying: episodes played again and verified, runs compared, and the command that reproduces a run."""

from __future__ import annotations

from rlbench.replaying.differences import Difference, diff
from rlbench.replaying.migration import MigrationResult, migrate
from rlbench.replaying.reproduction import command_of, origins_of, program_of
from rlbench.replaying.verification import Verification, verify

__all__ = [
    "Difference",
    "MigrationResult",
    "Verification",
    "command_of",
    "diff",
    "migrate",
    "origins_of",
    "program_of",
    "verify",
]
