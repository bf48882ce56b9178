"""What agents do in this process or another."""


def going_on(agent):
    """The agent, after some more steps."""
    for t in range(40):
        agent.update(t % 3, agent.act(t % 3), 1.0, (t + 1) % 3, t % 5 == 4)
    return agent
