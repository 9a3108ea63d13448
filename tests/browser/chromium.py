"""A headless Chromium spoken to over a pipe (the DevTools protocol), without any driver."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_SECONDS = 60


class Chromium:
    """One browser with one page; a context manager."""

    def __init__(self) -> None:
        assert PATH is not None
        self._profile = tempfile.mkdtemp(prefix="tw-chromium-")
        in_read, in_write = os.pipe()
        out_read, out_write = os.pipe()
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1280,1600",
            f"--user-data-dir={self._profile}",
        ]
        # The browser reads commands from descriptor 3 and writes answers to descriptor 4.
        command = f'exec "$0" "$@" 3<&{in_read} 4>&{out_write}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, PATH, *options, "--remote-debugging-pipe", "about:blank"],
            pass_fds=(in_read, out_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(in_read)
        os.close(out_write)
        self._out = os.fdopen(in_write, "wb", buffering=0)
        self._in = os.fdopen(out_read, "rb")
        self._number = 0
        self._session: str | None = None
        self.problems: list[str] = []
        """Uncaught errors, refused loads and messages of the console at level error."""

    def __enter__(self) -> Self:
        target = next(each for each in self._call("Target.getTargets")["targetInfos"] if each["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._in.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str) -> None:
        """Goes to an address."""
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str) -> Any:
        """Waits until the expression is true; its value then. What cannot be read yet (no body) is not true."""
        safe = f"(() => {{ try {{ return {script}; }} catch {{ return false; }} }})()"
        deadline = time.monotonic() + WAIT_SECONDS
        while not (value := self.run(safe)):
            assert time.monotonic() < deadline, f"never true: {script}\n{self.text()}\n{self.problems}"
            time.sleep(0.05)
        return value

    def text(self) -> str:
        """What a person reads on the page."""
        words: str = self.run("document.body.innerText")
        return words

    def screenshot(self, path: Path) -> None:
        """The page as PNG."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "the browser is gone"
            data += byte
        message: dict[str, Any] = json.loads(data)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(event["params"]["exceptionDetails"]))
            case "Log.entryAdded" if event["params"]["entry"]["level"] == "error":
                self.problems.append(event["params"]["entry"]["text"] + " " + event["params"]["entry"].get("url", ""))
            case _:
                pass
