"""Identifies what a file is, by its first bytes rather than its name.

Downloads go wrong in few ways: Git leaves a pointer instead of a large file, a
server sends a page instead of the file, a transfer stops early. `describe` says so in
one line.
"""

import zipfile
from pathlib import Path
from typing import NamedTuple

HEAD = 512  # bytes that are looked at
SHOWN = 40  # characters of a text that are quoted
TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # in torch files before 1.6
SAFETENSORS_HEADER = 100_000_000  # bytes; Hugging Face refuses longer headers


class FileKind(NamedTuple):
    """A kind of file, and what to do about it where another kind was expected."""

    name: str
    remedy: str


_AGAIN = "download it again"
_OTHER = "name another file, or what reads files of this kind"
MISSING = FileKind("not there", "check the path, or download it first")
FOLDER = FileKind("a folder", "name the file in it")
EMPTY = FileKind("an empty file", _AGAIN)
GIT_LFS = FileKind(
    "a Git-LFS pointer, not the file itself",
    "fetch it with `git lfs pull` in its repository, or download it",
)
GIT_ANNEX = FileKind(
    "a git-annex pointer, not the file itself",
    "fetch it with `git annex get` in its repository, or download it",
)
HTML = FileKind("a web page, not the file itself", f"{_AGAIN} by its direct link")
XML = FileKind("an XML file", _AGAIN)
JSON = FileKind("a JSON file", _OTHER)
TEXT = FileKind("a text file", _AGAIN)
NPZ = FileKind("a NumPy archive (.npz)", _OTHER)
NPY = FileKind("a single NumPy array (.npy)", _OTHER)
TORCH = FileKind(
    "a PyTorch checkpoint",
    "convert it with `safetensors.torch.save_file(torch.load(PATH, "
    "weights_only=True), OUT)`",
)
PICKLE = FileKind("a Python pickle", "convert it where you trust its source")
SAFETENSORS = FileKind("a safetensors file", _OTHER)
HDF5 = FileKind("an HDF5 file", _OTHER)
GGUF = FileKind("a GGUF file", "find the same weights as safetensors")
ZIP = FileKind("a zip archive", "unpack it and name what is in it")
CUT_ZIP = FileKind("the beginning of a zip archive without its end", _AGAIN)
GZIP = FileKind("a gzip archive", "unpack it and name what is in it")
TAR = FileKind("a tar archive", "unpack it and name what is in it")
UNKNOWN = FileKind("of an unknown kind", "get it again, it may be damaged")
# What is left of a file whose transfer went wrong, whatever it should have been.
LEFTOVERS = (EMPTY, GIT_LFS, GIT_ANNEX, HTML)
PACKED = (ZIP, CUT_ZIP, NPZ, TORCH, GZIP, TAR)


def identify(path: Path) -> FileKind:
    """The kind of what lies at `path`; reads at most its first bytes or its index."""
    if not path.exists():
        return MISSING
    if path.is_dir():
        return FOLDER
    size = path.stat().st_size
    if not size:
        return EMPTY
    with open(path, "rb") as file:
        head = file.read(HEAD)
    return _binary(path, head, size) or _text(head)


def describe(path: Path, fallback: str | None = None) -> str:
    """One line: what lies at `path`, and the remedy.

    `fallback` takes its place where the kind is not a known one, for readers of a
    format that `identify` does not know.
    """
    if fallback is not None and identify(path) in (UNKNOWN, TEXT):
        return fallback
    return f"{path} is {kind_and_remedy(path)}."


def kind_and_remedy(path: Path) -> str:
    """The same without the path, to go on with after "is no ... but"."""
    kind, quoted = identify(path), ""
    if kind is TEXT:
        with open(path, "rb") as file:
            text = file.read(HEAD).decode("utf-8-sig", "replace")
        quoted = f" ({' '.join(text.split())[:SHOWN]!r} ...)"
    return f"{kind.name}{quoted}: {kind.remedy}"


def _binary(path: Path, head: bytes, size: int) -> FileKind | None:
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    starts = {
        b"\x93NUMPY": NPY,
        b"\x89HDF\r\n\x1a\n": HDF5,
        b"GGUF": GGUF,
        b"\x1f\x8b": GZIP,
    }
    for start, kind in starts.items():
        if head.startswith(start):
            return kind
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return TORCH if TORCH_MAGIC in head[:20] else PICKLE
    if head[257:262] == b"ustar":
        return TAR
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= length <= SAFETENSORS_HEADER:
        return SAFETENSORS
    return None


def _zip(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return CUT_ZIP
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return TORCH
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    return ZIP


def _text(head: bytes) -> FileKind:
    if head.startswith(b"version https://git-lfs."):
        return GIT_LFS
    if b"/annex/objects/" in head.split(b"\n")[0]:
        return GIT_ANNEX
    text = _decoded(head)
    if text is None:
        return UNKNOWN
    text = text.lstrip().lower()
    if text.startswith(("<!doctype html", "<html", "<head")):
        return HTML
    if text.startswith("<?xml"):
        return XML
    if text.startswith(("{", "[")):
        return JSON
    return TEXT


def _decoded(head: bytes) -> str | None:
    """The text that begins so; None where it is none."""
    for cut in range(4):  # the last character may lie half behind the end
        try:
            text = head[: len(head) - cut].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        plain = all(c.isprintable() or c.isspace() for c in text)
        return text if plain else None
    return None
