"""Tests of reading files: every dtype, several parts, and each damage in one line."""

import json

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from omnivla_jax.policy.pretrained import archives
from omnivla_jax.policy.pretrained.safetensors import safetensors
from tests.policy.pretrained import fakes


def test_npz_holds_bfloat16_as_raw_bytes(tmp_path):
    values = np.arange(6, dtype=jnp.bfloat16).reshape(2, 3)
    np.savez(tmp_path / "a.npz", x=values)
    archive = archives.npz(tmp_path / "a.npz")
    assert archive.shapes == {"x": (2, 3)}
    assert archive.read("x").dtype == jnp.bfloat16
    np.testing.assert_array_equal(archive.read("x"), values)


def test_safetensors_in_parts_of_any_dtype(tmp_path):
    x, y = np.arange(6, dtype=jnp.bfloat16).reshape(2, 3), np.array([0.5], np.float32)
    fakes.write_safetensors(tmp_path / "1.safetensors", {"x": x}, "BF16")
    fakes.write_safetensors(tmp_path / "2.safetensors", {"y": y})
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"x": "1.safetensors", "y": "2.safetensors"}}')
    for path in (tmp_path, index):
        archive = safetensors(path)
        assert archive.shapes == {"x": (2, 3), "y": (1,)}
        np.testing.assert_array_equal(archive.read("x"), x)
        np.testing.assert_array_equal(archive.read("y"), y)


def test_what_is_not_there_or_of_another_kind_is_one_clear_line(tmp_path):
    with pytest.raises(ValueError, match="nothing at .*weights.npz: download"):
        archives.npz(tmp_path / "weights.npz")
    (tmp_path / "a.npz").write_text("no archive")
    for path in (tmp_path / "a.npz", tmp_path):
        with pytest.raises(ValueError, match=f"{path} is no NumPy archive"):
            archives.npz(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no .safetensors"):
        safetensors(tmp_path / "empty")
    for name in ("empty", "a.npz"):
        with pytest.raises(ValueError, match=f"{name} holds no orbax tree"):
            archives.orbax(tmp_path / name)


@pytest.mark.parametrize("text", ["something else entirely", '{"x": 1}', "[]", ""])
def test_a_header_that_is_none(tmp_path, text):
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode())
    with pytest.raises(ValueError, match="a.safetensors is no safetensors file"):
        safetensors(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": ["x"]}'])
def test_an_index_that_is_none(tmp_path, text):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="index.json is no index of .safetensors"):
        safetensors(path)


def test_a_part_that_is_missing(tmp_path):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"x": "1.safetensors"}}))
    with pytest.raises(ValueError, match="nothing at .*1.safetensors: download"):
        safetensors(path)


def test_downloads_cut_short(tmp_path):
    values = np.random.default_rng(0).normal(size=64)
    path = tmp_path / "a.safetensors"
    fakes.write_safetensors(path, {"x": values}, "F64")
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    text = f"has {len(whole) - 8} of {len(whole)} bytes: the download is not complete"
    with pytest.raises(ValueError, match=text):
        safetensors(path)
    np.savez(tmp_path / "a.npz", x=values)
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:-99])
    with pytest.raises(ValueError, match="a.npz is no NumPy archive, or a damaged one"):
        archives.npz(tmp_path / "a.npz")


def test_bytes_that_changed_on_the_way(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(999))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[4000] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    archive = archives.npz(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="x in .*a.npz cannot be read: the download"):
        archive.read("x")
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", {"x": np.ones(999)})
    archive = archives.orbax(tmp_path / "tree")
    for file in (tmp_path / "tree").rglob("*"):
        if file.is_file() and "METADATA" not in file.name.upper():
            file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="x in .*tree cannot be read: the download"):
        archive.read("x")


def test_numbers_of_an_unknown_type(tmp_path):
    fakes.write_safetensors(tmp_path / "a.safetensors", {"x": np.zeros(2)}, "F8_E4M3")
    with pytest.raises(ValueError, match="numbers of type F8_E4M3: find the same wei"):
        safetensors(tmp_path)
