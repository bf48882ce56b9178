"""Damaged inputs of every kind: each is refused in a line, noticed, or harmless; none is believed, and none crashes."""

import collections
import json
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest
from damages import KINDS, verdict
from hostile import MEMORY

BATCH = 500  # inputs judged by one process
SAMPLE = 4  # inputs of each kind that `make test` judges
judges = {}  # by kind, prepared before the fork


def outcomes(kind, numbers):
    """Returns how often each verdict was given, and what happened at the faults; one may be about memory."""
    before, found = _peak(), [verdict(judges[kind], kind, number) for number in numbers]
    grown = (_peak() - before) * (len(numbers) > SAMPLE)
    faults = [what for _, what in found if what] + [f"took {grown >> 20} MB"] * (grown > MEMORY)
    return collections.Counter(name for name, _ in found), faults


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def outcomes_in_forks(kind, count):
    """Yields the outcomes of a kind, one process per batch, so that a crash is noticed and ends only its batch."""
    for first in range(0, count, BATCH):
        numbers = range(first, min(count, first + BATCH))
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            try:
                yield pool.submit(outcomes, kind, numbers).result()
            except BrokenProcessPool:
                yield collections.Counter(crash=1), [f"{kind} {numbers}: crashed"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_damaged_inputs_is_refused_noticed_or_harmless(kind, tmp_path):
    judges[kind] = KINDS[kind][0](tmp_path)
    assert outcomes(kind, range(SAMPLE))[1] == []


@pytest.mark.long
def test_of_twenty_thousand_damaged_inputs_none_is_believed_and_none_crashes(tmp_path, record_property):
    assert sum(count for _, count in KINDS.values()) >= 20_000
    told, faults = {}, []
    for kind, (prepare, count) in KINDS.items():
        (tmp_path / kind).mkdir()
        judges[kind] = prepare(tmp_path / kind)
        found = list(outcomes_in_forks(kind, count))
        told[kind] = dict(sum((verdicts for verdicts, _ in found), collections.Counter()))
        faults += [what for _, complaints in found for what in complaints]
    record_property("verdicts", json.dumps(told))
    assert faults == [], told
