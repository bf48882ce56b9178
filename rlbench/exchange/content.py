"""What is exchanged between a run and a file of any format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlbench.texts import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from rlbench.exchange.batches import Batch
    from rlbench.exchange.manifest import Manifest
    from rlbench.store import Checkpoint


MOST_NAMES = 10  # in a note


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


def left_out(names: Sequence[str]) -> tuple[str, ...]:
    """Returns a note on the parts of a file that are not imported, if there are any."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (f"left out: {', '.join(map(escaped, names[:MOST_NAMES]))}{more}",) if names else ()
