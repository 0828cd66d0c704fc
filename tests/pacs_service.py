"""Runs `plainfilm listen` as a process for the tests of the hospital network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_for(found: Callable[[], T], seconds: float = 20) -> T:
    """Return what a function returns when that is true, or at the end of the time."""
    end = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.05)
    return value


@dataclass
class Listener:
    """A service in its own process; ``options`` follow the options that every test needs."""

    bundle: Path
    state: Path
    destination: str
    port: int
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    http_port: int = 0

    def start(self) -> Listener:
        """Start it, or start it again, and wait until it listens."""
        command = [sys.executable, "-m", "plainfilm", "listen", self.bundle, "--state", self.state]
        command += ["--to", self.destination, "--port", str(self.port), "--http-port", "0"]
        command += ["--quiet-seconds", "0.4", "--workers", "1", *self.options]
        self.process = subprocess.Popen(
            [*map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self.environment},
        )
        before = len(self.lines)
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        started = wait_for(
            lambda: self.process.poll() is not None or self.log("started", before), 60
        )
        assert isinstance(started, list), self.lines[before:]
        self.http_port = started[0]["http_port"]
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            self.lines.extend(iter(process.stdout.readline, ""))

    def log(self, event: str, start: int = 0, **fields: Any) -> list[dict[str, Any]]:
        """Return the lines of an event."""
        found = []
        for text in list(self.lines)[start:]:
            with contextlib.suppress(ValueError):
                row = json.loads(text)
                if row["event"] == event and fields.items() <= row.items():
                    found.append(row)
        return found

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page of health or metrics."""
        try:
            with _DIRECT.open(f"http://127.0.0.1:{self.http_port}/{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """Return a metric, named with its labels; 0 if it is not there."""
        match = re.search(rf"^{re.escape(name)} (\S+)$", self.get("metrics")[1], re.M)
        return float(match[1]) if match else 0.0

    def kill(self) -> None:
        """End it as a power failure would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)

    def stop(self) -> int:
        """Stop it as systemd does; return its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def files(self, folder: str) -> list[str]:
        """Return the names of files in a folder of the state."""
        return sorted(path.name for path in (self.state / folder).iterdir())
