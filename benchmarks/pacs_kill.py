"""Kills the processes of the hospital network, and counts the answers in the archive.

    python benchmarks/pacs_kill.py [--images 1000] [--kills 100] [--minutes 30]

Needs the extras pacs, dicom and test, and Orthanc, dcmtk. A sender repeats each image until it is
accepted, and sends a fifth of them twice. At the same time ``kill -9`` ends the main process and
the network process of ``plainfilm listen`` in turn, at random times. Then the reports in Orthanc
are counted: each image must be in exactly one.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _measure import machine, table
from _pacs import (
    Hospital,
    chest,
    hospital,
    sources,
    to_bytes,
    uid,
    write_json,
)

CR = "1.2.840.10008.5.1.4.1.1.1"
PAUSE = (0.5, 4.0)
"""Seconds from a start to the next kill: least and most."""


class Sender(threading.Thread):
    """Sends every image until the service accepts it, and a fifth of them again."""

    def __init__(self, port: int, images: int, pause: float) -> None:
        super().__init__(daemon=True)
        self.port, self.pause, self.repeats = port, pause, Counter[str]()
        random.seed(images)
        self.left = [*range(images), *random.sample(range(images), images // 5)]
        self.film = to_bytes(chest("kill", SOPClassUID=CR, Modality="CR"))

    def image(self, number: int) -> Any:
        """Return the data set of an image, each of its own study."""
        import pydicom

        made = pydicom.dcmread(io.BytesIO(self.film))
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid("kill", number)
        made.StudyInstanceUID, made.SeriesInstanceUID = uid("study", number), uid("series", number)
        made.PatientID = f"K{number}"
        return made

    def run(self) -> None:
        from pynetdicom import AE

        entity = AE("SENDER")
        entity.add_requested_context(CR, "1.2.840.10008.1.2.1")
        entity.connection_timeout, entity.acse_timeout = 2, 3
        entity.dimse_timeout = entity.network_timeout = 10
        while self.left:
            link = entity.associate("127.0.0.1", self.port, ae_title="PLAINFILM")
            if not link.is_established:
                self.repeats["association"] += 1
                time.sleep(0.1)
                continue
            self._send_over(link)
            if link.is_established:
                link.release()

    def _send_over(self, link: Any) -> None:
        """Send until the connection fails or everything is accepted."""
        while self.left:
            try:
                status = link.send_c_store(self.image(self.left[0])).get("Status")
            except (RuntimeError, ValueError, OSError) as error:
                self.repeats[type(error).__name__] += 1
                return
            if status != 0:
                self.repeats["no answer" if status is None else f"{status:04X}"] += 1
                return
            self.left.pop(0)
            time.sleep(self.pause)


def kill_in_turn(own: Hospital, sender: Sender, kills: int, seconds: float) -> Counter[str]:
    """Kill the main and the network process in turn, and start the main process again."""
    chosen, done, end = random.Random(7), Counter[str](), time.monotonic() + seconds
    while (count := done["main process"] + done["network process"]) < kills:
        if time.monotonic() > end or not sender.left:
            print(f"only {count} kills before all images were accepted or the time was over")
            break
        time.sleep(chosen.uniform(*PAUSE))
        done["main process ended by itself"] += own.service.keep_up()
        if count % 2 == 0:
            own.service.stop(signal.SIGKILL)
            own.service.start(wait=False)
            done["main process"] += 1
        elif children := own.service.processes().get("network process"):
            os.kill(children[0], signal.SIGKILL)
            done["network process"] += 1
    return done


def count(own: Hospital, images: int) -> dict[str, int]:
    """Return how many images have one report, none, and more than one."""
    answers = Counter(image for uids in sources(own.archive).values() for image in uids)
    each = [answers[uid("kill", number)] for number in range(images)]
    return {
        "images": images,
        "answered once": each.count(1),
        "lost": each.count(0),
        "twice": sum(n > 1 for n in each),
        "reports": sum(answers.values()),
    }


def main() -> int:
    """Send, kill and count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(machine(), flush=True)
    began = time.monotonic()
    with hospital(args.bundle, "--quiet-seconds", "0.5", "--no-capture") as own:
        # The sender is busy for as long as the kills take.
        pause = args.kills * sum(PAUSE) / 2 / (1.2 * args.images)
        sender = Sender(own.service.port, args.images, pause)
        sender.start()
        kills = kill_in_turn(own, sender, args.kills, 60 * args.minutes)
        sender.pause = 0
        for _ in range(600):
            own.service.keep_up()
            sender.join(0.5)
            if not sender.is_alive():
                break
        own.archive.wait(args.images, 120)
        time.sleep(3)  # a second report of an image would come now
        found: dict[str, Any] = {
            **count(own, args.images),
            "not accepted": len(sender.left),
            "kills": dict(kills),
            "repeated by the sender": dict(sender.repeats),
            "seconds": round(time.monotonic() - began),
        }
        left = {part: len([*(own.service.state / part).glob("*")]) for part in ("spool", "outbox")}
        found["files left"] = left
    print(table([*found], [[*found.values()]]))
    write_json(args.json, {"machine": machine(), **found})
    return int(bool(found["lost"] or found["twice"] or found["not accepted"]))


if __name__ == "__main__":
    sys.exit(main())
