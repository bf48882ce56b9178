"""Tokens: shown once, kept as digests, compared in constant time, refused as soon as they are revoked."""

from dataclasses import replace

import mongomock
import pytest

from rlbench.errors import StoreError, UsageError
from rlbench.store import open_store
from rlbench.web import tokens
from rlbench.web.door import Door
from rlbench.web.guards import Grant


@pytest.fixture(params=["memory", "sqlite", "mongomock"])
def store(request, tmp_path):
    places = {"memory": "memory://", "sqlite": tmp_path / "runs.db", "mongomock": mongomock.MongoClient().lab}
    with open_store(places[request.param]) as opened:
        yield opened


def test_a_token_allows_what_its_role_and_scope_say_until_it_is_revoked(store):
    secret, made = tokens.create(store, "write", env_id="FrozenLake-v1", tag="good")
    other, _ = tokens.create(store)
    grant_of = tokens.grants(store)
    assert grant_of(secret) == Grant("write", "FrozenLake-v1", "good")
    assert grant_of(other) == Grant("read", "", "")
    assert grant_of(secret[:-1]) is grant_of("") is grant_of("\ud800") is None
    tokens.revoke(store, made.id)
    assert grant_of(secret) is None
    assert grant_of(other) == Grant("read", "", "")
    with pytest.raises(StoreError, match=f"there is no token '{made.id}'.*known: [0-9a-f]{{8}}$"):
        tokens.revoke(store, made.id)


def test_a_store_keeps_the_digest_of_a_token_alone(tmp_path):
    with open_store(tmp_path / "runs.db") as store:
        secret, made = tokens.create(store)
        assert len(secret) == 43  # 32 bytes
        assert tokens.tokens(store) == [made]
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_token_expires(store, monkeypatch):
    secret, made = tokens.create(store, days=1.5)
    grant_of = tokens.grants(store)
    assert grant_of(secret)
    monkeypatch.setattr(tokens.Token, "has_expired", True)
    assert grant_of(secret) is None
    assert made.expires_at > made.created_at


@pytest.mark.parametrize(
    "wrong",
    [{"role": "root"}, {"days": 0}, {"days": float("nan")}, {"days": 1e9}, {"tag": "a\n"}, {"env_id": "x" * 300}],
)
def test_a_token_that_cannot_be_meant_is_refused(wrong):
    with open_store("memory://") as store, pytest.raises(UsageError):
        tokens.create(store, **wrong)


def test_every_digest_is_compared_in_constant_time(monkeypatch):
    with open_store("memory://") as store:
        secrets = [tokens.create(store)[0] for _ in range(3)]
        compared = []
        compare = tokens.compare_digest
        monkeypatch.setattr(tokens, "compare_digest", lambda *both: compared.append(both) or compare(*both))
        grant_of = tokens.grants(store, ["x" * 40])
        for token in (secrets[0], "wrong"):
            compared.clear()
            grant_of(token)
            assert len(compared) == 4
            assert all(len(digest) == 64 for both in compared for digest in both)


def test_a_damaged_record_and_a_store_that_does_not_answer_open_nothing():
    with open_store("memory://") as store:
        secret, _ = tokens.create(store)
        grant_of = tokens.grants(store, ["y" * 40])
        store.save_snapshot(tokens.KIND, "broken", {}, {"role": "admin", "digest": None})
        assert grant_of(secret)
        with pytest.raises(StoreError, match=r"token broken is damaged.*revoke broken"):
            tokens.tokens(store)
        tokens.revoke(store, "broken")
    assert grant_of(secret) is None
    assert grant_of("y" * 40)


@pytest.mark.parametrize("text", ["", "short", "ä" * 50])
def test_a_file_of_tokens_must_hold_long_ones(tmp_path, text):
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(UsageError, match="must hold tokens of 32 characters or more"):
        tokens.tokens_in(tmp_path / "tokens")


def test_who_may_come_in_depends_on_the_door(tmp_path):
    (tmp_path / "tokens").write_text("z" * 40 + "\n")
    here, there = Door(), Door("0.0.0.0", insecure=True)  # noqa: S104
    with open_store("memory://") as store:
        assert tokens.admission(here, store) is None
        assert tokens.admission(there, store) is None
        given = tokens.admission(Door(token_file=tmp_path / "tokens"), store)
        assert (given("z" * 40), given("other")) == (Grant(), None)
        secret, _ = tokens.create(store)
        assert tokens.admission(here, store) is None
        assert tokens.admission(there, store)(secret)
        with pytest.raises(UsageError, match="that takes TLS"):
            tokens.admission(Door("0.0.0.0"), store)  # noqa: S104


def test_no_store_is_made_behind_a_door_that_is_refused(tmp_path):
    store, pair = tmp_path / "new.db", (tmp_path / "cert", tmp_path / "key")
    for file in pair:
        file.touch()
    (tmp_path / "tokens").write_text("z" * 40)
    there = Door("0.0.0.0", tls_cert=pair[0], tls_key=pair[1])  # noqa: S104
    with pytest.raises(UsageError, match=r"a token .* and TLS"):
        tokens.store_behind(Door("0.0.0.0"), str(store), create=True)  # noqa: S104
    with pytest.raises(StoreError, match="there is no store at"):  # which would hold the token that it takes
        tokens.store_behind(there, str(store), create=True)
    assert not store.exists()
    tokens.store_behind(replace(there, token_file=tmp_path / "tokens"), str(store), create=True).close()
    assert store.exists()
