"""LeRobot's folders of pi0 and pi0.5: the recipe and the units that their files state.

config.json                 chunk, executed actions, prompt, kind of normalisation
policy_preprocessor.json    names the file of statistics, "FEATURE.STATISTIC"
"""

import json
from pathlib import Path
from typing import Any, Mapping

import jax.numpy as jnp
import numpy as np

from omnivla_jax.policy.normalize import Affine, Normalizer
from omnivla_jax.policy.pretrained.published_recipe import PublishedRecipe
from omnivla_jax.policy.pretrained.safetensors_reader import read_safetensors

CONFIG, PREPROCESSOR = "config.json", "policy_preprocessor.json"
NORMALIZER = "normalizer_processor"  # the step that has statistics
# LeRobot's kinds of normalisation and ours, `norm_stats.MODES`.
MODES = {"MEAN_STD": "mean_std", "QUANTILES": "quantiles"}
VIEWS = 2  # agent view and wrist view; empty cameras are masked
COUNTS = ("chunk_size", "n_action_steps", "num_inference_steps", "tokenizer_max_length")
EPSILON = 1e-8  # LeRobot's


def read_recipe(folder: Path) -> PublishedRecipe:
    """The recipe of a checkpoint for LIBERO.

    Raises:
      ValueError: `config.json` is missing or malformed, or of a policy that is not
        played here; the message names the setting.
    """
    path = folder / CONFIG
    content = _read_json(path)
    try:
        modes = {content["normalization_mapping"][k] for k in ("STATE", "ACTION")}
        cameras = [
            name
            for name, feature in content["input_features"].items()
            if feature["type"] == "VISUAL" and ".empty_camera" not in name
        ]
        settings = {
            "type": content["type"],
            "normalization_mapping": ", ".join(sorted(modes)),
            "use_relative_actions": content.get("use_relative_actions", False),
            "cameras": len(cameras),
        }
        supported: dict[str, tuple[Any, ...]] = {
            "type": ("pi0", "pi05"),
            "normalization_mapping": tuple(MODES),
            "use_relative_actions": (False,),
            "cameras": (VIEWS,),
        }
        for name, choices in supported.items():
            if settings[name] not in choices:
                listed = " or ".join(map(str, choices))
                raise ValueError(
                    f"{name} is {settings[name]}, and only {listed} is known"
                )
        for name in COUNTS:
            if type(content[name]) is not int or content[name] < 1:
                raise ValueError(f"{name} is {content[name]!r:.40}, not a count")
        if content["n_action_steps"] > content["chunk_size"]:
            raise ValueError(
                f"n_action_steps is {content['n_action_steps']}, and a chunk has "
                f"{content['chunk_size']}"
            )
        return PublishedRecipe(
            model=content["type"],
            horizon=content["chunk_size"],
            max_tokens=content["tokenizer_max_length"],
            normalization=MODES[modes.pop()],
            asset_id=None,
            exec_horizon=content["n_action_steps"],
            ode_steps=content["num_inference_steps"],
            state_in_prompt=content["type"] == "pi05",
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no policy of LeRobot's: it lacks {error}."
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be played: {error}.") from error


def find_stats(folder: Path) -> Path:
    """The file of statistics beside the weights; raises ValueError without one."""
    path = folder / PREPROCESSOR
    steps = _read_json(path).get("steps")
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, dict) and step.get("registry_name") == NORMALIZER:
            file = step.get("state_file")
            if isinstance(file, str) and file:
                return folder / file
    raise ValueError(
        f"{path} names no statistics, as of a checkpoint that is yet to be fine-tuned: "
        "name them with --norm_stats."
    )


def read_stats(
    path: Path, mode: str, *, proprio_dim: int, action_dim: int
) -> Normalizer:
    """The maps of a file of LeRobot's; arguments as of `norm_stats.read`.

    Raises:
      ValueError: the file is missing or damaged, or lacks a statistic.
    """
    reader = read_safetensors(path)
    names = ("mean", "std") if mode == "mean_std" else ("q01", "q99")
    affines = []
    for feature, size in (("observation.state", proprio_dim), ("action", action_dim)):
        arrays = []
        for name in (f"{feature}.{part}" for part in names):
            shape = reader.shapes.get(name)
            if shape is None or len(shape) != 1 or shape[0] < size:
                raise ValueError(
                    f"{path} has {name} {shape}, but {mode} needs {size} numbers: name "
                    "the file of its normalizer."
                )
            arrays.append(np.asarray(reader.read(name), np.float64)[:size])
        low, high = arrays
        if mode == "mean_std":
            offset, scale = low, high + EPSILON
        else:
            scale = np.where(high == low, EPSILON, high - low) / 2
            offset = low + scale
        affines.append(
            Affine(jnp.asarray(offset, jnp.float32), jnp.asarray(scale, jnp.float32))
        )
    return Normalizer(*affines)


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): download LeRobot's whole folder."
        ) from error
    return content if isinstance(content, dict) else {}
