"""The TensorFlow Datasets builder behind `rlds`: features, writing, reading in order.

TensorFlow Datasets is imported on first use, as it takes half a second; TensorFlow
never is.

Axes: T steps of an episode, S image side.
"""

import contextlib
from pathlib import Path
from typing import Any, Iterable, Iterator, NamedTuple

import numpy as np

from data_pipelines import tfrecord
from omnivla_jax.core import file_kinds

INFO_FILE, FEATURES_FILE = "dataset_info.json", "features.json"
RELEASE = "1.0.0"  # of the layout, not of this project
SPLIT = "train"  # modified_libero_rlds has no other
FORMATS = ("tfrecord", "array_record")
DESCRIPTION = """Expert demonstrations on LIBERO tasks, simulated by OmniVLA-RL.

Layout and image convention of openvla/modified_libero_rlds (pictures mirrored left to
right; actions -1 open, +1 close), at the rendered resolution and without loss."""


class Record(NamedTuple):
    """One decoded example, and where it lies."""

    example: dict[str, Any]
    where: str  # file and number, to name in errors


def features(side: int) -> Any:
    """The feature tree of modified_libero_rlds for pictures of `side` pixels."""
    import tensorflow_datasets as tfds

    kinds = tfds.features
    picture = kinds.Image(shape=(side, side, 3), encoding_format="png")
    observation = {
        "image": picture,
        "wrist_image": picture,
        "state": kinds.Tensor(shape=(8,), dtype=np.float32),
        "joint_state": kinds.Tensor(shape=(7,), dtype=np.float32),
    }
    step = {
        "observation": observation,
        "action": kinds.Tensor(shape=(7,), dtype=np.float32),
        "discount": kinds.Scalar(dtype=np.float32),
        "reward": kinds.Scalar(dtype=np.float32),
        "is_first": kinds.Scalar(dtype=np.bool_),
        "is_last": kinds.Scalar(dtype=np.bool_),
        "is_terminal": kinds.Scalar(dtype=np.bool_),
        "language_instruction": kinds.Text(),
    }
    metadata = {"file_path": kinds.Text(), "task_id": kinds.Scalar(dtype=np.int32)}
    return kinds.FeaturesDict(
        {"steps": kinds.Dataset(step), "episode_metadata": metadata}
    )


def build(
    folder: Path,
    pairs: Iterable[tuple[int, Any]],
    *,
    name: str,
    side: int,
    file_format: str,
) -> Path:
    """Write (index, example) pairs as `folder`/`name`/1.0.0, which is returned."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    builder = _builder_class(pairs, name=name, side=side)(
        data_dir=folder, file_format=tfds.core.FileFormat(file_format)
    )
    # Google's index of public datasets is of no use to one made here.
    settings = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=settings)
    return Path(builder.data_dir)


def examples(directory: Path) -> Iterator[Record]:
    """Yield every decoded example of a version folder, in the order of its files.

    Raises ValueError with one line that names the file, and the record where it is one.
    """
    info = _info(directory)
    for path, expected in _shards(info, directory):
        found = 0
        for number, raw in enumerate(_records(path, info.file_format.value)):
            where = f"{path}, record {number}"
            with named_damage(where):
                example = info.features.deserialize_example_np(raw)
            yield Record(example, where)
            found += 1
        _check_count(path, found, expected)


def count(directory: Path) -> int:
    """How many examples the files hold; raises as `examples` does.

    Reads no example: it is enough to tell a whole dataset from one cut short.
    """
    info, total = _info(directory), 0
    for path, expected in _shards(info, directory):
        _check_count(path, _length(path, info.file_format.value), expected)
        total += expected
    return total


def feature_tree(directory: Path) -> Any:
    """The features of a dataset as tfds describes them."""
    return _info(directory).features


@contextlib.contextmanager
def named_damage(where: str) -> Iterator[None]:
    """Tell whatever decoding fails with as one line about `where`."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # tfds, protobuf and Pillow raise whatever they meet
        raise ValueError(
            f"{where} does not hold what {FEATURES_FILE} says ({first_line(error)}): "
            "get the files again."
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type when it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _info(directory: Path) -> Any:
    """tfds' description of a dataset whose files can be read here."""
    import tensorflow_datasets as tfds

    for name in (INFO_FILE, FEATURES_FILE):
        if file_kinds.identify(directory / name) is not file_kinds.JSON:
            raise ValueError(f"{file_kinds.describe(directory / name)}")
    try:
        info = tfds.builder_from_directory(str(directory)).info
        splits, file_format = list(info.splits), info.file_format.value
    except Exception as error:  # tfds raises whatever it meets
        raise ValueError(
            f"{directory / INFO_FILE} or {FEATURES_FILE} beside it cannot be read "
            f"({first_line(error)}): get them again."
        ) from error
    if SPLIT not in splits:
        raise ValueError(
            f"{directory / INFO_FILE} names no split {SPLIT!r}, only "
            f"{', '.join(splits) or 'none'}."
        )
    if file_format not in FORMATS:
        raise ValueError(
            f"{directory} is stored as {file_format}: convert it to one of "
            f"{', '.join(FORMATS)} (`tfds convert_format`)."
        )
    return info


def _shards(info: Any, directory: Path) -> list[tuple[Path, int]]:
    """The files of the split and how many records each should have."""
    split = info.splits[SPLIT]
    paths = [Path(path) for path in split.filepaths]
    missing = [path for path in paths if not path.exists()]
    if missing or not paths:
        what = f"{missing[0]} is missing" if missing else "it lists no files"
        raise ValueError(
            f"{directory} is not complete: {what} ({len(missing)} of {len(paths)} "
            "files are not there): get them again."
        )
    return list(zip(paths, split.shard_lengths, strict=True))


def _records(path: Path, file_format: str) -> Iterator[bytes]:
    if file_format == "tfrecord":
        yield from tfrecord.read(path)
        return
    with _array_record(path) as reader:
        for number in range(reader.num_records()):
            try:
                raw = reader.read([number])[0]
            except Exception as error:  # whatever its C++ meets
                raise ValueError(
                    f"{path}, record {number} cannot be read ({first_line(error)}): "
                    "the file is damaged, get it again."
                ) from error
            yield raw


def _length(path: Path, file_format: str) -> int:
    if file_format == "tfrecord":
        return tfrecord.count(path)
    with _array_record(path) as reader:
        return reader.num_records()


@contextlib.contextmanager
def _array_record(path: Path) -> Iterator[Any]:
    """An open reader; ValueError with one line where the file is none."""
    from array_record.python import array_record_module

    try:
        reader = array_record_module.ArrayRecordReader(str(path))
        if not reader.ok():
            reader.close()  # raises the reason
    except Exception as error:  # whatever its C++ meets
        text = f"{path} is no ArrayRecord file, or a damaged one: get it again."
        raise ValueError(file_kinds.describe_or(path, text)) from error
    try:
        yield reader
    finally:
        with contextlib.suppress(Exception):
            reader.close()


def _check_count(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(
            f"{path} holds {found} records where {INFO_FILE} gives {expected}: the "
            "files are not of one dataset or not complete, get them again."
        )


def _builder_class(pairs: Iterable[tuple[int, Any]], *, name: str, side: int) -> Any:
    """The class that tfds wants to instantiate, closed over what it shall write."""
    import tensorflow_datasets as tfds

    dataset_name = name

    class Demonstrations(  # type: ignore[call-arg]  # its metaclass takes the keyword
        tfds.core.GeneratorBasedBuilder, skip_registration=True
    ):
        """Writes the examples it closes over; tfds keeps it out of its catalogue."""

        name = dataset_name
        # Where tfds would look for checksums of downloads; there are none.
        code_path = None
        pkg_dir_path = None
        VERSION = tfds.core.Version(RELEASE)

        def _info(self) -> Any:
            # Reading returns the episodes in the order in which they were written.
            return tfds.core.DatasetInfo(
                builder=self,
                features=features(side),
                description=DESCRIPTION,
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            del dl_manager
            return {SPLIT: self._generate_examples()}

        def _generate_examples(self) -> Iterable[tuple[int, Any]]:
            return pairs

        def _example_writer(self) -> Any:
            writer = super()._example_writer()
            if writer.file_format is tfds.core.FileFormat.TFRECORD:
                return _tfrecord_writer()
            return writer

    return Demonstrations


def _tfrecord_writer() -> Any:
    """What tfds hands (key, serialized example) pairs to; its own needs TensorFlow."""
    import tensorflow_datasets as tfds

    class TfRecordWriter(tfds.core.ExampleWriter):
        """Writes TFRecord files with `data_pipelines.tfrecord`."""

        def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> None:
            tfrecord.write(Path(path), (serialized for _, serialized in examples))

    return TfRecordWriter(tfds.core.FileFormat.TFRECORD)
