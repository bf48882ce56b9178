"""`rlbench token`: a token is printed once, listed without it, and revoked by its id."""

import pytest


def test_a_token_is_made_listed_and_revoked(rlbench):
    made = rlbench(
        "token", "create", "--role", "write", "--days", 30, "--for-env", "safecab", "--for-tag", "good", "--json"
    )
    token, known = made.document.pop("token"), made.document
    assert (known["role"], known["env_id"], known["tag"]) == ("write", "rlbench/SafeCab-v0", "good")
    plain = rlbench("token", "create")
    assert plain.err.endswith(": read, everything, never expires\n")
    listed = rlbench("token", "list")
    assert listed.out.count("\n") == 3
    assert "runs of rlbench/SafeCab-v0 tagged good" in listed.out
    assert token not in listed.out
    assert plain.out.strip() not in listed.out
    assert rlbench("token", "revoke", known["id"]).out == f"revoked {known['id']}\n"
    assert [one["role"] for one in rlbench("token", "list", "--json").document["tokens"]] == ["read"]
    assert rlbench("token", "revoke", known["id"]).code == 1


def test_what_cannot_be_meant_is_said_in_one_line(rlbench):
    assert rlbench("token", "create", "--role", "root").err == "Error: unknown role 'root'; known: admin, read, write\n"
    assert "more than 0" in rlbench("token", "create", "--days", 0).err


@pytest.mark.parametrize("command", [["ui", "--no-browser"], ["serve", "latest"]])
def test_a_door_that_is_refused_leaves_no_store_behind(rlbench, tmp_path, command):
    refused = rlbench(*command, "--host", "0.0.0.0", "--port", 0)  # noqa: S104
    assert refused.err.startswith(
        "Error: other machines can reach 0.0.0.0: that takes a token (`rlbench token create`)"
    )
    assert list(tmp_path.iterdir()) == []
