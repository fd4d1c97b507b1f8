"""Tests of omnivla_jax.sim.libero.text_files: encodings, and what is no text."""

import codecs

import pytest

from omnivla_jax.sim.libero.text_files import TextFileError, read_text

TEXT = "(define (problem entrée)\n)\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
    ],
)
def test_unicode_is_read_with_and_without_marks(tmp_path, data):
    path = tmp_path / "a.bddl"
    path.write_bytes(data)
    assert read_text(path) == TEXT


@pytest.mark.parametrize(
    "data, says",
    [
        (TEXT.encode("latin-1"), r"byte 0xe9 at position 21 \(line 1\) is not utf-8"),
        (b"a\nb\x80", r"byte 0x80 at position 3 \(line 2\)"),
        (b"", "an empty file"),
        (b" \r\n\t", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
         "Git-LFS pointer.*git lfs pull"),
        (b"/annex/objects/SHA256E-s9--0\n", "git annex get"),
        (b"\n<!DOCTYPE html>\n<html></html>", "a web page"),
        (b"PK\x03\x04\x14\0\0\0", "of a zip archive"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"a\0b\x01\x02\x03", r"a binary file \(byte 0x00 at position 1\)"),
    ],
)  # fmt: skip
def test_other_contents_are_named_in_one_line(tmp_path, data, says):
    path = tmp_path / "a.bddl"
    path.write_bytes(data)
    with pytest.raises(TextFileError, match=says) as caught:
        read_text(path)
    assert "\n" not in str(caught.value)


def test_folders_and_absent_files_are_named(tmp_path):
    with pytest.raises(TextFileError, match="a folder: name the file in it"):
        read_text(tmp_path)
    with pytest.raises(TextFileError, match="no such file"):
        read_text(tmp_path / "a.bddl")
