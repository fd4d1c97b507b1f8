"""The features that a dataset must have to be read."""

from pathlib import Path
from types import MappingProxyType
from typing import Any, Mapping, TypeAlias

import numpy as np

from data_pipelines.rlds_builder import FEATURES_FILE

Shape: TypeAlias = tuple[int | None, ...]  # None: any size; of a text it is ()
PICTURE: Shape = (None, None, 3)
MODIFIED_LIBERO: dict[str, Shape] = {  # by name below `steps`
    "observation/image": PICTURE,
    "observation/wrist_image": PICTURE,
    "observation/state": (8,),
    "action": (7,),
    "language_instruction": (),
}
JOINT_STATE: dict[str, Shape] = {"observation/joint_state": (7,)}  # some lack it


def check(
    tree: Any,
    folder: Path,
    required: Mapping[str, Shape],
    optional: Mapping[str, Shape] = MappingProxyType({}),
    *,
    layout: str,
) -> None:
    """Refuse features that are no demonstrations in a layout.

    Args:
      tree: of tfds, as features.json in `folder` describes it.
      required: shapes of the features that must be there, by name below `steps`.
      optional: of those that may be.
      layout: the reader's name, for the messages.

    Raises:
      ValueError: a feature is missing or of another shape; one line names it.
    """
    file = folder / FEATURES_FILE
    inner = getattr(_child(tree, "steps"), "feature", None)
    if not _level(inner):
        raise ValueError(
            f"{file} has no `steps`, so that it is no RLDS dataset; there are "
            f"{_names(tree)}."
        )
    for name, shape in {**required, **optional}.items():
        feature = _child(inner, name)
        if feature is None and name in optional:
            continue
        if feature is None:
            raise ValueError(
                f"{file} has no steps/{name}, which {layout} asks for; there are "
                f"{_names(inner)}."
            )
        fits = len(feature.shape) == len(shape) and all(
            size in (None, expected) or expected is None
            for size, expected in zip(feature.shape, shape)
        )
        if not fits:
            raise ValueError(
                f"{file} gives steps/{name} the shape {feature.shape}; {layout} has "
                f"{shape}."
            )
        kind = np.dtype(feature.np_dtype).kind
        kinds = "OSU" if not shape else "u" if len(shape) == 3 else "f"
        if kind not in kinds:
            raise ValueError(
                f"{file} gives steps/{name} the type {np.dtype(feature.np_dtype)}; "
                f"{layout} has uint8 pictures, floating-point numbers and text."
            )


def _child(tree: Any, name: str) -> Any:
    """The feature below `tree`; None where there is none."""
    for part in filter(None, name.split("/")):
        level = _level(tree)
        if part not in level:
            return None
        tree = level[part]
    return tree


def _names(tree: Any) -> str:
    """The names below a level of features, to list in an error."""
    listed = []
    for name, feature in _level(tree).items():
        inner = _level(feature)
        listed += [f"{name}/{other}" for other in inner] if inner else [name]
    return ", ".join(sorted(listed)) or "none"


def _level(tree: Any) -> Mapping[str, Any]:
    """The features of a tfds.features.FeaturesDict by name, none of any other."""
    import tensorflow_datasets as tfds

    return dict(tree.items()) if isinstance(tree, tfds.features.FeaturesDict) else {}
