"""Reads small text files as other people's tools and editors write them.

Each file that holds something else is named for what it is, in one line.
"""

import codecs
from pathlib import Path

from omnivla_jax.core import file_kinds

# Byte-order marks; the longer ones first, of which shorter ones are the beginning.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\x1a"))  # dropped
_NO_TEXT = (*file_kinds.LEFTOVERS, *file_kinds.PACKED, file_kinds.FOLDER)


class TextFileError(ValueError):
    """A file that is no readable text; the message says what it is instead."""


def read_text(path: Path) -> str:
    """The text of `path`: UTF-8, or UTF-16 and UTF-32 with or without their mark.

    Raises:
      TextFileError: saying what the file is instead, and what to do.
    """
    try:
        kind = file_kinds.identify(path)
        if kind in _NO_TEXT:
            raise TextFileError(f"{kind.name}: {kind.remedy}.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise TextFileError("no such file.") from None
    except OSError as error:
        raise TextFileError(f"cannot be read: {error.strerror or error}.") from error
    text = _decoded(data).translate(_INVISIBLE)
    if not text.strip():
        raise TextFileError(f"an empty file ({len(data)} bytes): copy it again.")
    return text


def _decoded(data: bytes) -> str:
    encoding = next((e for mark, e in _MARKS if data.startswith(mark)), "")
    encoding = encoding or _unmarked(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TextFileError(
            f"byte 0x{data[error.start]:02x} at position {error.start} (line {line}) "
            f"is not {encoding.removesuffix('-sig')}: save the file as UTF-8."
        ) from error
    if "\0" in text:
        raise TextFileError(
            f"a binary file (byte 0x00 at position {data.index(0)}), not text."
        )
    return text


def _unmarked(data: bytes) -> str:
    """UTF-16 without a mark has a zero in every other byte of English text."""
    head = data[:400]
    pairs = max(len(head) // 2, 1)
    if head[1::2].count(0) > 0.8 * pairs:
        return "utf-16-le"
    return "utf-16-be" if head[0::2].count(0) > 0.8 * pairs else "utf-8"
