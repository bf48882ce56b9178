"""Shows a learnt agent in a window, as long as it drives.

python scripts/window.py [STORE [RUN]]        # after `rlbench train safecab`
"""

import sys

import rlbench
from rlbench.errors import RlbenchError

place = sys.argv[1] if len(sys.argv) > 1 else "rlbench.db"
ref = sys.argv[2] if len(sys.argv) > 2 else "latest"  # noqa: PLR2004
try:
    run = rlbench.load_run(place, ref, needs="agent")
    env = run.make_env(render_mode="human")
    observation, _ = env.reset(seed=0)  # the window opens here
except RlbenchError as error:
    sys.exit(str(error))

total, ended = 0.0, False
while not ended:
    action = run.agent.act(observation, explore=False)
    observation, reward, terminated, truncated, _ = env.step(action)
    total, ended = total + float(reward), terminated or truncated
env.close()
print(f"{run.agent_name} drove for a return of {total:g}")
