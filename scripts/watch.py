"""Watches a learnt agent step by step, in the terminal.

python scripts/watch.py [STORE [RUN]]         # after `rlbench train safecab`
"""

import sys
import time

import rlbench
from rlbench.errors import StoreError

place = sys.argv[1] if len(sys.argv) > 1 else "rlbench.db"
ref = sys.argv[2] if len(sys.argv) > 2 else "latest"  # noqa: PLR2004
try:
    run = rlbench.load_run(place, ref, needs="agent")
except StoreError as error:
    sys.exit(str(error))

env = run.make_env(render_mode="ansi")
observation, _ = env.reset(seed=0)
ended = False
print(env.render())
while not ended:
    action = run.agent.act(observation, explore=False)
    observation, reward, terminated, truncated, _ = env.step(action)
    ended = terminated or truncated
    print(env.render())
    print(f"reward {reward:g}\n")
    time.sleep(0.3 if sys.stdout.isatty() else 0.0)
