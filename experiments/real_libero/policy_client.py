"""A client of openpi's protocol: one connection, one request at a time."""

from types import TracebackType
from typing import Any

import numpy as np

from experiments.serving import codec


class PolicyClient:
    """A connection to a policy server; a context manager that closes it."""

    def __init__(self, server: str, *, api_key: str | None = None) -> None:
        """Connect and read the server's metadata.

        Args:
          server: such as ws://127.0.0.1:8000.
          api_key: sent as `Authorization: Api-Key`, where the server wants one.

        Raises:
          ValueError: there is no answer, or one not by openpi's protocol.
        """
        from websockets.exceptions import InvalidHandshake, InvalidURI
        from websockets.sync import client

        headers = {"Authorization": f"Api-Key {api_key}"} if api_key else None
        try:
            self._connection = client.connect(
                server, compression=None, max_size=None, additional_headers=headers
            )
            metadata = codec.unpack(_binary(self._connection.recv()))
        except (OSError, InvalidHandshake, InvalidURI) as error:
            raise ValueError(
                f"No policy server at {server} ({error}): start one by `python -m "
                "experiments.serve`, and give its address as ws://HOST:PORT."
            ) from error
        self.metadata: dict[str, Any] = metadata

    def __enter__(self) -> "PolicyClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def infer(self, request: dict[str, Any]) -> np.ndarray:
        """The actions [H, D] that answer a request.

        Raises:
          ConnectionError: the server refuses the request, with its reason, or is gone.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            self._connection.send(codec.pack(request))
            reply = codec.unpack(_binary(self._connection.recv()))
        except ConnectionClosed as error:
            raise ConnectionError(f"The policy server is gone: {error}.") from error
        return np.asarray(reply["actions"])


def _binary(frame: str | bytes) -> bytes:
    """A frame of data; a text frame is the server's error."""
    if isinstance(frame, str):
        raise ConnectionError(f"The policy server: {frame.strip().splitlines()[-1]}")
    return frame
