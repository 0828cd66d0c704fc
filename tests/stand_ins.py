"""Small random networks in place of those of libraries that are not installed, for the docs."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import pytest

__all__ = ["add_libraries"]


def add_libraries(patch: pytest.MonkeyPatch) -> None:
    """Add the modules ``transformers`` and ``torchxrayvision``, if PyTorch is installed.

    The vision transformer and the DenseNet have the layers and outputs of the real ones.
    """
    if importlib.util.find_spec("torch") is None:
        return
    transformers = types.ModuleType("transformers")
    transformers.AutoModel = types.SimpleNamespace(from_pretrained=_vision_transformer)
    models = types.SimpleNamespace(DenseNet=_dense_net)
    library = types.ModuleType("torchxrayvision")
    library.models = models
    patch.setitem(sys.modules, "transformers", transformers)
    patch.setitem(sys.modules, "torchxrayvision", library)


def _vision_transformer(name: str) -> Any:
    """Return a vision transformer with a class token, 16 x 16 patches and one layer."""
    import torch
    from torch import nn

    width, patch = 16, 32 if "rad-dino" in name else 14

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, width, patch, patch)
            self.token = nn.Parameter(torch.randn(1, 1, width))
            self.places = nn.Parameter(torch.randn(1, 1 + 16**2, width))
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
            self.qkv = nn.Linear(width, 3 * width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )

        def forward(self, pixel_values: Any) -> Any:
            x = self.patches(pixel_values).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.places
            query, key, value = self.qkv(self.norms[0](x)).chunk(3, dim=-1)
            x = x + (query @ key.transpose(1, 2) / width**0.5).softmax(dim=-1) @ value
            x = x + self.mlp(self.norms[1](x))
            return types.SimpleNamespace(last_hidden_state=self.norms[2](x))

    torch.manual_seed(0)
    return Transformer()


def _dense_net(weights: str) -> Any:
    """Return a DenseNet whose ``features`` are planes; each layer receives all earlier ones."""
    import torch
    from torch import nn

    del weights

    class Layer(nn.Module):
        def __init__(self, inputs: int) -> None:
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 4, 3, padding=1)

        def forward(self, x: Any) -> Any:
            return torch.cat([x, self.conv(self.norm(x).relu())], dim=1)

    torch.manual_seed(0)
    network = nn.Module()
    network.features = nn.Sequential(
        nn.Conv2d(1, 8, 7, 4, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        *(Layer(8), Layer(12), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 1)),
        *(nn.AvgPool2d(2), Layer(8), nn.BatchNorm2d(12)),
    )
    return network
