"""Tests of the launcher experiments.serve."""

import functools
import os
import signal
import subprocess
import sys
import zlib

import jax
import numpy as np
import pytest
import websockets
from openpi_client.websocket_client_policy import WebsocketClientPolicy

from experiments.serving import codec, requests
from omnivla_jax.core import sharding
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import inference
from omnivla_jax.policy.pretrained import published
from omnivla_jax.train import checkpoints, sft
from omnivla_jax.train.state import OptimizerConfig
from tests.helpers import launchers, served
from tests.helpers.pretrained import published_folder


def launch(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.serve", *map(str, arguments)],
        cwd=launchers.ROOT,
        env={**os.environ, "OMNIVLA_API_KEY": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_it_serves_a_checkpoint_until_a_signal(tmp_path):
    policy = served.make_policy()
    config = sft.SftConfig(OptimizerConfig(1e-3), 10)
    state = sft.create(policy._params, policy._normalizer, config=config, seed=0)
    checkpoints.save(tmp_path / "sft", state, [], policy=policy.spec.to_json())
    (tmp_path / "key").write_text("secret\n")
    limits = ("--max_batch=1", "--port=0", f"--api_key_file={tmp_path / 'key'}")
    command = [sys.executable, "-m", "experiments.serve"]
    server = subprocess.Popen(
        [*command, f"--checkpoint={tmp_path / 'sft'}", *limits],
        cwd=launchers.ROOT,
        env={**os.environ, "OMNIVLA_API_KEY": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout and server.stderr
    try:
        line = server.stdout.readline()
        assert line.startswith("Serving on ws://127.0.0.1:"), server.stderr.read()
        address = line.split()[-1]
        with pytest.raises(websockets.InvalidStatus, match="401"):
            WebsocketClientPolicy(address)
        client = WebsocketClientPolicy(address, api_key="secret")
        actions = client.infer(served.request())["actions"]
        assert actions.shape == (served.CONFIG.horizon, 7)
        assert np.isfinite(actions).all()
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0 and "Stopped." in server.stderr.read()
    finally:
        server.kill()


@pytest.mark.slow
def test_it_serves_published_weights(tmp_path):
    base = configs.preset("debug").without_spatial()
    published_folder.write(tmp_path, "pi05_libero", base)
    weights = ("--policy=pi05_libero", f"--weights={tmp_path}", "--preset=debug")
    server = launch(*weights, "--max_batch=1", "--port=0")
    try:
        line = server.stdout.readline()
        assert line.startswith("Serving on ws://"), server.stderr.read()
        client = WebsocketClientPolicy(line.split()[-1])
        request = served.request()
        actions = client.infer(request)["actions"]
        load = functools.partial(published.load_policy, "pi05_libero", tmp_path)
        found = load(base=base, mesh=sharding.make_mesh())
        spec = published.policy_spec(found.config, found.recipe)
        policy = inference.Policy(found.params, found.normalizer, spec)
        assert client.get_server_metadata()["exec_horizon"] == 5
        observation = requests.to_observation(
            request, requests.RequestFormat(base.vision.image_size)
        )
        key = jax.random.key(0)  # of the server's seed, then number and checksum
        checksum = zlib.crc32(codec.pack(request))
        key = jax.random.fold_in(jax.random.fold_in(key, 0), checksum)
        expected = policy.infer(observation, key=key)["actions"]
        np.testing.assert_allclose(actions, expected, atol=1e-4)
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
    finally:
        server.kill()


@pytest.mark.slow
def test_what_cannot_be_served_is_one_line(tmp_path):
    (tmp_path / "key").touch()
    cases = {
        f"{tmp_path} holds no checkpoint": (),
        "lies in no run: leave out --stage=sft": ("--stage=sft",),
        "is empty: write the key into it": (f"--api_key_file={tmp_path / 'key'}",),
    }
    for words, flags in cases.items():
        command = ("experiments.serve", f"--checkpoint={tmp_path}", *flags)
        done = launchers.run(*command, OMNIVLA_API_KEY="")
        assert done.returncode == 1 and done.stdout == ""
        assert words in done.stderr and "Traceback" not in done.stderr
