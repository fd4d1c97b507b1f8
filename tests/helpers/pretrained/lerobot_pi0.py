"""What LeRobot's pi0 and pi0.5 compute in the case of `pi0_case.py`, as a fixture.

    python -m tests.helpers.pretrained.lerobot_pi0 OUT.npz

runs LeRobot's own classes, built as theirs are but for the sizes, in an interpreter
with `pip install lerobot[pi]` (0.6.1, Python 3.12); `fixtures/lerobot_pi0.npz` was made
so.
Keys are "MODEL/velocity" float32 [R, B, H, D], "MODEL/chunk" float32 [B, H, D] and
"MODEL/shapes", JSON of every array's shape by its name in a file.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.helpers.pretrained import pi0_case

FIXTURE = Path(__file__).parent / "fixtures" / "lerobot_pi0.npz"


def read_weights(model: str) -> dict[str, np.ndarray]:
    """The arrays of the fixture's model, by their names in a file."""
    with np.load(FIXTURE) as file:
        return pi0_case.make_weights(json.loads(str(file[f"{model}/shapes"])))


def compute(model: str) -> dict[str, np.ndarray]:
    """The fixture's part of `model`, "pi0" or "pi05"; needs LeRobot."""
    import torch

    network = _build(model)
    shapes = {}
    for name, weight in network.named_parameters():
        shapes[name] = tuple(weight.shape)
        weight.data = torch.tensor(pi0_case.make_weight(name, shapes[name]))
    inputs = pi0_case.make_inputs()
    seen = _observation(inputs)
    states = {"pi0": [torch.tensor(inputs.state)], "pi05": []}[model]
    actions, noise = torch.tensor(inputs.actions), torch.tensor(inputs.noise)
    velocities: list[np.ndarray] = []
    keep = network.action_out_proj.register_forward_hook(
        lambda module, args, output: velocities.append(output.numpy())
    )
    with torch.no_grad():
        for time in torch.tensor(inputs.times):
            network.forward(*seen, *states, actions, noise, time)
        keep.remove()
        chunk = network.sample_actions(
            *seen, *states, noise=noise, num_steps=pi0_case.STEPS
        )
    return {
        f"{model}/velocity": np.stack(velocities),
        f"{model}/chunk": chunk.numpy(),
        f"{model}/shapes": np.array(json.dumps(shapes)),
    }


def _build(model: str) -> Any:
    """Their network, in evaluation mode."""
    module = importlib.import_module(f"lerobot.policies.{model}.modeling_{model}")
    package = importlib.import_module(f"lerobot.policies.{model}.configuration_{model}")
    config = getattr(package, f"{model.upper()}Config")(
        device="cpu",
        dtype="float32",
        chunk_size=pi0_case.HORIZON,
        n_action_steps=pi0_case.HORIZON,
        image_resolution=(pi0_case.IMAGE_SIZE,) * 2,
        tokenizer_max_length=pi0_case.MAX_TOKENS,
    )
    whole, expert = (
        module.PaliGemmaForConditionalGenerationWithPiGemma,
        module.PiGemmaForCausalLM,
    )

    def small_whole(config: Any) -> Any:
        for name, size in pi0_case.VISION.items():
            setattr(config.vision_config, name, size)
        config.vision_config.projection_dim = pi0_case.REASONING["width"]
        config.projection_dim = pi0_case.REASONING["width"]
        config.text_config.vocab_size = pi0_case.VOCAB
        return whole(config=config)

    def small_expert(config: Any) -> Any:
        config.vocab_size = pi0_case.VOCAB
        return expert(config=config)

    sizes = {
        config.paligemma_variant: pi0_case.REASONING,
        config.action_expert_variant: pi0_case.ACTION,
    }
    with mock.patch.multiple(
        module,
        get_gemma_config=lambda name: module.GemmaConfig(
            **pi0_case.GEMMA, **sizes[name]
        ),
        PaliGemmaForConditionalGenerationWithPiGemma=small_whole,
        PiGemmaForCausalLM=small_expert,
    ):
        return getattr(module, f"{model.upper()}Pytorch")(config).eval()


def _observation(inputs: pi0_case.Inputs) -> tuple[Any, ...]:
    """Pictures of three cameras, which of them exist, words, which of them exist."""
    import torch

    pictures = torch.tensor(inputs.images / 127.5 - 1, dtype=torch.float32)
    cameras = [
        *pictures.permute(1, 0, 4, 2, 3),
        -torch.ones_like(pictures[:, 0]).permute(0, 3, 1, 2),
    ]
    there = torch.ones(len(inputs.images), dtype=torch.bool)
    tokens, mask = torch.tensor(inputs.tokens).long(), torch.tensor(inputs.token_mask)
    return cameras, [there, there, ~there], tokens, mask


def main() -> None:
    """Write the fixture."""
    arrays: dict[str, Any] = {}
    for name in pi0_case.NAMES:
        arrays |= compute(name)
    np.savez_compressed(sys.argv[1], **arrays)


if __name__ == "__main__":
    main()
