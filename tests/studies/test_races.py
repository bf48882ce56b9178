"""Processes that work on one study at the same moment: none undoes what another has done."""

import hazards
import mongomock
import needs
import pytest

from rlbench.errors import StoreError, UsageError
from rlbench.store import open_store
from rlbench.studies import delete_study, keeping, load_study, sweep, tune, working

LAKE = {"env": "FrozenLake-v1", "seeds": range(2), "episodes": 10, "objective": "area", "name": "mine"}
SWEEP = {**LAKE, "over": {"learning_rate": [0.1, 0.5, 1]}}
HAZARD = {**SWEEP, "env": hazards.ID, "over": {"env.reward": [1, 3]}}  # a reward of 3 raises
TUNE = {**LAKE, "search": {"learning_rate": "0.1..1"}, "trials": 4, "round": 2, "test_seeds": [7]}


@pytest.fixture(params=["memory", "sqlite", "mongomock"])
def stores(request, tmp_path):
    """A store as two processes have it open; one in memory belongs to a single one."""
    places = {"memory": "memory://", "sqlite": tmp_path / "runs.db", "mongomock": mongomock.MongoClient().lab}
    place = places[request.param]
    with open_store(place) as one, open_store(place) as other:
        yield one, one if request.param == "memory" else other


@pytest.fixture
def meanwhile(monkeypatch):
    """Has something done before a function does what it does, the first time that it is called."""

    def first(module, name, act):
        def once(*args):
            monkeypatch.setattr(module, name, usual)
            act()
            return usual(*args)

        usual = getattr(module, name)
        monkeypatch.setattr(module, name, once)

    return first


@pytest.mark.parametrize("episodes", [10, 11])
def test_of_two_that_begin_one_name_at_once_one_wins_and_the_other_joins_or_is_refused(stores, meanwhile, episodes):
    def begin():
        begun.append(sweep(**SWEEP, store=other))

    (one, other), begun = stores, []
    meanwhile(keeping, "_parts", begin)  # when this one has looked, and is about to store it
    asked = {**SWEEP, "episodes": episodes}
    if episodes == SWEEP["episodes"]:
        assert sweep(**asked, store=one).hash == begun[0].hash
    else:
        with pytest.raises(UsageError, match=r"the study mine is there already, with other settings \(episodes\)"):
            sweep(**asked, store=one)
    assert load_study(one, "mine").hash == begun[0].hash


def signal():
    raise KeyboardInterrupt


@pytest.mark.parametrize(("do", "asked"), [(sweep, SWEEP), (sweep, HAZARD), (tune, TUNE)])
def test_what_a_stopped_one_knows_never_replaces_what_another_has_found(stores, meanwhile, do, asked):
    def finish():
        whole.append(do(**asked, store=other))
        signal()

    if do is tune:
        needs.package("optuna", "tune")
    (one, other), whole = stores, []
    meanwhile(working, "try_batch", finish)
    stopped, [other] = do(**asked, store=one), whole
    for study in (stopped, load_study(one, "mine")):
        assert (study.is_done, study.hash, study.failures) == (True, other.hash, other.failures)
        assert study.scores.tolist() == pytest.approx(other.scores.tolist(), nan_ok=True)


def test_a_tuning_that_another_has_gone_on_with_ends_and_spoils_nothing(stores, meanwhile):
    needs.package("optuna", "tune")
    (one, other), whole = stores, []
    meanwhile(working, "try_batch", lambda: whole.append(tune(**TUNE, store=other)))
    with pytest.raises(StoreError, match="another process is working on the study mine: wait until it has ended"):
        tune(**TUNE, store=one)
    assert load_study(one, "mine").hash == whole[0].hash
    assert tune(**TUNE, store=one).hash == whole[0].hash


def test_a_study_that_is_deleted_meanwhile_does_not_come_back(stores, meanwhile):
    one, other = stores

    def delete():
        delete_study(other, "mine")
        signal()

    meanwhile(working, "try_batch", delete)
    with pytest.raises(StoreError, match="there is no study 'mine'"):
        sweep(**SWEEP, store=one)
    assert keeping.names(one) == []


def test_one_of_its_name_that_is_begun_meanwhile_is_not_touched(stores, meanwhile):
    def replace():
        delete_study(other, "mine")
        begun.append(sweep(**{**SWEEP, "episodes": 11}, store=other))
        signal()

    (one, other), begun = stores, []
    meanwhile(working, "try_batch", replace)
    with pytest.raises(StoreError, match="another process has begun another study mine: choose another name"):
        sweep(**SWEEP, store=one)
    assert load_study(one, "mine").hash == begun[0].hash
