"""The pages of stored replay buffers: what is in them, how balanced it is, and with which priority it is drawn."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from starlette.exceptions import HTTPException
from starlette.routing import Route

from rlbench.buffers import BUFFERS, PrioritizedReplayBuffer
from rlbench.errors import RlbenchError, StoreError
from rlbench.web.pages import page, whole_number, whole_store
from rlbench.web.shelf import Shelf

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from starlette.requests import Request
    from starlette.responses import Response

    from rlbench.buffers import BufferStats
    from rlbench.store import SnapshotInfo, Store

KIND = "buffer"  # of a snapshot
LISTED = 100  # buffers on a page
LARGEST = 2**26  # bytes as they are stored: a page unpacks no more
BINS = 12  # of a histogram
FEW = 24  # values, each with a bar of its own


class Bar(NamedTuple):
    """A bar of a histogram."""

    name: str
    share: float  # of the longest
    times: int


class Contents(NamedTuple):
    """What is in a buffer."""

    kind: str
    stats: BufferStats
    terminated: int
    truncated: int
    histograms: dict[str, list[Bar]]
    pairs: list[tuple[str, str, int]]  # the commonest: observation, action, how many


CONTENTS: Shelf[tuple[str, ...], Contents] = Shelf(16)


def table(request: Request) -> Response:
    """Lists the buffers."""
    store, begin = whole_store(request), whole_number(request, "from", 0)
    found = store.snapshots(KIND)
    shown = [(info, *_listed(store, info)) for info in found[begin : begin + LISTED]]
    return page(request, "buffers.html", shown=shown, begin=begin, count=len(found), most=LISTED)


def _listed(store: Store, info: SnapshotInfo) -> tuple[str, int | None, str]:
    """Returns the kind and the capacity of a buffer, and what is wrong with it."""
    try:
        numbers = store.describe_snapshot(KIND, info.name)
        return str(numbers["kind"]), int(numbers["capacity"]), ""
    except (RlbenchError, KeyError, TypeError, ValueError) as error:
        return "", None, str(error) if isinstance(error, RlbenchError) else "its record is damaged"


def show(request: Request) -> Response:
    """Shows a buffer."""
    store, name = whole_store(request), request.path_params["buffer"]
    info = next((one for one in store.snapshots(KIND) if one.name == name), None)
    if info is None:
        raise HTTPException(404, f"there is no buffer {name!r:.80} in this store")
    if info.size > LARGEST:
        raise HTTPException(413, f"the buffer takes {info.size:,} bytes: a page unpacks up to {LARGEST:,}")
    key = store.writer, info.name, info.created_at
    return page(request, "buffer.html", info=info, found=CONTENTS.get(key, lambda: contents(store, name)))


def contents(store: Store, name: str) -> Contents:
    """Returns what is in a buffer; StoreError if it is of no kind that is known here, or damaged."""
    kind = store.describe_snapshot(KIND, name).get("kind")
    if kind not in BUFFERS:
        raise StoreError(f"the buffer {name!r} is of the kind {kind!r:.80}, which this version does not know")
    buffer = BUFFERS[kind].load(store, name)
    rows = buffer.rows[: len(buffer)]
    histograms = {"Rewards": histogram(rows["reward"])}
    if rows["action"].ndim == 1:
        histograms["Actions"] = histogram(rows["action"])
    if isinstance(buffer, PrioritizedReplayBuffer) and len(buffer):
        histograms["Times as likely as the average to be drawn"] = histogram(buffer.probabilities() * len(buffer))
    terminated, truncated = (int(rows[name].sum()) for name in ("terminated", "truncated"))
    return Contents(kind, buffer.stats(), terminated, truncated, histograms, _commonest(rows))


def histogram(values: NDArray[Any]) -> list[Bar]:
    """Returns how often values come: each of them if they are few, else in bins of equal width."""
    known, counts = np.unique(values, return_counts=True)
    found: Counter[str] = Counter()
    if len(known) > FEW:
        counts, edges = np.histogram(values.astype(np.float64), BINS)
        names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges.tolist())]
    else:
        names = [f"{value:.6g}" for value in known.tolist()]
    for name, count in zip(names, counts.tolist(), strict=True):  # two may differ in the last digits alone
        found[name] += count
    most = max(found.values(), default=0) or 1
    return [Bar(name, count / most, count) for name, count in found.items()]


def _commonest(rows: NDArray[np.void]) -> list[tuple[str, str, int]]:
    """Returns the pairs of observation and action that come most often; none if they are no single numbers."""
    if rows["observation"].ndim > 1 or rows["action"].ndim > 1 or not len(rows):
        return []
    pairs, counts = np.unique(np.stack([rows["observation"], rows["action"]]), axis=1, return_counts=True)
    best = np.argsort(-counts, kind="stable")[:BINS]
    return [(str(pairs[0, k]), str(pairs[1, k]), int(counts[k])) for k in best.tolist()]


routes = [Route("/buffers", table), Route("/buffers/{buffer:path}", show)]
