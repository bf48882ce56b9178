"""Agents: they choose actions and learn from steps."""

from __future__ import annotations

if __name__ != "rlbench.agents":
    raise ImportError(f"import rlbench.agents, not {__name__}: a second name would make a second copy of every class")

from typing import TYPE_CHECKING, Any

from rlbench.agents.bandit import Bandit
from rlbench.agents.base import AGENTS, Agent, TableAgent, restrict
from rlbench.agents.differential_sarsa import DifferentialSarsa
from rlbench.agents.double_q import DoubleQ
from rlbench.agents.dyna_q import DynaQ
from rlbench.agents.dyna_q_plus import DynaQPlus
from rlbench.agents.expected_sarsa import ExpectedSarsa
from rlbench.agents.mc_prediction import MCPrediction
from rlbench.agents.monte_carlo import MonteCarlo
from rlbench.agents.n_step_sarsa import NStepSarsa
from rlbench.agents.n_step_td import NStepTD
from rlbench.agents.off_policy_mc import OffPolicyMC
from rlbench.agents.off_policy_mc_control import OffPolicyMCControl
from rlbench.agents.q_learning import QLearning
from rlbench.agents.q_sigma import NStepExpectedSarsa, QSigma, TreeBackup
from rlbench.agents.random import RandomAgent
from rlbench.agents.replay_q import ReplayQ
from rlbench.agents.sarsa import Sarsa
from rlbench.agents.sarsa_lambda import SarsaLambda, TrueOnlineSarsaLambda
from rlbench.agents.td0 import TD0
from rlbench.agents.td_lambda import TDLambda
from rlbench.agents.watkins_q_lambda import WatkinsQLambda
from rlbench.errors import UsageError, unknown_name

if TYPE_CHECKING:
    import gymnasium as gym

AGENTS.update(
    (cls.name, cls)
    for cls in (
        RandomAgent,
        QLearning,
        Sarsa,
        ExpectedSarsa,
        DoubleQ,
        NStepSarsa,
        NStepExpectedSarsa,
        TreeBackup,
        QSigma,
        SarsaLambda,
        TrueOnlineSarsaLambda,
        WatkinsQLambda,
        MonteCarlo,
        OffPolicyMCControl,
        TD0,
        NStepTD,
        TDLambda,
        MCPrediction,
        OffPolicyMC,
        DynaQ,
        DynaQPlus,
        ReplayQ,
        Bandit,
        DifferentialSarsa,
    )
)


def register_agent(cls: type[Agent]) -> type[Agent]:
    """Registers an agent class under its `name`, replacing any other of that name; usable as a class decorator.

    Raises:
        UsageError: not a subclass of Agent, no name, or an abstract method left unimplemented.
    """
    if not (isinstance(cls, type) and issubclass(cls, Agent)):
        raise UsageError(f"an agent to register must be a subclass of rlbench.agents.Agent, got {cls!r}")
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not name:
        raise UsageError(f'{cls.__name__} has no name to be known by: give it one, such as name = "mine"')
    if cls.__abstractmethods__:
        raise UsageError(f"{cls.__name__} does not say how to {' and '.join(sorted(cls.__abstractmethods__))}")
    AGENTS[name] = cls
    return cls


def make_agent(agent: str | type[Agent], env: gym.Env[Any, Any], *, seed: Any = None, **parameters: Any) -> Agent:
    """Makes an agent, given by name or class, for an env's spaces and the actions that it allows in each state.

    Raises:
        UsageError: an unknown name or parameter, spaces that are not Discrete, or allowed actions of another form.
    """
    if isinstance(agent, str):
        if agent not in AGENTS:
            raise unknown_name("agent", agent, AGENTS)
        agent = AGENTS[agent]
    made = agent(env.observation_space, env.action_space, seed=seed, **parameters)
    restrict(made, env)
    return made


__all__ = [
    "AGENTS",
    "TD0",
    "Agent",
    "Bandit",
    "DifferentialSarsa",
    "DoubleQ",
    "DynaQ",
    "DynaQPlus",
    "ExpectedSarsa",
    "MCPrediction",
    "MonteCarlo",
    "NStepExpectedSarsa",
    "NStepSarsa",
    "NStepTD",
    "OffPolicyMC",
    "OffPolicyMCControl",
    "QLearning",
    "QSigma",
    "RandomAgent",
    "ReplayQ",
    "Sarsa",
    "SarsaLambda",
    "TDLambda",
    "TableAgent",
    "TreeBackup",
    "TrueOnlineSarsaLambda",
    "WatkinsQLambda",
    "make_agent",
    "register_agent",
]
