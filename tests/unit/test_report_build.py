"""The page is complete, self-contained, safe with hostile names, and reproducible."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plainfilm.errors import UsageError
from plainfilm.evaluation import EvaluationDocument
from plainfilm.evaluation.document.evaluation import LeftOutImage
from plainfilm.metrics import Confusion, Interval
from plainfilm.records import Task
from plainfilm.report import ReportContent, Sample, WorstCase, build_report
from report_content import HOSTILE, draw_content, draw_evaluation

PRINTABLE = '<script>alert("1")</script>&amp;'
VOID = {"br", "hr", "img", "meta", "link", "input"}


class Page(HTMLParser):
    """Collects the tags and the text of a page; every element must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.text))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_report(draw_content(), tmp_path_factory.mktemp("report") / "deep" / "report.html")


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report.read_text("utf-8"))


def rebuild(tmp_path: Path, evaluation: EvaluationDocument) -> Page:
    out = build_report(ReportContent(evaluation=evaluation), tmp_path / "report.html")
    return Page(out.read_text("utf-8"))


def test_a_page_has_one_title_headings_in_order_and_a_way_to_skip(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in page.found if tag == "a"]
    assert links[0] == "#main"
    assert all(link and link[0] == "#" and link[1:] in ids for link in links)
    assert page.tags["caption"] == page.tags["table"] >= 6
    assert page.tags["title"] == page.tags["main"] == 1
    assert dict(page.found[0][1])["lang"] == "en"


def test_what_a_clinician_needs_is_first(page: Page) -> None:
    first = page.words[: page.words.index("Figure 1.")]
    for words in (
        "Not a medical device",
        "624 images of 428 patients",
        "AUROC over all thresholds0.96295% CI 0.948–0.976 (DeLong)",
        "Accuracy at “balanced”91.7%",
        "Sensitivity at “balanced”97.2%95% CI 95.6–98.8% (Wilson)",
        "Specificity at “balanced”82.5%",
        "Of 100 images with PNEUMONIA, the model detects about 97 and misses about 3. "
        "Of 100 images without, it gives about 18 false alarms.",
        "The size of the file alone separates the classes",
    ):
        assert words in first


def test_the_page_loads_nothing_and_runs_nothing(report: Path, page: Page) -> None:
    text = report.read_text("utf-8")
    for tag, attributes in page.found:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "srcset", "poster", "data", "action"}:
                assert value
                assert value.startswith(("#", "data:image/jpeg;base64,"))
    assert "@import" not in text
    assert all(inside.startswith("#") for inside in re.findall(r"url\(([^)]*)\)", text))
    # The remaining addresses are names of XML namespaces.
    assert set(re.findall(r"https?://[^\s\"'<>]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_a_hostile_name_stays_text(report: Path, page: Page) -> None:
    text = report.read_text("utf-8")
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert page.words.count('<script>alert("1")</script>\\u202egpj.\\u0007\\udcff&amp;') == 3


def test_hostile_text_is_escaped_everywhere(tmp_path: Path) -> None:
    content = draw_content()
    assert content.training is not None
    # Names of labels, classes and recipes are printable.
    names = {*content.evaluation.task.classes, content.training.plan.identity.recipe.name}

    def spoil(text: str) -> str:
        return (PRINTABLE if text in names else HOSTILE) + text

    def poison(value: Any) -> Any:
        if isinstance(value, str):
            return (
                value
                if value in {"binary", "balanced", "squash", "as-is", "test"}
                else spoil(value)
            )
        if is_dataclass(value) and not isinstance(value, type):
            own = {field.name: poison(getattr(value, field.name)) for field in fields(value)}
            return type(value)(**own)
        if isinstance(value, Mapping):
            return {key if key.islower() else spoil(key): poison(own) for key, own in value.items()}
        return tuple(map(poison, value)) if isinstance(value, tuple) else value

    hostile = replace(
        content,
        evaluation=poison(draw_evaluation()),
        training=poison(content.training),
        samples=[replace(s, caption=HOSTILE, label=HOSTILE) for s in content.samples[:2]],
        worst=[replace(w, id=HOSTILE, true_class=HOSTILE) for w in (content.worst or ())[:2]],
    )
    out = build_report(hostile, tmp_path / "report.html")
    assert Page(out.read_text("utf-8")).tags["script"] == 0
    assert out.read_text("utf-8").count("&lt;script&gt;alert") > 20


def test_every_figure_has_a_text_alternative(page: Page) -> None:
    images = [attributes for tag, attributes in page.found if tag == "img"]
    plots = [attributes for tag, attributes in page.found if tag == "svg"]
    assert len(images) == 16 + 8 + 6 + 4
    assert len(plots) == 8
    assert all(attributes["alt"] for attributes in images)
    for attributes in plots:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"] or "") > 30
    assert (
        sum(
            ": the strongest evidence is at the top right of the image" in str(i["alt"])
            for i in images
        )
        == 4
    )
    kinds = [str(image["alt"]).split()[0] for image in images]
    assert kinds[1] == "Heat", "misclassified images come before the samples"
    assert kinds[-1] == "Augmented"
    assert page.tags["figcaption"] == page.tags["figure"]


def test_the_page_warns_about_heat_maps(page: Page) -> None:
    assert "A heat map is not an explanation." in page.words


def test_figures_are_also_files(report: Path) -> None:
    names = {path.name for path in (report.parent / "figures").iterdir()}
    plots = {
        "calibration",
        "confusion",
        "history-accuracy",
        "history-auroc",
        "history-loss",
        "precision-recall",
        "roc",
        "scores",
    }
    sheets = {"augmented.png", "samples.png", "worst.png"}
    assert names == sheets | {f"{plot}.{kind}" for plot in plots for kind in ("svg", "png")}
    for plot in plots:
        with Image.open(report.parent / "figures" / f"{plot}.png") as picture:
            assert picture.size[0] > 800
            # Dark on white, independent of the colours of the page.
            grey = np.asarray(picture.convert("L"))
            assert grey[0, 0] == 255
            assert grey.min() < 120


def test_the_same_content_gives_the_same_bytes(report: Path, tmp_path: Path) -> None:
    again = build_report(draw_content(), tmp_path / "report.html")
    assert again.read_bytes() == report.read_bytes()
    for path in (report.parent / "figures").iterdir():
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes()


def test_the_size_of_the_page_is_limited(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 300, 300), dtype=np.uint8)
    heat = np.random.default_rng(1).random((300, 300), np.float32)
    rows = tuple(LeftOutImage(f"{i}" * 60, "truncated", "w" * 200) for i in range(1001))
    content = draw_content()
    content = replace(
        content,
        evaluation=replace(content.evaluation, left_out=rows),
        samples=[Sample(one, "noise", "x") for one in noise],
        augmented=[Sample(one, "noise", "x") for one in noise],
        worst=[WorstCase(one, heat, "noise", "x", 0.9, "PNEUMONIA") for one in noise],
    )
    out = build_report(content, tmp_path / "report.html")
    assert out.stat().st_size < 6_000_000
    words = Page(out.read_text("utf-8")).words
    assert "The first 200 of 1 001 rows; the CSV file has all." in words


def test_each_error_names_its_label_and_threshold(tmp_path: Path) -> None:
    content = draw_content()
    assert content.worst
    first, second = content.worst[:2]
    worst = [
        replace(first, label="mass", probability=0.9, threshold=0.684),
        replace(second, probability=0.2),
    ]
    report = build_report(replace(content, worst=worst), tmp_path / "r.html")
    text = report.read_text(encoding="utf-8")
    assert "; probability of mass 0.900 (threshold 0.684) " in text
    assert "; probability of PNEUMONIA 0.200 " in text
    assert "true class NORMAL, probability of mass 0.900 (threshold 0.684)" in text


def test_a_report_without_errors_says_why(tmp_path: Path) -> None:
    content = replace(draw_content(), worst=())
    (label,) = content.evaluation.labels.values()
    without = replace(label, operating_points={})
    cases = {
        "at the balanced operating point every prediction is correct": content.evaluation,
        "No label has a balanced operating point": replace(
            content.evaluation, labels={"PNEUMONIA": without}
        ),
    }
    for number, (words, evaluation) in enumerate(cases.items()):
        report = build_report(replace(content, evaluation=evaluation), tmp_path / f"{number}.html")
        text = report.read_text(encoding="utf-8")
        assert "Misclassified images" in text
        assert words in text
    unknown = build_report(replace(content, worst=None), tmp_path / "none.html")
    assert "Misclassified images" not in unknown.read_text(encoding="utf-8")


def test_a_single_epoch_is_described_and_not_drawn(tmp_path: Path) -> None:
    content = draw_content()
    assert content.training
    first = {**content.training.history[0], "val_accuracy": float("nan")}
    once = replace(content.training, history=[first])
    report = build_report(replace(content, training=once), tmp_path / "r.html")
    text = report.read_text(encoding="utf-8")
    assert "trained for one epoch" in text
    assert "accuracy 0.770 on training;" in text
    assert not list((tmp_path / "figures").glob("history-*"))
    twice = replace(content.training, history=content.training.history[:2])
    build_report(replace(content, training=twice), tmp_path / "two" / "r.html")
    assert len(list((tmp_path / "two" / "figures").glob("history-*.svg"))) == 3


def test_undefined_metrics_are_shown_with_their_reason(tmp_path: Path) -> None:
    evaluation = draw_evaluation()
    (label,) = evaluation.labels.values()
    nan = float("nan")
    nothing = Interval(nan, nan, nan, "none", "only one class is present")
    metrics = dict.fromkeys(label.metrics, nothing)
    point = label.operating_points["balanced"]
    one = Interval(nan, nan, nan, "none", "no image is NORMAL")
    point = replace(
        point, metrics={**point.metrics, "specificity": one}, confusion=Confusion(5, 0, 0, 1)
    )
    curves = replace(
        label.curves,
        roc=replace(label.curves.roc, fpr=(nan, nan), tpr=(0.0, 1.0), threshold=(nan, 0.5)),
        precision_recall=replace(label.curves.precision_recall, recall=(), precision=()),
        calibration=replace(label.curves.calibration, bins=()),
        scores=replace(label.curves.scores, counts={"NORMAL": (0,) * 30}),
    )
    label = replace(
        label,
        n=6,
        positives=6,
        metrics=metrics,
        operating_points={**label.operating_points, "balanced": point},
        curves=curves,
    )
    page = rebuild(tmp_path, replace(evaluation, metrics=metrics, labels={"PNEUMONIA": label}))
    assert page.words.count("undefined: only one class is present") == 4 + 1  # cells, a sentence
    assert "Specificity at “balanced”undefinedno image is NORMAL" in page.words
    assert "The specificity of PNEUMONIA is undefined: no image is NORMAL." in page.words
    assert "No image is negative for PNEUMONIA." in page.words
    assert page.tags["svg"] == 1


def test_the_smallest_evaluation_gives_a_page(tmp_path: Path) -> None:
    evaluation = draw_evaluation()
    (label,) = evaluation.labels.values()
    nan = float("nan")
    metrics = {"auroc": Interval(nan, nan, nan, "none")}
    label = replace(
        label, n=0, patients=0, positives=0, prevalence=nan, metrics=metrics, operating_points={}
    )
    evaluation = replace(
        evaluation,
        n=1,
        patients=1,
        metrics=metrics,
        labels={"PNEUMONIA": label},
        dataset=replace(evaluation.dataset, name="external", split="all"),
    )
    page = rebuild(tmp_path, evaluation)
    assert "1 image of 1 patient · all of external" in page.words
    assert "AUROC over all thresholdsundefinednot computed" in page.words
    assert not re.search(r"\b1 (image|patient)s\b", page.words)


def test_several_labels_have_a_table_and_figures_each(tmp_path: Path) -> None:
    whole = draw_evaluation()
    (part,) = whole.labels.values()
    nan = float("nan")
    curves = replace(
        part.curves,
        roc=replace(part.curves.roc, fpr=(), tpr=(), threshold=()),
        precision_recall=replace(part.curves.precision_recall, recall=(), precision=()),
        calibration=replace(part.curves.calibration, bins=()),
        scores=replace(part.curves.scores, counts={}),
    )
    missing = replace(
        part,
        metrics={"auroc": Interval(nan, nan, nan, "none", "no positive image")},
        operating_points={},
        curves=curves,
    )
    names = ("Effusion", "Mass", "A/B <i>")
    evaluation = replace(
        whole,
        task=Task("multiclass", names, names),
        labels={"Effusion": part, "Mass": missing, "A/B <i>": part},
        confusion_matrix=((90, 5, 5), (1, 2, 3), (0, 0, 0)),
    )
    page = rebuild(tmp_path, evaluation)
    assert "Mass" + "undefined: no positive image" in page.words
    assert "No figure can be drawn for Mass" in page.words
    matrix = str(next(a["aria-label"] for tag, a in page.found if tag == "svg"))
    assert "92 of 106 images are predicted correctly" in matrix
    files = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"confusion-all.svg", "roc-01.svg", "roc-03.svg"} <= files
    assert "roc-02.svg" not in files


def test_an_image_of_another_type_is_an_error(tmp_path: Path) -> None:
    wrong = Sample(np.zeros((8, 8), np.float32), "x", "y")  # type: ignore[arg-type]
    content = ReportContent(evaluation=draw_evaluation(), samples=[wrong])
    with pytest.raises(UsageError, match="uint8"):
        build_report(content, tmp_path / "report.html")
