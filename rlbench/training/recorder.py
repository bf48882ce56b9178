"""What training writes down: figures an episode and, if wanted, every step; handed on by the chunk."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.making import env_rng
from rlbench.store import OPEN, EpisodeChunk
from rlbench.store.records import CHUNK_STEPS, RESERVE, end_code, is_terminated
from rlbench.store.walks import Walk
from rlbench.training.tapes import Limits, Packed, Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.store.schedules import Schedule
    from rlbench.store.walks import Table
    from rlbench.training.tapes import Counts

COUNTED = 256  # actions: with more, an episode does not keep how often it took each
COUNT_BYTES = 2**24  # on a tape, for these counts
MOST_STEPS = 100_000  # of an episode, where the env has no limit: a task may never end
UNRECORDED_STEPS = 2**20  # steps between looks at the clock when only figures are kept
UNRECORDED_EPISODES = 2**16  # figures held in memory, about 50 bytes each, before they are written beside the loop


class Recorder:
    """A tape on which both loops write; full chunks go to a sink.

    Args:
        n_actions: how many there are to count.
        recording: keep every step, not figures alone.
        episode_steps: the env's step limit; 0 for none, and an episode is cut off after MOST_STEPS.
        sink: takes each chunk, and is through with it when it takes the next but one.
        steps: how many a chunk may hold, else what suits the recording.
        episodes: how many there will be at most, if that is known: a tape without steps needs no more room.
        first_episode: how many the run has already.
        exploration: the schedule that its exploration rates follow, if any.
        table: what every step follows from, if that is certain: it is for the compiled loop alone.
        judged: the names of the figures that the agent gives of its values after each episode.
        judge: gives them, as many as there are names, the first of them for the state in which the episode began.
    """

    def __init__(
        self,
        n_actions: int,
        *,
        recording: bool,
        episode_steps: int,
        sink: Callable[[EpisodeChunk], None],
        steps: int | None = None,
        episodes: int = UNRECORDED_EPISODES,
        first_episode: int = 0,
        exploration: Schedule | None = None,
        table: Table | None = None,
        judged: Sequence[str] = (),
        judge: Callable[[int], tuple[float, float]] | None = None,
    ) -> None:
        steps = steps or (CHUNK_STEPS if recording else UNRECORDED_STEPS)
        reserve = min(episode_steps or RESERVE, RESERVE, steps)
        self.limits = Limits(episode_steps or MOST_STEPS, bool(episode_steps), steps, reserve, 2**62, 2**62)
        kept = partial(_new_tape, recording=recording, steps=steps, episodes=episodes, table=table)
        self._new_tape = partial(kept, n_actions, judging=bool(judged))
        self._table, self._judged, self._judge = table, judged, judge
        self._spare: Tape | None = None  # the previous tape, whose chunk the sink may still be reading
        self._spare_rows = 0  # of its figures
        self.sink, self._exploration = sink, exploration
        self.steps = 0  # on the tape
        self.segments = 0  # episodes ended on the tape
        self.length = -1  # of the unfinished episode
        self._first = (first_episode, 0)  # episode and step at which this chunk begins
        self._episode = first_episode
        self._begun: int | None = None  # the step on the tape at which the readable loop began the episode
        self._resetting = False
        self._env_rng: dict[str, Any] | None = None

    @cached_property
    def tape(self) -> Tape:
        """The tape that is written; made when it is needed, for after the last chunk it is not."""
        return self._new_tape()

    @property
    def is_between_episodes(self) -> bool:
        """Whether the last episode has ended and the env has drawn nothing since."""
        return self.length < 0 and not self._resetting

    @property
    def packs(self) -> bool:
        """Whether it writes steps as they are stored: of a table, in chunks of whole episodes."""
        return self._table is not None and self.limits.episode_steps <= self.limits.reserve

    @property
    def episodes(self) -> int:
        """How many episodes of the run have ended."""
        return self._episode + self.segments

    @property
    def place(self) -> str:
        """Where the readable loop is, episodes counted from 0 and steps from 1; step 0 is the reset."""
        return f"episode {self.episodes}, step {self.length + 1}"

    def note_reset(self, env: gym.Env[Any, Any], seed: int | None = None) -> None:
        """Notes where the env's generator stands before the first reset of a chunk, and the seed it is given."""
        self._resetting = True
        if self.length < 0 and not self.steps:
            self._env_rng = {**(env_rng(env) or {}), **({} if seed is None else {"seed": seed})}

    @property
    def cuts_off(self) -> bool:
        """Whether the episode is as long as one may be in an env without a step limit."""
        return self.length >= self.limits.episode_steps and not self.limits.truncates

    @property
    def is_full(self) -> bool:
        """Whether the chunk must be flushed before the next step or episode."""
        if self.segments == len(self.tape.ends):
            return True
        needed = self.limits.reserve if self.length < 0 else 1
        return self.tape.recording and self.steps + needed > self.limits.chunk_steps

    # ------------------------------------------------------------------ written by the readable loop

    def begin_episode(self, observation: int, epsilon: float) -> None:
        """Writes the first observation of an episode."""
        self._resetting = False
        self.length, self._return, self._explored, self._epsilon = 0, 0.0, 0, epsilon
        self._begun, self._began_in = self.steps, observation
        self._observe(observation)

    def step(self, action: int, reward: float, next_observation: int, *, explored: bool) -> None:
        """Writes one step."""
        n, tape = self.steps, self.tape
        self.length += 1
        self._return += reward
        self._explored += explored
        tape.action_counts[self.segments, action] += 1
        self.steps = n + 1
        if tape.recording:
            tape.actions[n], tape.rewards[n], tape.explored[n] = action, reward, explored
            self._observe(next_observation)

    def end_episode(self, *, terminated: bool, truncated: bool) -> None:
        """Writes the figures of an episode; one that neither terminated nor was truncated is cut off."""
        i, tape = self.segments, self.tape
        if tape.recording:
            tape.lengths[i] = self.steps - (self._begun or 0)
        tape.ends[i] = end_code(terminated, truncated)
        tape.returns[i], tape.episode_lengths[i] = self._return, self.length
        tape.epsilons[i], tape.explored_counts[i] = self._epsilon, self._explored
        if self._judged and self._judge is not None:
            tape.judgements[i] = self._judge(self._began_in)
        self.segments += 1
        self.length = -1

    def split_episode(self, observation: int) -> None:
        """Hands on a full chunk in the middle of an episode, which goes on in the next."""
        self.flush()
        self._begun = 0
        self._observe(observation)

    def _observe(self, observation: int) -> None:
        if self.tape.recording:
            self.tape.observations[self.steps + self.segments] = observation  # T + 1 an episode: one more each

    # -------------------------------------------------------------------------------------- both loops

    def blank(self) -> tuple[Tape, Limits]:
        """Returns the rest of the tape, and the limits within it: the compiled loop writes steps from row 0 on."""
        tape, steps = self.tape, self.steps
        if not (tape.recording and steps):
            return tape, self.limits
        limits = self.limits._replace(chunk_steps=self.limits.chunk_steps - steps)
        return tape.after(steps, self.segments), limits

    def take(self, counts: Counts, steps: int, segments: int) -> None:
        """Takes over what the compiled loop wrote."""
        self._resetting = False
        self.steps, self.length = self.steps + steps, counts.episode_length
        self.segments = segments - (self.length >= 0)

    def flush(self, sink: Callable[[EpisodeChunk], object] | None = None) -> None:
        """Hands the chunk on, if there is anything in it, and begins the next; `sink` takes it in place of the own."""
        unfinished = self.length >= 0 and self.tape.recording  # its figures are not known yet, its steps are
        if not self.segments and not (unfinished and self.steps):
            return
        if unfinished and self._begun is not None:
            self.tape.lengths[self.segments] = self.steps - self._begun
            self.tape.ends[self.segments] = OPEN
        (sink or self.sink)(self._chunk(self.segments + unfinished))
        self._episode += self.segments
        self._first = (self._episode, max(self.length, 0))
        carried = self.tape.action_counts[self.segments] if unfinished else 0
        # two tapes in turn: one is written while the sink reads the other
        blank, self._spare = self._spare, self.tape
        if blank is None:
            del self.tape
        else:
            blank.action_counts[: self._spare_rows] = 0
            blank.packed.usual[:] = blank.packed.changed[:] = 0
            self.tape = blank
        if unfinished:
            self.tape.action_counts[0] = carried
        self._spare_rows = self.segments + 1
        self.steps = self.segments = 0

    def _chunk(self, segments: int) -> EpisodeChunk:
        tape, ended = self.tape, self.segments
        figures: dict[str, NDArray[Any]] = {
            "return": tape.returns[:ended],
            "length": tape.episode_lengths[:ended],
            "exploration_rate": tape.epsilons[:ended],
            "explored": tape.explored_counts[:ended],
        }
        if tape.action_counts.shape[1] <= COUNTED:
            figures["action_counts"] = tape.action_counts[:ended]
        figures |= {name: tape.judgements[:ended, i] for i, name in enumerate(self._judged)}
        return EpisodeChunk(
            first_episode=self._first[0],
            first_step=self._first[1],
            lengths=self._lengths(segments),
            ends=tape.ends[:segments],
            figures=figures,
            steps=self._steps(segments),
            env_rng=None if self._first[1] else self._env_rng,
            exploration=self._exploration,
            # machine code did; what a foreign agent says that it explored may not be a bool
            adds_up=tape.recording and self._begun is None,
        )

    def _lengths(self, segments: int) -> NDArray[np.int64]:
        tape = self.tape
        return tape.lengths[:segments] if tape.recording else tape.episode_lengths[:segments].astype(np.int64)

    def _steps(self, segments: int) -> Mapping[str, NDArray[Any]] | None:
        if not self.tape.recording:
            return None
        columns = self.tape.steps(self.steps, segments)
        if self._table is None:
            return columns
        return Walk(self._table, self._lengths(segments), is_terminated(self.tape.ends[:segments]), columns)


def _new_tape(
    n_actions: int, *, recording: bool, steps: int, episodes: int, table: Table | None, judging: bool
) -> Tape:
    kept = steps if recording else 0
    plain, packed = (kept, 0) if table is None else (0, kept)
    episodes = steps // 2 + 1 if recording else min(steps, UNRECORDED_EPISODES, episodes)
    episodes = min(episodes, max(1, COUNT_BYTES // (4 * n_actions)))
    digit = np.min_scalar_type(n_actions - 1)
    # the loops add to what begins as zeros; all else they write first
    return Tape(
        recording=recording,
        walking=table is not None,
        lengths=np.empty(episodes if recording else 0, np.int64),
        ends=np.empty(episodes, np.uint8),
        returns=np.empty(episodes, np.float64),
        episode_lengths=np.empty(episodes, np.int32),
        epsilons=np.empty(episodes, np.float64),
        explored_counts=np.empty(episodes, np.int32),
        action_counts=np.zeros((episodes, n_actions), np.int32),
        judging=judging,
        judgements=np.empty((episodes if judging else 0, 2), np.float64),
        explored=np.empty(kept, np.bool_),
        observations=np.empty(plain + episodes, np.int32),
        actions=np.empty(plain, np.int16 if n_actions <= np.iinfo(np.int16).max else np.int32),
        rewards=np.empty(plain, np.float64),
        packed=Packed(
            usual=np.zeros(0 if table is None else table.n_states, digit),
            repeats=np.empty(packed, np.bool_),
            changes=np.empty(packed, digit),
            tries=np.empty(packed, digit),
            changed=np.zeros(1, np.int64),
        ),
    )
