"""A server of policies and models in this process, its client, and what it said."""

import json

import numpy as np
from clients import Client
from prometheus_client.parser import text_string_to_metric_families

import rlbench
from rlbench.web.inference import Desk, serving
from rlbench.web.served import Shelf


def run_of(store, env_id):
    """Returns the last run of an env."""
    return rlbench.load_run(store, store.runs(env_id=env_id, limit=1)[0].id)


class Counter:
    """Serves runs and models of a store."""

    def __init__(self, store, *refs, log=None, watching=False, **guards):
        self.said = []
        self.shelf = Shelf(store, refs)
        self.desk = Desk(self.shelf, log, self.said.append, watching=watching)
        self.app = serving(store, self.desk, **guards)
        self.client = Client(self.app)

    def ask(self, name, values, *, shape=None, datatype="INT64", tensor="observation", path="", **more):
        """Returns the answer to a batch."""
        shape = shape or list(np.shape(values))
        one = {"name": tensor, "shape": shape, "datatype": datatype, "data": np.ravel(values).tolist()}
        return self.client.post(f"/v2/models/{name}/infer{path}", content=json.dumps({"inputs": [one], **more}))

    def figures(self):
        """Returns the metrics of the only run or model that is served."""
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        return {sample.name: sample.value for family in families for sample in family.samples}


def outputs(answer):
    """Returns the outputs in an answer, by name."""
    assert answer.status_code == 200, answer.text
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer.json()["outputs"]}
