"""Replay buffers against cpprb, Stable-Baselines3 and tianshou, in one process run; ratios, medians of rounds.

    python benchmarks/buffers.py [--rounds 15] [--seconds 0.05] [--capacity 100000 1000000] [--json]

Transitions are CartPole's: two observations f32[4], an action, a reward, two flags. Every buffer is full. Rates are
transitions per second, on one core. Within a round the sides of one row take turns, so that other load on the machine
affects all of them; a ratio is the median of the rounds' ratios. Operations that a side does not support are left out,
and so are peers that are not installed, which is reported: pip install cpprb stable-baselines3 tianshou.

- *add*: one transition per call, in each library's format. *extend*: n transitions per call (SB3: 256 environments).
- *sample*: a minibatch of n, as each library returns it (cpprb a dict, SB3 tensors, tianshou a Batch).
- *cycle*: sample a prioritized minibatch of n, then update its priorities.
- *replay-q*: the agent on CartPole (binned), a minibatch of 32 every step: compiled; in the readable loop, whose
  minibatches are compiled too; and in plain Python on top of `sample`. Steps per second.

The last figures are in benchmarks/buffers.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
import warnings

import gymnasium as gym
import numpy as np
from gymnasium import spaces

import rlbench
from rlbench.buffers import PrioritizedReplayBuffer, ReplayBuffer

CAPACITIES = (100_000, 1_000_000)  # transitions
BATCHES = (32, 256)
OBSERVATIONS, ACTIONS = spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(2)
PEERS = {"cpprb": "cpprb", "SB3": "stable_baselines3", "tianshou": "tianshou"}
REPLAY_STEPS = {"compiled": 300_000, "python": 10_000}  # of replay-q, by engine
PLAIN_STEPS = 5_000
REPLAY = {"batch_size": 32, "train_freq": 1, "learning_starts": 1_000, "buffer_size": 100_000, "gamma": 0.999}
BARS = {  # at least this many times the peer's rate
    "add": {"cpprb": 15, "SB3": 4},
    "extend": {"SB3": 5},
    "sample": {"cpprb": 4, "SB3": 10},
    "cycle": {"cpprb": 3},
    "replay-q": {"readable loop": 20, "plain Python": 20},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.05, help="per measurement")
    parser.add_argument("--capacity", type=int, nargs="+", default=list(CAPACITIES))
    parser.add_argument("--json", action="store_true", help="print the medians as JSON")
    arguments = parser.parse_args()
    peers = _installed()
    rates = {}
    for capacity in arguments.capacity:
        sides = {}
        for maker in (_ours, *(MAKERS[peer] for peer in peers)):
            sides.update(maker(capacity))
        rates.update(_measured({(*key, capacity): side for key, side in sides.items()}, arguments))
    rates.update(_measured(_replay_q(), arguments))
    print(_json(rates) if arguments.json else _report(rates))


def _installed():
    """Returns the peers that can be imported; reports the others."""
    found = []
    for peer, module in PEERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # from third-party imports
                importlib.import_module(module)
        except ImportError as error:
            print(f"{peer} is left out: {error}", file=sys.stderr)
        else:
            found.append(peer)
    return found


def _measured(sides, arguments):
    """Returns transitions per second of each round, by side; `sides`: (what, n, who, ...) -> (call, transitions)."""
    counts = {}
    for key, (call, _) in sides.items():
        call()  # warm-up: compiles and caches
        started = time.perf_counter()
        call()
        counts[key] = max(1, int(arguments.seconds / (time.perf_counter() - started)))
    rates = {key: [] for key in sides}
    for _ in range(arguments.rounds):
        for key in sorted(sides, key=_order):  # measure compared sides next to each other
            call, n = sides[key]
            count, started = counts[key], time.perf_counter()
            for _ in range(count):
                call()
            rates[key].append(n * count / (time.perf_counter() - started))
    return rates


def _columns(n):
    """Returns the columns of n transitions, in the order of `extend`; no episode ends."""
    dice = np.random.default_rng(0)
    observations, nexts = dice.normal(size=(2, n, 4)).astype(np.float32)
    no = np.zeros(n, np.bool_)
    return observations, dice.integers(2, size=n), np.ones(n), nexts, no, no.copy()


# ------------------------------------------------------------------------------------------------- the sides


def _ours(capacity):
    uniform = ReplayBuffer(capacity, OBSERVATIONS, ACTIONS, seed=0)
    prioritized = PrioritizedReplayBuffer(capacity, OBSERVATIONS, ACTIONS, seed=0)
    for buffer in (uniform, prioritized):
        buffer.extend(_columns(capacity))
    one, many, errors = _columns(1), _columns(256), np.random.default_rng(1).random(256)
    observation, following = one[0][0], one[3][0]

    def cycle(n):
        prioritized.update_priorities(prioritized.sample(n).indices, errors[:n])

    cycles = {("cycle", n, "rlbench"): (lambda n=n: cycle(n), n) for n in BATCHES}
    samples = {("sample", n, "rlbench"): (lambda n=n: uniform.sample(n), n) for n in BATCHES}
    return {
        ("add", 1, "rlbench"): (lambda: uniform.add(observation, 1, 1.0, following, False, False), 1),
        ("extend", 256, "rlbench"): (lambda: uniform.extend(many), 256),
        **samples,
        **cycles,
    }


def _cpprb(capacity):
    import cpprb

    fields = {"obs": {"shape": 4}, "act": {"dtype": np.int64}, "rew": {}, "next_obs": {"shape": 4}, "done": {}}
    uniform, prioritized = cpprb.ReplayBuffer(capacity, fields), cpprb.PrioritizedReplayBuffer(capacity, fields)
    columns, one, many = (dict(zip(fields, _columns(n)[:5], strict=True)) for n in (capacity, 1, 256))
    for buffer in (uniform, prioritized):
        buffer.add(**columns)
    one, errors = {name: values[0] for name, values in one.items()}, np.random.default_rng(1).random(256)

    def cycle(n):
        prioritized.update_priorities(prioritized.sample(n)["indexes"], errors[:n])

    return {
        ("add", 1, "cpprb"): (lambda: uniform.add(**one), 1),
        ("extend", 256, "cpprb"): (lambda: uniform.add(**many), 256),
        **{("sample", n, "cpprb"): (lambda n=n: uniform.sample(n), n) for n in BATCHES},
        **{("cycle", n, "cpprb"): (lambda n=n: cycle(n), n) for n in BATCHES},
    }


def _sb3(capacity):
    from stable_baselines3.common.buffers import ReplayBuffer as Theirs

    uniform = Theirs(capacity, OBSERVATIONS, ACTIONS, device="cpu")
    several = Theirs(capacity, OBSERVATIONS, ACTIONS, device="cpu", n_envs=256)
    observations, actions, rewards, nexts, *_ = _columns(capacity)
    uniform.observations[:, 0], uniform.next_observations[:, 0] = observations, nexts
    uniform.actions[:, 0, 0], uniform.rewards[:, 0], uniform.pos, uniform.full = actions, rewards, 0, True
    one, many, infos = _columns(1), _columns(256), [{} for _ in range(256)]

    def add(buffer, columns, infos):
        o, a, r, following, terminated, _ = columns
        buffer.add(o, following, a, r, terminated, infos)

    return {
        ("add", 1, "SB3"): (lambda: add(uniform, one, infos[:1]), 1),
        ("extend", 256, "SB3"): (lambda: add(several, many, infos), 256),
        **{("sample", n, "SB3"): (lambda n=n: uniform.sample(n), n) for n in BATCHES},
    }


def _tianshou(capacity):
    from tianshou.data import Batch, PrioritizedReplayBuffer
    from tianshou.data import ReplayBuffer as Theirs

    names = ("obs", "act", "rew", "obs_next", "terminated", "truncated")
    uniform, prioritized = Theirs(capacity), PrioritizedReplayBuffer(capacity, alpha=0.6, beta=0.4)
    one = Batch(**{name: values[0] for name, values in zip(names, _columns(1), strict=True)})
    everything = {**dict(zip(names, _columns(capacity), strict=True)), "done": np.zeros(capacity, np.bool_)}
    errors = np.random.default_rng(1).random(256)
    for buffer in (uniform, prioritized):
        for _ in range(2):
            buffer.add(one)  # allocates its memory
        for name, values in everything.items():
            buffer._meta[name][:] = values
        buffer._size = capacity
    prioritized.weight[np.arange(capacity)] = 1.0

    def cycle(n):
        _, indices = prioritized.sample(n)
        prioritized.update_weight(indices, errors[:n])

    return {
        ("add", 1, "tianshou"): (lambda: uniform.add(one), 1),
        **{("sample", n, "tianshou"): (lambda n=n: uniform.sample(n), n) for n in BATCHES},
        **{("cycle", n, "tianshou"): (lambda n=n: cycle(n), n) for n in BATCHES},
    }


MAKERS = {"cpprb": _cpprb, "SB3": _sb3, "tianshou": _tianshou}


def _replay_q():
    """Returns the sides of replay-q; plain Python is the same algorithm without schedules."""
    return {
        ("replay-q", 32, "rlbench"): (lambda: _trained("compiled"), REPLAY_STEPS["compiled"]),
        ("replay-q", 32, "readable loop"): (lambda: _trained("python"), REPLAY_STEPS["python"]),
        ("replay-q", 32, "plain Python"): (_plain, PLAIN_STEPS),
    }


def _trained(engine):
    about = {"seed": 0, "record": "none", "agent_kwargs": REPLAY, "cache": False}
    rlbench.train("cartpole", "replay-q", engine=engine, total_timesteps=REPLAY_STEPS[engine], **about).store.close()


def _plain():
    env = gym.make("rlbench/DiscreteCartPole-v1")
    q, dice = np.zeros((env.observation_space.n, env.action_space.n)), np.random.default_rng(0)
    buffer = ReplayBuffer(REPLAY["buffer_size"], env.observation_space, env.action_space, seed=0)
    s, _ = env.reset(seed=0)
    for t in range(PLAIN_STEPS):
        a = int(dice.integers(2)) if dice.random() < 0.1 else int(q[s].argmax())
        s_next, r, terminated, truncated, _ = env.step(a)
        buffer.add(s, a, float(r), s_next, terminated, truncated)
        if t >= REPLAY["learning_starts"]:
            for row in zip(*(column.tolist() for column in buffer.sample(REPLAY["batch_size"])[:5]), strict=True):
                _learn(q, *row)
        s = env.reset()[0] if terminated or truncated else s_next


def _learn(q, s, a, r, s_next, terminated):
    target = r if terminated else r + REPLAY["gamma"] * q[s_next].max()
    q[s, a] += 0.1 * (target - q[s, a])


# ------------------------------------------------------------------------------------------------- the report


def _json(rates):
    return json.dumps({" ".join(map(str, key)): statistics.median(found) for key, found in rates.items()})


def _report(rates):
    lines = [
        "| what | n | capacity | who | M transitions/s | rlbench / it | bar |",
        "|---|---:|---:|---|---:|---:|---:|",
    ]
    for what, n, who, *capacity in sorted(rates, key=_order):
        theirs, ours = rates[what, n, who, *capacity], rates[what, n, "rlbench", *capacity]
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        bar = BARS[what].get(who)
        verdict = "" if bar is None else f"{bar} ({'met' if ratio >= bar else 'missed'})"
        size, rate = f"{capacity[0]:,}" if capacity else "-", statistics.median(theirs) / 1e6
        lines.append(f"| {what} | {n} | {size} | {who} | {rate:.3g} | {ratio:.1f} | {verdict} |")
    return "\n".join(lines)


def _order(key):
    what, n, who, *capacity = key
    return list(BARS).index(what), capacity, n, who != "rlbench", who


if __name__ == "__main__":
    main()
