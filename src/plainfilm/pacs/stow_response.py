"""Reads responses to STOW-RS requests: which instances the archive has stored, and which not."""

from __future__ import annotations

import http.client
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from plainfilm.pacs.outcomes import Outcome, of_status

_STORED, _FAILED = "00081199", "00081198"
_UID, _REASON, _WARNING = "00081155", "00081197", "00081196"
_MOST_ANSWER = 1 << 20
_BUSY = (429, 503)
_LATER = (408, 425, 429)
_REFUSED = (400, 409, 413, 422)
_LONGEST_WAIT = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a request: its status, its body, and the seconds to wait."""

    status: int
    body: bytes
    after: float = 0.0


def read_response(response: http.client.HTTPResponse) -> Answer:
    """Read a response; raise HTTPException if it is too large or incomplete."""
    body = response.read(_MOST_ANSWER + 1)
    # A head that ends early has no error; a success has a length, or a body until the end.
    cut = not body and response.length is None and not response.chunked and response.status < 300
    if len(body) > _MOST_ANSWER or response.length or cut:
        raise http.client.IncompleteRead(b"")
    return Answer(response.status, body, _retry_after(response.headers.get("Retry-After", "")))


def _retry_after(text: str) -> float:
    """Return the seconds of a ``Retry-After`` field, at most an hour; 0 if it is not valid."""
    try:
        if text.strip().isdigit():
            seconds = float(text)
        else:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT) if math.isfinite(seconds) else 0.0


def read_answer(answer: Answer) -> dict[str, Outcome]:
    """Return the outcome of each instance that a response names; "" stands for an unnamed one."""
    if answer.status not in (200, 202, 400, 409):
        return {}
    try:
        found = json.loads(answer.body)
        found = found[0] if isinstance(found, list) else found
        known = {
            str(_value(item, _UID)): Outcome("delivered", f"{_number(item, _WARNING):04X}")
            for item in found.get(_STORED, {}).get("Value", ())
        }
        for item in found.get(_FAILED, {}).get("Value", ()):
            known[_value(item, _UID) or ""] = _of_reason(_number(item, _REASON))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return {}
    return known


def _of_reason(reason: int) -> Outcome:
    """Return the outcome of a failed instance; the archive may have it already."""
    outcome = of_status(reason)
    stored = outcome.verdict == "delivered" and reason != 0x0111
    return Outcome("refused", "no-reason") if stored else outcome


def _value(item: Any, tag: str) -> Any:
    """Return the first value of an attribute; None if it has none."""
    return (item.get(tag, {}).get("Value") or [None])[0]


def _number(item: Any, tag: str) -> int:
    """Return the value of an attribute with 16 bits; it is written to the log and the ledger."""
    number = int(_value(item, tag) or 0)
    if not 0 <= number <= 0xFFFF:
        raise ValueError
    return number


def concerns_all(answer: Answer) -> bool:
    """Return whether a status is about the archive or its configuration, not about an instance."""
    wrong = answer.status >= 300 and of_answer(answer).verdict == "misconfigured"
    return wrong or answer.status in _BUSY


def of_answer(answer: Answer) -> Outcome:
    """Return the outcome of a request with one instance that the response does not name."""
    status = answer.status
    if status < 300:
        return Outcome("misconfigured", "unconfirmed")
    code = f"http-{status}"
    if status == 415:
        return Outcome("class-refused", code)
    if status in _REFUSED:
        return Outcome("refused", code)
    if status in _LATER or status in (500, *range(502, 505)) or status > 505:
        return Outcome("later", code, answer.after)
    return Outcome("misconfigured", code)
