"""Learns CartPole from recorded episodes alone, in bins, and then continues in the env with what was learnt.

python scripts/retrain.py
"""

import rlbench

with rlbench.open_store("rlbench.db") as store:
    recorded = rlbench.record("CartPole-v1", episodes=200, store=store)
    learnt = rlbench.retrain(recorded, bins="6,6,12,12").run
    run = rlbench.train("CartPole-v1", parent=learnt, seed=0, store=store)
    for name, one in (("from stored steps", learnt), ("gone on", run)):
        print(f"{name}: {one}, mean return {rlbench.evaluate(one, seed=0).mean_return:.1f}")
