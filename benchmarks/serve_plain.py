"""Serves predictions as tutorials do: an upload, Pillow, a resize, ``model.predict``.

    pip install fastapi uvicorn  # not part of any extra
    python benchmarks/serve_plain.py BUNDLE PORT

Started by ``serve.py`` for comparison. The network has the same layers and number of weights as
that of the bundle, so a prediction needs the same arithmetic; the weights are random.
"""

from __future__ import annotations

import argparse
import io

import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from plainfilm.bundle import read_bundle
from plainfilm.models import build_network

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("bundle")
parser.add_argument("port", type=int)
args = parser.parse_args()
bundle = read_bundle(args.bundle)
network = bundle.provenance.recipe.network
size = bundle.pixels.size
model = build_network(network.name, size, len(bundle.task.labels), network.options)
app = FastAPI()


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, object]:
    """Predict on one image."""
    image = Image.open(io.BytesIO(await file.read())).convert("L").resize((size, size))
    batch = np.asarray(image, dtype=np.float32)[None, :, :, None]
    logit = float(model.predict(batch)[0][0])
    probability = 1 / (1 + np.exp(-logit))
    return {
        "label": "PNEUMONIA" if probability > 0.5 else "NORMAL",
        "probability": float(probability),
    }


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="warning")
