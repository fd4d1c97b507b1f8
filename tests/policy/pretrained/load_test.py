"""Tests of loading: round trips through files, partial sources, one error for all."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import traverse_util
from jax.sharding import PartitionSpec

from omnivla_jax.core import sharding
from omnivla_jax.models.layers import posemb_sincos
from omnivla_jax.policy import parameters
from omnivla_jax.policy.pretrained import openpi
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import MismatchError, load
from tests.helpers import unoptimized
from tests.helpers.pretrained import fakes
from tests.helpers.pretrained.tiny import CONFIG

PI0, PI05 = openpi.pi0_config(CONFIG), openpi.pi05_config(CONFIG)
TIME_KERNELS = {
    "pi0": "action/input/action_time_mlp_in/kernel",
    "pi05": "action/input/time_mlp_in/kernel",
}


def loaded(name, path, config=CONFIG, **axes):
    mesh = sharding.make_mesh(**axes)
    key, files = jax.random.key(0), [(get_format(name), path)]
    return load(key, files, config=config, mesh=mesh)


def flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


@pytest.fixture
def npz(tmp_path):
    """Arrays of a complete PaliGemma, the file to write them to, the parameters."""
    params = fakes.random_params(CONFIG)
    return fakes.paligemma(params), tmp_path / "pt.npz", params


def test_npz_fills_the_reasoning_expert(npz):
    arrays, path, params = npz
    fakes.write_npz(path, arrays)
    result = loaded("paligemma-npz", path)
    chex.assert_trees_all_equal(result.params["reasoning"], params["reasoning"])
    fresh = unoptimized.jit(
        lambda: parameters.init(jax.random.key(0), CONFIG)["action"]
    )()
    chex.assert_trees_all_equal(result.params["action"], fresh)
    assert {name.split("/")[0] for name in result.missing_initialized} == {"action"}
    assert len(result.missing_initialized) == len(jax.tree.leaves(params["action"]))


@pytest.mark.parametrize(
    "name, config, write",
    [("pi0", PI0, fakes.pi0), ("pi05", PI05, fakes.pi05)],
)
@pytest.mark.parametrize("with_values", [False, True])
def test_openpi_trees(tmp_path, name, config, write, with_values):
    params = fakes.random_params(config)
    arrays = write(params)
    if with_values:  # as openpi saves during training
        arrays = {f"{key}/value": array for key, array in arrays.items()}
    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = {"params": traverse_util.unflatten_dict(arrays, sep="/")}
        checkpointer.save(tmp_path / "params", tree)
    ours, result = flat(params), loaded(name, tmp_path, config)
    found, kernel = flat(result.params), TIME_KERNELS[name]
    width = config.mot.experts["action"].width
    ours[kernel] = openpi.reflect_time(ours[kernel], width)
    chex.assert_trees_all_equal(found, ours)
    assert not result.missing_initialized


def test_adapters_of_a_fine_tuned_tree_are_merged(tmp_path):
    """A rank of one on every kind of weight, under the names of openpi's tree."""
    params = fakes.random_params(PI0)
    arrays, path = fakes.pi0(params), "PaliGemma/llm/layers"
    adapted = {f"{path}/attn/q_einsum_1/w": "/", f"{path}/mlp/linear": "_"}
    for name, mark in adapted.items():
        stem = name.removesuffix("/w")
        *stacked, fan_in, fan_out = arrays[name].shape
        arrays[f"{stem}{mark}lora_a"] = np.ones((*stacked, fan_in, 1), np.float32)
        arrays[f"{stem}{mark}lora_b"] = np.full((*stacked, 1, fan_out), 2, np.float32)
    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = {"params": traverse_util.unflatten_dict(arrays, sep="/")}
        checkpointer.save(tmp_path / "params", tree)
    result = loaded("pi0", tmp_path, PI0).params
    for expert, *rest in (
        ("action", "layers", "attn", "q_einsum"),
        ("reasoning", "layers", "mlp", "linear"),
    ):
        ours, before = result[expert], params[expert]
        for key in rest:
            ours, before = ours[key], before[key]
        np.testing.assert_allclose(ours, before + 2, atol=1e-5)


def test_reflected_weights_take_tau_for_t():
    rest, width, tau = 3, 16, jnp.linspace(0, 1, 9)
    kernel = np.random.default_rng(0).normal(size=(rest + width, 5))
    turned = openpi.reflect_time(kernel, width)
    np.testing.assert_array_equal(turned[:rest], kernel[:rest])
    np.testing.assert_allclose(
        posemb_sincos(tau, width) @ turned[rest:],
        posemb_sincos(1 - tau, width) @ kernel[rest:],
        atol=2e-3,  # angles reach 1571, where float32 resolves 1e-4
    )


def test_every_wrong_name_is_in_one_error(npz):
    arrays, path, _ = npz
    missing = ["img/head/bias", "llm/layers/attn/q_einsum/w"]
    for name in missing:
        del arrays[name]
    arrays["llm/novel"] = np.zeros((2, 3))
    arrays["llm/final_norm/scale"] = np.zeros(25)
    arrays["img/embedding/kernel"] = np.zeros((4, 4, 18))
    fakes.write_npz(path, arrays)
    with pytest.raises(MismatchError) as caught:
        loaded("paligemma-npz", path)
    text = str(caught.value)
    counts = "2 missing name, 1 surplus name, 2 mis-shaped array"
    assert counts in caught.value.summary and str(path) in caught.value.summary
    assert all(f"missing name: {name}\n" in text for name in missing)
    assert "surplus name: llm/novel (2, 3)\n" in text
    norm = "llm/final_norm/scale (25,) makes (25,), but reasoning/final_norm/scale is"
    assert f"mis-shaped array: {norm} (24,)" in text
    assert "mis-shaped array: img/embedding/kernel (4, 4, 18) makes no array" in text
    assert len(text.splitlines()) == 6


def siglip_arrays():
    """Zeros in Hugging Face's names and shapes: three layers, width 18, MLP 20."""
    shapes = {
        "embeddings.patch_embedding.weight": (18, 3, 4, 4),
        "embeddings.patch_embedding.bias": (18,),
        "embeddings.position_embedding.weight": (9, 18),
        "post_layernorm.weight": (18,),
        "post_layernorm.bias": (18,),
    }
    linears = {f"self_attn.{name}_proj": (18, 18) for name in ("q", "k", "v", "out")}
    linears |= {"mlp.fc1": (20, 18), "mlp.fc2": (18, 20)}
    norms = {"layer_norm1": (18,), "layer_norm2": (18,)}
    for layer in range(3):
        for name, shape in (linears | norms).items():
            shapes[f"encoder.layers.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layers.{layer}.{name}.bias"] = shape[:1]
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def test_each_layer_is_judged_alone(tmp_path):
    arrays, path = siglip_arrays(), tmp_path / "model.safetensors"
    blocks, layer = "reasoning/encoder/blocks", "encoder.layers"
    del arrays[f"{layer}.0.mlp.fc1.weight"], arrays[f"{layer}.1.self_attn.q_proj.bias"]
    wrong = {
        f"{layer}.1.self_attn.k_proj.bias": (19,),
        f"{layer}.2.mlp.fc1.weight": (20, 17),
        f"{layer}.2.mlp.fc2.weight": (18, 20, 1),
    }
    arrays |= {name: np.zeros(shape, np.float32) for name, shape in wrong.items()}
    fakes.write_safetensors(path, arrays)
    with pytest.raises(MismatchError) as caught:
        loaded("hf-siglip", path)
    assert str(caught.value).splitlines() == [
        f"{path} does not fit the policy: 2 missing name, 3 mis-shaped array.",
        f"  missing name: {layer}.0.mlp.fc1.weight",
        f"  missing name: {layer}.1.self_attn.q_proj.bias",
        f"  mis-shaped array: {layer}.2.mlp.fc1.weight (20, 17) makes (3, 17, 20), "
        f"but {blocks}/mlp_in/kernel is (3, 18, 20)",
        f"  mis-shaped array: {layer}.2.mlp.fc2.weight (18, 20, 1) makes no array, "
        f"but {blocks}/mlp_out/kernel is (3, 20, 18)",
        f"  mis-shaped array: {layer}.1.self_attn.k_proj.bias (19,) makes (3, 57), "
        f"but {blocks}/qkv/bias is (3, 54)",
    ]


def test_misfits_of_all_files_share_one_error(npz, tmp_path):
    first, path, _ = npz
    second, other = siglip_arrays(), tmp_path / "model.safetensors"
    del first["img/head/bias"], second["post_layernorm.bias"]
    fakes.write_npz(path, first)
    fakes.write_safetensors(other, second)
    files = [(get_format("paligemma-npz"), path), (get_format("hf-siglip"), other)]
    with pytest.raises(MismatchError) as caught:
        load(jax.random.key(0), files, config=CONFIG, mesh=sharding.make_mesh())
    ends = [f"{p} does not fit the policy: 1 missing name." for p in (path, other)]
    assert caught.value.summary == " ".join(ends)
    assert str(caught.value).splitlines() == [
        ends[0],
        "  missing name: img/head/bias",
        ends[1],
        "  missing name: post_layernorm.bias",
    ]


def test_a_policy_of_another_make_is_told_apart(npz):
    arrays, path, _ = npz
    fakes.write_npz(path, arrays)
    stem = dataclasses.replace(CONFIG.vision, strides=(2, 2), stem_width=5)
    with pytest.raises(MismatchError) as caught:
        loaded("paligemma-npz", path, dataclasses.replace(CONFIG, vision=stem))
    text = str(caught.value)
    assert "parameter without a source: reasoning/encoder/stem/conv_1/kernel" in text


def test_arrays_are_cast_and_sharded(npz):
    arrays, path, params = npz
    half = {name: array.astype(np.float16) for name, array in arrays.items()}
    fakes.write_npz(path, half)
    result = loaded("paligemma-npz", path, fsdp=len(jax.devices()))
    table = result.params["reasoning"]["embedder"]["input_embedding"]
    assert table.dtype == jnp.float32
    assert table.sharding.spec == PartitionSpec("tensor", "fsdp")
    expected = params["reasoning"]["embedder"]["input_embedding"].astype(np.float16)
    np.testing.assert_array_equal(table, expected)
