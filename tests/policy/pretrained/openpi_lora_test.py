"""Adapters merged into weights compute what openpi's einsums compute apart."""

import numpy as np
import pytest

from omnivla_jax.policy.pretrained import openpi_lora
from omnivla_jax.policy.pretrained.readers import ArrayReader

LAYERS, HEADS, WIDTH, CHANNELS, HIDDEN, RANK = 2, 3, 6, 4, 5, 2
ATTENTION, MLP = "llm/layers/attn", "llm/layers/mlp_1"
# Of a weight: its shape, and openpi's three contractions, of W, a and b.
WEIGHTS = {
    f"{ATTENTION}/q_einsum/w": (
        (HEADS, WIDTH, CHANNELS),
        ("btd,ndh->btnh", "btd,ndr->btnr", "btnr,nrh->btnh"),
    ),
    f"{ATTENTION}/kv_einsum_1/w": (
        (2, 1, WIDTH, CHANNELS),
        ("bsd,ckdh->cbskh", "bsd,ckdr->cbskr", "cbskr,ckrh->cbskh"),
    ),
    f"{ATTENTION}/attn_vec_einsum/w": (
        (HEADS, CHANNELS, WIDTH),
        ("btnh,nhd->btd", "btnh,nhr->btr", "btr,nrd->btd"),
    ),
    f"{MLP}/gating_einsum": (
        (2, WIDTH, HIDDEN),
        ("btd,gdf->gbtf", "btd,gdr->gbtr", "gbtr,grf->gbtf"),
    ),
    f"{MLP}/linear": ((HIDDEN, WIDTH), ("btf,fd->btd", "btf,fr->btr", "btr,rd->btd")),
}


def adapter_names(weight: str) -> list[str]:
    stem = weight.removesuffix("w") if weight.endswith("/w") else f"{weight}_"
    return [f"{stem}lora_a", f"{stem}lora_b"]


def random_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {"img/head/bias": rng.normal(size=3)}
    for name, (shape, _) in WEIGHTS.items():
        a, b = adapter_names(name)
        arrays[name] = rng.normal(size=(LAYERS, *shape))
        arrays[a] = rng.normal(size=(LAYERS, *shape[:-1], RANK))
        arrays[b] = rng.normal(size=(LAYERS, *shape[:-2], RANK, shape[-1]))
    return arrays


def reader_of(arrays) -> ArrayReader:
    shapes = {name: array.shape for name, array in arrays.items()}
    return ArrayReader(shapes, lambda name: arrays[name])


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_merged_weight_does_what_both_did(name):
    arrays = random_arrays()
    merged = openpi_lora.merge(reader_of(arrays)).read(name)
    _, (whole, down, up) = WEIGHTS[name]
    a, b = (arrays[n] for n in adapter_names(name))
    letters = whole.split(",", maxsplit=1)[0]
    sizes = dict(zip("btsdnhf", (2, 3, 3, WIDTH, HEADS, CHANNELS, HIDDEN)))
    x = np.random.default_rng(1).normal(size=[sizes[letter] for letter in letters])
    for layer in range(LAYERS):
        low = np.einsum(up, np.einsum(down, x, a[layer]), b[layer])
        expected = np.einsum(whole, x, arrays[name][layer]) + low
        actual = np.einsum(whole, x, merged[layer])
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_adapters_are_no_names_of_the_result():
    arrays = random_arrays()
    merged = openpi_lora.merge(reader_of(arrays))
    assert set(merged.shapes) == {*WEIGHTS, "img/head/bias"}
    assert merged.read("img/head/bias") is arrays["img/head/bias"]


def test_a_tree_without_adapters_stays_itself():
    reader = reader_of({"llm/final_norm/scale": np.zeros(3)})
    assert openpi_lora.merge(reader) is reader


@pytest.mark.parametrize("change", ["absent", "shorter"])
def test_half_an_adapter_is_refused(change):
    arrays, name = random_arrays(), f"{MLP}/linear"
    b = adapter_names(name)[1]
    arrays[b] = arrays[b][:, :1]
    if change == "absent":
        del arrays[b]
    with pytest.raises(ValueError, match=f"{name}_lora_a .* does not fit") as error:
        openpi_lora.merge(reader_of(arrays))
    assert "\n" not in str(error.value)
