"""What passes between a run and a file, whatever the file's format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rlbench.exchange.batches import Batch
    from rlbench.exchange.manifest import Manifest
    from rlbench.store import Checkpoint


@dataclass(frozen=True)
class Content:
    """What a file holds: of these what its manifest says, "episodes", "results" or "table"."""

    manifest: Manifest
    batches: Iterator[Batch] = field(default_factory=lambda: iter(()))  # the episodes
    checkpoint: Checkpoint | None = None  # with the episodes: the agent as it was in the end, where the format has it
    figures: dict[str, NDArray[Any]] = field(default_factory=dict)  # the results, a row an episode
    table: NDArray[Any] | None = None  # (states, actions)
