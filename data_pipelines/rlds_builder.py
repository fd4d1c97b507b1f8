"""The TensorFlow Datasets builder behind `rlds.write`: its features and its files.

TensorFlow Datasets is imported on first use, as it takes half a second; TensorFlow
never is.

Axes: T steps of an episode, S image side.
"""

from pathlib import Path
from typing import Any, Iterable

import numpy as np

from data_pipelines import tfrecord

INFO_FILE, FEATURES_FILE = "dataset_info.json", "features.json"
RELEASE = "1.0.0"  # of the layout, not of this project
SPLIT = "train"  # modified_libero_rlds has no other
FORMATS = ("tfrecord", "array_record")
DESCRIPTION = """Expert demonstrations on LIBERO tasks, simulated by OmniVLA-RL.

Layout and image convention of openvla/modified_libero_rlds (pictures mirrored left to
right; actions -1 open, +1 close), at the rendered resolution and without loss."""


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
    """Write (index, example) pairs as `folder`/`name`/1.0.0.

    Args:
      folder: tfds' data_dir.
      pairs: examples with `features`, counted from 0.
      name: of the dataset.
      side: of the pictures, in pixels.
      file_format: one of `FORMATS`.

    Returns:
      The folder of the files.
    """
    if file_format not in FORMATS:
        known = ", ".join(FORMATS)
        raise ValueError(f"File format {file_format!r}: choose one of {known}.")
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    builder = _builder_class(pairs, name=name, side=side)(
        data_dir=folder, file_format=tfds.core.FileFormat(file_format)
    )
    # Google's index of public datasets is of no use to one made here.
    settings = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=settings)
    return Path(builder.data_dir)


def _builder_class(pairs: Iterable[tuple[int, Any]], *, name: str, side: int) -> Any:
    """The builder class that tfds instantiates; it writes `pairs`."""
    import tensorflow_datasets as tfds

    dataset_name = name

    class TfRecordWriter(tfds.core.ExampleWriter):
        """Writes TFRecord files; the writer of tfds needs TensorFlow for them."""

        def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> None:
            tfrecord.write(Path(path), (serialized for _, serialized in examples))

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
                return TfRecordWriter(writer.file_format)
            return writer

    return Demonstrations
