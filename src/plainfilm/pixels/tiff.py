"""Find the pages of a TIFF file without reading them."""

from __future__ import annotations

from typing import Literal

from plainfilm.pixels.limits import Limits, check_frame, check_frames


def choose_page(data: bytes, page: int, limits: Limits) -> tuple[bytes, int]:
    """Make one page of a TIFF the first, and count the pages.

    The directories of the pages are a chain, which here is followed by its links alone (TIFF 6.0,
    section 2; in BigTIFF they are wider). A library would read every directory up to the page.

    Parameters
    ----------
    data
        The whole file.
    page
        Counted from 0.
    limits
        ``frames`` is how long the chain may be.

    Returns
    -------
    data, pages
        The file with the page in the first place, and how many there are, at least 1.

    Raises
    ------
    ImageError
        ``too-many-frames`` or ``no-such-frame``.
    """
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    big = 43 in data[2:4]
    link, count, entry = (8, 8, 20) if big else (4, 2, 12)
    first = 8 if big else 4

    def number(at: int, width: int) -> int:
        return int.from_bytes(data[at : at + width], order)

    pages: list[int] = []
    seen: set[int] = set()
    at = number(first, link)
    while at and at + count <= len(data) and at not in seen:
        seen.add(at)
        pages.append(at)
        check_frames(len(pages), limits)
        at = number(at + count + entry * number(at, count), link)
    check_frame(page, max(1, len(pages)))
    if page:
        chosen = pages[page].to_bytes(link, order)
        data = data[:first] + chosen + data[first + link :]
    return data, max(1, len(pages))
