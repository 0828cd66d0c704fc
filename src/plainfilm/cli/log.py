"""Send finished runs to an experiment tracker: MLflow, or event files of TensorBoard.

RUN is a run, or a folder of several, such as a search. Sent are the settings, the metrics by
epoch, the metrics of evaluations with their intervals, plan.json, history.csv, model cards and
plots. Images and names of files are not sent, unless --report includes report.html. Nothing is
written to the runs. A second call sends only what is new.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from plainfilm.cli.sources import options_of

EXAMPLE = "plainfilm log runs/first --to tensorboard --out events"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    words = "folder of a run, or of several runs"
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=words)
    add = options_of(parser)
    choices = ("mlflow", "tensorboard")
    add("--to mlflow|tensorboard", "the tracker", choices=choices, required=True)
    words = "address of the MLflow server (default: the variable MLFLOW_TRACKING_URI)"
    add("--uri URI", words)
    add("--experiment NAME", "experiment of MLflow (default: plainfilm)", default="plainfilm")
    add("--out FOLDER", "folder for the event files of TensorBoard", type=Path)
    add("--report", "also send report.html to MLflow, which shows images and names of files")


def run(args: argparse.Namespace) -> int:
    from plainfilm._text import plural
    from plainfilm.errors import UsageError
    from plainfilm.search.export import Export, find_runs, gather_run

    is_mlflow = args.to == "mlflow"
    if not is_mlflow and (args.uri or args.report):
        raise UsageError("--uri and --report are for MLflow", remedy="leave them out")
    if is_mlflow == (args.out is not None):
        raise UsageError(
            "--out is the folder for the event files of TensorBoard",
            received=f"--to {args.to}" + (" --out" if args.out else ""),
            remedy="leave it out, and name the server with --uri" if is_mlflow else "add --out",
        )
    runs = find_runs(args.runs)
    place = None if is_mlflow else args.out.resolve()
    if inside := [run for run in runs if place and place.is_relative_to(run.resolve())]:
        raise UsageError(
            "nothing is written to a run",
            received=f"--out {args.out} is in the run {inside[0]}",
            remedy="name another folder",
        )
    send: Callable[[Export], str]
    if is_mlflow:
        from plainfilm.search.to_mlflow import MlflowTracker

        send = MlflowTracker(args.uri, args.experiment).send
    else:
        from plainfilm.search.to_tensorboard import write_events

        send = partial(write_events, folder=args.out)
    for folder in runs:
        export = gather_run(folder, report=args.report)
        outcome = send(export)
        values = sum(len(series) for series in export.series.values())
        print(
            f"{export.name}: {outcome}  ({plural(len(export.params), 'parameter')}, "
            f"{plural(values, 'value')}, {plural(len(export.artifacts), 'file')})"
        )
    return 0
