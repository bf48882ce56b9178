"""The base classes of all agents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from gymnasium import spaces

from rlbench.agents import saving
from rlbench.agents.behaving import behaving_policy
from rlbench.agents.compiled import learners, rules
from rlbench.agents.functions import ByFunction
from rlbench.agents.parameters import LearningParameters, Parameters
from rlbench.agents.q_table import QTable
from rlbench.checks import finite, flag, place
from rlbench.envs.allowing import allowed_actions, check_allowed, masked_actions
from rlbench.envs.flattening import TABLE, count, is_finite
from rlbench.errors import UsageError
from rlbench.forms import MOST, Form, GeneratorState, List, Numbers, Optional, Whole, checked
from rlbench.random_state import generator_state, new_generator, set_generator_state

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import gymnasium as gym
    from numpy.typing import NDArray


# the methods that a compiled counterpart replaces
COMPILED = frozenset({"act", "_act", "update", "_learn", "end_episode", "drop_episode", "exploration_rate"})


class Agent(ABC):
    """Chooses actions and learns from steps; a subclass implements `act` and `update`.

    Args:
        observation_space: Discrete, or the number of states.
        action_space: Discrete, or the number of actions.
        seed: seeds the agent's own generator.
        parameters: hyper-parameters, as the class's `Parameters` declares them.

    Raises:
        UsageError: a space that is not Discrete, an unknown parameter, or a value out of range.
    """

    name: ClassVar[str]
    source: ClassVar[str] = ""
    off_policy: ClassVar[bool] = False  # whether it can learn from another policy's actions
    origins: tuple[str, ...] = ()  # ids of the runs that it has learnt in, as far as they are known
    allowed: NDArray[np.bool_] | None = None  # (n_states, n_actions), the actions to choose from; None: all
    Parameters: ClassVar[type[Parameters]] = Parameters

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Drops the inherited compiled counterpart if the subclass overrides a method that it replaces."""
        super().__init_subclass__(**keywords)
        if "learner" not in vars(cls) and not vars(cls).keys().isdisjoint(COMPILED):
            cls.learner = Agent.learner  # type: ignore[method-assign]  # the compiled loop would keep using the old rule

    def __init__(
        self,
        observation_space: spaces.Space[Any] | int,
        action_space: spaces.Space[Any] | int,
        *,
        seed: int | np.random.SeedSequence | None = None,
        **parameters: Any,
    ) -> None:
        self.n_states = count_of(observation_space, "observations", self.name)
        self.n_actions = count_of(action_space, "actions", self.name)
        self.parameters = self.Parameters.of(parameters, self.name)
        self.rng = new_generator(seed)
        self.episodes = 0
        self.timesteps = 0
        self.explored = False  # whether the last action was exploratory
        self.build()

    def build(self) -> None:  # noqa: B027  (the random agent has no state)
        """Creates the subclass's own state; called at the end of `__init__`."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Copies arrays that joblib maps read-only from a file into memory."""
        vars(self).update({name: _in_memory(value) for name, value in state.items()})

    def allow(self, allowed: NDArray[np.bool_]) -> None:
        """Restricts the actions that it chooses from, exploring or not, and learns the values of: before it learns.

        `make_agent` and `train` pass on what an env allows; an agent of your own reads `self.allowed`.

        Args:
            allowed: bool (n_states, n_actions), the actions of each state, one at least.

        Raises:
            UsageError: it has another form, or allows no action in a state.
        """
        check_allowed(allowed, self.n_states, self.n_actions)
        self.allowed = allowed

    @abstractmethod
    def act(self, observation: int, *, explore: bool = True) -> int:
        """Returns the action to take; with `explore=False` the greedy one, without drawing a random number."""

    @abstractmethod
    def update(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Learns from one step; only `terminated` stops bootstrapping."""

    def behind_a_gate(self) -> tuple[Callable[..., int], Callable[..., None]]:
        """Returns `act` and `update` for a loop that checks what it passes to them."""
        return self.act, self.update

    def end_episode(self) -> None:
        """Called after the last update of an episode, terminated or truncated."""
        self.episodes += 1

    def drop_episode(self) -> None:  # noqa: B027  (most agents store nothing about an episode)
        """Forgets an interrupted episode; called before training begins."""

    @property
    def exploration_rate(self) -> float:
        """The probability that the next action is drawn at random."""
        return 0.0

    @property
    def exploration_told(self) -> float:
        """The same, to be told and not to choose by."""
        return self.exploration_rate

    def predict(self, observation: Any, *, deterministic: bool = True) -> tuple[Any, None]:
        """Returns (action, None), or (actions, None) for an array of observations, as Stable-Baselines3 does.

        Raises:
            UsageError: an observation is not a whole number from 0 to n_states - 1.
        """
        if np.ndim(observation) == 0:
            return self.act(self._state(observation), explore=not deterministic), None
        flat = [self.act(self._state(o), explore=not deterministic) for o in np.ravel(observation)]
        return np.array(flat, dtype=np.int64).reshape(np.shape(observation)), None

    def _state(self, observation: Any) -> int:
        return place("the observation", observation, self.n_states)

    def greedy_policy(self) -> NDArray[np.int64] | None:
        """Returns the greedy action of every state, shape (n_states,); None if it has no greedy policy."""
        return np.array([self.act(s, explore=False) for s in range(self.n_states)], dtype=np.int64)

    def behaving_policy(self) -> NDArray[np.float64] | None:
        """Returns the probability (n_states, n_actions) of each action if it explores as now.

        None if it is unknown: an agent that chooses in a way of its own overrides this.
        """
        return None

    @property
    def judged(self) -> tuple[str, ...]:
        """The names of the figures that `judge` gives of each episode."""
        return ()

    def judge(self, first: int) -> tuple[float, float]:
        """Returns what it thinks after an episode of the state in which that began, and the error of its values."""
        raise NotImplementedError(f"{self.name} judges no episode that began in {first}")

    def learner(self) -> Any:
        """Returns the compiled counterpart, a NamedTuple that shares this agent's arrays; None if there is none."""
        return None

    def take_back(self, learner: Any) -> None:  # noqa: B027  (most learners share everything they change)
        """Copies back what the compiled loop changed in `learner` outside the shared arrays."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        state = {"episodes": self.episodes, "timesteps": self.timesteps, "rng": generator_state(self.rng)}
        return state if self.allowed is None else {**state, "allowed": self.allowed.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a state returned by `state_dict`.

        Raises:
            UsageError: an entry is missing or does not have the form that `state_form` describes; nothing has changed.
        """
        self.restore(self.checked_state(state))

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`: compiled code trusts what has this form."""
        marks = Optional(Numbers(np.bool_, (self.n_states, self.n_actions)))
        return {"episodes": Whole(), "timesteps": Whole(), "rng": GeneratorState(self.rng), "allowed": marks}

    def checked_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Returns the entries of a state that has the form of `state_form`; raises UsageError for any other."""
        found = checked(state, self.state_form())
        if "allowed" in found:
            check_allowed(found["allowed"], self.n_states, self.n_actions)
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        if "allowed" in state:
            self.allow(state["allowed"])
        self.episodes, self.timesteps = state["episodes"], state["timesteps"]
        set_generator_state(self.rng, state["rng"])

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Writes the complete agent to a file, generator included: once loaded, it continues exactly as this one would.

        The file holds compressed arrays and JSON with checksums, no pickle; only its owner may read it. Of a rate by
        function it holds the name alone.

        Args:
            path: the file; it appears once it is complete.
            overwrite: replace a file that exists.

        Raises:
            UsageError: the file exists, its folder is missing, or the agent's state is not arrays and plain numbers.
            StoreError: it cannot be written.
        """
        saving.save(self, path, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Returns the agent that `save` wrote; `Agent.load` finds its class by the name it is registered under.

        Raises:
            UsageError: it is not a file, or it holds something else, an agent of another class, or one of a class
                that is not registered.
            StoreError: it is damaged.
        """
        return saving.load(cls, path, AGENTS)  # type: ignore[no-any-return]

    def config(self) -> dict[str, Any]:
        """Returns the hyper-parameters as a JSON-able dict: what a run is known by."""
        return self.parameters.named()


def _in_memory(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(map(_in_memory, value))
    return np.array(value) if isinstance(value, np.memmap) else value


AGENTS: dict[str, type[Agent]] = {}  # the registered classes, by name


class TableAgent(Agent):
    """An agent with a table of action values, from which it chooses by `parameters.exploration`."""

    Parameters: ClassVar[type[Parameters]] = LearningParameters
    parameters: LearningParameters

    def build(self) -> None:
        """Makes the table, the schedules and the policy."""
        self.exploration = self.parameters.exploration_rates()
        self.policy = self.parameters.compiled_policy(self.n_states, self.n_actions)
        self.learning_rates = self.parameters.learning_rates()
        if self.parameters.learning_rate_schedule == "visits":
            self.learning_rates = rules.new_visits(self.n_rows, self.n_columns, self.parameters.learning_rate_power)
        self.table = rules.new_table(self.n_states, self.n_columns, self.parameters.initial_value)

    @property
    def n_rows(self) -> int:
        """How many states it learns the values of: for each of its tables, if there are several."""
        return self.n_states

    @property
    def n_columns(self) -> int:
        """How many values the table holds for each state."""
        return self.n_actions

    def column(self, action: int) -> int:
        """Returns the column of the table that holds the value of an action."""
        return action

    @property
    def q_table(self) -> NDArray[np.float64]:
        """The action values, float64 (n_states, n_actions): a view to read and to assign to."""
        view = self.table.values[:, rules.FIRST : rules.FIRST + self.n_actions].view(QTable)
        view.setflags(write=False)
        view.owner = self
        return view  # type: ignore[no-any-return]  # NumPy: a view is of any class

    @q_table.setter
    def q_table(self, values: NDArray[np.float64]) -> None:
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (self.n_states, self.n_actions):
            raise UsageError(f"q_table must have the shape {(self.n_states, self.n_actions)}, got {values.shape}")
        self.set_q_table(values if self._barred is None else np.where(self._barred, -np.inf, values))

    @property
    def _barred(self) -> NDArray[np.bool_] | None:
        """The pairs whose value is -inf, (n_states, n_actions); None if there are none."""
        return None if self.allowed is None else ~self.allowed

    def allow(self, allowed: NDArray[np.bool_]) -> None:
        """Restricts the actions to choose from; see `Agent.allow`. The values of the others become -inf."""
        super().allow(allowed)
        self.policy = rules.masked(self.policy, allowed)
        self.write_q((), self.q_table)

    def set_q_table(self, values: NDArray[np.float64]) -> None:
        """Overwrites all action values, shape (n_states, n_actions)."""
        rules.set_table(self.table, values)

    def write_q(self, key: Any, values: Any) -> None:
        """Assigns to action values as `q_table[key] = values` does."""
        rules.write(self.table, self.n_actions, key, values, self._barred)

    def move(self, observation: int, action: int, target: float, rate: float | None = None) -> float:
        """Moves q[observation, action] towards a target (equation 2.4): the building block for an agent of your own.

        Args:
            observation: which row.
            action: which column.
            target: the value to aim at, such as reward + gamma * (value of the next state).
            rate: the share of the distance to cover, 1 for all of it; the current `learning_rate` by default.

        Returns:
            The error: target - q[observation, action] before the move.

        Raises:
            UsageError: the observation or the action is out of range, the action is not allowed, or a number is not
                finite.
        """
        rate = self.learning_rate if rate is None else finite("the rate", rate)
        observation, action = self._pair(observation, action)
        return rules.td_update(self.table, observation, self.column(action), finite("the target", target), rate)  # type: ignore[no-any-return]  # compiled

    @property
    def exploration_rate(self) -> float:
        """The probability that the next action is drawn at random."""
        return self._value_now(self.exploration)

    @property
    def learning_rate(self) -> Any:
        """The step size of the next update: a number; or by visits, `Visits`, of which each pair has its own."""
        rates = self.learning_rates
        return rates if isinstance(rates, rules.Visits) else self._value_now(rates)

    @property
    def exploration_told(self) -> float:
        """The same, to be told and not to choose by: plain Python computes it, so that no compiled code is loaded."""
        if type(self).exploration_rate is not TableAgent.exploration_rate:
            return self.exploration_rate
        return self._value_now(self.exploration, told=True)

    def _value_now(self, schedule: Any, *, told: bool = False) -> float:
        if schedule.__class__ is ByFunction:
            return float(schedule.rate(self.episodes, self.timesteps))
        value = rules.schedule_value.py_func if told else rules.schedule_value
        return float(value(schedule, self.timesteps if schedule.per_step else self.episodes))

    def behind_a_gate(self) -> tuple[Callable[..., int], Callable[..., None]]:
        """Returns `act` and `update` without their checks, unless a subclass or an instance has its own."""
        act = self._act if getattr(self.act, "__func__", None) is TableAgent.act else self.act
        trusted = self.allowed is None or act == self._act  # another might choose what is not allowed
        learns = getattr(self.update, "__func__", None) is TableAgent.update
        return act, self._learn if trusted and learns else self.update

    def act(self, observation: int, *, explore: bool = True) -> int:
        """Returns an action of the exploring policy, or the greedy one.

        Raises:
            UsageError: the observation is not a whole number from 0 to n_states - 1.
        """
        if observation.__class__ is not int or not 0 <= observation < self.n_states:  # compiled code does not look
            observation = self._state(observation)
        return self._act(observation, explore=explore)

    def update(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Learns from one step; only `terminated` stops bootstrapping.

        Raises:
            UsageError: an observation or the action is out of range, the action is not allowed, or the reward is not
                finite; nothing is learnt.
        """
        if not (
            self.allowed is None
            and observation.__class__ is action.__class__ is next_observation.__class__ is int
            and 0 <= observation < self.n_states
            and 0 <= action < self.n_actions
            and 0 <= next_observation < self.n_states
            and reward.__class__ is float
            and reward - reward == 0.0  # neither infinite nor NaN; faster than two comparisons
            and terminated.__class__ is bool
        ):
            observation, action = self._pair(observation, action)
            reward, next_observation = finite("the reward", reward), self._state(next_observation)
            terminated = flag("terminated", terminated)
        self._learn(observation, action, reward, next_observation, terminated)

    def _pair(self, observation: Any, action: Any) -> tuple[int, int]:
        observation, action = self._state(observation), place("the action", action, self.n_actions)
        if self.allowed is not None and not self.allowed[observation, action]:
            able = np.flatnonzero(self.allowed[observation]).tolist()
            raise UsageError(f"state {observation} does not allow action {action}: choose one of {able}")
        return observation, action

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Learns from one step, whose values have been checked; not needed where `update` is overridden."""
        raise NotImplementedError(f"{type(self).__name__} must implement update")

    def _act(self, observation: int, *, explore: bool) -> int:
        """Chooses an action for a checked observation."""
        if not explore:
            return int(rules.greedy_action(self.table, observation))
        action, self.explored = self._choose(observation)
        return action

    def _choose(self, observation: int) -> tuple[int, bool]:
        """Returns (action, explored) from one draw."""
        u, epsilon = self.rng.random(), self.exploration_rate
        action, explored = rules.pick_action(self.policy, self.table, observation, epsilon, u)
        return int(action), bool(explored)

    def core(self) -> Any:
        """Returns the first field of every compiled learner with a table; UsageError if a rate is a function."""
        for name in self.parameters.by_function():
            raise UsageError(f"{name} is a function, which has no compiled counterpart")
        return learners.Core(self.learning_rates, self.exploration, self.policy, self.table, self.parameters.gamma)

    def greedy_policy(self) -> NDArray[np.int64] | None:
        """Returns the greedy action of every state, shape (n_states,)."""
        best: NDArray[np.int64] = self.table.words[:, rules.ACTION].copy()
        return best

    def behaving_policy(self) -> NDArray[np.float64] | None:
        """Returns the probability (n_states, n_actions) of each action if it explores as now.

        None if it is unknown: upper confidence bounds change with each choice, a subclass may choose in another way.
        """
        cls = type(self)
        if cls.act is not TableAgent.act or cls._choose is not TableAgent._choose:
            return None
        values = np.asarray(self.q_table)
        return behaving_policy(self.policy, values, self.exploration_told, ties=self.parameters.ties)

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        name, shape = self.kept_as
        state = {**super().state_dict(), name: self._values().reshape(shape)}
        if isinstance(self.policy, rules.Ucb | rules.MaskedUcb):
            state["times_chosen"] = self.policy.counts.copy()
        if isinstance(self.learning_rates, rules.Visits):
            state["times_learnt"] = self.learning_rates.counts.copy()
        return state

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        name, shape = self.kept_as
        form = {**super().state_form(), name: Numbers(np.float64, shape)}
        if isinstance(self.policy, rules.Ucb | rules.MaskedUcb):
            form["times_chosen"] = self.per_pair(np.int64, 0, MOST)
        if isinstance(self.learning_rates, rules.Visits):
            form["times_learnt"] = Numbers(np.int64, (self.n_rows, self.n_columns), 0, MOST)
        return form

    @property
    def kept_as(self) -> tuple[str, tuple[int, ...]]:
        """The name and the shape of the table in `state_dict`."""
        return "q_table", (self.n_states, self.n_actions)

    def _values(self) -> NDArray[np.float64]:
        """Returns a copy of the table, (n_states, n_columns)."""
        values: NDArray[np.float64] = self.table.values[:, rules.FIRST : rules.FIRST + self.n_columns].copy()
        return values

    def per_pair(self, dtype: type, *limits: float) -> Numbers:
        """Describes an array with a number per state and action, all within the limits."""
        return Numbers(dtype, (self.n_states, self.n_actions), *limits)

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        name, _ = self.kept_as
        self.set_q_table(state[name].reshape(self.n_states, self.n_columns))
        if isinstance(self.policy, rules.Ucb | rules.MaskedUcb):
            self.policy.counts[:] = state["times_chosen"]
        if isinstance(self.learning_rates, rules.Visits):
            self.learning_rates.counts[:] = state["times_learnt"]


class LookingAhead(TableAgent):
    """An agent whose update needs the next action: `update` chooses it, and `act` then returns it."""

    def build(self) -> None:
        """Makes room for the action chosen in advance."""
        super().build()
        self.ahead = np.array([-1, 0, 0], np.int64)  # state, action, explored; state -1: none chosen yet

    def _act(self, observation: int, *, explore: bool) -> int:
        """Returns the action already chosen for this observation, else an exploring one, or the greedy one."""
        if not explore or self.ahead[0] != observation:
            return super()._act(observation, explore=explore)
        self.explored = bool(self.ahead[2])
        return int(self.ahead[1])

    def _look_ahead(self, next_observation: int, terminated: bool) -> int:  # noqa: FBT001
        """Chooses and returns the next action; 0 after termination."""
        if terminated:
            self.ahead[0] = -1
            return 0
        action, explored = self._choose(next_observation)
        self.ahead[:] = next_observation, action, explored
        return action

    def end_episode(self) -> None:
        """Called after the last update of an episode: discards the action chosen next, which is never taken."""
        self.drop_episode()
        super().end_episode()

    def drop_episode(self) -> None:
        """Forgets an interrupted episode."""
        self.ahead[0] = -1

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        return {**super().state_dict(), "ahead": self.ahead.tolist() if self.ahead[0] >= 0 else [-1, 0, 0]}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        ahead = Whole(-1, self.n_states - 1), Whole(0, self.n_actions - 1), Whole(0, 1)
        return {**super().state_form(), "ahead": List(ahead)}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        self.ahead[:] = state["ahead"]


def restrict(agent: Agent, env: gym.Env[Any, Any]) -> None:
    """Restricts an agent to the actions that an env allows, and that its masks mark if the agent's parameters say so.

    Raises:
        UsageError: what the env says of its actions has another form, or the parameters ask for masks that it lacks.
    """
    allowed = masked_actions(env) if agent.parameters.actions == "masked" else allowed_actions(env)
    if allowed is not None:
        agent.allow(allowed)


def sizes_of(env: gym.Env[Any, Any], agent: str) -> tuple[int, int]:
    """Returns how many states and actions an env has; UsageError unless both spaces are Discrete."""
    return count_of(env.observation_space, "observations", agent), count_of(env.action_space, "actions", agent)


def count_of(space: spaces.Space[Any] | int, what: str, agent: str) -> int:
    """Returns the size of a Discrete space that starts at 0.

    Raises:
        UsageError: any other space; the message says how to convert it.
    """
    if isinstance(space, int | np.integer) and space > 0:
        return int(space)
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return int(space.n)
    raise UsageError(f"{agent} needs Discrete {what}, got {space}: {_way_out(space, what)}")


def _way_out(space: spaces.Space[Any] | int, what: str) -> str:
    """Returns how a space that is not Discrete, or not counted from 0, becomes so."""
    if isinstance(space, spaces.Space) and is_finite(space):
        few = count(space) <= TABLE
        return (
            "wrap the env in rlbench.envs.FlattenDiscrete"
            if few
            else f"more than {TABLE:,} values, too many for a table"
        )
    if what == "observations":
        return "give bins=, a number for each dimension, kmeans:K or quantile:K, or wrap it in rlbench.envs.Discretize"
    first = "" if isinstance(space, spaces.Box) else "gymnasium.wrappers.FlattenObservation, then in "
    return f"wrap the env in {first}gymnasium.wrappers.DiscretizeAction"
