"""Made-up content of a report: images, a training, and an evaluation whose numbers agree."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from locked_points import evidence
from plainfilm._machine import Machine
from plainfilm.bundle import Provenance
from plainfilm.config import load_recipe
from plainfilm.data.counts import Counts, Description
from plainfilm.evaluation import EvaluationDocument
from plainfilm.evaluation.document import LabelResults, OperatingPointResults
from plainfilm.evaluation.document.evaluation import (
    DatasetSummary,
    LeftOutImage,
    ModelSummary,
    TrainingSummary,
)
from plainfilm.evaluation.document.label import (
    Calibration,
    Curves,
    PrecisionRecallCurve,
    RocCurve,
    SampleSizes,
    ScoreHistogram,
)
from plainfilm.evaluation.document.subgroups import Subgroups
from plainfilm.metrics import BrierParts, Confusion, Interval, ReliabilityBin
from plainfilm.records import Finding, Purpose, Task
from plainfilm.report import ReportContent, Sample, WorstCase
from plainfilm.report.content import TrainingContent
from plainfilm.training.plan import Identity, Plan

__all__ = ["HOSTILE", "draw_content", "draw_evaluation", "draw_training"]

HOSTILE = '<script>alert("1")</script>\u202egpj.\x07\udcff&amp;'
TASK = Task("binary", ("PNEUMONIA",), ("NORMAL", "PNEUMONIA"))


def draw_chest(generator: np.random.Generator, size: int = 96) -> NDArray[np.uint8]:
    """Draw an image that resembles a chest X-ray: dark lungs in a bright body."""
    y, x = np.mgrid[0 : 1 : complex(size), 0 : 1 : complex(size)]
    body = 150 * np.exp(-(((x - 0.5) / 0.48) ** 8) - ((y - 0.55) / 0.6) ** 8)
    for side in (0.31, 0.69):
        width = generator.uniform(0.13, 0.16)
        body -= 105 * np.exp(-((((x - side) / width) ** 2 + ((y - 0.47) / 0.3) ** 2) ** 2))
    body += 60 * np.exp(-(((x - 0.5) / 0.07) ** 2))
    body += 12 * np.cos(2 * np.pi * (y * 9 + (x - 0.5) ** 2 * 6))
    where = generator.uniform(0.25, 0.75, 2)
    body += 60 * np.exp(-((x - where[0]) ** 2 + (y - where[1]) ** 2) / 0.012)
    body += generator.normal(0, 5, body.shape)
    return np.clip(body, 0, 255).astype(np.uint8)


def _interval(value: float, half: float, method: str = "Wilson") -> Interval:
    return Interval(value, max(0.0, value - half), min(1.0, value + half), method)


def _point(
    purpose: Purpose, threshold: float, tp: int, fp: int, tn: int, fn: int
) -> OperatingPointResults:
    return OperatingPointResults(
        threshold=threshold,
        purpose=purpose,
        label="PNEUMONIA",
        rule="largest sum of sensitivity and specificity on validation",
        confusion=Confusion(tp, fp, tn, fn),
        metrics={
            "accuracy": _interval((tp + tn) / (tp + fp + tn + fn), 0.023),
            "balanced_accuracy": _interval(
                (tp / (tp + fn) + tn / (tn + fp)) / 2, 0.027, "bootstrap"
            ),
            "sensitivity": _interval(tp / (tp + fn), 0.016),
            "specificity": _interval(tn / (tn + fp), 0.053),
            "ppv": _interval(tp / (tp + fp), 0.03),
            "npv": _interval(tn / (tn + fn), 0.03),
            "f1": _interval(2 * tp / (2 * tp + fp + fn), 0.018, "bootstrap"),
            "mcc": _interval(0.81, 0.045, "bootstrap"),
        },
        predictive_values=None,
        validation=evidence(threshold - 0.15, threshold + 0.14),
    )


def _curves() -> Curves:
    generator = np.random.default_rng(7)
    y_true = np.arange(624) < 390
    scores = 1 / (1 + np.exp(-np.where(y_true, 2.6, -1.4) - generator.normal(0, 1.7, 624)))
    order = np.argsort(-scores)
    hits, alarms = np.cumsum(y_true[order]), np.cumsum(~y_true[order])
    bins = []
    for low, high in pairwise(np.linspace(0, 1, 11).tolist()):
        inside = (scores >= low) & (scores < high)
        seen = float(y_true[inside].mean())
        half = 1.5 / np.sqrt(inside.sum()) * np.sqrt(seen * (1 - seen) + 0.01)
        predicted = float(scores[inside].mean())
        bins.append(
            ReliabilityBin(low, high, int(inside.sum()), predicted, _interval(seen, float(half)))
        )
    edges = np.linspace(0, 1, 31)
    none = Interval(float("nan"), float("nan"), float("nan"), "none", "not computed")
    return Curves(
        roc=RocCurve(
            (0.0, *(alarms / 234).tolist()),
            (0.0, *(hits / 390).tolist()),
            (float("inf"), *scores[order].tolist()),
        ),
        precision_recall=PrecisionRecallCurve(
            tuple((hits / 390).tolist()), tuple((hits / (hits + alarms)).tolist())
        ),
        calibration=Calibration(
            bins=tuple(bins),
            error=_interval(0.03, 0.01),
            error_bias=0.01,
            error_corrected=0.02,
            brier_parts=BrierParts(0.01, 0.16, 0.23),
            brier_method="x",
            slope=_interval(0.95, 0.1),
            intercept=none,
            in_the_large=none,
        ),
        decision=None,
        scores=ScoreHistogram(
            tuple(edges.tolist()),
            {
                "NORMAL": tuple(np.histogram(scores[~y_true], edges)[0].tolist()),
                "PNEUMONIA": tuple(np.histogram(scores[y_true], edges)[0].tolist()),
            },
        ),
    )


def draw_evaluation() -> EvaluationDocument:
    """Return an evaluation of 624 images of 428 patients."""
    points = {
        "balanced": _point("balanced", 0.62, 379, 41, 193, 11),
        "rule-out": _point("rule-out", 0.21, 388, 88, 146, 2),
        "rule-in": _point("rule-in", 0.91, 341, 9, 225, 49),
    }
    metrics = {
        "auroc": _interval(0.962, 0.014, "DeLong"),
        "average_precision": _interval(0.973, 0.012, "bootstrap"),
        "brier": _interval(0.078, 0.013, "bootstrap"),
        "log_loss": _interval(0.26, 0.04, "bootstrap"),
    }
    label = LabelResults(
        n=624,
        unknown=0,
        patients=428,
        positives=390,
        prevalence=390 / 624,
        metrics=metrics,
        operating_points=points,
        curves=_curves(),
        sample_sizes=SampleSizes("", None, None, None),
    )
    return EvaluationDocument(
        created="2025-03-14T15:09:26+00:00",
        version="0.1.0",
        model=ModelSummary(
            name="compact-2025",
            kind="bundle",
            id="b7c1" * 16,
            recipe="compact",
            created="2025-03-14T14:00:00+00:00",
            backend="jax 0.5.0",
            seed=2025,
            temperature=1.1,
            locked_on="524 validation images",
            assumed_prevalence=None,
            training=TrainingSummary("kermany224", 4708, 524),
        ),
        task=TASK,
        dataset=DatasetSummary("kermany224", "test", "0d5e" * 16, "0d5e" * 16),
        n=624,
        patients=428,
        metrics=metrics,
        labels={"PNEUMONIA": label},
        subgroups=Subgroups(10, "", 0, {}),
        left_out=(LeftOutImage("test/NORMAL/a.jpeg", "truncated", "ends early"),),
    )


def draw_training() -> TrainingContent:
    """Return a training of twelve epochs; the eighth was kept."""
    history = [
        {
            "epoch": epoch,
            "loss": 0.6 * 0.75**epoch + 0.05,
            "accuracy": 0.98 - 0.3 * 0.7**epoch,
            "auroc": 0.998 - 0.2 * 0.6**epoch,
            "val_loss": 0.55 * 0.7**epoch + 0.08 + 0.002 * epoch**1.5,
            "val_accuracy": 0.96 - 0.3 * 0.65**epoch,
            "val_auroc": 0.993 - 0.2 * 0.55**epoch - 0.0004 * epoch,
            "learning_rate": 1e-3,
            "seconds": 41.0,
        }
        for epoch in range(1, 13)
    ]
    splits = {
        "train": Counts(4708, 3304, {"NORMAL": 1214, "PNEUMONIA": 3494}),
        "test": Counts(624, 428, {"NORMAL": 234, "PNEUMONIA": 390}),
    }
    classes = {"NORMAL": 1448, "PNEUMONIA": 3884}
    plan = Plan(
        identity=Identity(load_recipe("standard"), 2025, "0d5e" * 16, "jax", "float32"),
        dataset=Description("kermany224", "binary", 5332, 3732, classes, splits),
        machine=Machine("Linux", "a processor", 2, 23.5, "3.11.7"),
        versions={"keras": "3.15.1"},
    )
    provenance = Provenance(parameters=402_113, epoch=8, training_seconds=512.25)
    return TrainingContent(plan, provenance, history)


def draw_content(size: int = 96) -> ReportContent:
    """Return content for every part of a report."""
    generator = np.random.default_rng(11)
    chests = [draw_chest(generator, size) for _ in range(16)]
    heat = np.zeros((size, size), np.float32)
    bump = np.hanning(size // 2)
    heat[: size // 2, size // 2 :] = np.outer(bump, bump)
    names = ("NORMAL", "PNEUMONIA")
    evaluation = draw_evaluation()
    left_out = LeftOutImage(HOSTILE, "not-an-image", f"no image: {HOSTILE}")
    return ReportContent(
        evaluation=replace(evaluation, left_out=(*evaluation.left_out, left_out)),
        training=draw_training(),
        samples=[
            Sample(c, f"train/person{i}_bacteria_{i}.jpeg", names[i % 2])
            for i, c in enumerate(chests)
        ],
        augmented=[
            Sample(c[:, ::-1].copy(), f"shift {i - 4} px", names[0])
            for i, c in enumerate(chests[:8])
        ],
        worst=[
            WorstCase(
                c,
                heat if i % 3 < 2 else None,
                f"test/NORMAL/IM-{i:04d}-0001.jpeg",
                "NORMAL",
                0.99 - 0.01 * i,
                "PNEUMONIA",
            )
            for i, c in enumerate(chests[:6])
        ],
        findings=[
            Finding(
                check="file-size-shortcut",
                severity="serious",
                problem="The size of the file alone separates the classes with an AUROC of 0.90",
                count=5216,
                consequence="A model may learn the compression instead of the disease.",
                remedy="Encode all images alike before training.",
            ),
            Finding(
                check="duplicates",
                severity="warning",
                problem="24 groups of identical files",
                count=50,
                files=("train/a.jpeg", HOSTILE),
            ),
        ],
    )
