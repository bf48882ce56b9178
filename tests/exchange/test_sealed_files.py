"""Encrypted files: they come back with the key alone, every bit, and nothing of them is readable."""

import io
import os
import stat
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.errors import UsageError
from rlbench.exchange import export, import_run, sealed_files
from rlbench.exchange.sealed_files import HEAD, MAGIC, SealedPath
from rlbench.keys import KEY, Key
from rlbench.store import open_store
from rlbench.training import Run

ONE, TWO = Key(bytes([1] * 32)), Key(bytes([2] * 32))
KINDS = ("csv", "json", "parquet", "feather", "hdf5", "csv.gz", "json.gz")
MARKER = "a marker that nothing but this test writes"
SMALL = 16  # bytes of a block


@pytest.fixture(autouse=True)
def key(monkeypatch):
    """Gives the first key."""
    monkeypatch.setenv(KEY, ONE.text())


@pytest.fixture(scope="module")
def small_blocks():
    """Blocks of a few bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed_files, "BLOCK", SMALL)
        patch.setattr(sealed_files, "SLOT", SMALL + sealed_files.SLOT - 2**16)
        yield


@pytest.mark.parametrize("ending", ["", ".sealed"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_format_comes_back_and_is_not_readable(tmp_path, store, samples, kind, ending):
    run = samples.ALL["discrete"](store)
    store.update_run(run.id, note=MARKER)
    path = tmp_path / f"run.{kind}{ending}"
    export(Run(store.run(run.id), store), path, encrypt=True)
    record = import_run(path, store)
    assert record.note == MARKER
    assert samples.known_of(record) == samples.known_of(store.run(run.id))
    assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)
    beside = [f"{path.name}.json"] if "csv" in kind else []
    assert samples.names_in(tmp_path) == sorted([path.name, *beside])
    for each in tmp_path.iterdir():
        content = each.read_bytes()
        assert content.startswith(MAGIC)
        assert not any(word in content for word in (MARKER.encode(), b"q_table", b"observation", b"PAR1", b"HDF"))


def test_a_file_may_have_any_name(tmp_path, store, samples):
    run = samples.ALL["discrete"](store)
    export(run, tmp_path / ".sealed", "json", encrypt=True)
    assert import_run(tmp_path / ".sealed", store, "json").episodes == run.episodes


@pytest.mark.parametrize("what", ["results", "table"])
def test_figures_and_tables_are_encrypted_too(tmp_path, store, samples, what):
    export(samples.ALL["discrete"](store), tmp_path / "run.hdf5", what=what, encrypt=True)
    with pytest.raises(UsageError, match=f"it holds a run's {what}: only episodes"):
        import_run(tmp_path / "run.hdf5", store)


def test_without_the_key_or_with_another_a_line_says_so_and_nothing_is_left(tmp_path, store, samples, monkeypatch):
    run = samples.ALL["discrete"](store)
    export(run, tmp_path / "run.json", encrypt=True)
    monkeypatch.setenv(KEY, TWO.text())
    with pytest.raises(UsageError, match=f"run.json cannot be imported: .* another key than {TWO.id}: give its key by"):
        import_run(tmp_path / "run.json", store)
    monkeypatch.delenv(KEY)
    with pytest.raises(UsageError, match="takes a key: give its key by --key-file FILE or RLBENCH_KEY_FILE"):
        import_run(tmp_path / "run.json", store)
    with pytest.raises(UsageError, match="takes a key"):
        export(run, tmp_path / "other.json", encrypt=True)
    with pytest.raises(UsageError, match="minari writes a folder, which cannot be encrypted"):
        export(run, tmp_path / "run-v0", "minari", encrypt=True)
    assert samples.names_in(tmp_path) == ["run.json"]


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "feather", "hdf5"])
def test_what_was_altered_or_cut_is_refused_in_a_line(tmp_path, store, samples, kind):
    path = tmp_path / f"run.{kind}"
    export(samples.ALL["cartpole"](store), path, encrypt=True)
    whole = path.read_bytes()
    places = [*range(len(MAGIC) + 4, HEAD.size, 9), *np.linspace(HEAD.size, len(whole) - 1, 9).astype(int).tolist()]
    altered = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in places]
    for content in (*altered, whole[:-1], whole[: HEAD.size], whole[: HEAD.size - 1]):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=rf"run.{kind} cannot be imported: ") as error:
            import_run(path, store)
        assert "\n" not in str(error.value)
    assert len(store.runs()) == 1


def test_blocks_in_each_others_places_or_of_another_file_are_refused(tmp_path, small_blocks):
    contents = []
    for name in ("a", "b"):
        with SealedPath(tmp_path / name, ONE).open("xb") as file:
            file.write(bytes(4 * SMALL))
        contents.append((tmp_path / name).read_bytes())
    slot = sealed_files.SLOT
    head, blocks = contents[0][: HEAD.size], contents[0][HEAD.size :]
    swapped = head + blocks[slot : 2 * slot] + blocks[:slot] + blocks[2 * slot :]
    foreign = head + contents[1][HEAD.size :]
    shorter = head + blocks[: 3 * slot]
    for content in (swapped, foreign, shorter):
        (tmp_path / "a").write_bytes(content)
        with SealedPath(tmp_path / "a", ONE).open("rb") as file, pytest.raises(UsageError, match="it is damaged"):
            file.read()


def test_no_two_blocks_are_sealed_with_the_same_nonce(tmp_path, small_blocks):
    with SealedPath(tmp_path / "a", ONE).open("x+b", buffering=0) as file:
        for place in (0, 40, 3, 41, 90):
            file.seek(place)
            file.write(b"x")
    blocks = (tmp_path / "a").read_bytes()[HEAD.size :]
    nonces = {blocks[at : at + 12] for at in range(0, len(blocks), sealed_files.SLOT)}
    assert len(nonces) == 6


ACTS = st.one_of(
    st.tuples(st.just("write"), st.binary(max_size=60)),
    st.tuples(st.just("seek"), st.integers(0, 120)),
    st.tuples(st.just("read"), st.integers(0, 60)),
    st.tuples(st.just("truncate"), st.integers(0, 120)),
)


@given(acts=st.lists(ACTS, max_size=12))
def test_it_is_written_and_read_as_a_plain_file_is(tmp_path_factory, small_blocks, acts):
    path = tmp_path_factory.mktemp("sealed") / "file"
    plain, sealed = io.BytesIO(), SealedPath(path, ONE).open("x+b", buffering=0)
    with sealed:
        for act, argument in acts:
            if act == "write":
                plain.write(argument)
                rest = memoryview(argument)
                while rest:
                    rest = rest[sealed.write(rest) :]
            elif act == "read":
                found = sealed.read(argument)  # up to the end of a block
                assert found == plain.read(len(found))
                assert found or not plain.read(argument)
            elif act == "truncate":
                _extend(plain, argument)
                sealed.truncate(argument)
            else:
                getattr(sealed, act)(argument)
                getattr(plain, act)(argument)
            assert sealed.tell() == plain.tell()
    with SealedPath(path, ONE).open("rb") as again:
        assert again.read() == plain.getvalue()
        assert again.seek(-3, os.SEEK_END) == max(0, len(plain.getvalue()) - 3)
        assert again.read() == plain.getvalue()[-3:]


def _extend(plain, size):
    """Truncates as files do: BytesIO does not extend."""
    at, content = plain.tell(), plain.getvalue()
    plain.seek(0)
    plain.truncate()
    plain.write(content[:size].ljust(size, b"\0"))
    plain.seek(at)


@pytest.mark.skipif(sys.platform == "win32", reason="files have no modes")
def test_what_comes_from_an_encrypted_store_is_for_its_owner_alone(tmp_path, samples, monkeypatch):
    with open_store(tmp_path / "runs.db") as store:
        run = samples.ALL["discrete"](store)
        for kind in ("csv", "json", "hdf5", "minari"):
            path = tmp_path / samples.PATHS[kind]
            if kind == "json":
                path.write_text("what others may read")
                path.chmod(0o644)
            export(run, path, "minari" if kind == "minari" else None, overwrite=True)
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if kind == "minari" else 0o600)
        assert stat.S_IMODE((tmp_path / "run.csv.json").stat().st_mode) == 0o600
        export(run, tmp_path / "run-v0", "minari", overwrite=True)
        expected = ["run-v0", "run.csv", "run.csv.json", "run.hdf5", "run.json", "runs.db"]
        assert [name for name in samples.names_in(tmp_path) if not name.startswith("runs.db-")] == expected
