"""Tuned hyper-parameters, one TOML file an environment."""
