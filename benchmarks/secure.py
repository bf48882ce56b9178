"""What encryption and a server in the cloud cost, and what is refused.

    python benchmarks/secure.py [--rounds 9] [--episodes 60000] [--s3 s3://BUCKET/PREFIX] [--json]

*Training* and *reading*: SafeCab with every step stored, into a new file, with the default preset, encrypted against
plain, in turn; *reading* unpacks every column of every chunk of that file. *Blocks*: 10,000 that were flipped, cut,
swapped or taken from another store. *To S3*, if `--s3` names an empty prefix (and the environment its server, such as
SeaweedFS): a run of a million steps is copied there and back into a new file, against the plain file of that run, sent
whole and fetched whole; each run is then compared record by record. The sides take turns: the paces are medians of the
ratios of rounds, and to S3, where little is to be done, ratios of the fastest. The last figures are in
benchmarks/secure.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import rlbench
from rlbench.errors import StoreError
from rlbench.keys import KEY, Key
from rlbench.store import copying
from rlbench.store.bucket import open_bucket
from rlbench.store.documents import PARTS
from rlbench.store.sealed import place_of_part

BARS = {
    "training with everything stored: pace of encrypted / plain": 0.85,
    "reading every column: pace of encrypted / plain": 0.7,
    "10,000 blocks that were altered, cut, swapped or replayed: share refused, with the place named": 1,
    "CartPole, a million raw steps, to S3 and back: pace / that of the plain file": 0.5,
    "SafeCab, a million steps, to S3 and back: pace / that of the plain file": 0.5,
}
TRIES = 10_000
STEPS = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--episodes", type=int, default=60_000)
    parser.add_argument("--s3", metavar="URL")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [*_paces(Path(folder), arguments.rounds, arguments.episodes), _refused(Path(folder, "altered.db"))]
        if arguments.s3:
            found += _to_s3(Path(folder), arguments.s3.rstrip("/"), arguments.rounds)
    figures = dict(zip(BARS, found, strict=False))
    print(json.dumps(figures) if arguments.json else _table(figures))


# ---------------------------------------------------------------------- encryption


def _paces(folder, rounds, episodes):
    """Returns the paces of training and of reading, encrypted against plain."""
    key, found = Key.new().text(), []
    for number in range(rounds + 1):  # the first is the warm-up
        plain, sealed = (_side(folder / f"{number}{side}.db", episodes, side) for side in ("", key))
        found.append([one / other for one, other in zip(plain, sealed, strict=True)])
    return map(statistics.median, zip(*found[1:], strict=True))


def _side(path, episodes, key):
    """Returns the seconds of training into a file, and of reading it, with a key or, if it is empty, without."""
    os.environ[KEY] = key
    with rlbench.open_store(path) as store:
        started = time.perf_counter()
        run = rlbench.train("safecab", episodes=episodes, seed=0, record="all", store=store)
        trained = time.perf_counter() - started
        started = time.perf_counter()
        for chunk in store.chunks(run):
            for column in (*chunk.figures.values(), *chunk.steps.values()):
                column.sum()
        read = time.perf_counter() - started
    path.unlink()
    return trained, read


def _refused(path):
    """Returns the share of altered blocks that are refused, and whose place the error names."""
    os.environ[KEY] = Key.new().text()
    dice, refused = random.Random(0), 0  # noqa: S311  not for secrets
    with rlbench.open_store(path) as store, rlbench.open_store(path.with_suffix(".other.db")) as other:
        blocks, foreign = _blocks(store), _blocks(other)
        for _ in range(TRIES):
            place, block = dice.choice(blocks)
            at = dice.randrange(len(block))
            ways = (
                block[:at] + bytes([block[at] ^ 1 << dice.randrange(8)]) + block[at + 1 :],
                block[:at],
                dice.choice([moved for where, moved in blocks if where != place]),
                dice.choice(foreign)[1],
            )
            try:
                store.backend.keyring.unseal(dice.choice(ways), place)
            except StoreError as error:
                refused += place in str(error)
    os.environ[KEY] = ""
    return refused / TRIES


def _blocks(store):
    """Trains into an encrypted store, and returns its blocks with their places."""
    run = rlbench.train("safecab", total_timesteps=STEPS // 4, record="all", store=store)
    found = [
        (place_of_part(span, part), store.backend.inner.select_part(run.id, span, part)[1])
        for span in store.backend.select_spans(run.id)
        for part in PARTS
    ]
    return [(place, block) for place, block in found if block is not None]


# ---------------------------------------------------------------------- to S3


def _to_s3(folder, url, rounds):
    """Returns the pace of runs there and back, against their plain files through the same server."""
    for name, make in (("cartpole", _cartpole), ("safecab", _safecab)):
        path = folder / f"{name}.db"
        make(path)
        pairs = [
            (_plain(path, f"{url}/plain-{name}-{number}"), _there_and_back(path, f"{url}/{name}-{number}"))
            for number in range(rounds)
        ]
        plain, ours = map(min, zip(*pairs, strict=True))
        yield plain / ours


def _cartpole(path):
    rlbench.record("CartPole-v1", "random", episodes=STEPS // 22, store=path)  # 22 steps or so each


def _safecab(path):
    rlbench.train("safecab", total_timesteps=STEPS, record="all", store=path)


def _plain(path, url):
    """Returns the seconds that the file takes as one object, there and back."""
    bucket, back = open_bucket(url, url.partition("://")[2]), path.with_suffix(".back")
    started = time.perf_counter()
    bucket.replace("file", path.read_bytes())
    back.write_bytes(bucket.get("file").blob)
    seconds = time.perf_counter() - started
    if back.read_bytes() != path.read_bytes():
        raise AssertionError("the plain file differs")
    back.unlink()
    return seconds


def _there_and_back(path, url):
    """Returns the seconds that the run takes, there and into a new file; AssertionError if it then differs."""
    back, started = path.with_suffix(".back.db"), time.perf_counter()
    for source, target in ((path, url), (url, back)):
        with rlbench.open_store(source, create=False) as one, rlbench.open_store(target) as other:
            copying.copy(one, other)
    seconds = time.perf_counter() - started
    with rlbench.open_store(path) as one, rlbench.open_store(back) as other:
        pairs = zip(one.chunks("latest"), other.chunks("latest"), strict=True)
        if one.runs() != other.runs() or not all(chunk.equals(copied) for chunk, copied in pairs):
            raise AssertionError("the run differs")
    back.unlink()
    return seconds


def _table(figures):
    lines = ["| what | measured | bar |", "|---|---:|---|"]
    for name, figure in figures.items():
        met = "met" if figure >= BARS[name] else "MISSED"
        lines.append(f"| {name} | {figure:.2f} | at least {BARS[name]}, {met} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
