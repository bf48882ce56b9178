"""The log of decisions: what was served becomes episodes that can be looked at, judged and learnt from."""

import numpy as np
import pytest
from served import Counter, run_of

import rlbench
from rlbench.errors import StoreError
from rlbench.store import CUT_OFF, TERMINATED, TRUNCATED
from rlbench.web import decisions
from rlbench.web.decisions import Log


@pytest.fixture
def lake(depot):
    return run_of(depot, "FrozenLake-v1")


def server(store, *refs, share=1.0):
    log = Log(store, share, print)
    counter = Counter(store, *refs, log=log)
    counter.log, counter.book = log, next(iter(log._books.values()))
    return counter


def decision_of(answer):
    return answer.json()["parameters"]["decision_id"]


def kept(counter, store):
    """Finishes the log and returns its run."""
    counter.book.finish()
    return rlbench.load_run(store, counter.book.run_id)


def test_each_decision_is_found_again_by_its_id(depot, lake):
    counter = server(depot, lake.id)
    first, second = decision_of(counter.ask(lake.id, [3, 1, 4])), decision_of(counter.ask(lake.id, [9]))
    run = kept(counter, depot)
    assert (first, second) == (f"{run.id}-0", f"{run.id}-3")
    assert (run.env_id, run.agent_name, run.status) == ("FrozenLake-v1", "q-learning", "finished")
    assert (run.record.tags, run.record.parents) == (("served",), (lake.id,))
    assert run.figures["decision"].tolist() == [0, 1, 2, 3]
    observed = [episode.observations.tolist() for episode in depot.episodes(run.id)]
    assert observed == [[3], [1], [4], [9]]
    np.testing.assert_array_equal(run.figures["answer"], lake.agent.predict([3, 1, 4, 9])[0])
    assert run.lengths.tolist() == [0] * 4


def test_requests_of_a_sequence_make_an_episode_that_is_learnt_from_like_one_that_was_trained(depot, lake):
    counter = server(depot, lake.id)
    env = lake.make_env()
    expected = []
    for ride in range(1, 4):
        observation, _ = env.reset(seed=ride)
        action = counter.ask(lake.id, [int(observation)], parameters={"sequence_id": ride, "sequence_start": True})
        states, rewards, has_ended = [observation], [], False
        while not has_ended:
            taken = action.json()["outputs"][0]["data"][0]
            observation, reward, terminated, truncated, _ = env.step(taken)
            told = {"sequence_id": ride, "reward": float(reward), "terminated": terminated, "truncated": truncated}
            action = counter.ask(lake.id, [int(observation)], parameters=told)
            states.append(observation)
            rewards.append(reward)
            has_ended = terminated or truncated
        expected.append((states, rewards, terminated))
    run = kept(counter, depot)
    for episode, (states, rewards, terminated) in zip(depot.episodes(run.id), expected, strict=True):
        assert (episode.observations.tolist(), episode.rewards.tolist()) == (states, rewards)
        np.testing.assert_array_equal(episode.actions, lake.agent.predict(states[:-1])[0])
        assert episode.terminated == terminated
    assert run.returns.tolist() == [sum(rewards) for _, rewards, _ in expected]
    learnt = rlbench.retrain(run, agent="q-learning", store=depot).run
    assert learnt.record.parents == (run.id,)


def test_an_episode_ends_as_its_last_request_says(depot, lake):
    counter = server(depot, lake.id)
    for sequence, last in enumerate(({"terminated": True}, {"truncated": True}, {"sequence_end": True}, {}), 1):
        counter.ask(lake.id, [0], parameters={"sequence_id": sequence})
        counter.ask(lake.id, [1], parameters={"sequence_id": sequence, "reward": 2.5, **last})
    counter.ask(lake.id, [2], parameters={"sequence_id": 4})  # begins again
    run = kept(counter, depot)
    ends = np.concatenate([chunk.ends for chunk in depot.chunks(run.id)])
    assert ends.tolist() == [TERMINATED, TRUNCATED, CUT_OFF, CUT_OFF, CUT_OFF]
    assert run.returns.tolist() == [2.5] * 4 + [0.0]


def test_loose_decisions_teach_nothing_and_do_not_stand_in_the_way(depot, lake):
    counter = server(depot, lake.id)
    counter.ask(lake.id, [5, 6])
    counter.ask(lake.id, [0], parameters={"sequence_id": "ride"})
    counter.ask(lake.id, [4], parameters={"sequence_id": "ride", "reward": 1.0, "terminated": True})
    run = kept(counter, depot)
    assert (run.episodes, run.timesteps) == (3, 1)
    learnt = rlbench.retrain(run, agent="q-learning", passes=1, store=depot).run
    assert np.count_nonzero(learnt.agent.q_table) == 1


def test_a_share_of_the_decisions_is_stored_and_whole_episodes_or_none_of_them(depot, lake):
    counter = server(depot, lake.id, share=0.5)
    for number in range(200):
        counter.ask(lake.id, [0]) if number % 2 else None
        counter.book.take(np.array([1]), np.array([0]), decisions.Link(number, True, 0.0, 0))
        counter.book.take(np.array([2]), np.array([0]), decisions.Link(number, False, 1.0, TERMINATED))
    run = kept(counter, depot)
    episodes = list(depot.episodes(run.id))
    linked = [episode for episode in episodes if len(episode)]
    assert 60 < len(linked) < 140
    assert all(episode.observations.tolist() == [1, 2] for episode in linked)
    assert 20 < len(episodes) - len(linked) < 80
    assert counter.book._in == counter.book._out


def test_what_does_not_fit_into_memory_is_dropped_and_counted(depot, lake, monkeypatch):
    monkeypatch.setattr(decisions, "MOST_ROWS", 4)
    counter = server(depot, lake.id)
    for batch in ([0, 1, 2], [3, 4], [5]):
        assert counter.ask(lake.id, batch).status_code == 200
    assert counter.figures()["rlbench_decisions_dropped_total"] == 2
    counter.book.write()
    counter.ask(lake.id, [6, 7])
    run = kept(counter, depot)
    assert run.figures["decision"].tolist() == [0, 1, 2, 5, 6, 7]


@pytest.mark.parametrize("limit", ["MOST_OPEN", "MOST_ROWS"])
def test_episodes_that_never_end_are_cut_off_the_oldest_first(depot, lake, monkeypatch, limit):
    monkeypatch.setattr(decisions, limit, {"MOST_OPEN": 2, "MOST_ROWS": 4}[limit])
    counter = server(depot, lake.id)
    for sequence in range(1, 4):
        counter.ask(lake.id, [sequence], parameters={"sequence_id": sequence})
        counter.book.write()
    assert [episode.observations.tolist() for episode in depot.episodes(counter.book.run_id)] == [[1]]
    assert kept(counter, depot).episodes == 3


@pytest.mark.parametrize("was_written", [False, True])
def test_a_write_that_fails_is_made_up_for_whether_it_was_made_or_not(depot, lake, monkeypatch, was_written):
    counter = server(depot, lake.id)
    counter.ask(lake.id, [0, 1])
    append = depot.append

    def failing(*arguments, **more):
        if was_written:
            append(*arguments, **more)
        raise StoreError("it is away")

    with monkeypatch.context() as broken:
        broken.setattr(depot, "append", failing)
        with pytest.raises(StoreError):
            counter.book.write()
    counter.ask(lake.id, [2])
    run = kept(counter, depot)
    assert run.figures["decision"].tolist() == [0, 1, 2]
    assert counter.book._in == counter.book._out == 3


def test_the_decisions_of_a_model_are_stored_too_and_texts_are_not(depot):
    counter = server(depot, "tree-iris")
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.0, 3.0, 5.0, 2.0]])
    answer = counter.ask("tree-iris", rows, tensor="features", datatype="FP64")
    run = kept(counter, depot)
    assert (run.env_id, run.agent_name) == ("model:tree-iris", "tree-iris")
    np.testing.assert_array_equal(np.concatenate([e.observations for e in depot.episodes(run.id)]), rows)
    classes = counter.shelf.find("tree-iris").model.estimator.classes_
    assert classes[run.figures["answer"]].tolist() == answer.json()["outputs"][0]["data"]


def test_a_server_that_nothing_was_asked_of_leaves_no_run(depot, lake):
    with Log(depot, 1.0, print) as log:
        counter = Counter(depot, lake.id, log=log)
        assert counter.client.get("/health").status_code == 200
    assert depot.runs(tag="served") == []


def test_a_log_that_cannot_be_written_is_told_in_one_line(depot, lake, monkeypatch):
    said = []
    with Log(depot, 1.0, said.append) as log:
        Counter(depot, lake.id, log=log).ask(lake.id, [0])
        monkeypatch.setattr(depot, "append", lambda *_, **__: (_ for _ in ()).throw(StoreError("the disk is full")))
    assert said
    assert all("wait to be stored: the disk is full" in line for line in said)
