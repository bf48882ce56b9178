"""Training where little is given: no home, a read-only installation, no compiler, thousands of actions."""

import os
import subprocess
import sys

import gymnasium as gym
import numpy as np

import rlbench
from rlbench import _compiling
from rlbench.training.recorder import COUNT_BYTES, Recorder


def test_numba_keeps_its_cache_in_a_private_folder_where_it_can_write_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(_compiling.os, "access", lambda *_: False)
    monkeypatch.setattr(_compiling.tempfile, "gettempdir", lambda: str(tmp_path))
    _compiling.choose_cache()
    folder = tmp_path / f"rlbench-numba-{os.getuid()}"
    assert os.environ.pop("NUMBA_CACHE_DIR") == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_numba_reads_no_cache_that_others_may_write(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(_compiling.os, "access", lambda *_: False)
    monkeypatch.setattr(_compiling.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(_compiling.tempfile, "mkdtemp", lambda **_: str(tmp_path / "new"))
    folder = tmp_path / f"rlbench-numba-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    _compiling.choose_cache()
    assert os.environ.pop("NUMBA_CACHE_DIR") == str(tmp_path / "new")


def test_a_disabled_compiler_is_told_in_a_line():
    code = "import rlbench; rlbench.train('FrozenLake-v1', episodes=1, store='memory://')"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
    )
    assert (
        ran.stderr.strip()
        .splitlines()[-1]
        .endswith("NUMBA_DISABLE_JIT is set, but agents and buffers are compiled by numba: unset it")
    )


class ManyActions(gym.Env):
    observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2000)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 1, float(action), True, False, {}


def test_thousands_of_actions_are_counted_in_little_memory():
    for recording in (True, False):
        tape = Recorder(2000, recording=recording, episode_steps=0, sink=lambda _: None).tape
        assert tape.action_counts.nbytes <= COUNT_BYTES
    with rlbench.open_store("memory://") as store:
        run = rlbench.train(ManyActions(), episodes=3000, seed=0, store=store)
        assert run.figures.keys() == {"return", "length", "exploration_rate", "explored"}
        assert np.array_equal(run.returns, [episode.rewards[0] for episode in run.store.episodes(run.id)])
