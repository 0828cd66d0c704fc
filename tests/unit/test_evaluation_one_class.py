"""Tests that data sets of one class are evaluated, audited and shown, and not trained on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plainfilm.audit import audit_dataset
from plainfilm.cli.main import main
from plainfilm.data import load_dataset
from plainfilm.errors import LabelError, SourceError
from plainfilm.evaluation import evaluate
from plainfilm.evaluation.scoring import align
from plainfilm.metrics import wilson
from plainfilm.records import Record, Task

BRIGHT = Task("binary", ("bright",), ("dark", "bright"))


def draw_class(root, name, draw_grey, greys):
    for number, grey in enumerate(greys):
        draw_grey(root / name / f"{name}{number}.png", grey)
    return root


def positive_set(tmp_path, draw_grey):
    """Draw 20 images of the class bright; the model predicts bright for 15."""
    return draw_class(tmp_path / "ward", "bright", draw_grey, [150.0] * 15 + [100.0] * 5)


def defined(document):
    return {name for name, one in document.metrics.items() if math.isfinite(one.value)}


def test_positives_alone_give_the_sensitivity(make_bundle, draw_grey, tmp_path):
    root = positive_set(tmp_path, draw_grey)
    (root / "dark").mkdir()  # an empty folder of the other class changes nothing
    found = evaluate(make_bundle(), root, out=tmp_path / "o", n_bootstrap=50)
    assert found.metrics["sensitivity"] == wilson(15, 20)
    assert defined(found.document) <= {"sensitivity", "calibration_error"}
    assert found.metrics["accuracy"].reason == "there is no negative image"
    assert found.document.labels["bright"].positives == found.document.n == 20
    assert {"one-class", "empty-class"} <= {one.check for one in found.manifest.findings}


def test_negatives_alone_give_the_specificity(make_bundle, draw_grey, tmp_path):
    root = draw_class(tmp_path / "healthy", "dark", draw_grey, [100.0] * 9 + [150.0])
    found = evaluate(make_bundle(), root, out=tmp_path / "o", robustness=False, n_bootstrap=50)
    assert found.metrics["specificity"] == wilson(9, 10)
    assert defined(found.document) <= {"specificity", "calibration_error"}
    assert found.metrics["ppv"].reason == "there is no positive image"


def test_one_positive_image_is_enough(make_bundle, draw_grey, tmp_path):
    root = draw_class(tmp_path / "x", "dark", draw_grey, [100.0 + n for n in range(12)])
    draw_class(root, "bright", draw_grey, [190.0])
    found = evaluate(make_bundle(), root, out=tmp_path / "o", robustness=False, n_bootstrap=50)
    assert found.metrics["auroc"].value == 1
    assert found.metrics["sensitivity"] == wilson(1, 1)


def test_a_table_of_one_class_and_renamed_classes(make_bundle, draw_grey, tmp_path, capsys):
    root = positive_set(tmp_path, draw_grey)
    files = sorted(root.glob("*/*.png"))
    table = tmp_path / "t.csv"
    rows = "\n".join(f"{file},1" for file in files)
    table.write_text(f"file,label\n{rows}", encoding="utf-8")
    bundle = str(make_bundle().folder)
    command = ["evaluate", bundle, str(table), "--no-robustness", "--out", str(tmp_path / "o")]
    assert main(command) == 1
    assert "--map" in capsys.readouterr().err
    assert main([*command, "--map", "1=bright"]) == 0
    output = capsys.readouterr()
    assert "all images are of one class, bright" in output.err
    assert "there is no negative image" in output.out
    page = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    assert "No image is negative for bright." in page


def test_several_data_sets_with_one_of_one_class(make_bundle, draw_grey, tmp_path):
    one = positive_set(tmp_path, draw_grey)
    both = draw_class(tmp_path / "both", "dark", draw_grey, [100.0] * 12)
    draw_class(both, "bright", draw_grey, [150.0] * 12)
    command = ["evaluate", str(make_bundle().folder), str(both), str(one), "--no-robustness"]
    assert main([*command, "--out", str(tmp_path / "o")]) == 0
    page = (tmp_path / "o" / "external.html").read_text(encoding="utf-8")
    assert "undefined: there is no negative image" in page
    assert "75.0%" in page  # the sensitivity on the second set


def test_training_and_loading_still_need_both_classes(draw_grey, tmp_path, capsys):
    root = positive_set(tmp_path, draw_grey)
    with pytest.raises(SourceError, match="only one class"):
        load_dataset(root)
    assert main(["train", str(root), "--out", str(tmp_path / "run")]) == 1
    assert "only one class" in capsys.readouterr().err
    manifest = load_dataset(root, one_class=True)
    assert manifest.task == Task("binary", ("bright",), ("not bright", "bright"))
    normal = draw_class(tmp_path / "n", "NORMAL", draw_grey, [90.0])
    assert load_dataset(normal, one_class=True).task.classes == ("NORMAL", "not NORMAL")
    named = load_dataset(normal, one_class=True, positive="TB")
    assert named.task.classes == ("NORMAL", "TB")
    assert named.label_array().tolist() == [[0]]


def test_one_class_is_audited_and_shown(draw_grey, tmp_path):
    root = positive_set(tmp_path, draw_grey)
    audit = audit_dataset(root)
    assert "one-class" in {finding.check for finding in audit.findings}
    assert main(["show", str(root), "--out", str(tmp_path / "s.png")]) == 0
    assert main(["audit", str(root), "--quick"]) == 0


def test_a_data_set_may_lack_classes_of_the_bundle(draw_grey, tmp_path):
    root = draw_class(tmp_path / "x", "tb", draw_grey, [90.0])
    draw_class(root, "Covid 19", draw_grey, [91.0, 92.0])
    three = Task("multiclass", ("COVID-19", "NORMAL", "TB"), ("COVID-19", "NORMAL", "TB"))
    aligned = align(load_dataset(root), three)
    assert aligned.task == three
    assert aligned.label_array().tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    with pytest.raises(LabelError, match="not those of the bundle"):
        align(load_dataset(root), BRIGHT)


def test_unknown_labels_stay_unknown(draw_grey, tmp_path):
    manifest = load_dataset(positive_set(tmp_path, draw_grey), one_class=True)
    unknown = Record(id="u", path="/nowhere", labels=(math.nan,), patient="u")
    more = type(manifest)(manifest.name, manifest.task, (*manifest.records, unknown))
    assert np.isnan(align(more, BRIGHT).label_array()).sum() == 1
