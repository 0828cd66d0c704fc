"""Answer for files and folders, from a bundle; no training framework is needed."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.cli.sources import worker_count

if TYPE_CHECKING:
    from plainfilm.records import Prediction
    from plainfilm.runtime import Predictor

EXAMPLE = "plainfilm predict runs/first image.jpeg more_images --format csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plainfilm predict``."""
    parser.add_argument("model", type=Path, metavar="RUN_OR_BUNDLE", help="folder")
    parser.add_argument("sources", nargs="+", type=Path, metavar="FILE", help="file or folder")
    parser.add_argument(
        "--format", choices=["table", "csv", "jsonl"], default="table", help="default: table"
    )
    parser.add_argument(
        "--heatmaps", type=Path, metavar="FOLDER", help="also draw heat maps over the images here"
    )
    parser.add_argument(
        "--workers", type=worker_count, metavar="N", help="threads (default: one more than cores)"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``plainfilm predict``."""
    from plainfilm.cli.terminal import counted
    from plainfilm.runtime import Predictor

    predictor = Predictor(args.model)
    found = _find(args.sources)
    paths = found.paths
    if args.heatmaps:
        from plainfilm._files import make_folder

        make_folder(args.heatmaps)
    answers = _with_heatmaps(predictor, predictor.predict(paths, workers=args.workers), args)
    write = {"table": _write_table, "csv": _write_csv, "jsonl": _write_jsonl}[args.format]
    failed = write(predictor, answers)
    if failed:
        told = f"{failed} of {counted(len(paths), 'file')} got no answer"
        print(f"plainfilm: {told}", file=sys.stderr)
    for line in found.told():
        print(f"plainfilm: {line}", file=sys.stderr)
    return 1 if failed == len(paths) else 0


@dataclass(slots=True)
class _Found:
    """The files to answer for, and what of the folders is not opened."""

    paths: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    def told(self) -> Iterator[str]:
        """Yield what a reader must know: no file is passed over in silence."""
        from plainfilm.cli.terminal import counted

        if number := self.others.total():
            # Whoever asks for one image should not wait for what lists a data set.
            from plainfilm.data.sources.folders import told_endings

            verb = "was" if number == 1 else "were"
            yield (
                f"{counted(number, 'file')} {verb} not opened, for the ending is of no known image "
                f"format: {told_endings(self.others)}"
            )
        for path in self.unreadable:
            yield f"the folder {_printable(path)} cannot be listed"


def _find(sources: Iterable[Path]) -> _Found:
    """Collect the files themselves; of a folder, those that a data set would take for images."""
    from plainfilm.errors import SourceError

    found = _Found()
    for source in sources:
        if not source.is_dir():
            found.paths.append(source)
            continue
        # Whoever asks for one image should not wait for what lists a data set.
        from plainfilm.data.sources.folders import read_tree, told_endings
        from plainfilm.pixels import IMAGE_SUFFIXES

        tree = read_tree(source)
        if not tree.images:
            number = tree.others.total()
            raise SourceError(
                f"there is no image in {source}",
                received=f"{number} other files: {told_endings(tree.others)}" if number else None,
                remedy="files are taken that have no ending, a number for one, or one of: "
                f"{', '.join(sorted(IMAGE_SUFFIXES))}; name others one by one",
            )
        found.paths += (source / below for below, _, _ in tree.walk())
        found.others += tree.others
        found.unreadable += tree.unreadable
    return found


def _with_heatmaps(
    predictor: Predictor, answers: Iterable[Prediction], args: argparse.Namespace
) -> Iterator[Prediction]:
    if not args.heatmaps:
        yield from answers
        return
    import io

    from PIL import Image

    from plainfilm._files import write_bytes
    from plainfilm.explain import heatmap, overlay

    for number, answer in enumerate(answers):
        if answer.error is None:
            pixels = predictor.read(answer.id).pixels
            label = max(answer.probabilities, key=answer.probabilities.__getitem__)
            drawn = Image.fromarray(overlay(pixels, heatmap(predictor, pixels, label)))
            side = max(384, drawn.width)
            data = io.BytesIO()
            drawn.resize((side, side), Image.Resampling.BICUBIC).save(data, "PNG")
            # Files of several folders may share a name; the number keeps them apart.
            write_bytes(
                args.heatmaps / f"{number:06d}-{_printable(Path(answer.id).stem)}.png",
                data.getvalue(),
            )
        yield answer


def _values(predictor: Predictor, answer: Prediction) -> list[str]:
    return [f"{answer.probabilities[label]:.6f}" for label in predictor.labels]


def _call(answer: Prediction) -> str:
    call = answer.predicted.get("balanced") or answer.predicted.get("most-likely")
    if call is not None:
        return call
    yes = [
        key.rpartition("/")[0]
        for key, v in answer.predicted.items()
        if v == "positive" and key.endswith("/balanced")
    ]
    return ", ".join(yes) or "none"


def _write_table(predictor: Predictor, answers: Iterable[Prediction]) -> int:
    failed = 0
    print(
        "  ".join(
            [*(f"{label:>{max(8, len(label))}}" for label in predictor.labels), "call", "file"]
        )
    )
    for answer in answers:
        if answer.error is not None:
            failed += 1
            print(f"no answer: {answer.error} ({answer.reason})  {_printable(answer.id)}")
            continue
        cells = zip(_values(predictor, answer), predictor.labels, strict=True)
        values = [value.rjust(max(8, len(label))) for value, label in cells]
        print("  ".join([*values, _call(answer) + _doubt(answer), _printable(answer.id)]))
    return failed


def _doubt(answer: Prediction) -> str:
    """Say beside a call why it should not be trusted; empty where nothing speaks against it."""
    if answer.rejected:
        return " (not like what the model was trained on)"
    return " (indeterminate)" if answer.indeterminate else ""


def _printable(name: str) -> str:
    """Escape what a terminal would obey, or could not show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _write_csv(predictor: Predictor, answers: Iterable[Prediction]) -> int:
    failed = 0
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = [f"probability_{label}" for label in predictor.labels]
    doubts = ["novelty", "rejected", "indeterminate"]
    writer.writerow(["file", *names, "call", *doubts, "error", "problem"])
    for answer in answers:
        if answer.error is not None:
            failed += 1
            empty = ("" for _ in (*names, "call", *doubts))
            writer.writerow([answer.id, *empty, answer.reason, answer.error])
        else:
            told = (
                "" if answer.novelty is None else f"{answer.novelty:.4f}",
                int(answer.rejected),
                " ".join(answer.indeterminate),
            )
            values = _values(predictor, answer)
            writer.writerow([answer.id, *values, _call(answer), *told, "", ""])
    return failed


def _write_jsonl(predictor: Predictor, answers: Iterable[Prediction]) -> int:
    failed = 0
    for answer in answers:
        failed += answer.error is not None
        row = {"file": answer.id, **answer.to_json(), "bundle": predictor.bundle.id}
        print(json.dumps(row, default=str))
    return failed
