"""Latency and throughput of the policy server, and a soak with malformed requests.

    python -m experiments.benchmarks.serving [--preset=tiny] [--clients=1,16]
        [--requests=400] [--max_batch=16] [--max_wait_ms=5] [--soak=0]

Starts experiments.serve in a process of its own, on a checkpoint of random parameters.
Clients are threads of this process, which send pictures of 224 pixels as openpi's
LIBERO client does, each the next request when it has the reply. `--soak=10000` instead
sends so many requests, every hundredth malformed: `lost` counts what was neither
answered nor, malformed, refused. Prints one JSON object for each number of clients.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

import jax
import numpy as np
from absl import app, flags
from websockets.sync.client import ClientConnection, connect

from experiments.serving import codec
from omnivla_jax.core import precision
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import normalize, parameters
from omnivla_jax.policy.inference import PolicySpec
from omnivla_jax.train import checkpoints, sft
from omnivla_jax.train.state import OptimizerConfig

ROOT = Path(__file__).parents[2]
EXEC_HORIZON, ODE_STEPS = 5, 10
PICTURE = 224
MALFORMED_EVERY = 100
WARM_UP = 5  # requests of each client that are not counted

_PRESET = flags.DEFINE_enum("preset", "tiny", list(configs.PRESETS), "Of the policy.")
_CLIENTS = flags.DEFINE_list("clients", ["1", "16"], "How many at once.")
_REQUESTS = flags.DEFINE_integer("requests", 400, "Of all clients.", lower_bound=1)
_MAX_BATCH = flags.DEFINE_integer("max_batch", 16, "Of the server.", lower_bound=1)
_MAX_WAIT = flags.DEFINE_float("max_wait_ms", 5.0, "Of the server.", lower_bound=0)
_SOAK = flags.DEFINE_integer("soak", 0, "Requests, 1 % malformed.", lower_bound=0)


class RequestCounts:
    """What the clients of a run have seen; shared by their threads."""

    def __init__(self, requests: int) -> None:
        self.left, self.lock = requests, threading.Lock()
        self.seconds: list[float] = []
        self.answered = self.refused = self.lost = 0

    def take(self) -> int | None:
        """The number of the next request; None when all are taken."""
        with self.lock:
            self.left -= 1
            number = self.left
        return number if number >= 0 else None


def main(argv: Sequence[str]) -> None:
    """Serve, measure, print."""
    del argv
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        address, process = server
        for clients in map(int, _CLIENTS.value):
            send_requests(
                address, clients, RequestCounts(WARM_UP * clients), malformed=False
            )
            before = resident_mib(process)
            counts = RequestCounts(_SOAK.value or _REQUESTS.value)
            begin = time.perf_counter()
            send_requests(address, clients, counts, malformed=_SOAK.value > 0)
            elapsed = time.perf_counter() - begin
            row = {
                "benchmark": "serving",
                "preset": _PRESET.value,
                "max_batch": _MAX_BATCH.value,
                "max_wait_ms": _MAX_WAIT.value,
                "ode_steps": ODE_STEPS,
                "device": jax.devices()[0].device_kind,
                "dtype": precision.compute_dtype().name,
                **report(counts, elapsed),
                "resident_mib": [before, resident_mib(process)],
                "clients": clients,
            }
            print(json.dumps(row), flush=True)


def report(counts: RequestCounts, elapsed: float) -> dict[str, Any]:
    """Percentiles of the latency that clients saw, and counts."""
    p50, p99 = np.percentile(1e3 * np.asarray(counts.seconds), [50, 99])
    return {
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "chunks_per_second": round(counts.answered / elapsed, 1),
        "answered": counts.answered,
        "refused": counts.refused,
        "lost": counts.lost,
    }


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, int]]:
    """Serve random parameters from `folder`; yields the address and the process id."""
    config = configs.preset(_PRESET.value)
    shapes = parameters.shapes(config)
    rng = np.random.default_rng(0)  # drawing them in JAX compiles for longer
    params = jax.tree.map(
        lambda x: 0.02 * rng.standard_normal(x.shape, np.float32), shapes
    )
    units = normalize.identity_normalizer(
        config.robot_proprio_dim, config.robot_action_dim
    )
    training = sft.SftConfig(OptimizerConfig(1e-3), 10)
    state = sft.create(params, units, config=training, seed=0)
    spec = PolicySpec(config, EXEC_HORIZON, ODE_STEPS)
    checkpoints.save(folder, state, [], policy=spec.to_json())
    command = [sys.executable, "-m", "experiments.serve", "--port=0"]
    command += [f"--checkpoint={folder}", f"--max_batch={_MAX_BATCH.value}"]
    command += [f"--max_wait_ms={_MAX_WAIT.value}"]
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        if not line:
            raise RuntimeError((folder / "log").read_text())
        yield line[-1], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        log.close()


def send_requests(
    address: str, clients: int, counts: RequestCounts, *, malformed: bool
) -> None:
    """Send requests from so many threads until the counts has none left."""
    threads = [
        threading.Thread(target=run_client, args=(address, seed, counts, malformed))
        for seed in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_client(address: str, seed: int, counts: RequestCounts, malformed: bool) -> None:
    """One client: connects again after a refusal, as a client of openpi has to."""
    rng = np.random.default_rng(seed)
    connection = open_connection(address)
    while (number := counts.take()) is not None:
        bad = malformed and number % MALFORMED_EVERY == 0
        frame = damaged(number) if bad else codec.pack(request(rng))
        begin = time.perf_counter()
        try:
            connection.send(frame)
            reply = connection.recv(timeout=60)
        except Exception:  # whatever it was, the request was lost
            reply = None
        elapsed = time.perf_counter() - begin
        with counts.lock:
            if bad:
                counts.refused += isinstance(reply, str)
                counts.lost += not isinstance(reply, str)
            elif isinstance(reply, bytes) and "actions" in codec.unpack(reply):
                counts.answered += 1
                counts.seconds.append(elapsed)
            else:
                counts.lost += 1
        if not isinstance(reply, bytes):
            connection.close()
            connection = open_connection(address)
    connection.close()


def open_connection(address: str) -> ClientConnection:
    """Connect as openpi's client does, and read the metadata."""
    connection = connect(address, compression=None, max_size=None)
    connection.recv()
    return connection


def request(rng: np.random.Generator) -> dict[str, Any]:
    """What openpi's LIBERO client sends."""
    pictures = rng.integers(0, 256, (2, PICTURE, PICTURE, 3), np.uint8)
    return {
        "observation/image": pictures[0],
        "observation/wrist_image": pictures[1],
        "observation/state": rng.normal(size=8),
        "prompt": "put the bowl on the stove",
    }


def damaged(number: int) -> bytes | str:
    """One of several malformed requests."""
    rng = np.random.default_rng(number)
    good = request(rng)
    kinds: list[bytes | str] = [
        rng.bytes(1000),
        codec.pack(good)[:-100],
        codec.pack({**good, "observation/state": np.full(8, np.nan)}),
        codec.pack({**good, "observation/image": np.zeros((5, 5), np.uint8)}),
        codec.pack({"prompt": "nothing else"}),
        "a text frame",
    ]
    return kinds[(number // MALFORMED_EVERY) % len(kinds)]


def resident_mib(process: int) -> float:
    """Resident memory of a process on Linux, MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


if __name__ == "__main__":
    app.run(main)
