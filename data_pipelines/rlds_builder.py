"""The TensorFlow Datasets builder behind `rlds`: features, writing, random access.

TensorFlow Datasets is imported on first use, as it takes half a second.

Axes: T steps of an episode, S image side.
"""

from pathlib import Path
from typing import Any, Iterable, Iterator

import numpy as np

INFO_FILE = "dataset_info.json"
RELEASE = "1.0.0"  # of the layout, not of this project
SPLIT = "train"  # modified_libero_rlds has no other
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
    folder: Path, pairs: Iterable[tuple[int, Any]], *, name: str, side: int
) -> Path:
    """Write (index, example) pairs under `folder`; returns the finished dataset."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    builder = _builder_class(pairs, name=name, side=side)(
        data_dir=folder, file_format=tfds.core.FileFormat.ARRAY_RECORD
    )
    # Google's index of public datasets is of no use to one made here.
    settings = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=settings)
    return Path(builder.data_dir)


def examples(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield every decoded example of a dataset, in the order it was written."""
    yield from _source(directory)


def count(directory: Path) -> int:
    """How many examples the files hold; raises where they cannot be opened."""
    return len(_source(directory))


def _source(directory: Path) -> Any:
    """Random access to the examples of a dataset, without TensorFlow."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(directory))
    return builder.as_data_source(SPLIT)


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

    return Demonstrations
