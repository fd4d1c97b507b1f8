"""Files in the layouts of others, written from our parameters in plain NumPy.

Every line undoes by hand what a table of the loader describes, so that a mistake has to
be made twice to go unseen.
"""

import json
from typing import Any

import jax
import numpy as np

from omnivla_jax.policy import parameters
from tests.helpers.pretrained.tiny import CONFIG


def random_params(config):
    """NumPy values in the shapes of `config`; positions alike in every view."""
    like, rng = parameters.shapes(config), np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), like)
    positions = params["reasoning"]["encoder"]["pos_embedding"]
    positions[:] = positions[0]
    return params


def paligemma(params, vision=CONFIG.vision) -> dict[str, np.ndarray]:
    """big_vision's names and axes for the reasoning expert."""
    own = params["reasoning"]
    arrays = _siglip(own["encoder"], vision) | _decoder(own, "") | _scales(own, "")
    words = own["embedder"]["input_embedding"]
    return arrays | {"llm/embedder/input_embedding": words}


def pi0(params, vision=CONFIG.vision) -> dict[str, np.ndarray]:
    """openpi's names; a velocity that points the other way."""
    own = params["action"]
    ends = _dense(own["input"], "state_proj", "action_in_proj")
    ends |= _dense(own["input"], "action_time_mlp_in", "action_time_mlp_out")
    both = _both_experts(params, vision) | _scales(own, "_1")
    return both | ends | _output(own)


def pi05(params, vision=CONFIG.vision) -> dict[str, np.ndarray]:
    """The same without a state token, the time in adaptive norms."""
    own = params["action"]
    ends = _dense(own["input"], "action_in_proj", "time_mlp_in", "time_mlp_out")
    norms = {f"llm/final_norm_1/Dense_0/{k}": v for k, v in _modulation(own, ())}
    for name in ("pre_attention_norm", "pre_ffw_norm"):
        leaves = _modulation(own, ("layers", name))
        norms |= {f"llm/layers/{name}_1/Dense_0/{k}": v for k, v in leaves}
    norms = {f"PaliGemma/{name}": array for name, array in norms.items()}
    return _both_experts(params, vision) | norms | ends | _output(own)


def write_npz(path, arrays):
    np.savez(path, **{f"params/{name}": array for name, array in arrays.items()})


def write_safetensors(path, arrays, dtype="F32"):
    """One file: the length of its header, the header, the bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "np"}}
    end = 0
    for name, array in arrays.items():
        offsets = [end, end := end + array.nbytes]
        shape = list(array.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    text = json.dumps(header).encode()
    body = b"".join(array.tobytes() for array in arrays.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def _siglip(encoder, vision) -> dict[str, np.ndarray]:
    blocks, patch = encoder["blocks"], vision.strides[0]
    arrays = {
        "embedding/kernel": encoder["stem"]["conv_0"]["kernel"].reshape(
            patch, patch, 3, -1
        ),
        "embedding/bias": encoder["stem"]["conv_0"]["bias"],
        "pos_embedding": encoder["pos_embedding"][:1],
    }
    attention = "Transformer/encoderblock/MultiHeadDotProductAttention_0"
    kernels = np.split(blocks["qkv"]["kernel"], 3, axis=-1)
    biases = np.split(blocks["qkv"]["bias"], 3, axis=-1)
    for name, kernel, bias in zip(("query", "key", "value"), kernels, biases):
        depth, width, _ = kernel.shape
        split = (depth, width, vision.heads, -1)
        arrays[f"{attention}/{name}/kernel"] = kernel.reshape(split)
        arrays[f"{attention}/{name}/bias"] = bias.reshape(depth, vision.heads, -1)
    out = blocks["out"]
    merged = (depth, vision.heads, -1, width)
    arrays[f"{attention}/out/kernel"] = out["kernel"].reshape(merged)
    arrays[f"{attention}/out/bias"] = out["bias"]
    alike = {
        "head": encoder["merge"]["head"],
        "Transformer/encoder_norm": encoder["encoder_norm"]["norm"],
        "Transformer/encoderblock/LayerNorm_0": blocks["ln_1"]["norm"],
        "Transformer/encoderblock/LayerNorm_1": blocks["ln_2"]["norm"],
        "Transformer/encoderblock/MlpBlock_0/Dense_0": blocks["mlp_in"],
        "Transformer/encoderblock/MlpBlock_0/Dense_1": blocks["mlp_out"],
    }
    for name, leaves in alike.items():
        arrays |= {f"{name}/{leaf}": array for leaf, array in leaves.items()}
    return {f"img/{name}": array for name, array in arrays.items()}


def _decoder(own, suffix) -> dict[str, np.ndarray]:
    attention, mlp = own["layers"]["attn"], own["layers"]["mlp"]
    return {
        f"llm/layers/attn/{name}{suffix}/w": array for name, array in attention.items()
    } | {f"llm/layers/mlp{suffix}/{name}": array for name, array in mlp.items()}


def _scales(own, suffix) -> dict[str, np.ndarray]:
    prefix = "PaliGemma/" if suffix else ""
    arrays = {f"llm/final_norm{suffix}/scale": own["final_norm"]["scale"]}
    for name in ("pre_attention_norm", "pre_ffw_norm"):
        arrays[f"llm/layers/{name}{suffix}/scale"] = own["layers"][name]["scale"]
    return {prefix + name: array for name, array in arrays.items()}


def _modulation(own, path):
    for key in path or ("final_norm",):
        own = own[key]
    return own["modulation"].items()


def _both_experts(params, vision) -> dict[str, np.ndarray]:
    arrays = paligemma(params, vision) | _decoder(params["action"], "_1")
    return {f"PaliGemma/{name}": array for name, array in arrays.items()}


def _dense(tree, *names) -> dict[str, np.ndarray]:
    return {f"{n}/{leaf}": tree[n][leaf] for n in names for leaf in ("kernel", "bias")}


def _output(own) -> dict[str, np.ndarray]:
    arrays = _dense(own["output"], "action_out_proj")
    return {name: -array for name, array in arrays.items()}
