"""The page: complete, closed to the outside, safe with hostile names, the same every time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from plainfilm.errors import UsageError
from plainfilm.records import Finding
from plainfilm.report import ReportContent, Sample, WorstCase, build_report

HOSTILE = '<script>alert("1")</script>\u202egpj.\x07\udcff&amp;'
VOID = {"br", "hr", "img", "meta", "link", "input"}


def draw_chest(generator: np.random.Generator, size: int = 96) -> NDArray[np.uint8]:
    """Draw something that is like a chest X-ray from afar: dark lungs in a bright body."""
    y, x = np.mgrid[0 : 1 : complex(size), 0 : 1 : complex(size)]
    body = 150 * np.exp(-(((x - 0.5) / 0.48) ** 8) - ((y - 0.55) / 0.6) ** 8)
    for side in (0.31, 0.69):
        width = generator.uniform(0.13, 0.16)
        body -= 105 * np.exp(-((((x - side) / width) ** 2 + ((y - 0.47) / 0.3) ** 2) ** 2))
    body += 60 * np.exp(-(((x - 0.5) / 0.07) ** 2))
    body += 12 * np.cos(2 * np.pi * (y * 9 + (x - 0.5) ** 2 * 6))
    where = generator.uniform(0.25, 0.75, 2)
    body += 60 * np.exp(-((x - where[0]) ** 2 + (y - where[1]) ** 2) / 0.012)
    body += generator.normal(0, 5, body.shape)
    return np.clip(body, 0, 255).astype(np.uint8)


def _metric(value: float, half: float, method: str = "Wilson") -> dict[str, Any]:
    return {
        "value": value,
        "low": max(0.0, value - half),
        "high": min(1.0, value + half),
        "method": method,
    }


def _point(purpose: str, threshold: float, tp: int, fp: int, tn: int, fn: int) -> dict[str, Any]:
    return {
        "threshold": threshold,
        "purpose": purpose,
        "label": "PNEUMONIA",
        "rule": "largest sum of sensitivity and specificity on validation",
        "confusion": {"tp": tp, "fp": fp, "tn": tn, "fn": fn},
        "metrics": {
            "accuracy": _metric((tp + tn) / (tp + fp + tn + fn), 0.023),
            "balanced_accuracy": _metric((tp / (tp + fn) + tn / (tn + fp)) / 2, 0.027, "bootstrap"),
            "sensitivity": _metric(tp / (tp + fn), 0.016),
            "specificity": _metric(tn / (tn + fp), 0.053),
            "ppv": _metric(tp / (tp + fp), 0.03),
            "npv": _metric(tn / (tn + fn), 0.03),
            "f1": _metric(2 * tp / (2 * tp + fp + fn), 0.018, "bootstrap"),
            "mcc": _metric(0.81, 0.045, "bootstrap"),
        },
        "determination": {"low": threshold - 0.15, "high": threshold + 0.14, "note": ""},
    }


def draw_evaluation() -> dict[str, Any]:
    """Return an evaluation with made-up numbers that agree with each other."""
    generator = np.random.default_rng(7)
    truth = np.arange(624) < 390
    chance = 1 / (1 + np.exp(-np.where(truth, 2.6, -1.4) - generator.normal(0, 1.7, 624)))
    order = np.argsort(-chance)
    hits, alarms = np.cumsum(truth[order]), np.cumsum(~truth[order])
    edges = np.linspace(0, 1, 11)
    bins = []
    for low, high in pairwise(edges):
        inside = (chance >= low) & (chance < high)
        seen = float(truth[inside].mean())
        half = 1.5 / np.sqrt(inside.sum()) * np.sqrt(seen * (1 - seen) + 0.01)
        bins.append(
            {
                "mean": float(chance[inside].mean()),
                "observed": seen,
                "low": max(0.0, seen - half),
                "high": min(1.0, seen + half),
                "count": int(inside.sum()),
            }
        )
    fine = np.linspace(0, 1, 31)
    return {
        "schema": 1,
        "created": "2025-03-14T15:09:26+00:00",
        "bundle": {
            "id": "b7c1" * 16,
            "recipe": "compact",
            "created": "2025-03-14T14:00:00+00:00",
            "backend": "jax 0.5.0",
            "train": {"dataset": "kermany224", "hash": "12ab" * 16},
        },
        "task": {"kind": "binary", "labels": ["PNEUMONIA"], "classes": ["NORMAL", "PNEUMONIA"]},
        "dataset": {"name": "kermany224", "split": "test", "hash": "0d5e" * 16},
        "n": 624,
        "patients": 428,
        "prevalence": 390 / 624,
        "metrics": {
            "auroc": _metric(0.962, 0.014, "DeLong"),
            "average_precision": _metric(0.973, 0.012, "bootstrap"),
            "brier": _metric(0.078, 0.013, "bootstrap"),
            "log_loss": _metric(0.26, 0.04, "bootstrap"),
        },
        "operating_points": {
            "balanced": _point("balanced", 0.62, 379, 41, 193, 11),
            "rule-out": _point("rule-out", 0.21, 388, 88, 146, 2),
            "rule-in": _point("rule-in", 0.91, 341, 9, 225, 49),
        },
        "curves": {
            "roc": {
                "fpr": [0.0, *(alarms / 234).tolist()],
                "tpr": [0.0, *(hits / 390).tolist()],
                "threshold": [None, *chance[order].tolist()],
            },
            "precision_recall": {
                "recall": (hits / 390).tolist(),
                "precision": (hits / (hits + alarms)).tolist(),
            },
            "calibration": {"bins": bins},
            "scores": {
                "edges": fine.tolist(),
                "counts": {
                    "NORMAL": np.histogram(chance[~truth], fine)[0].tolist(),
                    "PNEUMONIA": np.histogram(chance[truth], fine)[0].tolist(),
                },
            },
        },
        "left_out": [{"id": "test/NORMAL/a.jpeg", "reason": "truncated", "problem": "ends early"}],
    }


def draw_content(size: int = 96) -> ReportContent:
    """Return content for every part of a report."""
    generator = np.random.default_rng(11)
    chests = [draw_chest(generator, size) for _ in range(16)]
    heat = np.zeros((size, size), np.float32)
    bump = np.hanning(size // 2)
    heat[: size // 2, size // 2 :] = np.outer(bump, bump)
    history = [
        {
            "epoch": epoch,
            "loss": 0.6 * 0.75**epoch + 0.05,
            "accuracy": 0.98 - 0.3 * 0.7**epoch,
            "auroc": 0.998 - 0.2 * 0.6**epoch,
            "val_loss": 0.55 * 0.7**epoch + 0.08 + 0.002 * epoch**1.5,
            "val_accuracy": 0.96 - 0.3 * 0.65**epoch,
            "val_auroc": 0.993 - 0.2 * 0.55**epoch - 0.0004 * epoch,
            "learning_rate": 1e-3,
            "seconds": 41.0,
        }
        for epoch in range(1, 13)
    ]
    names = ("NORMAL", "PNEUMONIA")
    return ReportContent(
        evaluation=draw_evaluation(),
        history=history,
        best_epoch=8,
        plan={
            "recipe": {"name": "compact", "description": "a small network from scratch"},
            "network": "compact",
            "size": 224,
            "epochs": 12,
            "parameters": 402_113,
            "backend": "jax",
            "precision": "float32",
            "machine": {"cores": 2, "accelerator": "none"},
            "seed": 2025,
            "seconds": 512.25,
            "data": {
                "train": {"images": 4708, "classes": {"NORMAL": 1214, "PNEUMONIA": 3494}},
                "test": {"images": 624, "classes": {"NORMAL": 234, "PNEUMONIA": 390}},
            },
        },
        samples=[
            Sample(c, f"train/person{i}_bacteria_{i}.jpeg", names[i % 2])
            for i, c in enumerate(chests)
        ],
        augmented=[
            Sample(c[:, ::-1].copy(), f"shift {i - 4} px", names[0])
            for i, c in enumerate(chests[:8])
        ],
        worst=[
            WorstCase(
                c,
                heat if i % 3 < 2 else None,
                f"test/NORMAL/IM-{i:04d}-0001.jpeg",
                "NORMAL",
                0.99 - 0.01 * i,
            )
            for i, c in enumerate(chests[:6])
        ],
        findings=[
            Finding(
                check="file-size-shortcut",
                severity="serious",
                problem="The size of the file alone tells the classes apart with an AUROC of 0.90",
                count=5216,
                consequence="A model may learn the compression instead of the disease.",
                remedy="Encode all images alike before training.",
            ),
            Finding(
                check="duplicates",
                severity="warning",
                problem="24 groups of identical files",
                count=50,
                files=("train/a.jpeg", HOSTILE),
            ),
        ],
        left_out=[{"id": HOSTILE, "reason": "not-an-image", "problem": f"no image: {HOSTILE}"}],
    )


class Page(HTMLParser):
    """Collects what a page holds, and insists that what it opens it closes."""

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


def rebuild(tmp_path: Path, evaluation: Mapping[str, Any]) -> Page:
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


def test_what_a_clinician_needs_stands_first(page: Page) -> None:
    first = page.words[: page.words.index("Figure 1.")]
    for words in (
        "Not a medical device",
        "624 images of 428 patients",
        "AUROC over all thresholds0.96295% interval 0.948–0.976 (DeLong)",
        "Accuracy at “balanced”91.7%",
        "Sensitivity at “balanced”97.2%95% interval 95.6–98.8% (Wilson)",
        "Specificity at “balanced”82.5%",
        "Of 100 images with PNEUMONIA, it flags about 97 and misses about 3. "
        "Of 100 without, it flags about 18 by mistake.",
        "The size of the file alone tells the classes apart",
    ):
        assert words in first


def test_nothing_is_fetched_and_nothing_runs(report: Path, page: Page) -> None:
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
    # What is left of addresses are the names of XML namespaces, which nobody fetches.
    assert set(re.findall(r"https?://[^\s\"'<>]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_a_hostile_name_stays_text(report: Path, page: Page) -> None:
    text = report.read_text("utf-8")
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert page.words.count('<script>alert("1")</script>\\u202egpj.\\u0007\\udcff&amp;') == 3


def test_hostile_words_are_text_wherever_they_come_in(tmp_path: Path) -> None:
    def poison(value: Any) -> Any:
        if isinstance(value, str):
            return value if value in {"binary", "balanced", "test"} else HOSTILE + value
        if isinstance(value, Mapping):
            kept = {"low", "high", "value", "method", "reason"}
            return {
                (key if key in kept or key.islower() else HOSTILE + key): poison(inner)
                for key, inner in value.items()
            }
        return [poison(inner) for inner in value] if isinstance(value, list) else value

    content = draw_content()
    hostile = replace(
        content,
        evaluation=poison(draw_evaluation()) | {"schema": 1},
        plan=poison(content.plan),
        samples=[replace(s, caption=HOSTILE, label=HOSTILE) for s in content.samples[:2]],
        worst=[replace(w, id=HOSTILE, truth=HOSTILE) for w in (content.worst or ())[:2]],
    )
    out = build_report(hostile, tmp_path / "report.html")
    assert Page(out.read_text("utf-8")).tags["script"] == 0


def test_every_figure_is_told_in_words(page: Page) -> None:
    images = [attributes for tag, attributes in page.found if tag == "img"]
    plots = [attributes for tag, attributes in page.found if tag == "svg"]
    assert len(images) == 16 + 8 + 6 + 4
    assert len(plots) == 8
    assert all(attributes["alt"] for attributes in images)
    for attributes in plots:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"] or "") > 30
    assert (
        sum(": the strongest evidence lies at the top right" in str(i["alt"]) for i in images) == 4
    )
    kinds = [str(image["alt"]).split()[0] for image in images]
    assert kinds[1] == "Heat", "errors come before the samples of what was not got wrong"
    assert kinds[-1] == "Augmented"
    assert page.tags["figcaption"] == page.tags["figure"]


def test_heat_maps_are_said_not_to_explain(page: Page) -> None:
    assert "A heat map does not explain." in page.words


def test_figures_lie_beside_the_page(report: Path) -> None:
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
            # Dark ink on white, whatever the page's own colours.
            grey = np.asarray(picture.convert("L"))
            assert grey[0, 0] == 255
            assert grey.min() < 120


def test_the_same_content_gives_the_same_bytes(report: Path, tmp_path: Path) -> None:
    again = build_report(draw_content(), tmp_path / "report.html")
    assert again.read_bytes() == report.read_bytes()
    for path in (report.parent / "figures").iterdir():
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes()


def test_a_page_stays_small_whatever_it_is_given(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 300, 300), dtype=np.uint8)
    heat = np.random.default_rng(1).random((300, 300), np.float32)
    rows = [{"id": f"{i}" * 60, "reason": "truncated", "problem": "w" * 200} for i in range(1000)]
    content = replace(
        draw_content(),
        samples=[Sample(one, "noise", "x") for one in noise],
        augmented=[Sample(one, "noise", "x") for one in noise],
        worst=[WorstCase(one, heat, "noise", "x", 0.9) for one in noise],
        left_out=rows,
    )
    out = build_report(content, tmp_path / "report.html")
    assert out.stat().st_size < 6_000_000
    words = Page(out.read_text("utf-8")).words
    assert "The first 200 of 1 001 are shown." in words


def test_each_error_names_the_label_it_is_about(tmp_path: Path) -> None:
    content = draw_content()
    assert content.worst
    first, second = content.worst[:2]
    worst = [replace(first, label="mass", probability=0.9), replace(second, probability=0.2)]
    report = build_report(replace(content, worst=worst), tmp_path / "r.html")
    text = report.read_text(encoding="utf-8")
    assert "but 0.900 for mass" in text
    assert "but only 0.200 for PNEUMONIA" in text
    assert "probability of mass 0.900" in text


def test_an_error_is_shown_beside_its_threshold(tmp_path: Path) -> None:
    content = draw_content()
    assert content.worst
    first, second = content.worst[:2]
    worst = [
        replace(first, probability=0.9, threshold=0.684),
        replace(second, probability=0.6, threshold=0.684),
    ]
    report = build_report(replace(content, worst=worst), tmp_path / "r.html")
    text = report.read_text(encoding="utf-8")
    assert "but 0.900 for PNEUMONIA, called from 0.684 on" in text
    assert "but only 0.600 for PNEUMONIA, called from 0.684 on" in text


def test_where_there_is_no_error_the_report_says_so(tmp_path: Path) -> None:
    content = replace(draw_content(), worst=())
    point = {"balanced": {"purpose": "balanced", "threshold": 0.5}}
    told = {
        "at the balanced operating point every image is called rightly": {
            **content.evaluation,
            "labels": {"PNEUMONIA": {"operating_points": point}},
        },
        "No label has a balanced operating point": {**content.evaluation, "labels": {}},
    }
    for number, (words, evaluation) in enumerate(told.items()):
        report = build_report(replace(content, evaluation=evaluation), tmp_path / f"{number}.html")
        text = report.read_text(encoding="utf-8")
        assert "Worst errors" in text
        assert words in text
    unknown = build_report(replace(content, worst=None), tmp_path / "none.html")
    assert "Worst errors" not in unknown.read_text(encoding="utf-8")


def test_one_epoch_is_told_and_not_drawn(tmp_path: Path) -> None:
    content = draw_content()
    first = {**content.history[0], "val_accuracy": float("nan")}
    report = build_report(replace(content, history=[first]), tmp_path / "r.html")
    text = report.read_text(encoding="utf-8")
    assert "trained for one epoch" in text
    assert "accuracy 0.770 on training;" in text
    assert not list((tmp_path / "figures").glob("history-*"))
    build_report(replace(content, history=content.history[:2]), tmp_path / "two" / "r.html")
    assert len(list((tmp_path / "two" / "figures").glob("history-*.svg"))) == 3


def test_undefined_metrics_are_shown_with_their_reason(tmp_path: Path) -> None:
    evaluation = draw_evaluation()
    nothing = {"value": None, "low": None, "high": None, "reason": "only one class is present"}
    evaluation["metrics"] = dict.fromkeys(evaluation["metrics"], nothing)
    point = evaluation["operating_points"]["balanced"]
    point["metrics"]["specificity"] = {"value": None, "reason": "no image is NORMAL"}
    point["confusion"] = {"tp": 5, "fp": 0, "tn": 0, "fn": 1}
    evaluation["curves"] = {
        "roc": {"fpr": [None, None], "tpr": [0.0, 1.0], "threshold": [None, 0.5]},
        "calibration": {"bins": []},
        "scores": None,
    }
    page = rebuild(tmp_path, evaluation)
    assert page.words.count("undefined: only one class is present") == 4 + 1  # cells, a sentence
    assert "Specificity at “balanced”undefinedno image is NORMAL" in page.words
    assert "The specificity of PNEUMONIA is undefined: no image is NORMAL." in page.words
    assert "There is no image that is not PNEUMONIA." in page.words
    assert page.tags["svg"] == 1


def test_the_least_evaluation_gives_a_page(tmp_path: Path) -> None:
    page = rebuild(tmp_path, {"schema": 1})
    assert "A chest X-ray classifier" in page.words
    assert "number of images unknown of unknown patients" in page.words
    assert "AUROC over all thresholdsundefinednot computed" in page.words
    whole = {"schema": 1, "dataset": {"name": "elsewhere", "split": "all"}}
    assert "all of elsewhere" in rebuild(tmp_path, whole).words


def test_several_labels_have_a_table_and_figures_each(tmp_path: Path) -> None:
    whole = draw_evaluation()
    part = {key: whole[key] for key in ("metrics", "operating_points", "curves", "prevalence")}
    missing = {"metrics": {"auroc": {"value": None, "reason": "no positive image"}}}
    names = ["Effusion", "Mass", "A/B <i>"]
    evaluation = {
        **{key: whole[key] for key in ("schema", "created", "dataset", "n", "patients", "metrics")},
        "task": {"kind": "multiclass", "labels": names, "classes": names},
        "prevalence": None,
        "operating_points": {},
        "curves": {},
        "labels": {"Effusion": part, "Mass": missing, "A/B <i>": part},
        "confusion_matrix": [[90, 5, 5], [1, 2, 3], [0, 0, 0]],
    }
    page = rebuild(tmp_path, evaluation)
    assert "Mass" + "undefined: no positive image" in page.words
    assert "There is nothing to draw for Mass" in page.words
    assert "92 of 106 right" in str(next(a["aria-label"] for tag, a in page.found if tag == "svg"))
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"confusion-all.svg", "roc-01.svg", "roc-03.svg"} <= names
    assert "roc-02.svg" not in names


def test_another_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="schema"):
        build_report(ReportContent(evaluation={"schema": 2}), tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_a_picture_of_another_type_is_refused(tmp_path: Path) -> None:
    wrong = Sample(np.zeros((8, 8), np.float32), "x", "y")  # type: ignore[arg-type]
    content = ReportContent(evaluation=draw_evaluation(), samples=[wrong])
    with pytest.raises(UsageError, match="uint8"):
        build_report(content, tmp_path / "report.html")
