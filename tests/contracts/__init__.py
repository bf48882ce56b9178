"""What every env, agent, buffer and store must pass."""
