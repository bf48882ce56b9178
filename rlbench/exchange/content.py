"""What is exchanged between a run and a file of any format."""

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
    """The content of a file, as its manifest says: "episodes", "results" or "table"."""

    manifest: Manifest
    batches: Iterator[Batch] = field(default_factory=lambda: iter(()))  # the episodes
    checkpoint: Checkpoint | None = None  # with the episodes: the final agent, if the format stores it
    keeps_checkpoint: bool = False  # whether the format stores checkpoints
    figures: dict[str, NDArray[Any]] = field(default_factory=dict)  # the results, a row per episode
    table: NDArray[Any] | None = None  # (states, actions)
    notes: tuple[str, ...] = ()  # on what is imported differently from what the file holds, such as what is left out
    described_by: str = ""  # the name of the file beside it that holds the manifest
