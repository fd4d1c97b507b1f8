"""Tests of sim.libero.state_files: any table of states is read, no code is run."""

import io
import os
import pickle
import re
import struct
import sys
import zipfile

import numpy as np
import pytest

from omnivla_jax.sim.libero import state_files

TABLE = np.random.default_rng(0).normal(size=(3, 41))


def _zip(path, content, folder="archive", **members):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", content)
        for name, data in members.items():
            archive.writestr(f"{folder}/{name.replace('__', '/')}", data)
    return path


def _read(path):
    states = state_files.read(path)
    assert states.dtype == np.float64 and states.flags.owndata
    return states


def _refusal(path):
    """The one line about a file that is not read."""
    with pytest.raises(ValueError) as caught:
        state_files.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ") and "\n" not in message, message
    return message


@pytest.mark.parametrize("folder", ["archive", "mine", "put_the_bowl.pruned_init", "ä"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_any_inner_folder_and_protocol(tmp_path, folder, protocol):
    content = pickle.dumps(TABLE, protocol=protocol)
    path = _zip(tmp_path / "x.pruned_init", content, folder)
    np.testing.assert_array_equal(_read(path), TABLE)
    (tmp_path / "plain.pkl").write_bytes(content)
    np.testing.assert_array_equal(_read(tmp_path / "plain.pkl"), TABLE)


@pytest.mark.parametrize("old", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_of_either_numpy(tmp_path, old, protocol):
    content = pickle.dumps(TABLE, protocol=protocol)
    here = b"numpy._core" if b"numpy._core" in content else b"numpy.core"
    other = old.encode()
    if protocol < 4:
        content = content.replace(here, other)
    else:  # text with its length before it, in a frame with its own
        head, rest = content.split(here, 1)
        length = head[-1] + len(other) - len(here)
        body = head[11:-1] + bytes([length]) + other + rest
        content = content[:3] + struct.pack("<Q", len(body)) + body
    path = _zip(tmp_path / "x.pruned_init", content)
    np.testing.assert_array_equal(_read(path), TABLE)


KINDS: dict[str, np.ndarray] = {
    "float32": TABLE.astype(np.float32),
    "float16": TABLE.astype(np.float16),
    "big endian": TABLE.astype(">f8"),
    "integers": np.arange(82).reshape(2, 41),
    "by columns": np.asfortranarray(TABLE),
    "strided": np.repeat(TABLE, 2, axis=0)[::2, ::-1],
    "empty": TABLE[:0],
    "one state": TABLE[:1],
    "read only": np.broadcast_to(TABLE[0], (3, 41)),
    "objects": TABLE.astype(object),
    "objects by columns": np.asfortranarray(TABLE.astype(object)),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_arrays(tmp_path, kind, protocol):
    array = KINDS[kind]
    path = _zip(tmp_path / "x.init", pickle.dumps(array, protocol=protocol))
    np.testing.assert_array_equal(_read(path), array.astype(np.float64))
    assert np.dtype("f8").isnative


def _rows_of_objects():
    rows = np.empty(3, object)
    rows[:] = list(TABLE)
    return rows


@pytest.mark.parametrize(
    "found",
    [
        list(TABLE),
        tuple(TABLE),
        TABLE.tolist(),
        [row[None] for row in TABLE],
        [list(row) for row in TABLE],  # NumPy's scalars
        _rows_of_objects(),
    ],
    ids=["arrays", "tuple", "lists", "tables", "scalars", "objects"],
)
def test_lists_of_states(tmp_path, found):
    path = _zip(tmp_path / "x.init", pickle.dumps(found, protocol=2))
    np.testing.assert_array_equal(_read(path), TABLE)


@pytest.mark.parametrize("found", [TABLE[1], TABLE[1].tolist(), list(TABLE[1])])
def test_one_state_is_a_table_of_one(tmp_path, found):
    path = _zip(tmp_path / "x.init", pickle.dumps(found, protocol=2))
    np.testing.assert_array_equal(_read(path), TABLE[1:2])


def test_files_of_numpy(tmp_path):
    np.save(tmp_path / "a.npy", TABLE)
    np.savez(tmp_path / "b.npz", TABLE)
    np.savez_compressed(tmp_path / "c.npz", states=TABLE)
    for name in ("a.npy", "b.npz", "c.npz"):
        np.testing.assert_array_equal(_read(tmp_path / name), TABLE)
    np.savez(tmp_path / "d.npz", one=TABLE, two=TABLE)
    assert "several arrays" in _refusal(tmp_path / "d.npz")
    np.save(tmp_path / "e.npy", TABLE.astype(object))
    assert "cannot be read" in _refusal(tmp_path / "e.npy")


def _tensors(torch):
    whole = torch.tensor(np.repeat(TABLE, 2, axis=1))
    return {
        "float64": torch.tensor(TABLE),
        "float32": torch.tensor(TABLE, dtype=torch.float32),
        "transposed": torch.tensor(TABLE.T.copy()).T,
        "strided": whole[1:, ::2],
        "expanded": whole[:1].expand(4, -1),
        "empty": whole[:0],
        "one state": whole[0],
        "parts": list(torch.tensor(TABLE)),
        "gradient": torch.tensor(TABLE, requires_grad=True),
    }


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_are_tables(tmp_path, legacy):
    torch = pytest.importorskip("torch")
    for name, value in _tensors(torch).items():
        path = tmp_path / f"{name}.pt"
        torch.save(value, path, _use_new_zipfile_serialization=not legacy)
        whole = torch.stack(value) if isinstance(value, list) else value
        expected = np.atleast_2d(whole.detach().numpy().astype(np.float64))
        np.testing.assert_array_equal(_read(path), expected, name)


@pytest.mark.parametrize("legacy", [False, True])
def test_arrays_saved_by_torch(tmp_path, legacy):
    torch = pytest.importorskip("torch")
    path = tmp_path / "mine.pruned_init"
    torch.save(TABLE, path, _use_new_zipfile_serialization=not legacy)
    np.testing.assert_array_equal(_read(path), TABLE)
    torch.save(torch.tensor(TABLE, dtype=torch.bfloat16), path)
    assert "BFloat16Storage holds entries that are no numbers" in _refusal(path)


class _Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("container", ["plain", "zip", "list", "legacy"])
def test_a_pickle_runs_nothing(tmp_path, container):
    mark = tmp_path / "ran"
    evil = _Evil(os.system, f"touch {mark}")
    content = pickle.dumps([TABLE[0], evil] if container == "list" else evil)
    if container == "legacy":
        head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        content = b"".join(pickle.dumps(part, 2) for part in head) + content
    path = tmp_path / "evil.pruned_init"
    if container == "zip":
        _zip(path, content)
    else:
        path.write_bytes(content)
    assert "system has no place in a state file" in _refusal(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "function, arguments",
    [
        (eval, ("1",)),
        (getattr, ("text", "upper")),
        (np.load, ("x",)),
        (np.memmap, ("x",)),
        (np.ndarray, ((1 << 40,),)),
        (bytearray, (1 << 40,)),
        (sys.exit, ()),
    ],
)
def test_no_other_name_is_known(tmp_path, function, arguments):
    (tmp_path / "x.init").write_bytes(pickle.dumps(_Evil(function, *arguments)))
    _refusal(tmp_path / "x.init")


def test_an_array_s_state_cannot_point_anywhere(tmp_path):
    """A dtype of objects that claims to be numbers would turn bytes into pointers."""
    content = pickle.dumps(TABLE.astype(object), protocol=2)
    forged = content.replace(
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?",
        b"NNNJ\xff\xff" b"\xff\xffJ\xff\xff\xff\xffK\x00",
    )
    assert forged != content
    (tmp_path / "x.init").write_bytes(forged)
    np.testing.assert_array_equal(_read(tmp_path / "x.init"), TABLE)
    wrong = pickle.dumps(TABLE, protocol=2).replace(
        b"X\x02\x00\x00\x00f8", b"X\x02\x00" b"\x00\x00O8"
    )
    (tmp_path / "y.init").write_bytes(wrong)
    assert "array of objects" in _refusal(tmp_path / "y.init")


def test_bombs_are_refused(tmp_path):
    path = tmp_path / "bomb.init"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (state_files.MAX_BYTES + 1))
    assert path.stat().st_size < 1 << 20
    assert "unpacks to more than a table" in _refusal(path)
    path.write_bytes(b"\x80\x02Kar\xff\xff\xff\x7f.")  # a memo of 2^31 places
    assert "memo is larger" in _refusal(path)
    nested = (
        b"\x80\x02]q\x00"
        + b"".join(b"]q%c(h%ch%ce" % (i + 1, i, i) for i in range(40))
        + b"."
    )
    path.write_bytes(nested)  # 2^40 lists
    assert "nested deeper" in _refusal(path)
    row = b"\x80\x02" + pickle.dumps(np.zeros(100_000), 2)[2:-1] + b"q\xc8"
    path.write_bytes(row + b"](" + b"h\xc8" * 100_000 + b"e.")  # 80 GB
    assert "unpacks to more than a table" in _refusal(path)


OTHERS = {
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "html": (b"\n<!DOCTYPE html><html>not found</html>", "a web page"),
    "gzip": (b"\x1f\x8b\x08rest", "a gzip archive.*unpack"),
    "hdf5": (b"\x89HDF\r\n\x1a\nrest", "HDF5"),
    "json": (b'{"states": []}', "a JSON file"),
    "text": (b"not a state file", "no LIBERO initial-state file"),
    "empty": (b"", "an empty file"),
    "zeros": (b"\0" * 100, "zeros alone"),
    "npy": (b"\x93NUMPY\x01\x00v", "npy file that cannot be read"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_named(tmp_path, kind):
    content, words = OTHERS[kind]
    (tmp_path / "x.pruned_init").write_bytes(content)
    assert re.search(words, _refusal(tmp_path / "x.pruned_init"))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["zip", "pickle", "npy"])
def test_truncated_files_say_so(tmp_path, kind, share):
    path, buffer = tmp_path / "x.init", io.BytesIO()
    np.save(buffer, TABLE)
    contents = {"pickle": pickle.dumps(TABLE), "npy": buffer.getvalue()}
    content = contents.get(kind) or _zip(path, pickle.dumps(TABLE)).read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    _refusal(path)


def test_a_damaged_archive_says_so(tmp_path):
    path = _zip(tmp_path / "x.init", pickle.dumps(TABLE))
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    assert "truncated or damaged" in _refusal(path)


@pytest.mark.parametrize(
    "value, words",
    [
        (np.full((2, 41), np.nan), "nan in state 0, entry 0"),
        (np.where(np.arange(82).reshape(2, 41) == 50, np.inf, 0), "inf in state 1, en"),
        (TABLE.astype(complex), "entries of type 'c16'"),
        (TABLE > 0, "entries of type 'b1'"),
        (TABLE.astype(str), "entries of type 'U"),
        (np.zeros((2, 3, 4)), r"array of shape (2, 3, 4)"),
        (np.zeros(()), "array of shape ()"),
        (np.zeros(0), "array of shape (0,)"),
        ([], "empty list"),
        ([TABLE[0], TABLE[1, :5]], "different shapes, [(5,), (41,)]"),
        (["a", "b"], "list of str"),
        ([True, False], "list of bool"),
        ({"states": 1, "model": 2}, "dict of model, states"),
        (None, "NoneType"),
        ("text", "no table of states but a str"),
    ],
)
def test_other_contents_are_named(tmp_path, value, words):
    path = _zip(tmp_path / "x.init", pickle.dumps(value, protocol=2))
    assert words in _refusal(path)


def test_damage_anywhere_is_one_short_line(tmp_path):
    """What is not read is refused, wherever a byte is wrong; nothing else is raised."""
    buffer, rng, read = io.BytesIO(), np.random.default_rng(0), 0
    np.save(buffer, TABLE)
    whole = _zip(tmp_path / "whole", pickle.dumps(TABLE, 2)).read_bytes()
    for content in (
        pickle.dumps(TABLE, 2),
        pickle.dumps(TABLE, 5),
        buffer.getvalue(),
        whole,
        whole[:60] + whole[-200:],
    ):
        for place in range(150):
            damaged = bytearray(content)
            damaged[place] = rng.integers(256)
            (tmp_path / "x.init").write_bytes(damaged)
            try:
                read += state_files.read(tmp_path / "x.init").ndim == 2
            except ValueError as error:
                assert "\n" not in str(error) and len(str(error)) < 700
    assert read


def test_other_zips_are_named(tmp_path):
    path = tmp_path / "x.init"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "zip of ['readme.txt']" in _refusal(path)
    _zip(path, pickle.dumps(TABLE), "m", **{"constants.pkl": b""})
    assert "TorchScript" in _refusal(path)


def test_a_width_can_be_asked_for(tmp_path):
    path = state_files.write(tmp_path / "x.init", TABLE)
    assert state_files.read(path, width=41).shape == (3, 41)
    with pytest.raises(ValueError, match="states of 41 entries where 79 are expected"):
        state_files.read(path, width=79)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.init does not exist"):
        state_files.read(tmp_path / "none.init")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        state_files.read(str(tmp_path))


@pytest.mark.parametrize("kind", [k for k in KINDS if not k.startswith("objects")])
def test_what_is_written_is_read_back(tmp_path, kind):
    path = state_files.write(tmp_path / "sub" / "x.pruned_init", KINDS[kind])
    np.testing.assert_array_equal(_read(path), KINDS[kind].astype(np.float64))
    assert os.listdir(path.parent) == ["x.pruned_init"]


def test_libero_reads_what_is_written(tmp_path):
    torch = pytest.importorskip("torch")
    path = state_files.write(str(tmp_path / "x.pruned_init"), TABLE)
    states = torch.load(path, weights_only=False)
    assert type(states) is np.ndarray and states.dtype == np.float64
    np.testing.assert_array_equal(states, TABLE)


def test_any_numpy_can_import_what_is_written(tmp_path):
    path = state_files.write(tmp_path / "x.pruned_init", TABLE)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("archive/data.pkl")
        assert archive.read("archive/version") == b"3\n"
    assert b"cnumpy.core.multiarray\n" in content and b"numpy._core" not in content


def test_nothing_is_overwritten_unasked(tmp_path):
    path = state_files.write(tmp_path / "x.pruned_init", TABLE)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        state_files.write(path, TABLE + 1)
    np.testing.assert_array_equal(_read(path), TABLE)
    state_files.write(path, TABLE + 1, overwrite=True)
    np.testing.assert_array_equal(_read(path), TABLE + 1)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = state_files.write(tmp_path / "x.pruned_init", TABLE)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        state_files.write(path, TABLE + 1, overwrite=True)
    np.testing.assert_array_equal(_read(path), TABLE)
    assert os.listdir(tmp_path) == ["x.pruned_init"]


@pytest.mark.parametrize(
    "states", [TABLE[0], np.full((1, 41), np.nan), TABLE.astype(str), np.zeros((2, 0))]
)
def test_what_is_no_table_is_not_written(tmp_path, states):
    with pytest.raises(ValueError, match="x.init"):
        state_files.write(tmp_path / "x.init", states)
    assert not os.listdir(tmp_path)
