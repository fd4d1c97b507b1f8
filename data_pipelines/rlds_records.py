"""The records of an RLDS dataset by number, their pictures left encoded.

TensorFlow Datasets, imported on first use, describes the files and parses a record;
TensorFlow never is imported.
"""

import contextlib
import io
import logging
import os
from pathlib import Path
from typing import Any, Iterator, Mapping

from data_pipelines import tfrecord
from data_pipelines.encoded_cache import ENCODED
from data_pipelines.errors import first_line
from data_pipelines.rlds_builder import FEATURES_FILE, FORMATS, INFO_FILE, SPLIT
from omnivla_jax.core import file_kinds


class RecordFile:
    """One file of records, in either format."""

    def __init__(self, path: Path, file_format: str) -> None:
        """Open `path`; ValueError with one line where its records cannot be counted."""
        self.path, self._spans, self._reader = path, [], None
        if file_format == "tfrecord":
            self._spans = tfrecord.index(path)
            return
        from array_record.python import array_record_module

        try:
            self._reader = array_record_module.ArrayRecordReader(str(path))
            if not self._reader.ok():
                self._reader.close()  # raises the reason
        except Exception as error:  # of any kind, from its C++
            text = f"{path} is no ArrayRecord file, or a damaged one: get it again."
            raise ValueError(file_kinds.describe(path, text)) from error

    def __len__(self) -> int:
        return self._reader.num_records() if self._reader else len(self._spans)

    def __getitem__(self, number: int) -> bytes:
        if self._reader is None:
            return tfrecord.read_at(self.path, number, *self._spans[number])
        try:
            return self._reader.read([number])[0]
        except Exception as error:  # of any kind, from its C++
            raise ValueError(
                f"{self.path}, record {number} cannot be read ({first_line(error)}): "
                "the file is damaged, get it again."
            ) from error


class Records:
    """The parsed records of a version folder; the last ones used stay in memory."""

    def __init__(self, folder: Path) -> None:
        """Open the files of `folder`; raises as `open_files`."""
        from tensorflow_datasets.core import example_parser

        self.features, files = open_files(folder)
        self.places = [(file, n) for file in files for n in range(len(file))]
        parser = example_parser.ExampleParserNp(self.features.get_serialized_info())
        self._parse = parser.parse_example

    def where(self, number: int) -> str:
        """The file and the record's number in it, to name in errors."""
        file, local = self.places[number]
        return f"{file.path}, record {local}"

    def load(self, number: int) -> Mapping[str, Any]:
        """A record as nested arrays [T, ...]; pictures are bytes."""

        def parsed() -> tuple[Mapping[str, Any], int]:
            file, local = self.places[number]
            raw = file[local]
            with named_damage(self.where(number)):
                return self._parse(raw), len(raw)

        return ENCODED.get((self, number), parsed)


def open_files(folder: Path) -> tuple[Any, list[RecordFile]]:
    """Open a version folder.

    Returns:
      The features as tfds describes them, and the open files of the split in order.

    Raises:
      ValueError: one line with the file that is missing, damaged or of another layout.
    """
    info = _dataset_info(folder)
    split, file_format = info.splits[SPLIT], info.file_format.value
    with named_damage(str(folder / INFO_FILE)):
        paths = [Path(path) for path in split.filepaths]
    missing = [path for path in paths if not path.exists()]
    if missing or not paths:
        problem = f"{missing[0]} is missing" if missing else "it lists no files"
        raise ValueError(
            f"{folder} is not complete: {problem} ({len(missing)} of {len(paths)} "
            "files are not there): get them again."
        )
    files = [RecordFile(path, file_format) for path in paths]
    for file, expected in zip(files, split.shard_lengths, strict=True):
        if len(file) != expected:
            raise ValueError(
                f"{file.path} holds {len(file)} records where {INFO_FILE} gives "
                f"{expected}: the files are not of one dataset or not complete, get "
                "them again."
            )
    return info.features, files


def count(folder: Path) -> int:
    """How many records the files hold; reads none, and raises as `open_files`."""
    return sum(map(len, open_files(folder)[1]))


@contextlib.contextmanager
def named_damage(where: str) -> Iterator[None]:
    """Turn any error of decoding into a ValueError of one line about `where`."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # tfds, protobuf and Pillow raise many kinds
        raise ValueError(
            f"{where} does not hold what {FEATURES_FILE} says "
            f"({first_line(error).rstrip('.')}): get the files again."
        ) from error


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Silence what tfds prints and logs; errors still raise."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)


def _dataset_info(folder: Path) -> Any:
    """The tfds.core.DatasetInfo of a folder whose files can be read here."""
    for name in (INFO_FILE, FEATURES_FILE):
        if file_kinds.identify(folder / name) is not file_kinds.JSON:
            raise ValueError(f"{file_kinds.describe(folder / name)}")
    try:
        with quiet_tfds():
            import tensorflow_datasets as tfds

            info = tfds.builder_from_directory(str(folder)).info
            splits, file_format = list(info.splits), info.file_format.value
    except Exception as error:  # tfds raises many kinds
        raise ValueError(
            f"{folder / INFO_FILE} or {FEATURES_FILE} beside it cannot be read "
            f"({first_line(error)}): get them again."
        ) from error
    if SPLIT not in splits:
        raise ValueError(
            f"{folder / INFO_FILE} names no split {SPLIT!r}, only "
            f"{', '.join(splits) or 'none'}."
        )
    if file_format not in FORMATS:
        raise ValueError(
            f"{folder} is stored as {file_format}: convert it to one of "
            f"{', '.join(FORMATS)} (`tfds convert_format`)."
        )
    return info
