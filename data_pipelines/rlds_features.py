"""The features that a dataset must have to be read."""

from pathlib import Path
from typing import Any, Mapping

import numpy as np

from data_pipelines.rlds_builder import FEATURES_FILE

STEP = {  # name below `steps`, shape; None: any size, or a text
    "observation/image": (None, None, 3),
    "observation/wrist_image": (None, None, 3),
    "observation/state": (8,),
    "action": (7,),
    "language_instruction": (),
}
OPTIONAL = {"observation/joint_state": (7,)}


def check(tree: Any, folder: Path) -> None:
    """Refuse features that are no demonstrations in the layout of modified_libero_rlds.

    Args:
      tree: of tfds, as features.json in `folder` describes it.

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
    for name, shape in {**STEP, **OPTIONAL}.items():
        feature = _child(inner, name)
        if feature is None and name in OPTIONAL:
            continue
        if feature is None:
            raise ValueError(
                f"{file} has no steps/{name}, which modified_libero_rlds has; there "
                f"are {_names(inner)}."
            )
        fits = len(feature.shape) == len(shape) and all(
            size in (None, expected) or expected is None
            for size, expected in zip(feature.shape, shape)
        )
        if not fits:
            raise ValueError(
                f"{file} gives steps/{name} the shape {feature.shape}; "
                f"modified_libero_rlds has {shape}."
            )
        kind = np.dtype(feature.np_dtype).kind
        kinds = "OSU" if not shape else "u" if len(shape) == 3 else "f"
        if kind not in kinds:
            raise ValueError(
                f"{file} gives steps/{name} the type {np.dtype(feature.np_dtype)}; "
                "modified_libero_rlds has uint8 pictures, float32 numbers and text."
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
