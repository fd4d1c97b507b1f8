"""Tests of reading files: every dtype, several parts, and each damage in one line."""

import json
import pickle
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from omnivla_jax.policy.pretrained import readers
from omnivla_jax.policy.pretrained.safetensors_reader import read_safetensors
from tests.helpers.pretrained import fakes


def test_npz_holds_bfloat16_as_raw_bytes(tmp_path):
    values = np.arange(6, dtype=jnp.bfloat16).reshape(2, 3)
    np.savez(tmp_path / "a.npz", x=values)
    opened = readers.read_npz(tmp_path / "a.npz")
    assert opened.shapes == {"x": (2, 3)}
    assert opened.read("x").dtype == jnp.bfloat16
    np.testing.assert_array_equal(opened.read("x"), values)


def test_safetensors_in_parts_of_any_dtype(tmp_path):
    x, y = np.arange(6, dtype=jnp.bfloat16).reshape(2, 3), np.array([0.5], np.float32)
    fakes.write_safetensors(tmp_path / "1.safetensors", {"x": x}, "BF16")
    fakes.write_safetensors(tmp_path / "2.safetensors", {"y": y})
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"x": "1.safetensors", "y": "2.safetensors"}}')
    for path in (tmp_path, index):
        opened = read_safetensors(path)
        assert opened.shapes == {"x": (2, 3), "y": (1,)}
        np.testing.assert_array_equal(opened.read("x"), x)
        np.testing.assert_array_equal(opened.read("y"), y)


def test_missing_or_other_files_are_one_line(tmp_path):
    with pytest.raises(ValueError, match="nothing at .*weights.npz: download"):
        readers.read_npz(tmp_path / "weights.npz")
    (tmp_path / "a.npz").write_text("no archive")
    for path in (tmp_path / "a.npz", tmp_path):  # the folder of a single one
        text = r"a.npz is no NumPy archive but a text file \('no archive' ...\): downl"
        with pytest.raises(ValueError, match=text):
            readers.read_npz(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no .safetensors"):
        read_safetensors(tmp_path / "empty")
    for name in ("empty", "a.npz"):
        with pytest.raises(ValueError, match=f"{name} holds no orbax tree"):
            readers.read_orbax(tmp_path / name)


@pytest.mark.parametrize(
    "strange", [{"x": [np.ones(2), np.ones(3)]}, {"x": "text"}, {"x": None}]
)
def test_other_orbax_trees_are_one_line(tmp_path, strange):
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", {"params": {"w": np.ones(2)}, **strange})
    text = r"tree holds .* no array, under x \(1 such names\): name the folder of the"
    with pytest.raises(ValueError, match=text) as caught:
        readers.read_orbax(tmp_path / "tree")
    assert "\n" not in str(caught.value)


def test_an_orbax_list_is_no_tree_of_names(tmp_path):
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", [np.ones(2)])
    with pytest.raises(ValueError, match="holds a list.* no array, under its root"):
        readers.read_orbax(tmp_path / "tree")


def described(**changes) -> str:
    """A header of one float32 array [2, 3], with `changes`."""
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    return json.dumps({"x": entry | changes})


HEADERS = [
    "something else entirely",
    '{"x": 1}',
    "[]",
    "",
    described(shape=[-2, -3]),
    described(shape=["2", 3]),
    described(shape=[2.0, 3]),
    described(data_offsets=[-24, 0]),
    described(data_offsets=[0, 24, 48]),
    described(dtype=32),
    described(dtype=["F32"]),
]


@pytest.mark.parametrize("text", HEADERS)
def test_a_header_that_is_none(tmp_path, text):
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode())
    with pytest.raises(ValueError, match="a.safetensors is no safetensors file"):
        read_safetensors(tmp_path)


MAPS = ('["x"]', '{"x": 1}', '{"x": 1, "y": "a"}', '{"x": ["a"]}', '{"x": null}')
INDICES = ["{", "[]", "{}", *('{"weight_map": %s}' % x for x in MAPS)]


@pytest.mark.parametrize("text", INDICES)
def test_an_index_that_is_none(tmp_path, text):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="index.json is no index of .safetensors"):
        read_safetensors(path)


def test_a_part_that_is_missing(tmp_path):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"x": "1.safetensors"}}))
    with pytest.raises(ValueError, match="nothing at .*1.safetensors: download"):
        read_safetensors(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [2, 2]},
        {"shape": [2, 0]},
        {"dtype": "F64"},
        {"data_offsets": [4, 24]},
        {"data_offsets": [24, 0]},
    ],
)
def test_a_header_that_contradicts_itself(tmp_path, changes):
    text, path = described(**changes), tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(24))
    message = rf"{path} is no .*, or a damaged one \(.*offset for tensor.*\): repeat"
    with pytest.raises(ValueError, match=message):
        read_safetensors(path)


def test_a_name_in_two_parts(tmp_path):
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    fakes.write_safetensors(first, {"x": np.zeros(2, np.float32)})
    both = {"y": np.zeros(1, np.float32), "x": np.ones(2, np.float32)}
    fakes.write_safetensors(second, both)
    text = rf"{first} and {second} both hold x \(1 such names\): name the file to read"
    with pytest.raises(ValueError, match=text):
        read_safetensors(tmp_path)
    assert read_safetensors(second).shapes == {"y": (1,), "x": (2,)}


def test_a_folder_called_as_a_file_is(tmp_path):
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(ValueError, match="a.safetensors is no safetensors file"):
        read_safetensors(tmp_path)


def test_downloads_cut_short(tmp_path):
    values = np.random.default_rng(0).normal(size=64)
    path = tmp_path / "a.safetensors"
    fakes.write_safetensors(path, {"x": values}, "F64")
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    text = f"has {len(whole) - 8} bytes, other .*: the download is not complete"
    with pytest.raises(ValueError, match=text):
        read_safetensors(path)
    np.savez(tmp_path / "a.npz", x=values)
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:-99])
    text = "a.npz is no NumPy archive but the beginning of a zip archive"
    with pytest.raises(ValueError, match=text):
        readers.read_npz(tmp_path / "a.npz")


def test_bytes_that_changed_on_the_way(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(999))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[4000] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    opened = readers.read_npz(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="x in .*a.npz cannot be read: the download"):
        opened.read("x")
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", {"x": np.ones(999)})
    opened = readers.read_orbax(tmp_path / "tree")
    for file in (tmp_path / "tree").rglob("*"):
        if file.is_file() and "METADATA" not in file.name.upper():
            file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="x in .*tree cannot be read: the download"):
        opened.read("x")


def test_numbers_of_an_unknown_type(tmp_path):
    values = np.zeros(2, np.uint8)
    fakes.write_safetensors(tmp_path / "a.safetensors", {"x": values}, "F8_E4M3")
    with pytest.raises(ValueError, match="numbers of type F8_E4M3: find the same wei"):
        read_safetensors(tmp_path)


OTHERS = {
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "Git-LFS"),
    "page": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
    "empty": (b"", "an empty file: download it again"),
    "text": (b"Entry not found", r"a text file \('Entry not found' ...\)"),
    "pickle": (pickle.dumps({"x": 1}), "a Python pickle"),
}


@pytest.mark.parametrize("content, text", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize(
    "reader", [readers.read_npz, readers.read_orbax, read_safetensors]
)
def test_a_failed_download_is_named(tmp_path, reader, content, text):
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} .*{text}") as caught:
        reader(path)
    assert "\n" not in str(caught.value)


def test_a_pytorch_checkpoint_is_named(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"")
    for reader in (readers.read_npz, read_safetensors):
        with pytest.raises(ValueError, match="a PyTorch checkpoint: convert it with"):
            reader(path)
    with pytest.raises(ValueError, match=r"PyTorch checkpoints \(pytorch_model.bin\)"):
        read_safetensors(tmp_path)
    fakes.write_safetensors(tmp_path / "model.safetensors", {"x": np.zeros(2)}, "F64")
    with pytest.raises(ValueError, match="name model.safetensors beside it"):
        read_safetensors(path)
    assert read_safetensors(tmp_path).shapes == {"x": (2,)}


def test_a_zip_that_is_no_archive_of_arrays(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="but a zip archive: unpack it"):
        readers.read_npz(tmp_path / "a.npz")


def test_an_array_of_an_archive_that_is_none(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x.npy", "no array")
    with pytest.raises(ValueError, match="a.npz is a damaged NumPy archive: repeat"):
        readers.read_npz(tmp_path / "a.npz")


def test_an_orbax_tree_that_git_left_pointers_of(tmp_path):
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", {"x": np.ones(2)})
    (tmp_path / "tree" / "_METADATA").write_bytes(OTHERS["pointer"][0])
    with pytest.raises(ValueError, match="tree holds no .*_METADATA is a Git-LFS poi"):
        readers.read_orbax(tmp_path / "tree")


def test_a_folder_of_several_archives(tmp_path):
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros(1))
    with pytest.raises(ValueError, match=r"with 2 of them \(a.npz, b.npz\): name"):
        readers.read_npz(tmp_path)


def test_parts_without_an_index(tmp_path):
    names = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    for number, name in enumerate(names):
        fakes.write_safetensors(tmp_path / name, {f"x{number}": np.zeros(1)}, "F64")
    assert read_safetensors(tmp_path).shapes == {"x0": (1,), "x1": (1,)}
    with pytest.raises(ValueError, match="is part 2 of 2: name the folder"):
        read_safetensors(tmp_path / names[1])
    (tmp_path / names[0]).rename(tmp_path / "model-00001-of-00003.old")
    with pytest.raises(ValueError, match=f"{names[0]} is missing, download it"):
        read_safetensors(tmp_path)


def test_several_indices(tmp_path):
    for kind in ("", ".fp16"):
        (tmp_path / f"model{kind}.safetensors.index.json").write_text("{}")
    with pytest.raises(ValueError, match="several indices .*: name one"):
        read_safetensors(tmp_path)


def test_a_folder_above_the_weights(tmp_path):
    snapshot = tmp_path / "models--x" / "snapshots" / "1234"
    snapshot.mkdir(parents=True)
    fakes.write_safetensors(snapshot / "model.safetensors", {"x": np.zeros(1)}, "F64")
    for path in (snapshot.parent, tmp_path / "models--x"):
        with pytest.raises(ValueError, match=f"name the folder below it, {snapshot}"):
            read_safetensors(path)


def test_a_header_cut_short(tmp_path):
    path = tmp_path / "a.safetensors"
    fakes.write_safetensors(path, {"x": np.zeros(64)}, "F64")
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(ValueError, match="30 bytes, other than .*length.*repeat"):
        read_safetensors(path)
    path.write_bytes(path.read_bytes()[:5])
    with pytest.raises(ValueError, match="a.safetensors is no safetensors file"):
        read_safetensors(path)


def test_an_orbax_run_above_its_steps(tmp_path):
    run = tmp_path / "checkpoints" / "pi0_libero"
    with ocp.PyTreeCheckpointer() as checkpointer:
        for step in (900, 1000):
            checkpointer.save(run / str(step) / "params", {"x": np.ones(2)})
        checkpointer.save(run / "1000" / "train_state", {"y": np.ones(2)})
    assert readers.read_orbax(run / "1000").shapes == {"x": (2,)}
    assert readers.read_orbax(run / "1000" / "params").shapes == {"x": (2,)}
    for path in (run, run.parent):
        text = f"but 2 below it: name one of them, for example {run}/1000/params"
        with pytest.raises(ValueError, match=text):
            readers.read_orbax(path)
    inner = next(p for p in (run / "1000" / "params").iterdir() if p.is_dir())
    with pytest.raises(ValueError, match="is inside of one: name .*/1000/params"):
        readers.read_orbax(inner)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    fakes.write_safetensors(tmp_path / "a.safetensors", {"x": np.zeros(3)}, "F64")
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", {"x": np.ones(3)})
    for reader, name in (
        (readers.read_npz, "a.npz"),
        (read_safetensors, "a.safetensors"),
        (readers.read_orbax, "tree"),
    ):
        opened = reader(Path("~") / name)
        assert opened.shapes == {"x": (3,)} and opened.read("x").shape == (3,)
    with pytest.raises(ValueError, match=f"nothing at {tmp_path}/absent"):
        read_safetensors(Path("~/absent"))
