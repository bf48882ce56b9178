"""Trains into a MongoDB database, or into memory if no address is given, and lists what is there.

python scripts/mongodb.py [mongodb://HOST/NAME]
"""

import sys

import rlbench

with rlbench.open_store(sys.argv[1] if len(sys.argv) > 1 else "memory://") as store:
    rlbench.train("FrozenLake-v1", episodes=5000, seed=0, store=store)
    for run in store.runs(limit=10):
        print(run.id, run.env_id, run.agent_name, run.episodes, run.status)
