"""Burnt-in text and acquisition styles of an audit, with examples."""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.audit.document import ColumnResult, Style, TextCounts, TextGroup
from plainfilm.audit.findings import SETS, share
from plainfilm.audit.style_checks import judge_style, style_name
from plainfilm.audit.text import is_tied
from plainfilm.report.audit.pictures import Thumbnails, mean_picture
from plainfilm.report.html.markup import Html, element, join, lead, quiet
from plainfilm.report.html.table import Row, Table
from plainfilm.report.wording import capitalised, count, interval_text, number, p_text

_GROUPS, _EXAMPLES, _STYLE_EXAMPLES = 8, 8, 6


def text_section(groups: Sequence[TextGroup], thumbnails: Thumbnails) -> Html:
    """Return the text that recurs: its share in each group of images, and examples."""
    about = (
        "Lines of letters near an edge, found at 256 x 256 pixels. Similar lines form a group, "
        "named after the place where most of them are. The text is outlined and enlarged. Each "
        "comparison is Fisher's exact test on patients; the p-value is multiplied by the number of "
        "tests (Bonferroni)."
    )
    parts = [lead(about)]
    recurring = [group for group in groups if group.place] or groups
    every = [(group, one) for group in groups for one in group.comparisons]
    rows = [_row(group, one) for group, one in every if not group.place or is_tied(one)]
    if rows:
        parts.append(Table("texts", "Images with burnt-in text", rows).to_html())
    for group in recurring[:_GROUPS]:
        title = f"Similar text at the {group.place}" if group.place else "All text"
        parts.append(element("h3", f"{title}: {count(group.count)} images"))
        parts.append(thumbnails.row(group.examples[:_EXAMPLES]))
    if len(recurring) > _GROUPS:
        parts.append(quiet(f"The first {_GROUPS} of {len(recurring)} groups."))
    return join(parts)


def _row(group: TextGroup, one: TextCounts) -> Row:
    first, second = (
        f"{share(n, total)} of {count(total)} ({SETS.get(name, name)})"
        for name, n, total in zip(one.groups, one.counts, one.totals, strict=True)
    )
    within = f"images of {one.target}" if one.kind == "shift" else "all images"
    return {
        "Text": f"{group.place or 'anywhere'}: {count(group.count)}",
        "Among": within,
        "Share": first,
        "Against": second,
        "Fisher's test": p_text(one.p_value),
        "Result": "reported" if is_tied(one) else "no finding",
    }


def styles_section(
    styles: Sequence[Style], results: Sequence[ColumnResult], thumbnails: Thumbnails
) -> Html:
    """Return what the style predicts, and each style with its mean image and examples."""
    about = (
        "Groups of images with similar margins, tone curve, sharpness, marks near the edges and "
        "aspect ratio (k-means; no label takes part). Devices, crops and exports leave these "
        "traces, but disease changes the tone as well. The AUROC is that of the style alone, "
        "cross-validated by patient."
    )
    parts = [lead(about), *(_result(one) for one in results)]
    if not results:
        parts.append(lead("The style predicts neither a label nor a split better than chance."))
    parts += [_style(styles, results, at, thumbnails) for at in range(len(styles))]
    return join(parts)


def _result(one: ColumnResult) -> Html:
    judgement = judge_style(one)
    class_ = "warning" if judgement == "warning" else "note"
    names = " from ".join(SETS.get(name, name) for name in one.groups)
    within = f" among the images of {one.target}" if one.kind == "shift" else ""
    auroc = f"AUROC {number(one.auroc.value)} ({interval_text(one.auroc)}) "
    badge = [element("span", judgement, class_=f"badge {class_}")]
    shown = badge if judgement != "no finding" else []
    return element("p", f"The style distinguishes {names}{within}: {auroc}", *shown)


def _style(
    styles: Sequence[Style], results: Sequence[ColumnResult], at: int, thumbnails: Thumbnails
) -> Html:
    style, name = styles[at], style_name(at)
    traits = [
        f"{'more' if trait.deviation > 0 else 'less'} {trait.name} ({trait.deviation:+.1f} sd)"
        for trait in style.traits
    ]
    shares = []
    for one in results:
        for group in one.table:
            if group.value == name:
                within = f" of those of {one.target}" if one.kind == "shift" else ""
                part = share(group.counts[0], sum(group.counts))
                shares.append(f"{SETS.get(one.groups[0], one.groups[0])}: {part}{within}")
    mean = element("div", mean_picture(style.mean, f"of {count(style.count)}"), class_="style-mean")
    body = element(
        "div",
        element("h3", f"{capitalised(name)}: {count(style.count)} images"),
        quiet("; ".join([*shares, ", ".join(traits)])),
        thumbnails.row(style.examples[:_STYLE_EXAMPLES]),
    )
    return element("div", mean, body, class_="style")
