"""Serves a policy to openpi's clients, over websockets.

    python -m experiments.serve --checkpoint=runs/quickstart [--stage=online]
        [--host=127.0.0.1] [--port=8000] [--api_key_file=FILE]
        [--max_batch=8] [--max_wait_ms=5] [--max_clients=64] [--max_frame_mib=8]
        [--image_convention=openpi] [--picture_keys=KEY,KEY,KEY] [--state_keys=KEY,KEY]
        [--default_prompt=TEXT] [--seed=0]
    python -m experiments.serve --policy=pi05_libero --weights=FOLDER
        [--tokenizer=FILE] [--norm_stats=FILE] [...]

--checkpoint is the folder of a run, of a training stage, or of one checkpoint; --policy
serves published weights as `experiments.evaluate` plays them. Clients send LIBERO's
keys, those of another robot's policy the names of its cameras, or openpi's of DROID;
--image_convention says how they hold their pictures, by default as openpi's LIBERO
client does. All programs are compiled before the first client is let in; then one line
on standard output names the address. Ctrl-C and SIGTERM end it after the replies under
way. docs/serving.md has a client, and every limit.
"""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from absl import logging as absl_logging

from experiments.configs import published_flags
from experiments.configs.flag_values import API_KEY_VARIABLE
from experiments.pipeline import policy_checkpoint
from experiments.pipeline.workdir import enclosing_run
from experiments.reporting import errors
from omnivla_jax.core import compile as compilation
from omnivla_jax.core import paths
from omnivla_jax.core.orientation import CONVENTIONS
from omnivla_jax.policy import inference
from omnivla_jax.policy.pretrained import published

if TYPE_CHECKING:
    from experiments.serving.server import PolicyServer

LOOPBACK = ("127.0.0.1", "::1", "localhost")

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Folder of a run, a stage or one checkpoint."
)
_STAGE = flags.DEFINE_string(
    "stage", None, "Of a run: sft, online, online_best; else the last."
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.")
_PORT = flags.DEFINE_integer("port", 8000, "0: any free one.", 0, 65535)
_KEY_FILE = flags.DEFINE_string(
    "api_key_file",
    None,
    f"File of the key that clients send; else ${API_KEY_VARIABLE}.",
)
_MAX_BATCH = flags.DEFINE_integer("max_batch", 8, "Observations of a call.", 1, 1024)
_MAX_WAIT = flags.DEFINE_float(
    "max_wait_ms", 5.0, "That a request waits for others.", lower_bound=0
)
_MAX_CLIENTS = flags.DEFINE_integer("max_clients", 64, "Let in at once.", 1)
_MAX_FRAME = flags.DEFINE_float("max_frame_mib", 8.0, "Of a request.", 0.01, 1024)
_PICTURES = flags.DEFINE_list(
    "picture_keys",
    None,
    "Of a request, in the policy's order; else LIBERO's, or the cameras of its data.",
)
_STATES = flags.DEFINE_list(
    "state_keys", None, "Of a request, joined to the state; else those of its data."
)
_CONVENTION = flags.DEFINE_enum(
    "image_convention",
    None,
    list(CONVENTIONS),
    "How clients hold pictures; else openpi, or upright where keys are not LIBERO's.",
)
_PROMPT = flags.DEFINE_string("default_prompt", None, "Of requests without one.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the noise that chunks start from.")
_CACHE = flags.DEFINE_string(
    "compilation_cache", "", "Of compiled programs; empty: as experiments.train."
)
flags.adopt_module_key_flags(published_flags)  # for --help


def main(argv: list[str]) -> None:
    """Load, compile, serve until a signal."""
    from experiments.serving.batched_policy import BatchedPolicy
    from experiments.serving.requests import PICTURES, STATE, RequestFormat
    from experiments.serving.server import PolicyServer, ServerConfig

    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    published_flags.check(_CHECKPOINT.value)
    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger("omnivla.serving").setLevel(logging.WARNING)
    config = ServerConfig(
        host=_HOST.value,
        port=_PORT.value,
        max_wait_ms=_MAX_WAIT.value,
        max_clients=_MAX_CLIENTS.value,
        max_frame_mib=_MAX_FRAME.value,
        api_key=read_key(),
    )
    if config.host not in LOOPBACK and config.api_key is None:
        print(
            f"Warning: whoever reaches {config.host} can use this policy: give "
            "--api_key_file.",
            file=sys.stderr,
        )
    compilation.enable_cache(paths.parse(_CACHE.value) if _CACHE.value else None)
    policy = load_policy(_CHECKPOINT.value, _STAGE.value)
    keys = tuple(_PICTURES.value or policy.spec.cameras or PICTURES)
    request_format = RequestFormat(
        image_size=policy.spec.config.vision.image_size,
        pictures=keys,
        state=tuple(_STATES.value or policy.spec.state_keys or (STATE,)),
        views=policy.spec.config.views,
        image_convention=_CONVENTION.value
        or ("openpi" if keys == PICTURES else "upright"),
        default_prompt=_PROMPT.value,
    )
    batched = BatchedPolicy(policy, max_batch=_MAX_BATCH.value, seed=_SEED.value)
    print("Compiling.", file=sys.stderr, flush=True)
    server = PolicyServer(batched, request_format, config)
    asyncio.run(serve(server, config.host))


async def serve(server: "PolicyServer", host: str) -> None:
    """Run `server` until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.serve(
        stop, lambda port: print(f"Serving on ws://{host}:{port}", flush=True)
    )
    print("Stopped.", file=sys.stderr)


def load_policy(checkpoint: str | None, stage: str | None) -> inference.Policy:
    """The policy of a run's stage, of a checkpoint in no run, or of published weights.

    Args:
      checkpoint: the value of --checkpoint; None: published weights.
      stage: of a run; None: the last.

    Raises:
      ValueError: there is no such checkpoint, or it cannot be read.
    """
    if checkpoint is None:
        loaded = published_flags.load()
        spec = published.policy_spec(loaded.config, loaded.recipe)
        return inference.Policy(loaded.params, loaded.normalizer, spec)
    path = paths.parse(checkpoint)
    if enclosing_run(path) is not None:
        path = policy_checkpoint.locate(path, stage)[2]
    elif stage is not None:
        raise ValueError(f"{path} lies in no run: leave out --stage={stage}.")
    return inference.load(path, tokenizer=published_flags.TOKENIZER.value)


def read_key() -> str | None:
    """The key that clients have to send; None: none.

    Raises:
      ValueError: its file holds none.
    """
    if _KEY_FILE.value is None:
        return os.environ.get(API_KEY_VARIABLE) or None
    key = Path(_KEY_FILE.value).expanduser().read_text("utf-8").strip()
    if not key:
        raise ValueError(f"{_KEY_FILE.value} is empty: write the key into it.")
    return key


if __name__ == "__main__":
    errors.run(main)
