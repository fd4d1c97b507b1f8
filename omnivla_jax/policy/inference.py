"""Inference from a checkpoint: pictures, state and prompt in, simulator actions out.

    policy = inference.load("runs/quickstart/checkpoints/online")
    chunk = policy.infer({"images": images, "state": state, "prompt": prompt})
    for action in chunk["actions"][: policy.spec.exec_horizon]:
        ...  # execute it, then look again

Axes: B observations (absent for a single one), V views (agent view, wrist view),
S image side, H actions of a chunk, D action dimensions.
"""

import dataclasses
import functools
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from omnivla_jax.core import checkpoint_files
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import paths, picture_size
from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.core.types import Observation, PyTree
from omnivla_jax.policy import lora, normalize, parameters, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import action_head
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.policy.tokenizers import registry

KEYS = ("images", "state", "prompt")


@dataclass(frozen=True)
class PolicySpec:
    """What inference needs beside the arrays of a checkpoint."""

    config: PolicyConfig  # with the tokenizer and the image size
    exec_horizon: int  # actions of a chunk to execute before the next observation
    ode_steps: int  # denoising steps of a chunk
    instructions: tuple[str, ...] = ()  # prompts that the policy was trained with
    # Whether pictures of another size are fitted, as openpi does for its weights.
    fit_pictures: bool = False
    cameras: tuple[str, ...] = ()  # names of the V pictures; (): LIBERO's views
    state_keys: tuple[str, ...] = ()  # whose numbers make up the state; (): LIBERO's

    def to_json(self) -> dict[str, Any]:
        """The content of a checkpoint's `policy` item."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "PolicySpec":
        """The inverse of `to_json`; raises ValueError on a field that is unknown."""
        return _from_fields(cls, content)


class Policy:
    """A policy with its parameters, compiled once per batch shape."""

    def __init__(
        self, params: PyTree, normalizer: Normalizer, spec: PolicySpec
    ) -> None:
        """Prepare a policy; nothing is compiled before the first `infer`.

        Args:
          params: of the policy, as `policy.init` returns them.
          normalizer: of states and actions.
          spec: sizes, tokenizer and denoising steps.

        Raises:
          ValueError: `params` are of another config, or there is no such tokenizer.
        """
        self.spec = spec
        self._params, self._normalizer = params, normalizer
        stored, expected = _sizes(params), _sizes(parameters.shapes(spec.config))
        for name in sorted({*stored, *expected}):
            if stored.get(name) != expected.get(name):
                raise ValueError(
                    f"The parameters do not fit the policy's config: {name} is "
                    f"{stored.get(name, 'missing')} instead of "
                    f"{expected.get(name, 'absent')}."
                )
        encode = registry.make_tokenizer(spec.config)
        self._tokenize = functools.lru_cache(1024)(
            lambda prompt: encode(prompt, spec.config.max_tokens)
        )
        self._sample = compilation.jit(
            functools.partial(
                _sample_actions, config=spec.config, steps=spec.ode_steps
            ),
            fused=True,
        )

    @property
    def num_parameters(self) -> int:
        """How many numbers were trained, or could have been."""
        return sum(leaf.size for leaf in jax.tree.leaves(self._params))

    def infer(
        self, observation: Mapping[str, Any], *, key: jax.Array | None = None
    ) -> dict[str, np.ndarray]:
        """Sample a chunk of actions, deterministic given `observation` and `key`.

        Args:
          observation: one observation, or a batch of B where every array has a leading
            axis B:
            images: uint8 [V, S, S, 3], agent view then wrist view, upright. LIBERO's
              own frames are upside down: see `core.orientation`. Any [V, rows, columns,
              3] where the policy fits pictures.
            state: float [8], raw: end effector position in m, its axis-angle in rad,
              two finger positions in m.
            prompt: the instruction; for a batch one for all, or a sequence of B.
          key: a typed key of the initial noise, or keys [B], one an observation; None
            is `jax.random.key(0)`.

        Returns:
          {"actions": float32 [H, D]} or [B, H, D] in simulator units: six OSC_POSE
          commands and the gripper (-1 open, 1 close), not clipped.

        Raises:
          ValueError: a key is missing, an array has another shape or dtype, a state is
            not finite, or a prompt has no word or too many.
        """
        inputs, batched = self.prepare(observation)
        batch = inputs.images.shape[0]
        key = jax.random.key(0) if key is None else key
        if not key.ndim:
            key = jax.random.split(key, batch) if batched else key[None]
        if key.shape != (batch,):
            raise ValueError(f"key has shape {key.shape}: give one, or ({batch},).")
        chunk = self.sample(inputs, key)
        return {"actions": chunk if batched else chunk[0]}

    def sample(self, inputs: Observation, keys: jax.Array) -> np.ndarray:
        """Sample chunks for observations that are prepared.

        Args:
          inputs: of `prepare`, B of them.
          keys: [B], of the initial noise.

        Returns:
          float32 [B, H, D], as of `infer`.
        """
        return np.asarray(self._sample(self._params, self._normalizer, inputs, keys))

    def prepare(self, observation: Mapping[str, Any]) -> tuple[Observation, bool]:
        """The observation as a batch of host arrays, and whether it was one.

        Raises what `infer` raises, without sampling.
        """
        missing = [name for name in KEYS if name not in observation]
        if missing:
            raise ValueError(
                f"The observation lacks {', '.join(missing)}: it needs "
                f"{', '.join(KEYS)}."
            )
        config = self.spec.config
        images, state = (np.asarray(observation[name]) for name in KEYS[:2])
        size, dims = config.vision.image_size, config.robot_proprio_dim
        shape = (config.views, size, size, 3)
        if self.spec.fit_pictures:
            images = _fit_pictures(images, config)
        if images.dtype != np.uint8 or images.shape[-4:] != shape or images.ndim > 5:
            raise ValueError(
                f"images is {images.dtype} {list(images.shape)}, but the policy takes "
                f"uint8 {list(shape)} or a batch of them: resize the pictures to "
                f"{size} pixels and stack {config.views} views."
            )
        batched = images.ndim == 5
        expected = (*images.shape[:-4], dims)
        if not np.issubdtype(state.dtype, np.number) or state.shape != expected:
            raise ValueError(
                f"state is {state.dtype} {list(state.shape)}, but these images need "
                f"float {list(expected)}, as in the demonstrations."
            )
        bad = np.argwhere(~np.isfinite(state)).tolist()
        if bad:
            raise ValueError(
                f"state{bad[0]} is {state[tuple(bad[0])]}: give finite numbers."
            )
        images, state = (images, state) if batched else (images[None], state[None])
        prompts = observation["prompt"]
        prompts = [prompts] * len(images) if isinstance(prompts, str) else prompts
        if not isinstance(prompts, Sequence) or len(prompts) != len(images):
            raise ValueError(
                f"prompt is {observation['prompt']!r}: give one text, or one for each "
                f"of the {len(images)} observations."
            )
        tokens, mask = zip(*map(self._tokenize, prompts))
        arrays: Any = (images, *map(np.stack, (tokens, mask)), state.astype(np.float32))
        return Observation(*arrays), batched


def load(checkpoint: Path | str, *, tokenizer: str | None = None) -> Policy:
    """Load the policy of a checkpoint that training saved, onto one device.

    Reads the items for inference only; optimizer state stays on the disk.

    Args:
      checkpoint: a checkpoint, a folder of them (the newest is read), or the folder of
        a run with one training stage.
      tokenizer: replaces the config's where its model file lies elsewhere on this
        machine.

    Raises:
      ValueError: there is no checkpoint, its files are damaged, or it was saved without
        the description of its policy, as imported weights are.
    """
    path = checkpoint_files.find(paths.parse(checkpoint))
    if (path / checkpoint_files.PARAMS).is_dir() and not (
        path / checkpoint_files.POLICY
    ).is_dir():
        raise ValueError(
            f"{path} holds parameters without the description of their policy, as "
            "imported weights do: train from them first."
        )
    content = checkpoint_files.restore_json(path, checkpoint_files.POLICY)
    spec = PolicySpec.from_json(content)
    if tokenizer is not None:
        config = dataclasses.replace(spec.config, tokenizer=tokenizer)
        spec = dataclasses.replace(spec, config=config)
    stored = checkpoint_files.shapes(path, checkpoint_files.PARAMS)
    params = checkpoint_files.restore_arrays(path, checkpoint_files.PARAMS, stored)
    normalizer = checkpoint_files.restore_arrays(
        path,
        checkpoint_files.NORMALIZER,
        normalize.identity_normalizer(
            spec.config.robot_proprio_dim, spec.config.robot_action_dim
        ),
    )
    return Policy(lora.acting_params(params), normalizer, spec)


def _sample_actions(
    params: PyTree,
    normalizer: Normalizer,
    observation: Observation,
    keys: jax.Array,
    *,
    config: PolicyConfig,
    steps: int,
) -> jax.Array:
    """Actions float32 [B, H, D] in simulator units; consumes `keys` [B]."""
    raw = jnp.asarray(observation.proprio)
    state = normalize.normalize(normalizer.state, raw)
    state = normalize.pad_dims(state, config.proprio_dim)
    observation = observation._replace(proprio=state)
    cache = policy.encode_prefix(params, observation, config=config)
    chunk = action_head(config).act(
        params, cache, state, keys, config=config, steps=steps
    )
    chunk = normalize.unpad_dims(chunk, config.robot_action_dim)
    actions = normalize.unnormalize(normalizer.action, chunk)
    actions = normalize.absolute_actions(actions, raw, config.delta_mask)
    chex.assert_shape(actions, (*keys.shape, config.horizon, config.robot_action_dim))
    return actions


def _fit_pictures(images: np.ndarray, config: PolicyConfig) -> np.ndarray:
    """Upright pictures [..., rows, columns, 3] in the policy's size.

    They are fitted as they lay in training, where an odd bar is on the other side.
    """
    size = config.vision.image_size
    whole = images.dtype == np.uint8 and images.ndim in (4, 5) and images.size
    if not whole or images.shape[-1] != 3 or images.shape[-3:-1] == (size, size):
        return images
    turned = convert_image_convention(images, config.image_convention)
    flat = turned.reshape(-1, *turned.shape[-3:])
    fitted = np.stack([picture_size.fit(picture, (size, size)) for picture in flat])
    fitted = fitted.reshape(*images.shape[:-3], size, size, 3)
    return convert_image_convention(fitted, config.image_convention)


def _from_fields(record: Any, content: Mapping[str, Any]) -> Any:
    """A dataclass from the plain values of its fields, nested ones included."""
    hints = typing.get_type_hints(record)
    unknown = sorted(set(content) - set(hints))
    if unknown:
        raise ValueError(
            f"{record.__name__} has no field {unknown[0]!r}: the checkpoint was saved "
            "by another version."
        )
    fields = {}
    for name, value in content.items():
        hint = hints[name]
        if isinstance(hint, types.UnionType):  # X | None
            hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
        if isinstance(value, Mapping) and dataclasses.is_dataclass(hint):
            value = _from_fields(hint, value)
        elif isinstance(value, (list, tuple)):
            value = tuple(value)
        fields[name] = value
    return record(**fields)


def _sizes(params: PyTree) -> dict[str, tuple[int, ...]]:
    flat = flatten_dict(params, sep="/")
    return {name: tuple(leaf.shape) for name, leaf in flat.items()}
