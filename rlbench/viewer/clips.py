"""Clips: the episodes that the viewer shows, stored ones or live ones driven by an agent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rlbench.viewer.files import TILE, save
from rlbench.viewer.installed import installed_env
from rlbench.viewer.rides import MOST_STEPS, SEEDS, drive, table_of
from rlbench.viewer.stages import captions, frames, live_stage, stored_stage
from rlbench.viewer.values import veils_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.envs.drawing import Caption
    from rlbench.store import Episode
    from rlbench.training import Run
    from rlbench.viewer.rides import Ride
    from rlbench.viewer.stages import Stage
    from rlbench.viewer.values import Veils


@dataclass(frozen=True, eq=False)
class Clip:
    """An episode ready to show."""

    title: str
    episode: Episode
    stage: Stage
    captions: Sequence[Caption]  # T + 1


class _Valued:
    """Clips of an agent that has learnt values, or has not."""

    env: gym.Env[Any, Any] | None

    @cached_property
    def action_values(self) -> NDArray[Any] | None:
        """The table of the agent, (n_states, n_actions); None if it has none."""
        raise NotImplementedError

    @cached_property
    def veils(self) -> Veils | None:
        """The state values to lay over the pictures; None where `no_values` says why."""
        return veils_of(self.env, self.action_values)

    @property
    def no_values(self) -> str:
        """Why no state values can be shown; empty if they can."""
        if self.action_values is None:
            return "this run has learnt no values"
        return "" if self.veils is not None else "the picture is no map: `rlbench plot --kind values` draws one"


class StoredClips(_Valued):
    """The episodes of a run.

    Args:
        run: the run; if its env is not installed in the same version, it warns and shows episodes as text.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.env = installed_env(run)
        self._episodes = run.store.episodes(run)

    def __len__(self) -> int:
        return len(self._episodes)

    def __getitem__(self, index: int) -> Clip:
        episode = self._episodes[index]
        title = f"run {self.run.id}, episode {index} of {len(self) - 1}: {self.run.agent_name} on {self.run.env_id}"
        return Clip(title, episode, stored_stage(self.run, episode, self.env), captions(self.env, episode))

    @cached_property
    def action_values(self) -> NDArray[Any] | None:
        """The table learnt by the run, (n_states, n_actions); None if it has none."""
        return table_of(self.run)


class LiveClips(_Valued):
    """Episodes driven by an agent, one per seed from `first` on.

    Args:
        ride: the agent and its env.
        first: the seed of clip 0.
        most: the number of steps after which an episode without an end stops.
    """

    def __init__(self, ride: Ride, first: int = 0, most: int = MOST_STEPS) -> None:
        self.ride, self._first, self._most = ride, first, most
        self.env = ride.make_env()

    def __len__(self) -> int:
        return SEEDS

    def __getitem__(self, index: int) -> Clip:
        seed = self._first + index
        env = self.ride.make_env()
        episode = drive(env, self.ride.agent_for(env, seed), seed, self._most)
        stage = live_stage(self.ride.make_env, episode, seed)
        return Clip(f"{self.ride.title}, seed {seed}", episode, stage, captions(self.env, episode))

    @cached_property
    def action_values(self) -> NDArray[Any] | None:
        """The table the agent acts on, (n_states, n_actions); None if it has none."""
        return self.ride.table()


Clips = StoredClips | LiveClips


def save_clip(
    clip: Clip,
    path: str | Path,
    *,
    fps: float,
    size: int | None = None,
    frame: int | None = None,
    veils: Veils | None = None,
) -> Path:
    """Writes a clip as a film (.gif, .mp4), or as one frame or a contact sheet (.png).

    Args:
        clip: the clip.
        path: the file.
        fps: steps per second of a film.
        size: the longer side of a frame in pixels; None chooses one.
        frame: only this step (.png); None: all.
        veils: the state values to lay over the pictures; None for none.

    Raises:
        UsageError: an invalid path, a step out of range, or a single step for a film.
        StoreError: the file cannot be written.
    """
    clip.stage.veils = veils
    is_sheet = str(path).lower().endswith(".png") and frame is None
    pictures = frames(clip.stage, list(clip.captions), size or (TILE if is_sheet else None))
    return save(path, pictures, fps=fps, frame=frame)
