"""Tests of experiments.serving.server: openpi's client over a real socket."""

import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request
import zlib
from typing import Any

import jax
import numpy as np
import pytest
import websockets
from openpi_client import action_chunk_broker, msgpack_numpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from websockets.sync.client import connect
from websockets.typing import Origin

from experiments.serving import codec, requests
from experiments.serving.batched_policy import BatchedPolicy
from experiments.serving.requests import RequestFormat
from experiments.serving.server import ServerConfig
from tests.helpers import served

SEED = 5
FORMAT = RequestFormat(image_size=served.CONFIG.vision.image_size)


@pytest.fixture(scope="module")
def batched():
    return BatchedPolicy(served.make_policy(), max_batch=2, seed=SEED)


@pytest.fixture(scope="module")
def address(batched):
    with served.running(batched, max_clients=24, max_frame_mib=1) as address:
        yield address


@pytest.fixture
def client(address):
    policy = WebsocketClientPolicy(address)
    yield policy
    policy._ws.close()


def expected_actions(batched, request, number=0):
    """What the policy itself answers to `request`."""
    frame = msgpack_numpy.packb(request)
    key = jax.random.fold_in(jax.random.key(SEED), number)
    key = jax.random.fold_in(key, zlib.crc32(frame))
    observation = requests.to_observation(request, FORMAT)
    return batched.policy.infer(observation, key=key)["actions"]


def assert_serves(client, batched, number):
    request = served.request(99)
    expected = expected_actions(batched, request, number)
    found = client.infer(request)["actions"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_openpis_client_gets_the_policys_actions(client, batched):
    assert client.get_server_metadata() | {"config": None} == {
        "action_horizon": served.CONFIG.horizon,
        "action_dim": 7,
        "exec_horizon": 2,
        "image_size": served.CONFIG.vision.image_size,
        "image_convention": "openpi",
        "instructions": [served.PROMPT],
        "picture_keys": ["observation/image", "observation/wrist_image"],
        "state_keys": ["observation/state"],
        "config": None,
    }
    for number in range(3):
        request = served.request(number)
        reply = client.infer(request)
        expected = expected_actions(batched, request, number)
        assert reply["actions"].dtype == np.float32
        np.testing.assert_allclose(reply["actions"], expected, atol=1e-4)
        timing = reply["server_timing"]
        assert ("prev_total_ms" in timing) == (number > 0)
        assert timing["infer_ms"] >= reply["policy_timing"]["infer_ms"] > 0


def test_openpis_broker_hands_out_single_actions(client):
    broker = action_chunk_broker.ActionChunkBroker(client, 2)
    steps = [broker.infer(served.request(0))["actions"] for _ in range(3)]
    assert all(step.shape == (7,) for step in steps)
    assert not np.allclose(steps[0], steps[1])


def test_concurrent_clients_share_calls(address, batched):
    """16 clients at once: each gets its own actions, and calls are shared."""
    requests_ = [served.request(seed) for seed in range(16)]
    expected = [expected_actions(batched, request) for request in requests_]
    replies: list[Any] = [None] * 16
    barrier = threading.Barrier(16)

    def play(row):
        policy = WebsocketClientPolicy(address)
        barrier.wait(30)
        replies[row] = policy.infer(requests_[row])
        policy._ws.close()

    threads = [threading.Thread(target=play, args=(row,)) for row in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for reply, actions in zip(replies, expected):
        np.testing.assert_allclose(reply["actions"], actions, atol=1e-4)
    assert max(reply["server_timing"]["batch_size"] for reply in replies) > 1


@pytest.mark.parametrize(
    "request_, words",
    [
        ({**served.request(), "observation/state": np.full(8, np.nan)}, "finite"),
        ({**served.request(), "observation/state": np.full(8, 1e300)}, "finite"),
        ({**served.request(), "observation/state": np.zeros(7)}, r"float32 \[7\]"),
        ({**served.request(), "observation/state": ["x"] * 8}, "state is <U1"),
        (
            {**served.request(), "observation/state": [[1], [1, 2]]},
            "state is lists of lists",
        ),
        ({**served.request(), "observation/image": np.zeros((9, 9), "u1")}, "image is"),
        ({**served.request(), "prompt": "?!"}, "no word"),
        ({**served.request(), "prompt": "to " * 99}, "needs 100 tokens"),
        ({"images": 1}, "lacks observation/image"),
        ([1, 2], "request is a list"),
    ],
)
def test_a_bad_request_ends_its_own_connection(
    address, client, batched, request_, words
):
    bad = WebsocketClientPolicy(address)
    with pytest.raises(RuntimeError, match=words) as caught:
        bad.infer(request_)
    assert len(str(caught.value).splitlines()) == 2  # the client's line, and ours
    with pytest.raises(websockets.ConnectionClosedError) as closed:
        bad.infer(served.request())
    assert closed.value.rcvd.code == 1011  # type: ignore[union-attr]
    assert_serves(client, batched, 0)


@pytest.mark.parametrize(
    "frame, words", [("text", "text frame"), (b"\xc1", "no message of openpi's")]
)
def test_a_frame_of_another_kind_is_refused(address, client, batched, frame, words):
    with connect(address, compression=None) as connection:
        connection.recv()
        connection.send(frame)
        assert words in connection.recv()
        with pytest.raises(websockets.ConnectionClosedError):
            connection.recv()
    assert_serves(client, batched, 0)


def test_a_huge_frame_is_refused_unread(address, client, batched):
    """200 MB to a server that takes 1 MiB: one clear error, nothing kept."""
    bad = WebsocketClientPolicy(address)
    with pytest.raises(websockets.ConnectionClosedError, match="1009.*1048576"):
        bad.infer({"observation/image": np.zeros(200_000_000, np.uint8)})
    assert_serves(client, batched, 0)


def test_clients_that_vanish_harm_nobody(address, client, batched):
    for number in range(6):
        gone = WebsocketClientPolicy(address)
        if number % 2:
            gone._ws.send(msgpack_numpy.packb(served.request()))
        gone._ws.socket.shutdown(socket.SHUT_RDWR)
        gone._ws.socket.close()
    host, port = address.removeprefix("ws://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"\x00garbage\r\n\r\n")
        assert b"101" not in raw.recv(100)
    assert_serves(client, batched, 0)


def test_health_and_other_paths(address):
    http = address.replace("ws", "http", 1)
    assert urllib.request.urlopen(f"{http}/healthz", timeout=10).read() == b"OK\n"
    for _ in range(30):  # more than there may be clients: none takes a place
        with pytest.raises(urllib.error.HTTPError, match="426"):
            urllib.request.urlopen(http, timeout=10)


def test_browsers_are_not_let_in(address):
    with pytest.raises(websockets.InvalidStatus, match="403"):
        connect(address, origin=Origin("http://evil.example"))


def test_pings_answer_while_the_policy_runs(batched, monkeypatch):
    entered, leave = threading.Event(), threading.Event()
    sample = batched.sample

    def slow(items):
        entered.set()
        assert leave.wait(30)
        return sample(items)

    with served.running(batched) as address:
        monkeypatch.setattr(batched, "sample", slow)
        with connect(address, compression=None, max_size=None) as connection:
            connection.recv()
            connection.send(codec.pack(served.request()))
            assert entered.wait(30)
            assert connection.ping().wait(30)
            leave.set()
            assert "actions" in codec.unpack(connection.recv(decode=False))


def test_a_failing_policy_fails_its_batch_alone(batched, monkeypatch):
    with served.running(batched) as address:
        with monkeypatch.context() as patch:
            patch.setattr(batched, "sample", lambda items: 1 / 0)
            with pytest.raises(RuntimeError, match="server failed: division by zero"):
                WebsocketClientPolicy(address).infer(served.request())
            nothing = [np.full((4, 7), np.inf)]
            patch.setattr(batched, "sample", lambda items: nothing)
            with pytest.raises(RuntimeError, match="actions are not finite"):
                WebsocketClientPolicy(address).infer(served.request())
        assert_serves(WebsocketClientPolicy(address), batched, 0)


def test_only_who_has_the_key_is_let_in(batched):
    with served.running(batched, api_key="secret") as address:
        for key in (None, "Secret", "secret2", ""):
            headers = {} if key is None else {"Authorization": f"Api-Key {key}"}
            with pytest.raises(websockets.InvalidStatus, match="401"):
                connect(address, additional_headers=headers)
        http = address.replace("ws", "http", 1)
        assert urllib.request.urlopen(f"{http}/healthz", timeout=10).read() == b"OK\n"
        client = WebsocketClientPolicy(address, api_key="secret")
        assert_serves(client, batched, 0)
    assert "secret" not in repr(ServerConfig(api_key="secret"))


def test_no_more_clients_than_allowed(batched):
    with served.running(batched, max_clients=2) as address:
        first, second = (WebsocketClientPolicy(address) for _ in range(2))
        with pytest.raises(websockets.InvalidStatus) as caught:
            WebsocketClientPolicy(address)
        assert b"has its 2 clients" in caught.value.response.body
        first._ws.close()
        third = None
        for _ in range(100):  # the server notices in its own time
            with contextlib.suppress(websockets.InvalidStatus):
                third = WebsocketClientPolicy(address)
                break
            time.sleep(0.05)
        assert_serves(third, batched, 0)
        assert_serves(second, batched, 0)


def test_stopping_sends_the_reply_under_way(batched, monkeypatch):
    entered, leave = threading.Event(), threading.Event()
    sample, replies = batched.sample, []

    def slow(items):
        entered.set()
        assert leave.wait(30)
        return sample(items)

    def play(address):
        with connect(address, compression=None) as connection:
            connection.recv()
            connection.send(codec.pack(served.request()))
            replies.append(codec.unpack(connection.recv(decode=False)))
            with pytest.raises(websockets.ConnectionClosedOK) as closed:
                connection.recv()
            replies.append(closed.value.rcvd.code)  # type: ignore[union-attr]

    with served.running(batched) as address:
        idle = WebsocketClientPolicy(address)
        monkeypatch.setattr(batched, "sample", slow)
        thread = threading.Thread(target=play, args=(address,))
        thread.start()
        assert entered.wait(30)
        threading.Timer(0.3, leave.set).start()
    thread.join(30)
    assert "actions" in replies[0] and replies[1] == 1001
    with pytest.raises(websockets.ConnectionClosedOK):
        idle.infer(served.request())


@pytest.mark.parametrize(
    "limits, words",
    [
        ({"max_clients": 0}, "max_clients=0 must be above 0"),
        ({"max_wait_ms": -1}, "must not be negative"),
        ({"api_key": "ключ"}, "outside ASCII"),
    ],
)
def test_limits_that_make_no_server(limits, words):
    with pytest.raises(ValueError, match=words):
        ServerConfig(**limits)
