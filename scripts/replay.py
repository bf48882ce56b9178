"""Reads the best and the worst episode of a stored run and prints their steps.

python scripts/replay.py [STORE [RUN]]        # after `rlbench train safecab`
"""

import sys

import numpy as np

import rlbench
from rlbench.errors import StoreError

place = sys.argv[1] if len(sys.argv) > 1 else "rlbench.db"
ref = sys.argv[2] if len(sys.argv) > 2 else "latest"  # noqa: PLR2004
try:
    run = rlbench.load_run(place, ref, needs="steps")
except StoreError as error:
    sys.exit(str(error))
print(run)

episodes = run.store.episodes(run)  # a sequence that reads each episode on access
for name, index in (("best", int(np.argmax(run.returns))), ("worst", int(np.argmin(run.returns)))):
    episode = episodes[index]
    print(f"{name}: episode {index}, return {episode.total_return:g} in {len(episode)} steps")
    print(f"  observations {episode.observations.tolist()}")
    print(f"  actions      {episode.actions.tolist()}")
