"""The websocket server: openpi's protocol, one request at a time on each connection.

After the handshake the server sends its metadata. Then the client sends observations
and the server answers each with a chunk of actions, all in binary frames (`codec`). A
request that cannot be answered gets a text frame with the reason, and its connection
is closed with code 1011; other connections stay. `GET /healthz` answers OK.
"""

import asyncio
import hmac
import http
import logging
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np
import websockets
from websockets.asyncio import server as websocket_server
from websockets.http11 import Request, Response

from experiments.serving import codec, requests
from experiments.serving.batched_policy import BatchedPolicy, BatchItem, NoiseStream
from experiments.serving.batcher import Batcher
from experiments.serving.requests import RequestFormat

HEALTH = "/healthz"
AUTHORIZATION, API_KEY = "Authorization", "Api-Key"
READERS = 2  # threads that unpack requests and resize their pictures
GRACE = 10.0  # seconds that a reply under way has when the server stops
GOING_AWAY, REFUSED = 1001, 1011  # codes of closing, RFC 6455
MIB = 2**20

_log = logging.getLogger("omnivla.serving")


@dataclass(frozen=True)
class ServerConfig:
    """Where a server listens, and its limits."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free one
    max_wait_ms: float = 5.0  # that a request waits for others
    max_clients: int = 64
    max_frame_mib: float = 8.0  # of a request; two pictures of 224 pixels take 0.3
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("max_clients", "max_frame_mib"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0.")
        if self.max_wait_ms < 0:
            raise ValueError(f"max_wait_ms={self.max_wait_ms} must not be negative.")
        if self.api_key is not None and not self.api_key.isascii():
            raise ValueError("The API key has letters outside ASCII: choose another.")


class PolicyServer:
    """Serves one policy to many clients."""

    def __init__(
        self, policy: BatchedPolicy, request_format: RequestFormat, config: ServerConfig
    ) -> None:
        """Compile every program; connections are refused before `serve`."""
        policy.compile()
        self._policy, self._format, self._config = policy, request_format, config
        self._clients: set[websocket_server.ServerConnection] = set()
        self._busy: set[websocket_server.ServerConnection] = set()
        self._stopping = False
        self._metadata = codec.pack(describe(policy, request_format))
        self._batcher = Batcher(
            self._sample,
            max_batch=policy.sizes[-1],
            max_wait=config.max_wait_ms / 1e3,
            expected=lambda: len(self._clients),
        )
        self._readers = ThreadPoolExecutor(READERS, "reader")

    async def serve(
        self, stop: asyncio.Event, listening: Callable[[int], None] | None = None
    ) -> None:
        """Listen, and answer until `stop` is set.

        Then new connections are refused, replies under way are sent, and the others
        are closed.

        Args:
          stop: ends it.
          listening: called with the port once clients can connect.

        Raises:
          OSError: the address cannot be listened on.
        """
        work = asyncio.create_task(self._batcher.work())
        stopped = asyncio.create_task(stop.wait())
        try:
            server = await self._listen()
            if listening is not None:
                listening(server.sockets[0].getsockname()[1])
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            await self._close(server)
        finally:
            stopped.cancel()
            work.cancel()
            self._readers.shutdown(wait=False)
            failed = (await asyncio.gather(work, return_exceptions=True))[0]
        if not isinstance(failed, asyncio.CancelledError):
            raise RuntimeError("The batches of requests stopped.") from failed

    async def _listen(self) -> websocket_server.Server:
        return await websocket_server.serve(
            self._handle,
            self._config.host,
            self._config.port,
            process_request=self._admit,
            origins=[None],  # browsers name the page that connects: no page may
            compression=None,
            max_size=int(self._config.max_frame_mib * MIB),
            max_queue=1,
            logger=_quiet_logger(),
        )

    async def _close(self, server: websocket_server.Server) -> None:
        """Stop listening, let replies under way be sent, close the connections."""
        self._stopping = True
        server.close(close_connections=False)
        idle = self._clients - self._busy
        await asyncio.gather(
            *(each.close(GOING_AWAY, "The server stops.") for each in idle),
            return_exceptions=True,
        )
        try:
            await asyncio.wait_for(server.wait_closed(), GRACE)
        except TimeoutError:
            for connection in self._clients:
                connection.transport.abort()

    def _admit(
        self, connection: websocket_server.ServerConnection, request: Request
    ) -> Response | None:
        """Answer plain HTTP requests; None lets a client in."""
        if request.path == HEALTH:
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if self._config.api_key is not None:
            expected = f"{API_KEY} {self._config.api_key}".encode()
            given = request.headers.get_all(AUTHORIZATION)
            sent = given[0].encode() if len(given) == 1 else b""
            if not hmac.compare_digest(sent, expected):
                return connection.respond(
                    http.HTTPStatus.UNAUTHORIZED,
                    f"Send the header '{AUTHORIZATION}: {API_KEY} KEY'.\n",
                )
        if len(self._clients) >= self._config.max_clients:
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE,
                f"The server has its {self._config.max_clients} clients.\n",
            )
        return None

    async def _handle(self, connection: websocket_server.ServerConnection) -> None:
        """Serve one client until it leaves or is refused."""
        self._clients.add(connection)  # nothing is awaited since it was let in
        try:
            await connection.send(self._metadata)
            await self._answer_all(connection)
        except websockets.ConnectionClosed as error:
            _log.info("%s left: %s", connection.remote_address, error)
        finally:
            self._busy.discard(connection)
            self._clients.discard(connection)

    async def _answer_all(self, connection: websocket_server.ServerConnection) -> None:
        """Answer requests in turn; the first that cannot be answered is the last."""
        number, previous_ms = 0, None
        async for frame in connection:
            begin = time.perf_counter()
            self._busy.add(connection)
            try:
                reply = await self._answer(frame, number)
            except Exception as error:  # it ends this connection, and no other
                await self._refuse(connection, error)
                return
            if previous_ms is not None:
                reply["server_timing"]["prev_total_ms"] = previous_ms
            await connection.send(codec.pack(reply))
            self._busy.discard(connection)
            if self._stopping:
                await connection.close(GOING_AWAY, "The server stops.")
                return
            previous_ms = 1e3 * (time.perf_counter() - begin)
            number += 1

    async def _refuse(
        self, connection: websocket_server.ServerConnection, error: Exception
    ) -> None:
        """Send the reason in a text frame, and close the connection."""
        if isinstance(error, ValueError):
            _log.warning("%s: %s", connection.remote_address, error)
            text = str(error)
        else:  # a defect of ours: its traceback is for whoever runs the server
            _log.error("%s: %r", connection.remote_address, error, exc_info=error)
            text = f"The server failed: {error or type(error).__name__}"
        await connection.send(text)
        await connection.close(REFUSED, "Refused: the reason is in the frame before.")

    async def _answer(self, frame: bytes | str, number: int) -> dict[str, Any]:
        """The reply to the request `number` of a connection.

        Raises:
          ValueError: the request is refused.
        """
        begin = time.perf_counter()
        loop = asyncio.get_running_loop()
        item = await loop.run_in_executor(self._readers, self._read, frame, number)
        actions, policy_ms, batch = await self._batcher.submit(item)
        if not np.isfinite(actions).all():
            raise ValueError(
                "The policy's actions are not finite for this observation: check its "
                "pictures and its state."
            )
        elapsed_ms = 1e3 * (time.perf_counter() - begin)
        timing = {"infer_ms": elapsed_ms, "batch_size": batch}
        return {
            "actions": actions,
            "policy_timing": {"infer_ms": policy_ms},
            "server_timing": timing,
        }

    def _read(self, frame: bytes | str, number: int) -> BatchItem:
        """One request, checked so that its batch cannot fail because of it."""
        if isinstance(frame, str):
            raise ValueError("The request is a text frame: send msgpack, binary.")
        observation = requests.to_observation(codec.unpack(frame), self._format)
        prepared, _ = self._policy.policy.prepare(observation)
        return BatchItem(prepared, NoiseStream(number, zlib.crc32(frame)))

    def _sample(self, items: list[BatchItem]) -> list[tuple[np.ndarray, float, int]]:
        """Chunks with the milliseconds of their call and its size."""
        begin = time.perf_counter()
        actions = self._policy.sample(items)
        elapsed = 1e3 * (time.perf_counter() - begin)
        return [(chunk, elapsed, len(items)) for chunk in actions]


def describe(policy: BatchedPolicy, request_format: RequestFormat) -> dict[str, Any]:
    """The metadata that a client gets when it connects."""
    spec = policy.policy.spec
    return {
        "action_horizon": spec.config.horizon,
        "action_dim": spec.config.robot_action_dim,
        "exec_horizon": spec.exec_horizon,
        "image_size": request_format.image_size,
        "image_convention": request_format.image_convention,
        "picture_keys": list(request_format.pictures[: request_format.views]),
        "state_keys": list(request_format.state),
        "instructions": list(spec.instructions),
        "config": spec.to_json()["config"],
    }


def _quiet_logger() -> logging.Logger:
    """For the library's own lines, of which garbage on the port makes tracebacks."""
    logger = logging.getLogger("omnivla.serving.websockets")
    logger.setLevel(logging.CRITICAL)
    return logger
