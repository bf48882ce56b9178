"""Trains Q-learning from a replay buffer, and keeps the buffer beside the run.

python scripts/train_replay_q.py
"""

import rlbench

with rlbench.open_store("rlbench.db") as store:
    run = rlbench.train("safecab", "replay-q", episodes=20_000, seed=0, store=store)
    print(run, f"regret {rlbench.evaluate(run).regret:g}")
    run.agent.buffer.save(store, "safecab")
    print(f"{len(run.agent.buffer):,} transitions kept as 'safecab'")
