"""Drives the page of ``plainfilm serve`` in tests: a service, a browser, and user actions."""

from __future__ import annotations

import base64
import importlib.resources
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from plainfilm.report.pdf import find_browser

WIDTHS = {"phone": (390, 844), "tablet": (900, 1100), "desktop": (1440, 900)}
Files = Mapping[str, bytes]

DROP = """
const transfer = new DataTransfer();
for (const [name, text] of arguments[0]) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  transfer.items.add(new File([bytes], name));
}
document.body.dispatchEvent(
  new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true}));
"""
IDLE = (
    "return document.body.dataset.ready === 'true' && document.title === 'plainfilm'"
    " && !document.getElementById('radiograph-status').textContent"
)
ROWS = (
    "return [...document.querySelectorAll('#rows tr')].map(row =>"
    " [...row.children].map(cell => cell.textContent.replaceAll('\u00a0', ' ')))"
)
PIXEL = """
const canvas = document.getElementById('canvas');
const {width, height} = canvas;
return [...canvas.getContext('2d').getImageData(width / 2 + arguments[0], height / 2, 1, 1).data];
"""


class Page:
    """The page in a browser, with user actions."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address

    def open(self, width: str = "desktop", scheme: str = "light") -> Page:
        across, down = WIDTHS[width]
        metrics = {"width": across, "height": down, "deviceScaleFactor": 1}
        send = self.driver.execute_cdp_cmd
        phone = width == "phone"
        send("Emulation.setDeviceMetricsOverride", {**metrics, "mobile": phone})
        send("Emulation.setTouchEmulationEnabled", {"enabled": phone})
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        send("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get("about:blank")
        for kind in ("performance", "browser"):
            self.driver.get_log(kind)
        self.driver.get(self.address)
        return self

    def wait(self, script: str, *arguments: Any) -> Any:
        """Wait until a script returns a true value."""
        end = time.monotonic() + 120
        while not (found := self.run(script, *arguments)):
            assert time.monotonic() < end, f"timeout: {script}\n{self.text('body')}"
            time.sleep(0.03)
        return found

    def drop(self, files: Files) -> Page:
        """Drop files onto the page, and wait until all are done."""
        self.wait("return document.body.dataset.ready === 'true'")
        sent = [[name, base64.b64encode(data).decode()] for name, data in files.items()]
        self.run(DROP, sent)
        self.wait("return document.body.dataset.stage !== 'start'")
        self.wait("return document.title === 'plainfilm'")
        self.wait(
            "const status = document.getElementById('radiograph-status');"
            "return !/Wait|Being|Load/.test(status.textContent)"
        )
        return self

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def module(self, name: str, body: str, *arguments: Any) -> Any:
        """Return the value of a function body that uses one of the page's modules, ``m``."""
        script = f"""
        const done = arguments[arguments.length - 1], given = [...arguments].slice(0, -1);
        const work = async m => {{{body}}};
        import('/static/{name}.js').then(work)
          .then(value => done({{value}}), error => done({{error: String(error)}}));
        """
        output = self.driver.execute_async_script(script, *arguments)
        assert "error" not in output, output
        return output["value"]

    def find(self, id: str) -> Any:
        return self.driver.find_element("id", id)

    def click(self, id: str) -> None:
        self.find(id).click()

    def text(self, selector: str) -> str:
        found: str = self.run("return document.querySelector(arguments[0]).innerText", selector)
        return found.replace("\u00a0", " ")

    def rows(self) -> dict[str, list[str]]:
        """Return name to probability, prediction and remarks of the worklist, in its order."""
        # The list is updated once a frame.
        self.run("return new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        return {name: rest for name, *rest in self.run(ROWS)}

    def choose(self, id: str, value: str) -> None:
        self.run(
            "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
            "s.dispatchEvent(new Event('change', {bubbles: true}))",
            id,
            value,
        )

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def focused(self) -> str:
        return str(
            self.run("const a = document.activeElement; return a.id || a.textContent || a.tagName")
        )

    def pixel(self, right: int = 0) -> list[int]:
        """Return a pixel of the canvas, at an offset to the right of its centre."""
        self.run("return new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        return list(self.run(PIXEL, right))

    def mouse(self, *events: tuple[str, int, int], button: str = "left") -> None:
        """Send mouse events to the canvas: kind, and offset from its centre."""
        box = self.run(
            "const b = document.getElementById('canvas').getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]"
        )
        for kind, x, y in events:
            more = {"deltaX": 0, "deltaY": -240} if kind == "mouseWheel" else {}
            held = {"left": 1, "right": 2}[button]
            place = {"x": box[0] + x, "y": box[1] + y}
            event = {"type": kind, **place, "button": button, "buttons": held, **more}
            self.driver.execute_cdp_cmd(
                "Input.dispatchMouseEvent", {**event, "clickCount": int(kind != "mouseWheel")}
            )

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests since the page was opened."""
        events = (
            json.loads(one["message"])["message"] for one in self.driver.get_log("performance")
        )
        return [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def console_errors(self) -> list[str]:
        return [one["message"] for one in self.driver.get_log("browser") if one["level"] != "INFO"]

    def violations(self) -> list[str]:
        """Return the accessibility violations that axe finds, with their elements."""
        axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
        source = importlib.resources.files(axe) / "axe.min.js"
        if not self.run("return Boolean(window.axe)"):
            self.run(source.read_text("utf-8"))
        found = self.driver.execute_async_script(
            "axe.run(document, {resultTypes: ['violations']}).then(arguments[0])"
        )
        return [
            f"{one['impact']} {one['id']}: {node['html'][:120]} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]


@contextmanager
def serving(folder: Path, *bundles: object, **environment: str) -> Iterator[str]:
    """Run ``plainfilm serve`` and yield its address."""
    log = folder / "serve.log"
    command = [sys.executable, "-m", "plainfilm", "serve", *map(str, bundles), "--port", "0"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--workers", "1"],
            stdout=out,
            stderr=out,
            env={**os.environ, "PLAINFILM_TOKEN": "", **environment},
        )
        try:
            yield f"http://127.0.0.1:{_port(process, log)}/"
        finally:
            process.terminate()
            process.wait(30)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r'"event": "listening".*"port": (\d+)', log.read_text("utf-8"))
        if found:
            return int(found[1])
        time.sleep(0.05)
    raise AssertionError(f"the service did not start: {log.read_text('utf-8')}")


@contextmanager
def browsing() -> Iterator[Any]:
    """Run a browser and yield its driver."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = find_browser() or ""
    for switch in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--hide-scrollbars", "--disable-dev-shm-usage"),
    ):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()
