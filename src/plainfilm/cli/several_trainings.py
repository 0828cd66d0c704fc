"""Checks the options of ``train`` for several seeds, folds and ranks."""

from __future__ import annotations

import argparse


def check_numbers(args: argparse.Namespace) -> None:
    """Raise a UsageError for numbers of seeds and folds that cannot be trained."""
    from plainfilm.errors import UsageError

    if args.folds is not None:
        if args.folds < 2:
            raise UsageError("a cross-validation needs 2 or more folds", received=args.folds)
        if args.seeds != 1:
            raise UsageError(
                "--folds and --seeds cannot be combined",
                received=f"--folds {args.folds} --seeds {args.seeds}",
                remedy="repeat the cross-validation with another --seed and --out",
            )
    elif args.seeds < 1 or (args.ensemble and args.seeds < 2):
        raise UsageError(
            "an ensemble needs at least 2 seeds" if args.ensemble else "--seeds must be at least 1",
            received=args.seeds,
            remedy="give --seeds 2 or more" if args.ensemble else "leave it out for one training",
        )


def check_ranks(args: argparse.Namespace) -> None:
    """Raise a UsageError for options of ranks that contradict each other."""
    from plainfilm._machine import cores
    from plainfilm._text import plural
    from plainfilm.errors import UsageError

    if (args.rank is None) != (args.coordinator is None):
        raise UsageError(
            "--coordinator and --rank belong together",
            received="--rank" if args.coordinator is None else "--coordinator",
            remedy="give both on several machines, and only --ranks on one",
        )
    if args.coordinator is not None and (args.seeds > 1 or args.folds is not None):
        raise UsageError(
            "several trainings cannot have a coordinator",
            received="--folds" if args.seeds == 1 else "--seeds",
            remedy="start one training for each seed, or use --ranks on one machine",
        )
    here = args.ranks if args.coordinator is None else 1
    if here > cores():
        print(f"{here} ranks share {plural(cores(), 'core')} of this machine")
