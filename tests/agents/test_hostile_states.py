"""A state that was edited is refused in a line, or does what a state does: it never reaches memory of others."""

import functools

import numpy as np
import pytest
from contracts.agents import VARIANTS, an_agent, going_on
from gymnasium import spaces
from hostile import Outcomes, in_another_process, mutations

from rlbench.buffers import BUFFERS


def a_buffer(kind):
    return BUFFERS[kind](7, spaces.Discrete(9), spaces.Discrete(2), n_step=3, gamma=0.9, seed=0)


def sampled(buffer):
    for i in range(9):
        buffer.add(i, i % 2, i / 2, (i + 1) % 9, i % 3 == 0)
        batch = buffer.sample(5)
        assert (batch.observations < 9).all()
    buffer.stats()


def outcomes(make, use, share):
    """What becomes of every mutated state of what was made and used, once it is loaded and used."""
    rng, whole = np.random.default_rng(0), make()
    use(whole)
    state, found = whole.state_dict(), Outcomes(share)

    def load_and_use(name, mutated):
        one = make()
        one.load_state_dict({**state, name: mutated})
        use(one)

    for name, value in state.items():
        for mutated in mutations(value, rng):
            found.of(f"{name} = {mutated!r:.60}", functools.partial(load_and_use, name, mutated))
    return found.told()


def all_outcomes(share):
    """What becomes of the mutated states of every agent and buffer, in one process."""
    agents = {name: outcomes(functools.partial(an_agent, name), going_on, share) for name in VARIANTS}
    return agents | {kind: outcomes(functools.partial(a_buffer, kind), sampled, share) for kind in BUFFERS}


@pytest.mark.parametrize("share", [0.01, pytest.param(1.0, marks=pytest.mark.long)])
def test_no_mutated_state_of_an_agent_or_a_buffer_crashes_or_takes_memory(share):
    for name, (refused, taken, complaints) in in_another_process(all_outcomes, share).items():
        assert complaints == [], name
        assert refused > taken / 4, name


def test_a_refused_entry_is_named_with_what_was_expected():
    agent = going_on(an_agent("dyna-q"))
    state = agent.state_dict()
    for name, wrong, message in [
        ("model/outcomes", np.full((3, 2), 400_000_000, np.int32), "from -1 to 5, got 400000000"),
        ("q_table", np.zeros((2, 2)), r"of shape \(3, 2\), got \(2, 2\)"),
        ("episodes", -1, "a whole number from 0 to"),
        ("rng", {**state["rng"], "bit_generator": "PCG64"}, "that of SFC64"),
    ]:
        with pytest.raises(ValueError, match=f"{name} must be .*{message}"):
            agent.load_state_dict({**state, name: wrong})
