"""Show and clear the state folder of a service in the hospital network.

DIR is the --state of plainfilm listen or plainfilm dicomweb. All actions work while the service
runs, which sees the changes without a restart, and while it is stopped.

status prints how many images were received, wait or are answered, and what each destination has;
the exit status is 1 if a person has to act: results are parked or of a kind that a destination
refuses, fetches were given up, a file was lost, or an image waits for more than two hours. retry
delivers parked, refused and postponed results now, and repeats fetches that were given up. purge
removes files in quarantine, and forgets images and results that were finished for longer than
--older-than. If such an image is sent or found again, it is answered again. Images that wait, and
results that a destination needs, are never removed; with --parked, results and fetches are given
up that have stopped for that long.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from plainfilm.cli.sources import day_count, options_of

EXAMPLE = "plainfilm pacs status state"
_DAYS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("status", "retry", "purge"), help="what to do")
    parser.add_argument("state", type=Path, metavar="DIR", help="state folder of the service")
    add = options_of(parser)
    add("--json", "with status: print a JSON document")
    words = "with purge: remove what was finished for longer than DAYS (default: 30)"
    add("--older-than DAYS", words, type=day_count)
    add("--parked", "with purge: also give up what waits for a person")


def run(args: argparse.Namespace) -> int:
    from plainfilm._files import reason_of
    from plainfilm.errors import StorageError, UsageError

    for option, given, action in (
        ("--json", args.json, "status"),
        ("--older-than", args.older_than is not None, "purge"),
        ("--parked", args.parked, "purge"),
    ):
        if given and args.action != action:
            raise UsageError(f"{option} is for {action}", received=f"{args.action} {option}")
    try:
        if args.action == "status":
            return _status(args.state, as_json=args.json)
        if args.action == "retry":
            return _retry(args.state)
        days = _DAYS if args.older_than is None else args.older_than
        return _purge(args.state, days, parked=args.parked)
    except BrokenPipeError:
        raise
    except OSError as error:
        problem, received = f"the state folder {args.state} cannot be used now", reason_of(error)
        remedy = "try again: the disk failed or is full, or another program holds the ledger"
        raise StorageError(problem, received=received, remedy=remedy) from error


def _status(folder: Path, *, as_json: bool) -> int:
    """Print the status; return 1 if a person has to act."""
    import json

    from plainfilm.pacs.status import describe_status, read_status

    status = read_status(folder)
    if as_json:
        print(json.dumps(status.to_json()))
    else:
        print(*describe_status(status), sep="\n")
    return 1 if status.attention else 0


def _retry(folder: Path) -> int:
    """Make stopped deliveries due."""
    from plainfilm._text import plural
    from plainfilm.pacs.ledger import Ledger
    from plainfilm.pacs.state_folder import LEDGER, check_platform

    check_platform()
    with Ledger.open_existing(folder / LEDGER, write=True) as ledger:
        deliveries, fetches = ledger.retry(), ledger.retry_fetches()
    print(f"{plural(deliveries, 'delivery is', 'deliveries are')} due again")
    if fetches:
        print(f"{plural(fetches, 'fetch is', 'fetches are')} due again")
    return 0


def _purge(folder: Path, days: float, *, parked: bool) -> int:
    """Remove what is finished and old."""
    from plainfilm._text import plural
    from plainfilm.pacs.ledger import Ledger
    from plainfilm.pacs.spool import Spool
    from plainfilm.pacs.state_folder import LEDGER, check_platform

    check_platform()
    before = time.time() - days * 86400
    with Ledger.open_existing(folder / LEDGER, write=True) as ledger, Spool(folder) as spool:
        purged = ledger.purge(before, parked=parked)
        for key in purged.unneeded:
            spool.drop_result(key)
        files = spool.remove_quarantined(before, ledger)
    print(
        f"removed {plural(files, 'file')} in quarantine, "
        f"forgot {plural(purged.images, 'image')} and {plural(purged.results, 'result')}"
    )
    if parked:
        count = plural(purged.abandoned, "delivery", "deliveries")
        print(f"gave up {count} of parked results")
    return 0
