"""Speed and memory of streaming frames from PNG files, and how long training waits.

Run: `python -m experiments.benchmarks.streaming`; prints one JSON object. It writes a
LeRobot dataset of `--frames` frames (2 GB for 50,000) into a temporary folder, or reads
the dataset in `--path`. First the stream runs alone. Then, with `--calls`, it feeds
stage II of the main job's policy. On a machine with other work the processor time of a
frame is the number to trust, beside what Pillow alone takes in the same minute.
"""

import dataclasses
import io
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Sequence

import jax
import numpy as np
from absl import app, flags
from PIL import Image

from data_pipelines import lazy_images, streaming
from data_pipelines.readers import READERS, detect
from experiments.benchmarks.lib import memory, synthetic_lerobot
from experiments.configs import quickstart
from experiments.configs.schema import from_config
from omnivla_jax.core.types import Demonstration, PyTree
from omnivla_jax.train import input_feed, rng, sft, sft_data

_FRAMES = flags.DEFINE_integer("frames", 50_000, "Frames of the dataset that is made.")
_SIDE = flags.DEFINE_integer("side", 128, "Side of its pictures in pixels.")
_PATH = flags.DEFINE_string("path", "", "A dataset to read instead.")
_MEASURED = flags.DEFINE_integer("measured", 12_800, "Frames that are timed.")
_CALLS = flags.DEFINE_integer("calls", 3, "Timed calls of stage II; 0: none.")
BATCH, STEPS = 64, 10  # frames of a batch; the main job's sft.steps_per_call
TARGETS = {"frames_per_second": 1500, "memory_mib": 1024}


def frames_of(
    episodes: Sequence[Demonstration], horizon: int
) -> streaming.TrainingFrames:
    """The frames of a dataset in their shuffled order."""
    texts = sorted({episode.instruction for episode in episodes})
    return streaming.TrainingFrames(
        episodes, texts, horizon=horizon, padding="hold", seed=0
    )


def make_fetch(
    frames: streaming.TrainingFrames,
) -> tuple[Callable[[], PyTree], streaming.BatchStream]:
    """A function that returns the batches of a call, on the device; and its stream."""
    stream = streaming.BatchStream(frames, BATCH)

    def fetch() -> PyTree:
        batches = streaming.stack_batches(stream, STEPS)
        return input_feed.put_rows(batches, np.arange(BATCH), mesh=None, size=BATCH)

    return fetch, stream


def stream_alone(path: Path, count: int) -> dict[str, Any]:
    """Rates and memory of a stream whose batches are not used."""
    before, start = _resident_bytes(), time.perf_counter()
    episodes = list(READERS[detect(path)](path))
    opened = time.perf_counter() - start
    frames = frames_of(episodes, horizon=8)
    fetch, _ = make_fetch(frames)
    jax.block_until_ready(fetch())
    rates, processor = [], time.process_time()
    for _ in range(-(-count // (BATCH * STEPS))):
        start = time.perf_counter()
        jax.block_until_ready(fetch())
        rates.append(BATCH * STEPS / (time.perf_counter() - start))
    processor = (time.process_time() - processor) / (len(rates) * BATCH * STEPS)
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "frames": len(frames),
        "seconds_to_open": opened,
        "frames_per_second": float(np.median(rates)),
        "processor_ms_per_frame": 1e3 * processor,
        "frames_per_processor_second": 1 / processor,
        "memory_mib": (usage - before) / memory.MIB,
    }


def pillow_ms_per_frame(path: Path, count: int = 400) -> float:
    """Processor time of decoding the PNG files of a frame alone, in ms."""
    images = next(iter(READERS[detect(path)](path))).images
    encoded = []
    for view in images[0]:
        encoded.append(io.BytesIO())
        Image.fromarray(view).save(encoded[-1], "png")
    start = time.thread_time()
    for _ in range(count):
        for file in encoded:
            np.asarray(Image.open(file))
    return 1e3 * (time.thread_time() - start) / count


def feed_training(path: Path, calls: int) -> dict[str, Any]:
    """The share of time that stage II of the main job waits for its batches."""
    config = from_config(quickstart.get_config())
    settings = dataclasses.replace(
        config.sft, batch_size=BATCH, steps_per_call=STEPS, steps=STEPS * (calls + 2)
    )
    size = config.image_size
    episodes = [
        episode._replace(images=lazy_images.resize(episode.images, size))
        for episode in READERS[detect(path)](path)
    ]
    _, table = sft_data.instruction_table(episodes, config.policy)
    params = sft.fresh_params(rng.named_key(0, "init"), config.policy)
    state = sft.create(params, sft_data.fit_normalizer(episodes), settings, seed=0)
    step = sft.make_streamed_step(config.policy, settings, table)
    fetch, stream = make_fetch(frames_of(episodes, config.policy.horizon))
    feed = input_feed.InputFeed(fetch, stream.set_state)
    shares, seconds = [], []
    for _ in range(calls + 2):  # the first compiles, the second waits for that
        start = time.perf_counter()
        batches, share = feed.take(state.step)
        state, metrics = step(state, batches)
        jax.block_until_ready(metrics)
        shares.append(share)
        seconds.append((time.perf_counter() - start) / STEPS)
    return {
        "input_bound": float(np.median(shares[2:])),
        "seconds_per_step": float(np.median(seconds[2:])),
        "trained_frames_per_second": BATCH / float(np.median(seconds[2:])),
    }


def _resident_bytes() -> int:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    del argv
    jax.devices()  # its memory is not the stream's
    with tempfile.TemporaryDirectory() as folder:
        path = Path(_PATH.value or folder).expanduser()
        if not _PATH.value:
            path /= "synthetic"
            synthetic_lerobot.write(path, frames=_FRAMES.value, side=_SIDE.value)
        measurements = stream_alone(path, _MEASURED.value)
        measurements["pillow_ms_per_frame"] = pillow_ms_per_frame(path)
        if _CALLS.value:
            measurements |= feed_training(path, _CALLS.value)
    measurements |= {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "target": TARGETS,
    }
    print(json.dumps({"benchmark": "streaming", **measurements}))


if __name__ == "__main__":
    app.run(main)
