"""The undocumented parts of uvicorn that ``serve/protocol.py`` uses are unchanged."""

from __future__ import annotations

import asyncio
import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httptools")

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from plainfilm.serve import ServiceLimits
from plainfilm.serve.protocol import limited_protocol

ADVICE = "uvicorn changed: adapt serve/protocol.py, then the range in pyproject.toml"


def test_the_installed_version_is_in_the_tested_range() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    (pin,) = (
        one for one in project["project"]["optional-dependencies"]["serve"] if "uvicorn" in one
    )
    low, high = re.fullmatch(r"uvicorn>=0\.(\d+),<0\.(\d+)", pin).groups()  # type: ignore[union-attr]
    assert int(low) <= int(version("uvicorn").split(".")[1]) < int(high), ADVICE


def test_the_methods_that_are_overridden_exist_and_are_used() -> None:
    parameters = {
        "connection_made": ["self", "transport"],
        "connection_lost": ["self", "exc"],
        "data_received": ["self", "data"],
        "on_headers_complete": ["self"],
        "on_body": ["self", "body"],
        "on_message_complete": ["self"],
        "shutdown": ["self"],
        "send_400_response": ["self", "msg"],
    }
    for name, names in parameters.items():
        method = getattr(HttpToolsProtocol, name, None)
        assert method is not None and [*inspect.signature(method).parameters] == names, ADVICE
    for name in ("capture_signals", "shutdown"):
        assert hasattr(uvicorn.Server, name), ADVICE
    assert "self.capture_signals()" in inspect.getsource(uvicorn.Server.serve), ADVICE
    assert "self.send_400_response(" in inspect.getsource(HttpToolsProtocol.data_received), ADVICE
    assert ".shutdown()" in inspect.getsource(uvicorn.Server.shutdown), ADVICE


def test_the_attributes_that_are_read_exist() -> None:
    async def ignore(scope: object, receive: object, send: object) -> None: ...

    async def build() -> None:
        kind = limited_protocol(ServiceLimits())
        config = uvicorn.Config(ignore, http=kind, lifespan="off", log_config=None)
        config.load()
        assert config.http_protocol_class is kind, ADVICE
        server = uvicorn.Server(config)
        assert isinstance(server.server_state, ServerState), ADVICE
        protocol = kind(config=config, server_state=server.server_state, app_state={})
        assert protocol.connections is server.server_state.connections, ADVICE
        assert protocol.cycle is None and protocol.transport is None, ADVICE
        assert protocol.loop is asyncio.get_running_loop(), ADVICE
        protocol.on_message_begin()
        assert (protocol.url, protocol.headers) == (b"", []), ADVICE

    asyncio.run(build())
