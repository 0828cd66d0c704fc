"""The server that tutorials show: an upload, Pillow, a resize, ``model.predict``.

    pip install fastapi  # no extra installs it
    python benchmarks/serve_plain.py BUNDLE PORT

Started by ``serve.py`` beside it, as what the service is compared with. The network has the same
layers and weights of the same number, so a prediction costs the same arithmetic; its weights are
random, for what they say does not matter here.
"""

from __future__ import annotations

import io
import sys

import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from plainfilm.bundle import read_bundle
from plainfilm.models import build_network

bundle = read_bundle(sys.argv[1])
network = bundle.provenance.recipe.network
size = bundle.pixels.size
model = build_network(network.name, size, len(bundle.task.labels), network.options)
app = FastAPI()


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, object]:
    """Answer for one image, as tutorials do."""
    image = Image.open(io.BytesIO(await file.read())).convert("L").resize((size, size))
    batch = np.asarray(image, dtype=np.float32)[None, :, :, None]
    logit = float(model.predict(batch)[0][0])
    probability = 1 / (1 + np.exp(-logit))
    return {
        "label": "PNEUMONIA" if probability > 0.5 else "NORMAL",
        "probability": float(probability),
    }


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
