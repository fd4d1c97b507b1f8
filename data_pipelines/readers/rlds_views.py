"""The pictures of an RLDS episode, decoded on access; the encoded ones are cached.

Axes: T steps of an episode, V camera views, S image side.
"""

import io
from typing import Sequence

import numpy as np
from PIL import Image

from data_pipelines import png
from data_pipelines.lazy_images import LazyImages
from data_pipelines.rlds_records import Records, named_damage
from omnivla_jax.core.orientation import convert_image_convention


def lazy_views(
    records: Records, number: int, cameras: Sequence[str], convention: str
) -> LazyImages:
    """The pictures [T, V, S, S, 3] of a record, upright.

    Args:
      records: of the dataset.
      number: of the episode.
      cameras: features below `steps/observation`, of one size.
      convention: how they lie on disk, of `core.orientation`.

    Raises:
      ValueError: there are none, or the first is damaged; on access, where one is.
    """
    where = records.where(number)
    encoded = records.load(number)["steps"]["observation"]
    with named_damage(where):
        if not len(encoded[cameras[0]]):
            raise ValueError("an episode without steps")
        first = io.BytesIO(encoded[cameras[0]][0])
        width, height = Image.open(first).size  # decodes the header alone
        shape = (len(encoded[cameras[0]]), len(cameras), height, width, 3)

    def decode(step: int) -> np.ndarray:
        encoded = records.load(number)["steps"]["observation"]
        with named_damage(where):
            views = [png.decode(encoded[camera][step]) for camera in cameras]
            if any(view.shape != shape[2:] for view in views):
                raise ValueError(
                    f"pictures {[view.shape for view in views]} in step {step}, "
                    f"{shape[2:]} in step 0"
                )
        return convert_image_convention(np.stack(views), convention)

    return LazyImages(decode, shape)
