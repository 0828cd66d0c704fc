"""Predict on files and folders with a bundle. No training framework is needed."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.sources import options_of, worker_count
from plainfilm.prediction import Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from plainfilm.errors import SourceError
    from plainfilm.file_predictions import Predicted
    from plainfilm.runtime import Predictor

_LONGEST_STEM = 200  # bytes of the name of a heat map; file systems allow 255 with the rest

EXAMPLE = "plainfilm predict runs/first image.jpeg more_images --format csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="RUN_OR_BUNDLE", help="folder of the model")
    parser.add_argument("sources", nargs="+", type=Path, metavar="FILE", help="file or folder")
    formats = ["table", "csv", "jsonl"]
    words = "output format (default: table)"
    parser.add_argument("--format", choices=formats, default="table", help=words)
    add = options_of(parser)
    add("--heatmaps FOLDER", "folder for heat maps drawn over the images", type=Path)
    words = "show the probabilities of rejected images too"
    parser.add_argument("--all-probabilities", action="store_true", help=words)
    words = "decoding processes (default: one per core; 0, this process, for fewer than 64 files)"
    add("--workers N", words, type=worker_count)


def run(args: argparse.Namespace) -> int:
    from plainfilm._text import plural
    from plainfilm.runtime import Predictor

    predictor = Predictor(args.model)
    found = _find(args.sources)
    paths = found.paths
    if args.heatmaps:
        from plainfilm._files import make_folder

        make_folder(args.heatmaps)
    reasons: Counter[tuple[str | None, bool]] = Counter()
    write = {"table": _write_table, "csv": _write_csv, "jsonl": _write_jsonl}[args.format]
    with closing(predictor.predict_with_pixels(paths, workers=args.workers)) as predicted:
        predictions = _with_heatmaps(predictor, predicted, args)
        write(predictor, _count(predictions, reasons), args.all_probabilities)
    failed = sum(count for (reason, rejected), count in reasons.items() if reason and not rejected)
    if failed:
        message = f"no prediction for {failed} of {plural(len(paths), 'file')}"
        print(f"plainfilm: {message}", file=sys.stderr)
    rejected = {str(reason): count for (reason, rejected), count in reasons.items() if rejected}
    if rejected:
        message = f"no predicted class for {sum(rejected.values())} of {plural(len(paths), 'file')}"
        kinds = ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.items()))
        print(f"plainfilm: {message}: {kinds}", file=sys.stderr)
    if not predictor.predicts_class:
        from plainfilm.bundle.origin import NO_THRESHOLD

        print(f"plainfilm: {NO_THRESHOLD}", file=sys.stderr)
    for message in found.warnings():
        print(f"plainfilm: {message}", file=sys.stderr)
    return 1 if failed == len(paths) else 0


def _count(
    predictions: Iterable[Prediction], reasons: Counter[tuple[str | None, bool]]
) -> Iterator[Prediction]:
    """Count the predictions by reason and by whether they are rejected."""
    for one in predictions:
        reasons[one.reason, one.rejected] += 1
        yield one


@dataclass(slots=True)
class _Found:
    """The files to predict on, and what is not used in the folders."""

    paths: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    def warnings(self) -> Iterator[str]:
        """Yield a warning for files that are not used and folders that cannot be listed."""
        from plainfilm._text import plural

        if number := self.others.total():
            # A prediction on one image does not wait for the modules that list a data set.
            from plainfilm.data.sources.folders.tree import count_suffixes

            yield (
                f"{plural(number, 'file is', 'files are')} not of a known image format and not "
                f"used: {count_suffixes(self.others)}"
            )
        for path in self.empty:
            yield f"the folder {_printable(path)} contains no images"
        for path in self.unreadable:
            yield f"the folder {_printable(path)} cannot be listed"


def _find(sources: Iterable[Path]) -> _Found:
    """Collect the files; in a folder, those that a data set would read as images."""
    found = _Found()
    for source in sources:
        if not source.is_dir():
            found.paths.append(source)
            continue
        # A prediction on one image does not wait for the modules that list a data set.
        from plainfilm.data.sources.folders.tree import read_tree

        tree = read_tree(source)
        if not tree.images:
            found.empty.append(str(source))
        found.paths += (source / below for below, _, _ in tree.walk())
        found.others += tree.others
        found.unreadable += tree.unreadable
    if not found.paths:
        raise _no_images(found)
    return found


def _no_images(found: _Found) -> SourceError:
    from plainfilm._text import plural
    from plainfilm.data.sources.folders.tree import count_suffixes
    from plainfilm.errors import SourceError

    others = f"{plural(found.others.total(), 'other file')}: {count_suffixes(found.others)}"
    return SourceError(
        f"{', '.join(map(_printable, found.empty))} contains no images",
        received=others if found.others else None,
        remedy="give a folder with images in JPEG, PNG, TIFF, BMP, WebP, GIF or DICOM",
    )


def _with_heatmaps(
    predictor: Predictor, predicted: Iterable[Predicted], args: argparse.Namespace
) -> Iterator[Prediction]:
    """Yield the predictions; draw the heat map of each that has a class, if there is a folder."""
    for number, (one, pixels) in enumerate(predicted):
        has_class = one.reason is None or (one.rejected and args.all_probabilities)
        if args.heatmaps and has_class and pixels is not None:
            # Files of several folders may share a name; the number makes it unique.
            stem = _printable(Path(one.id).stem).encode()[:_LONGEST_STEM].decode(errors="ignore")
            yield _draw_heatmap(predictor, one, pixels, args.heatmaps / f"{number:06d}-{stem}.png")
        else:
            yield one


def _draw_heatmap(
    predictor: Predictor, one: Prediction, pixels: NDArray[np.uint8], path: Path
) -> Prediction:
    """Write a heat map; return the prediction, or that there is none if the network fails."""
    import io

    from PIL import Image

    from plainfilm._files import write_bytes
    from plainfilm.errors import BundleError
    from plainfilm.explain import heatmap, overlay

    label = max(one.probabilities, key=one.probabilities.__getitem__)
    try:
        drawn = Image.fromarray(overlay(pixels, heatmap(predictor, pixels, label)))
    except BundleError as error:
        return Prediction(one.id, {}, {}, one.metadata, "invalid-output", error.problem)
    side = max(384, drawn.width)
    data = io.BytesIO()
    drawn.resize((side, side), Image.Resampling.BICUBIC).save(data, "PNG")
    write_bytes(path, data.getvalue())
    return one


def _write_table(predictor: Predictor, rows: Iterable[Prediction], everything: bool) -> None:
    widths = {f"probability_{label}": max(8, len(label)) for label in predictor.labels}
    names = (f"{label:>{max(8, len(label))}}" for label in predictor.labels)
    print("  ".join([*names, "predicted", "file"]))
    for one in rows:
        if one.is_unreadable:
            print(f"no prediction: {one.problem} ({one.reason})  {_printable(one.id)}")
            continue
        row = one.to_row(predictor.labels, all_probabilities=everything)
        values = ((_cell(name, row[name]) or "-").rjust(width) for name, width in widths.items())
        predicted = str(row["predicted"] or "-") + (" (indeterminate)" if one.indeterminate else "")
        if one.rejected:
            predicted = f"rejected: {one.problem} ({one.reason})"
        print("  ".join([*values, predicted, _printable(one.id)]))


def _printable(name: str) -> str:
    """Escape control characters and what a terminal cannot show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _write_csv(predictor: Predictor, rows: Iterable[Prediction], everything: bool) -> None:
    from plainfilm._csv import csv_line

    sys.stdout.write(csv_line(["file", *Prediction("", {}).to_row(predictor.labels)]))
    for one in rows:
        row = one.to_row(predictor.labels, all_probabilities=everything)
        sys.stdout.write(csv_line([one.id, *(_cell(name, own) for name, own in row.items())]))


def _cell(name: str, value: str | float | bool | None) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4f}" if name == "novelty" else f"{value:.6f}"
    return value or ""


def _write_jsonl(predictor: Predictor, rows: Iterable[Prediction], everything: bool) -> None:
    for one in rows:
        fields = one.to_json(all_probabilities=everything)
        print(json.dumps({"file": one.id, **fields, "bundle": predictor.bundle.id}, default=str))
