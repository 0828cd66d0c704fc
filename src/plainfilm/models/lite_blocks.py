"""The architecture of EfficientNet-Lite 0, 1 and 2 as numbers, without a framework.

EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excite and with ReLU6 for swish. Stem and
head have the same width in all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

VARIANTS = (0, 1, 2)
STAGES = 7
STEM_WIDTH, HEAD_WIDTH = 32, 1280

# Repeats, kernel, stride, expansion and width of each stage before scaling.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))  # of width and depth


@dataclass(frozen=True, slots=True)
class LiteBlock:
    """An inverted residual: 1x1 expansion, depthwise convolution, 1x1 projection without ReLU6.

    ``stage`` counts from 1. A block whose ``expansion`` is 1 has no first convolution.
    """

    stage: int
    kernel: int
    stride: int
    expansion: int
    inputs: int
    outputs: int

    @property
    def has_skip(self) -> bool:
        """Return whether the input is added to the output."""
        return self.stride == 1 and self.inputs == self.outputs


def lite_blocks(variant: int) -> tuple[LiteBlock, ...]:
    """Return the blocks of EfficientNet-Lite 0, 1 or 2, from the stem to the head."""
    width, depth = _SCALES[variant]
    blocks: list[LiteBlock] = []
    before = STEM_WIDTH
    for stage, (repeats, kernel, stride, expansion, channels) in enumerate(_STAGES, start=1):
        repeats = repeats if stage in (1, STAGES) else math.ceil(depth * repeats)
        after = _scaled(channels, width)
        for repeat in range(repeats):
            own = stride if repeat == 0 else 1
            blocks.append(LiteBlock(stage, kernel, own, expansion, before, after))
            before = after
    return tuple(blocks)


def _scaled(channels: int, width: float) -> int:
    """Return the scaled width, a multiple of 8 that is at least nine tenths of it."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded
