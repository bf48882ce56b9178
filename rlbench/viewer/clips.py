"""Clips: what the viewer shows one after another, stored episodes or ones that an agent drives now."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rlbench.viewer.installed import installed_env
from rlbench.viewer.rides import PACE, drive, table_of
from rlbench.viewer.stages import captions, live_stage, stored_stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.envs.drawing import Caption
    from rlbench.store import Episode
    from rlbench.training import Run
    from rlbench.viewer.rides import Ride
    from rlbench.viewer.stages import Stage


@dataclass(frozen=True, eq=False)
class Clip:
    """An episode, ready to be shown."""

    title: str
    episode: Episode
    stage: Stage
    captions: Sequence[Caption]  # T + 1


class StoredClips:
    """The episodes of a run.

    Args:
        run: whose; where its env is not installed as it was, a warning says so and its episodes are shown as text.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.env = installed_env(run)
        self._episodes = run.store.episodes(run.id)

    def __len__(self) -> int:
        return len(self._episodes)

    def __getitem__(self, index: int) -> Clip:
        episode = self._episodes[index]
        title = f"run {self.run.id}, episode {index} of {len(self) - 1}"
        return Clip(title, episode, stored_stage(self.run, episode, self.env), captions(self.env, episode))

    @cached_property
    def action_values(self) -> NDArray[Any] | None:
        """The table that the run has learnt, (n_states, n_actions); None if there is none."""
        return table_of(self.run)


class LiveClips:
    """Episodes that an agent drives, one for each seed from `first` on.

    Args:
        ride: who drives where.
        first: the seed of clip 0.
        most: steps after which an episode without an end is left.
    """

    def __init__(self, ride: Ride, first: int = 0, most: int = 1000) -> None:
        self.ride, self._first, self._most = ride, first, most
        self.env = ride.make_env()

    def __len__(self) -> int:
        return 2**31  # there is always another seed

    def __getitem__(self, index: int) -> Clip:
        seed = self._first + index
        env = self.ride.make_env()
        episode = drive(env, self.ride.agent_for(env, seed), seed, self._most)
        stage = live_stage(self.ride.make_env, episode, seed)
        return Clip(f"{self.ride.title}, seed {seed}", episode, stage, captions(self.env, episode))

    @cached_property
    def action_values(self) -> NDArray[Any] | None:
        """The table that the agent acts on, (n_states, n_actions); None if there is none."""
        return self.ride.table()


Clips = StoredClips | LiveClips


def pace_of(env: gym.Env[Any, Any] | None) -> float:
    """Returns how many steps a second an env is meant to be seen at."""
    return float((env.metadata.get("render_fps") if env is not None else None) or PACE)
