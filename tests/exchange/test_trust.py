"""An imported run's env is made only if it is registered here; a spec of other code is stored, but never made."""

import json

import gymnasium as gym
import numpy as np
import pytest

import rlbench
from rlbench.envs import Discretize
from rlbench.errors import StoreError, UsageError
from rlbench.exchange import export, import_run
from rlbench.training import Run


def test_a_hostile_spec_is_kept_but_never_made(tmp_path, store, samples):
    run = samples.ALL["cartpole"](store)
    export(run, tmp_path / "run.json")
    flag = tmp_path / "executed"
    known = json.loads(gym.spec("CartPole-v1").to_json())
    hostile = json.dumps({**known, "entry_point": "os:mkdir", "kwargs": {"path": str(flag)}})
    document = json.loads((tmp_path / "run.json").read_text())
    document["about"]["run"]["config"]["env"]["spec"] = hostile
    (tmp_path / "run.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="the values of 'run' are not those that were exported"):
        import_run(tmp_path / "run.json", store)
    del document["about"]["digests"]["run"]  # as somebody who edits it on purpose would
    (tmp_path / "run.json").write_text(json.dumps(document))
    record = import_run(tmp_path / "run.json", store)
    assert record.config.env.spec == hostile
    with pytest.raises(StoreError, match="names the entry_point 'os:mkdir'"):
        Run(record, store).make_env()
    export(Run(record, store), tmp_path / "run-v0", "minari")
    assert not flag.exists()


def test_a_wrapped_env_comes_back_wrapped(tmp_path, store):
    env = Discretize(gym.make("CartPole-v1"), cuts=[[0.0]] * 4)
    run = rlbench.train(env, episodes=3, seed=0, store=store)
    export(run, tmp_path / "run.csv")
    record = import_run(tmp_path / "run.csv", store)
    assert record.config == run.record.config


@pytest.mark.parametrize("is_honest", [True, False])
def test_a_checkpoint_of_zeros_is_imported_only_from_a_file_as_large(tmp_path, store, is_honest):
    h5py = pytest.importorskip("h5py")
    run = rlbench.train("FrozenLake-v1", episodes=3, seed=0, store=store)
    export(run, tmp_path / "run.hdf5")
    packed = {"fletcher32": True} if is_honest else {"compression": "gzip"}
    with h5py.File(tmp_path / "run.hdf5", "r+") as file:
        about = json.loads(file["about"][()])
        del file["about"], about["digests"]["checkpoint"]
        file["about"] = np.bytes_(json.dumps(about).encode())
        file.create_dataset("checkpoint/arrays/more", data=np.zeros(2**23 + 1), chunks=(2**20,), **packed)
    if is_honest:
        import_run(tmp_path / "run.hdf5", store)
    else:
        with pytest.raises(UsageError, match=r"its checkpoint claims 67,10.* bytes but does not hold them"):
            import_run(tmp_path / "run.hdf5", store)
