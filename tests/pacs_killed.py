"""A service and its network process that a test kills: ``pacs_killed.py service|network FOLDER``.

The network process stores drawn images, and logs each that it acknowledged. The service answers
them and logs what it delivered. It ends when all images are delivered.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from plainfilm.pacs.ledger import Ledger, ResultRow, image_key, uid_key
from plainfilm.pacs.spool import Spool, store_image
from plainfilm.pacs.state_folder import LEDGER, StateLock

IMAGES = 150


def log(folder: Path, name: str, text: str) -> None:
    """Append a line in one write, which no kill of the process can divide."""
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def key_of(number: int) -> tuple[str, str, str, bytes]:
    """Return the key, the hashes and the content of an image."""
    data = str(number).encode() * 5000
    uid, sha256 = uid_key(str(number)), hashlib.sha256(data).hexdigest()
    return image_key(uid, sha256), uid, sha256, data


def receive(folder: Path) -> None:
    """Store images, a fifth of them twice, until the service ends."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
    chance = random.Random()
    state = folder / "state"
    with Ledger.open(state / LEDGER) as ledger, Spool(state, reserve=0) as spool:
        for number in range(IMAGES):
            for one in (number, *([chance.randrange(number + 1)] if chance.random() < 0.2 else [])):
                key, uid, sha256, data = key_of(one)
                if ledger.known(uid, sha256) == "new":
                    store_image(ledger, spool, key, uid, sha256, uid_key(f"s{one // 3}"), data)
                    log(folder, "acknowledged", key)
    log(folder, "all", "sent")
    time.sleep(60)


def serve(folder: Path) -> None:
    """Answer and deliver until every image is delivered."""
    state = folder / "state"
    with (
        StateLock(state) as lock,
        Ledger.open(state / LEDGER) as ledger,
        Spool(state, reserve=0) as spool,
    ):
        found = spool.recover(ledger)
        log(folder, "recovered", f"{found.lost_images} {found.lost_results}")
        for keys, name in ((ledger.waiting_images(), "spool"), (ledger.needed_results(), "outbox")):
            if set(keys) != {path.stem for path in (state / name).iterdir()}:
                log(folder, "recovered", "orphans")
        (folder / "all").unlink(missing_ok=True)
        command = [sys.executable, __file__, "network", str(folder)]
        network = subprocess.Popen(
            command, stdin=subprocess.PIPE, pass_fds=[lock.descriptor], cwd=folder
        )
        (folder / "ready").touch()
        while True:
            all_sent = (folder / "all").exists()
            images = ledger.due_images(0.01, 16)
            if images:
                answer(ledger, spool, [one.key for one in images])
            for one in ledger.due_deliveries("a", time.time(), 4):
                log(folder, "delivered", spool.read_result(one.result).decode())
                if ledger.delivered(one.id):
                    spool.drop_result(one.result)
            if all_sent and not ledger.waiting_images() and not ledger.needed_results():
                break
        network.communicate(timeout=10)
    log(folder, "done", "done")


def answer(ledger: Ledger, spool: Spool, keys: list[str]) -> None:
    """Answer images."""
    ledger.begin(keys)
    for key in keys:
        spool.read_image(key)
    text = " ".join(sorted(keys))
    row = ResultRow(uid_key(f"key {text}"), uid_key(text), "report")
    spool.write_result(row.key, text.encode())
    ledger.finish(dict.fromkeys(keys, "predicted"), [row], ["a"])
    for key in keys:
        spool.drop_image(key)


if __name__ == "__main__":
    {"service": serve, "network": receive}[sys.argv[1]](Path(sys.argv[2]))
