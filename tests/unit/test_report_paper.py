"""Files for a paper: tables as LaTeX and Markdown, figures as PDF and SVG of a given width."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from plainfilm.errors import UsageError
from plainfilm.report.figures import roc_figure
from plainfilm.report.figures.canvas import printed
from plainfilm.report.html.markup import element, join
from plainfilm.report.html.table import Cell, Table
from plainfilm.report.paper.export import PaperFiles, parse_width, write_paper
from plainfilm.report.paper.latex import escape_latex, latex_tables
from plainfilm.report.paper.markdown import markdown_tables
from report_content import HOSTILE, draw_content

SPECIAL = r"\ { } $ & # % _ ~ ^ [x] * | <b> – − ± ≥ “q” é"
MM = 72 / 25.4


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_paper(draw_content(), PaperFiles(tmp_path_factory.mktemp("paper"), 85))


def split_unescaped(text: str, mark: str) -> list[str]:
    return re.split(rf"(?<!\\){re.escape(mark)}", text)


def check_latex(text: str) -> int:
    """Check that a text is well-formed, and return the number of its rows."""
    body = re.sub(r"(?m)^%.*$", "", text)
    bare = re.sub(r"\\[\\{}$&#%_]", "", body)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#%_^~]", re.sub(r"\\[a-z]+", "", bare)), "special characters"
    opened = re.findall(r"\\begin\{(\w+)\}", body)
    assert sorted(opened) == sorted(re.findall(r"\\end\{(\w+)\}", body))
    rows = 0
    columns = 0
    for line in body.splitlines():
        if found := re.match(r"\\begin\{(?:tabular|longtable)\}\{(.*)\}$", line):
            columns = len(re.findall(r"l|p\{[^}]*\}", found[1].replace(r"\linewidth", "")))
        elif line.endswith(r" \\") and not line.startswith(r"\caption"):
            assert len(split_unescaped(line, "&")) == columns
            assert not line.startswith(("[", "*"))
            rows += 1
    for rule in ("toprule", "midrule", "bottomrule"):
        assert body.count(f"\\{rule}") == len(re.findall(r"\\begin\{(?:tabular|long)", body))
    return rows


def test_every_table_is_written_in_three_forms(paper: Path) -> None:
    stems = {path.stem for path in (paper / "tables").glob("*.csv")}
    assert {"metrics", "operating_points", "splits", "checklist_claim"} <= stems
    for kind in ("tex", "md"):
        assert {path.stem for path in (paper / "tables").glob(f"*.{kind}")} == stems
    for stem in stems - {"operating_points"}:  # whose rows are columns of the page
        with open(paper / "tables" / f"{stem}.csv", newline="", encoding="utf-8") as file:
            size = len([*csv.DictReader(file)])
        text = (paper / "tables" / f"{stem}.tex").read_text(encoding="utf-8")
        assert check_latex(text) == size + text.count(r"\caption")
        lines = (paper / "tables" / f"{stem}.md").read_text(encoding="utf-8").splitlines()
        assert sum(line.startswith("|") for line in lines) == size + 2 * text.count(r"\caption")


def test_numbers_are_those_of_the_page(paper: Path) -> None:
    text = (paper / "tables" / "metrics.tex").read_text(encoding="utf-8")
    assert re.search(r"^AUROC & 0\.962 \(0\.948--0\.976\) & DeLong & ", text, re.M)
    text = (paper / "tables" / "operating_points.md").read_text(encoding="utf-8")
    assert "| Sensitivity | 97.2% (95.6–98.8%) |" in text
    assert "| Operating point | balanced | rule-out | rule-in |" in text


@pytest.mark.parametrize("cell", [SPECIAL, HOSTILE, "[1] a", "* b", "c \\\\ d", ""])
def test_no_text_is_a_command(cell: str) -> None:
    markup = join([element("p", cell), element("details", element("summary", "s"), "in")])
    rows = [{"A_1": cell or None, "B&": Cell(markup, {"b": cell}), "C": 3}] * 2
    table = Table("findings", f"50% {cell}", rows)
    assert check_latex(latex_tables([table, table])) == 6
    lines = markdown_tables([table]).splitlines()
    widths = {len(split_unescaped(line, "|")) for line in lines if line.startswith("|")}
    assert widths == {5}
    assert not re.search(r"(?<!\\)<", "".join(lines))


def test_escaped_text_reads_as_before() -> None:
    assert escape_latex("95% of a_b – \u22125.2") == r"95\% of a\_b -- $-$5.2"


def test_a_long_table_spans_pages() -> None:
    table = Table("left_out", "Files", [{"File": f"{n}", "Reason": "x" * 50} for n in range(60)])
    text = latex_tables([table])
    assert check_latex(text) == 61
    assert r"\begin{longtable}{lp{" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX is installed")
def test_latex_compiles(paper: Path, tmp_path: Path) -> None:
    names = sorted((paper / "tables").glob("*.tex"))
    inputs = "\n".join(rf"\input{{{name}}}\clearpage" for name in names)
    head = (
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs,longtable,textcomp}"
    )
    (tmp_path / "a.tex").write_text(rf"{head}\begin{{document}}{inputs}\end{{document}}", "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def letter_sizes(pdf: bytes) -> list[float]:
    """Return the font sizes of a PDF of ours in points, on paper."""
    streams = re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    texts = []
    for stream in streams:
        try:
            texts.append(zlib.decompress(stream).decode("latin-1"))
        except zlib.error:
            continue
    (page,) = (text for text in texts if " Tf" in text)
    scale = float(re.findall(r"([\d.]+) 0 0 \1 0 0 cm", page)[0])
    return [scale * float(size) for size in re.findall(r"([\d.]+) Tf", page)]


@pytest.mark.parametrize("name", ["roc", "calibration", "history-loss"])
def test_figures_have_the_width_of_a_column(paper: Path, name: str) -> None:
    svg = ElementTree.parse(paper / "figures" / f"{name}.svg").getroot()
    assert svg.attrib["width"] == "85.00mm"
    across, down = map(float, svg.attrib["viewBox"].split()[2:])
    assert float(svg.attrib["height"][:-2]) == pytest.approx(85 * down / across, abs=0.01)
    assert "prefers-color-scheme" not in (paper / "figures" / f"{name}.svg").read_text("utf-8")
    pdf = (paper / "figures" / f"{name}.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[([^\]]*)\]", pdf)
    assert box is not None
    assert [float(own) for own in box[1].split()][2] == pytest.approx(85 * MM, abs=0.1)
    assert b"/Type3" not in pdf, "journals do not accept Type 3 fonts"
    assert 5.5 < min(letter_sizes(pdf)) <= max(letter_sizes(pdf)) < 9


def test_a_wider_figure_has_larger_axes_and_the_same_letters() -> None:
    def draw() -> object:
        return roc_figure([0, 0.5, 1], [0, 0.8, 1], note="AUROC 0.8", name="roc")

    assert draw().printable is None  # type: ignore[attr-defined]
    with printed(180):
        wide = draw().printable  # type: ignore[attr-defined]
    with printed(180):
        again = draw().printable  # type: ignore[attr-defined]
    assert 'width="180.00mm"' in wide.svg
    assert 8 <= min(letter_sizes(wide.pdf)) <= max(letter_sizes(wide.pdf)) <= 11
    assert (wide.svg, wide.pdf) == (again.svg, again.pdf)


@pytest.mark.parametrize("text", ["85", "mm", "-5mm", "5 feet", "8,5cm"])
def test_a_width_needs_a_unit(text: str) -> None:
    with pytest.raises(UsageError, match="unit"):
        parse_width(text)


@pytest.mark.parametrize("width", [5.0, 5000.0])
def test_a_width_must_fit_a_page(width: float) -> None:
    with pytest.raises(UsageError, match="out of range"):
        PaperFiles(Path("x"), width)
