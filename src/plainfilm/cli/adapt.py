"""Adapt a model to another site: its calibration and thresholds, not the network.

DATA are labelled images of the site. They are divided by patient: one part recalibrates the
model and locks thresholds, the other shows whether that helps. With --label-shift, DATA may
also be a folder of images without labels.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.sources import add_cache_arguments, add_source_arguments, load, options_of

if TYPE_CHECKING:
    from plainfilm.adaptation.document import (
        AdaptationDocument,
        Change,
        LabelAdaptation,
        LabelShiftResults,
    )
    from plainfilm.metrics import Interval

EXAMPLE = "plainfilm adapt runs/first hospital_a --out runs/first-hospital-a"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="RUN_OR_BUNDLE", help="folder of the model")
    add_source_arguments(parser, "+")
    add = options_of(parser)
    words = "folder for the adapted bundle and adaptation.json"
    add("--out FOLDER", words, type=Path, required=True)
    words = "share of the images to adapt on (default: 0.5); the others are held out"
    add("--share SHARE", words, type=float, default=0.5)
    words = (
        "use no labels: correct for another prevalence, unless a test rejects that only it differs"
    )
    add("--label-shift", words)
    add("--seed N", "seed of the division (default: 0)", type=int, default=0)
    add_cache_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from plainfilm.adaptation import adapt
    from plainfilm.adaptation.unlabelled import load_without_labels
    from plainfilm.bundle import read_bundle
    from plainfilm.cli.describe import print_findings
    from plainfilm.cli.terminal import show_progress, shown
    from plainfilm.report import write_adaptation_page

    bundle = read_bundle(args.model)  # before the images are listed, which may take a while
    if args.label_shift:
        data = load_without_labels(
            args.data, bundle.task, patient=args.patient, patient_folder=args.patient_folder
        )
    else:
        data = load(args)
    print_findings(data, args.given)
    with show_progress() as progress:
        found = adapt(
            bundle,
            data,
            out=args.out,
            share=args.share,
            label_shift=args.label_shift,
            seed=args.seed,
            cache=args.cache,
            workers=args.workers,
            progress=progress,
        )
    print("\n".join(describe_adaptation(found.document)))
    page = write_adaptation_page(found)
    print(f"written: {shown(found.folder)}  (page: {page.name})")
    return 0


def describe_adaptation(document: AdaptationDocument) -> Iterator[str]:
    """Yield the lines about an adaptation, the conclusion first."""
    from plainfilm._text import plural

    own, rest = document.adaptation, document.held_out
    yield document.conclusion
    line = f"adapted on {plural(own.images, 'image')} of {plural(own.patients, 'patient')}"
    if rest is not None:
        line += f"; held out: {plural(rest.images, 'image')} of {plural(rest.patients, 'patient')}"
    yield f"{document.dataset}: {line}"
    if document.synthetic:
        yield "synthetic images, drawn by plainfilm: the results say nothing about patients"
    left = {
        "of training or validation": document.left_out.overlapping,
        "rejected": document.left_out.rejected,
        "unreadable": document.left_out.unreadable,
        "without a label": document.left_out.unlabelled,
    }
    if any(left.values()):
        yield "left out: " + ", ".join(f"{count} {why}" for why, count in left.items() if count)
    if unchecked := document.left_out.unchecked:
        yield f"training images may be among them: {'; '.join(unchecked)}"
    if document.label_shift is not None:
        yield from _describe_shift(document.label_shift)
    for label, results in document.labels.items():
        yield ""
        yield from _describe_label(label, results)


def _describe_shift(results: LabelShiftResults) -> Iterator[str]:
    from plainfilm.cli.terminal import table

    rows = [("share of images", "assumed", "estimated", "best mixture", "p of the test")]
    for label, share in results.shares.items():
        p = results.tests[label].p_adjusted
        estimated = _value(share.estimated)
        rows.append((label, f"{share.assumed:.3f}", estimated, f"{share.mixture:.3f}", f"{p:.3f}"))
    yield table(rows)
    yield f"assumption: {results.assumption}"


def _describe_label(label: str, results: LabelAdaptation) -> Iterator[str]:
    from plainfilm.cli.terminal import table

    if not results.changed:
        yield f"{label}: unchanged, {results.reason}"
        return
    if results.slope is not None and results.intercept is not None:
        yield (
            f"{label}: slope {_value(results.slope)} and intercept {_value(results.intercept)} of "
            "the log odds"
        )
    if results.reason:
        yield f"{label}: {results.reason}"
    line = results.calibration
    rows = [
        ("held-out images", "before", "after", "after - before"),
        ("calibration slope", _value(line.slope_before), _value(line.slope_after), ""),
        (
            "calibration in the large",
            _value(line.in_the_large_before),
            _value(line.in_the_large_after),
            "",
        ),
        _change("Brier score", results.brier),
        _change("log loss", results.log_loss),
    ]
    for point in results.points:
        name = point.name
        old = "" if point.threshold_before is None else f"{point.threshold_before:.3f}"
        spread = f"5th to 95th percentile: {point.low:.3f} to {point.high:.3f}"
        rows.append((f"{name}: threshold", old, f"{point.threshold:.3f}", spread))
        for rate in ("sensitivity", "specificity"):
            before = getattr(point, f"{rate}_before")
            shown = "" if before is None else _value(before)
            rows.append((f"{name}: {rate}", shown, _value(getattr(point, rate)), ""))
    yield table(rows)
    for point in results.points:
        if point.status != "determined":
            yield f"{point.name}: {point.status}; {point.note}"
    yield from _describe_plan(results)


def _describe_plan(results: LabelAdaptation) -> Iterator[str]:
    from plainfilm._text import plural

    planned = [
        f"{one.quantity} ± {one.target:g}: {plural(one.images, 'image')}"
        for one in results.plan
        if one.target < 0.5
    ]
    if planned:
        yield f"adaptation images for narrower intervals: {', '.join(planned)}"
    sizes = results.sample_sizes
    if sizes is None:
        return
    needed = [
        f"{name} ± {target.half_width:g}: {plural(target.images, 'image')}"
        for name, size in (("sensitivity", sizes.sensitivity), ("specificity", sizes.specificity))
        if size is not None
        for target in size.targets
        if target.half_width in (0.05, 0.02)
    ]
    if needed:
        yield f"held-out images for narrower intervals: {', '.join(needed)}"


def _change(name: str, change: Change) -> tuple[str, str, str, str]:
    gap = change.difference
    return (name, _value(change.before), _value(change.after), _value(gap, "+.4f"))


def _value(interval: Interval, form: str = ".3f") -> str:
    if math.isnan(interval.value):
        return "undefined"
    if not math.isfinite(interval.high - interval.low):
        return f"{interval.value:{form}}"
    return f"{interval.value:{form}} ({interval.low:{form}} to {interval.high:{form}})"
