"""Messages of libraries are suppressed in a process of the service."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import asyncio, gc, logging, threading, warnings
logging.basicConfig(level=logging.DEBUG)
from plainfilm.pacs.quiet import mute_libraries
mute_libraries()
import pydicom
logging.getLogger("pynetdicom.acse").error("Doe^Jane")
logging.getLogger("pydicom").critical("Doe^Jane")
warnings.warn("Doe^Jane")
with warnings.catch_warnings():
    warnings.simplefilter("always")
    warnings.warn("Doe^Jane")
async def fail_later():
    fail()
async def forget():
    asyncio.ensure_future(fail_later())
    await asyncio.sleep(0)
def leave():
    raise SystemExit
def fail():
    raise KeyError("Doe^Jane")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
thread = threading.Thread(target=leave)
thread.start()
thread.join()
asyncio.run(forget())
gc.collect()
fail()
"""


def test_no_message_of_a_library_is_written() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: unexpected KeyError in <string>, line 21\n" * 3
