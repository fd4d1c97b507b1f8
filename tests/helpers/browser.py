"""A headless Chromium, driven through the DevTools protocol."""

import base64
import contextlib
import itertools
import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Iterator

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 60  # to wait for an answer
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *(
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--ignore-gpu-blocklist",
    ),
    *("--remote-debugging-port=0", "--no-first-run", "--disable-background-networking"),
)


def find() -> str | None:
    """The browser's program, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._numbers = connection, itertools.count(1)
        self.complaints: list[str] = []  # exceptions, errors and failed requests
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=SECONDS))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        method, told = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = told["request"]["url"]
            if not url.startswith(("file:", "data:")):
                self.complaints.append(f"request of {url}")

    def open(self, path: Path, *, width: int, height: int, fragment: str = "") -> None:
        """Load a file at a size of the window, and wait until it is drawn."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.send("Emulation.setDeviceMetricsOverride", mobile=width < 600, **size)
        self.send("Page.navigate", url=f"{path.as_uri()}{fragment}")
        self.wait_for("document.readyState === 'complete'")
        self.run("new Promise((done) => setTimeout(done, 300))")

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript; a promise's when it is settled."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + SECONDS
        while not self.run(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.05)

    def screenshot(self) -> bytes:
        """What is seen, as a PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot")["data"])


@contextlib.contextmanager
def launched(program: str, profile: Path) -> Iterator[Page]:
    """Start a browser with its own profile and yield its tab."""
    command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    log = profile.with_suffix(".log")
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        end, port = time.monotonic() + SECONDS, None
        while port is None:
            assert time.monotonic() < end and process.poll() is None, log.read_text()
            port = re.search(
                r"DevTools listening on ws://[^:]+:(\d+)/", log.read_text()
            )
            time.sleep(0.1)
        address = f"http://127.0.0.1:{port[1]}/json/list"
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            (tab,) = [tab for tab in json.load(answer) if tab["type"] == "page"]
        url = tab["webSocketDebuggerUrl"]
        with connect(url, max_size=None, compression=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(SECONDS)
