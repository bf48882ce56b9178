"""Rendering speed: SafeCab's frames, the viewer's window, a GIF, and opening a run of a million episodes.

python benchmarks/viewer.py [SECONDS]      # per measurement; needs no display
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ["SDL_VIDEODRIVER"] = "dummy"  # draws in memory, with the same software renderer

import gymnasium as gym
import numpy as np

import rlbench
from rlbench.envs._pygame import pygame
from rlbench.store import TERMINATED, EpisodeChunk
from rlbench.viewer.clips import StoredClips
from rlbench.viewer.files import save
from rlbench.viewer.rides import drive
from rlbench.viewer.stages import CityStage, captions, frames
from rlbench.viewer.window import Viewer

MILLION = 1_000_000
BATCH = 20_000  # episodes per chunk
BARS = {
    "SafeCab 5x5 rgb_array, frames/s": 2000,
    "viewer, SafeCab 5x5, frames/s": 60,
    "viewer, its state values shown, frames/s": 60,
    "viewer, SafeCab 50x50, frames/s": 60,
    "viewer, 50x50, its state values shown, frames/s": 60,
    "viewer, CartPole with graphs, frames/s": 60,
    "viewer, slowest of 99 in 100 frames, ms": 1000 / 60,
    "GIF of a 100-step episode, s": 1.0,
    "GIF of a 100-step episode, kB": 500,
    "opening the last of 1,000,000 episodes, s": 1.0,
}
AT_MOST = (", s", ", kB", ", ms")


def rate(work, seconds):
    """Returns how often per second `work` can be done."""
    work()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        work()
        count += 1
    return count / (time.perf_counter() - started)


def rendering(seconds):
    env = gym.make("rlbench/SafeCab-v0", render_mode="rgb_array", disable_env_checker=True).unwrapped
    env.reset(seed=0)
    rng = np.random.default_rng(0)

    def work():
        if env.step(int(rng.integers(4)))[2]:
            env.reset()
        env.render()

    return rate(work, seconds)


def viewing(run, seconds, *commands):
    """Returns the viewer's frames per second while it plays, and its 99th percentile frame time in milliseconds."""
    viewer = Viewer(StoredClips(run), int(run.lengths.argmax()))
    for command in commands:
        viewer.playback.do(command)
    for _ in range(100):  # one pulse of the anomalies, so that all its pictures are cached
        viewer.turn(1 / 60)
    taken = []
    while sum(taken) < seconds:
        started = time.perf_counter()
        if not viewer.playback.is_playing:
            viewer.playback.do("toggle")
        viewer.turn(1 / 60)
        taken.append(time.perf_counter() - started)
    viewer.close()
    return len(taken) / sum(taken), float(np.quantile(taken, 0.99)) * 1000


class Around:
    """Drives in circles."""

    def act(self, observation, *, explore):
        """Returns a move."""
        del explore
        return (3, 1, 0, 2)[observation // 7 % 4]


def gif(folder):
    """Returns the seconds and kilobytes of a GIF of a hundred steps."""
    env = gym.make("rlbench/SafeCab-v0", city="taxi")
    episode = drive(env, Around(), 0, 100)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        stage = CityStage(env.unwrapped, episode)
        path = save(folder / "trip.gif", frames(stage, captions(env, episode)), fps=4)
        times.append(time.perf_counter() - started)
    return median(times), path.stat().st_size / 1000 * 100 / len(episode)


def million(folder):
    """Stores a million short episodes; returns the seconds from opening the store to the last one's first frame."""
    cab = rlbench.train("safecab", episodes=2 * BATCH, seed=0, store=folder / "million.db")
    pattern = [cab.store.episodes(cab.id)[-1]] * BATCH
    made = cab.store.create_run(cab.env_id, cab.agent_name, seed=0, config=cab.record.config)
    for batch in range(MILLION // BATCH):
        cab.store.append(made.id, chunk_of(pattern, batch * BATCH))
    cab.store.append(made.id, checkpoint=cab.store.checkpoint(cab.id), status="finished")
    cab.store.close()
    started = time.perf_counter()
    with rlbench.open_store(folder / "million.db") as store:
        run = rlbench.load_run(store, made.id)
        viewer = Viewer(StoredClips(run), run.episodes - 1)
        viewer.turn(0.0)
        seconds = time.perf_counter() - started
        viewer.close()
    return seconds


def chunk_of(episodes, first):
    lengths = np.array([len(episode) for episode in episodes])
    columns = {
        name: [getattr(episode, name) for episode in episodes] for name in ("observations", "actions", "rewards")
    }
    return EpisodeChunk(
        first_episode=first,
        first_step=0,
        lengths=lengths,
        ends=np.full(len(episodes), TERMINATED, np.uint8),
        figures={"return": np.array([episode.total_return for episode in episodes]), "length": lengths},
        steps={name: np.concatenate(parts) for name, parts in columns.items()},
    )


def measured(seconds, folder):
    """Measures every figure of BARS."""
    cab = rlbench.train("safecab", seed=0, store=None)
    large = rlbench.train("safecab", episodes=2000, seed=0, store=None, env_kwargs={"city": "50x50"})
    cart = rlbench.train("cartpole", episodes=2000, seed=0, store=None)
    views = [viewing(cab, seconds), viewing(cab, seconds, "values")]
    views += [viewing(large, seconds), viewing(large, seconds, "values"), viewing(cart, seconds)]
    rates = [rate for rate, _ in views]
    return [rendering(seconds), *rates, max(slow for _, slow in views), *gif(folder), million(folder)]


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(seconds, Path(folder))
    for (name, bar), found in zip(BARS.items(), figures, strict=True):
        is_less = name.endswith(AT_MOST)
        met = found <= bar if is_less else found >= bar
        ratio = bar / found if is_less else found / bar
        limit, verdict = f"{'<=' if is_less else '>='} {bar:8,.1f}", "met" if met else "MISSED"
        print(f"{name:50} {found:10,.2f}   bar {limit}   {ratio:6.1f}x  {verdict}")
    pygame.quit()


if __name__ == "__main__":
    main()
