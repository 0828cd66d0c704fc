"""Tests prediction, decoding and evaluation without ``resource``, ``fcntl`` and ``os.fork``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from plainfilm.bundle import Bundle

# Every Python that has this module's folder on its path hides them, decoding processes too.
HIDE = """
import os, sys
sys.modules["resource"] = sys.modules["fcntl"] = None
for name in ("fork", "forkpty"):
    if hasattr(os, name):
        delattr(os, name)
"""

SCRIPT = """
import json, multiprocessing, os, sys
multiprocessing.set_start_method("spawn")
assert not hasattr(os, "fork")
import numpy as np
import plainfilm
from plainfilm.decoding.pool import Pool
from plainfilm.pixels import read_image
from plainfilm.records import PixelSpec
bundle, *paths = sys.argv[1:]
found = [one.to_json() for one in plainfilm.load(bundle).predict(paths)]
out = np.zeros((len(paths), 16, 16), np.uint8)
events = []
with Pool(1, notify=events.append) as pool:
    outcomes = pool.decode(paths, PixelSpec(16), out)
same = [bool((row == read_image(path, PixelSpec(16)).pixels).all())
        for row, path in zip(out, paths[:2])]
manifest = plainfilm.load_dataset(os.path.dirname(paths[0]) + "/set", positive="bright")
plainfilm.evaluate(bundle, manifest, out=os.path.dirname(paths[0]) + "/out",
                   robustness=False, n_bootstrap=20, workers=1)
assert os.path.getsize(os.path.dirname(paths[0]) + "/out/evaluation.json") > 1000
print(json.dumps({"found": found, "same": same, "events": events, "failure": outcomes[2].reason}))
"""


def test_prediction_and_decoding_work_without_posix_modules(
    tmp_path: Path, make_bundle: Callable[..., Bundle], draw_grey: Callable[..., Path]
) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(HIDE)
    paths = []
    for number in range(2):
        paths.append(tmp_path / f"{number}.png")
        ramp = np.add.outer(np.arange(40), np.arange(50)) + 60 * number
        Pillow.fromarray(ramp.astype(np.uint8)).save(paths[-1])
    paths.append(tmp_path / "broken.png")
    paths[-1].write_bytes(b"no image")
    for number in range(24):
        name, grey = ("bright", 180) if number % 2 else ("dark", 70)
        draw_grey(tmp_path / "set" / name / f"{number}.png", grey + number)
    path = os.pathsep.join([str(tmp_path / "hidden"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, make_bundle().folder, *paths],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    assert [sorted(one) for one in output["found"][:2]] == [sorted(output["found"][0])] * 2
    assert [one["reason"] for one in output["found"]] == [None, None, "not-an-image"]
    assert output["same"] == [True, True] and output["failure"] == "not-an-image"
    assert output["events"] == ["started"]  # decoded in a process, not in this one
