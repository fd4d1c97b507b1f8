"""A debug policy behind a real socket, and requests for it."""

import asyncio
import contextlib
import threading

import jax.numpy as jnp
import numpy as np

from experiments.serving.batched_policy import BatchedPolicy
from experiments.serving.requests import RequestFormat
from experiments.serving.server import PolicyServer, ServerConfig
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import inference, normalize
from tests.helpers.debug_inputs import random_params

CONFIG = configs.preset("debug").without_spatial()
PROMPT = "open the drawer"


def make_policy():
    """A policy with random parameters, whose actions are not small."""
    units = normalize.Normalizer(
        normalize.Affine(jnp.zeros(8), jnp.ones(8)),
        normalize.Affine(jnp.linspace(0, 1, 7), jnp.full(7, 2.0)),
    )
    spec = inference.PolicySpec(CONFIG, 2, 3, instructions=(PROMPT,))
    return inference.Policy(random_params(CONFIG), units, spec)


def request(seed=0, size=224):
    """A request as openpi's LIBERO client sends it."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (2, size, size, 3), np.uint8)
    return {
        "observation/image": pictures[0],
        "observation/wrist_image": pictures[1],
        "observation/state": rng.normal(size=8),
        "prompt": PROMPT,
    }


@contextlib.contextmanager
def running(batched: BatchedPolicy, **limits):
    """Serve in a thread until the block ends; yields the address."""
    request_format = RequestFormat(image_size=CONFIG.vision.image_size)
    server = PolicyServer(batched, request_format, ServerConfig(port=0, **limits))
    loop, stop, listening = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    ports: list[int] = []

    def started(port):
        ports.append(port)
        listening.set()

    def run():
        try:
            loop.run_until_complete(server.serve(stop, started))
        finally:
            listening.set()
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert listening.wait(60) and ports
        yield f"ws://127.0.0.1:{ports[0]}"
    finally:
        with contextlib.suppress(RuntimeError):  # it has stopped already
            loop.call_soon_threadsafe(stop.set)
        thread.join(30)
    assert not thread.is_alive()
