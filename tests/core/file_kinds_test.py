"""Tests of core.file_kinds: real files of each kind, by their bytes alone."""

import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from omnivla_jax.core import file_kinds


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def saved(function, *arguments, **keywords) -> bytes:
    file = io.BytesIO()
    function(file, *arguments, **keywords)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return file.getvalue()


NPZ_BYTES = saved(np.savez, x=np.zeros(9))
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n"
FILES = {
    "empty": (b"", file_kinds.EMPTY),
    "pointer": (POINTER, file_kinds.GIT_LFS),
    "annex": (b"/annex/objects/SHA256E-s9--0\n", file_kinds.GIT_ANNEX),
    "page": (b"\n <!DOCTYPE HTML><html>", file_kinds.HTML),
    "page-with-bom": (b"\xef\xbb\xbf<html>", file_kinds.HTML),
    "xml": (b'<?xml version="1.0"?><mujoco/>', file_kinds.XML),
    "json": (b'{"error": "Not Found"}', file_kinds.JSON),
    "text": (b"Entry not found", file_kinds.TEXT),
    "text-cut-in-a-letter": (("a" + "é" * 300).encode(), file_kinds.TEXT),
    "npz": (NPZ_BYTES, file_kinds.NPZ),
    "npz-cut": (NPZ_BYTES[:-40], file_kinds.CUT_ZIP),
    "npy": (saved(np.save, np.zeros(3)), file_kinds.NPY),
    "torch": (zipped(**{"model/data.pkl": b""}), file_kinds.TORCH),
    "torch-before-1.6": (
        pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2),
        file_kinds.TORCH,
    ),
    "pickle": (pickle.dumps([1, 2]), file_kinds.PICKLE),
    "safetensors": ((2).to_bytes(8, "little") + b"{}", file_kinds.SAFETENSORS),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(88), file_kinds.HDF5),
    "gguf": (b"GGUF" + bytes(88), file_kinds.GGUF),
    "zip": (zipped(readme=b"hello"), file_kinds.ZIP),
    "gzip": (gzip.compress(b"hello"), file_kinds.GZIP),
    "tar": (tarred(), file_kinds.TAR),
    "bytes": (bytes(range(200, 256)) * 3, file_kinds.UNKNOWN),
    "zeros": (bytes(600), file_kinds.UNKNOWN),
}


@pytest.mark.parametrize("content, kind", FILES.values(), ids=FILES.keys())
def test_the_first_bytes_tell_the_kind(tmp_path, content, kind):
    path = tmp_path / "weights.npz"  # the name tells nothing
    path.write_bytes(content)
    assert file_kinds.identify(path) is kind
    line = file_kinds.describe(path)
    assert line.startswith(f"{path} is {kind.name}") and "\n" not in line
    assert kind.remedy in line and "delete" not in line


def test_what_is_no_file(tmp_path):
    assert file_kinds.identify(tmp_path / "absent") is file_kinds.MISSING
    assert file_kinds.identify(tmp_path) is file_kinds.FOLDER


def test_a_text_is_quoted_on_one_line(tmp_path):
    (tmp_path / "a").write_text("Invalid username\nor password.")
    line = file_kinds.describe(tmp_path / "a")
    assert "('Invalid username or password.' ...): download it again" in line


def test_the_fallback_is_for_unknown_kinds(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(POINTER)
    assert "Git-LFS" in file_kinds.describe(path, "no record file")
    path.write_bytes(bytes(99))
    assert file_kinds.describe(path, "no record file") == "no record file"
