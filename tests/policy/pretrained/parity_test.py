"""Our modules against transformers on its own random weights, through our loaders."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from omnivla_jax.core import sharding
from omnivla_jax.core.types import Observation
from omnivla_jax.models import masks
from omnivla_jax.policy import policy
from omnivla_jax.policy.modules import build_modules, expert_params
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import load
from tests.helpers import unoptimized
from tests.helpers.pretrained.tiny import CONFIG

TOLERANCE = 1e-4
IMAGE_TOKEN, TEXT = 49, [2, 7, 11, 30, 5, 9]
ANSWER = [8, 12, 4]  # behind the text, each word sees only what comes before it
ONE_VIEW = dataclasses.replace(CONFIG, views=1)
VISION, GEMMA = CONFIG.vision, CONFIG.mot.reasoning


def siglip_config() -> transformers.SiglipVisionConfig:
    return transformers.SiglipVisionConfig(
        hidden_size=VISION.width,
        intermediate_size=VISION.mlp_dim,
        num_hidden_layers=VISION.depth,
        num_attention_heads=VISION.heads,
        image_size=VISION.image_size,
        patch_size=VISION.strides[0],
        projection_dim=GEMMA.width,
    )


def paligemma_config() -> transformers.PaliGemmaConfig:
    vision = siglip_config()
    vision.vision_use_head = False
    return transformers.PaliGemmaConfig(
        vision_config=vision,
        text_config=transformers.GemmaConfig(
            vocab_size=CONFIG.vocab + 3,  # padded, as the published one is
            hidden_size=GEMMA.width,
            intermediate_size=GEMMA.mlp_dim,
            num_hidden_layers=GEMMA.depth,
            num_attention_heads=GEMMA.heads,
            num_key_value_heads=GEMMA.kv_heads,
            head_dim=GEMMA.head_dim,
        ),
        image_token_index=IMAGE_TOKEN,
        projection_dim=GEMMA.width,
        hidden_size=GEMMA.width,
    )


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Every weight normal: fresh ones have zero biases and norms of scale one."""
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.data = 0.2 * torch.randn(weight.shape, generator=generator)
    return model.eval()


def loaded(name: str, path: Path, config=CONFIG):
    mesh = sharding.make_mesh()
    key, files = jax.random.key(0), [(get_format(name), path)]
    return load(key, files, config=config, mesh=mesh)


def pictures() -> np.ndarray:
    """float32 [2, 12, 12, 3] in [-1, 1]."""
    size = VISION.image_size
    random = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3))
    return random.astype(np.float32)


@pytest.mark.slow
def test_siglip(tmp_path):
    theirs = randomised(transformers.SiglipVisionModel(siglip_config()))
    theirs.save_pretrained(tmp_path)
    params = loaded("hf-siglip", tmp_path).params
    encoder = dict(params["reasoning"]["encoder"])
    # Their tower ends before the head, so that ours is given one that changes nothing.
    encoder["merge"] = {"head": {"kernel": np.eye(18), "bias": np.zeros(18)}}
    tower = dataclasses.replace(build_modules(CONFIG).siglip, features=18)
    ours = unoptimized.jit(tower.apply)({"params": encoder}, pictures()[None])
    with torch.no_grad():
        seen = theirs(torch.tensor(pictures()).permute(0, 3, 1, 2)).last_hidden_state
    np.testing.assert_allclose(ours[0], seen.reshape(-1, 18), atol=TOLERANCE)
    assert seen.abs().max() > 0.5


@pytest.fixture(scope="module")
def paligemma(tmp_path_factory):
    """Their model, and our parameters made of its file."""
    folder = tmp_path_factory.mktemp("paligemma")
    theirs = randomised(
        transformers.PaliGemmaForConditionalGeneration(paligemma_config())
    )
    theirs.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1  # in parts, with an index
    return theirs, loaded("hf-paligemma", folder, ONE_VIEW).params


@pytest.fixture(scope="module")
def expected(paligemma) -> Any:
    """What theirs makes of one picture, a text and an answer, by its prefix-LM mask."""
    model, _ = paligemma
    prefix = [IMAGE_TOKEN] * VISION.tokens + TEXT
    ids = torch.tensor([prefix + ANSWER])
    with torch.no_grad():
        return model(
            input_ids=ids,
            pixel_values=torch.tensor(pictures()[:1]).permute(0, 3, 1, 2),
            attention_mask=torch.ones_like(ids),
            token_type_ids=torch.tensor([[0] * len(prefix) + [1] * len(ANSWER)]),
            position_ids=torch.arange(ids.shape[1])[None],
            use_cache=True,
        )


def test_paligemma_logits(paligemma, expected):
    _, params = paligemma
    own, parts = params["reasoning"], build_modules(ONE_VIEW)
    count = VISION.tokens + len(TEXT + ANSWER)
    # Our rule table: a prefix that sees itself, then a causal suffix.
    blocks = {"reasoning": count - len(ANSWER), "action": len(ANSWER)}
    mask = masks.block_mask(blocks, suffix_attention="causal")

    def logits(own, variables, picture):
        seen = parts.siglip.apply({"params": own["encoder"]}, picture)
        words = np.array([TEXT + ANSWER])
        spelt = parts.embedder.apply({"params": own["embedder"]}, words)
        hidden, _ = parts.mot.apply(
            variables,
            {"reasoning": jnp.concatenate([seen, spelt], axis=1)},
            positions=np.arange(count)[None],
            mask=mask[None],
        )
        return hidden["reasoning"] @ own["embedder"]["input_embedding"].T

    variables = expert_params(params, ["reasoning"])
    actual = unoptimized.jit(logits)(own, variables, pictures()[None, :1])
    theirs = expected.logits[..., : CONFIG.vocab]
    assert theirs.abs().max() > 1
    np.testing.assert_allclose(actual, theirs, atol=TOLERANCE)


def test_the_cache_holds_paligemma_keys_and_values(paligemma, expected):
    _, params = paligemma
    observation = Observation(
        images=jnp.asarray((pictures()[None, :1] + 1) * 127.5),
        tokens=jnp.array([TEXT]),
        token_mask=jnp.ones((1, len(TEXT)), bool),
        proprio=jnp.zeros((1, CONFIG.proprio_dim)),
    )
    encode = unoptimized.jit(functools.partial(policy.encode_prefix, config=ONE_VIEW))
    cache = encode(params, observation)
    for layer in range(GEMMA.depth):
        theirs = expected.past_key_values.layers[layer]
        pairs = (cache.keys, theirs.keys), (cache.values, theirs.values)
        for ours, other in pairs:
            other = other.permute(0, 2, 1, 3)[:, : -len(ANSWER)]
            np.testing.assert_allclose(ours[:, layer], other, atol=TOLERANCE)
