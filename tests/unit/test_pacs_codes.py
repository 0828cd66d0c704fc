"""Codes of labels, from the built-in table and from a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from plainfilm.errors import ConfigError
from plainfilm.pacs.codes import PRIVATE_SCHEME, Code, read_codes

DOCS = Path(__file__).parents[2] / "docs/reference/finding-codes.md"
ENTRY = '[labels."{}"]\nvalue = "{}"\nscheme = "{}"\nmeaning = "{}"\n'


def table(folder: Path, text: str) -> Path:
    path = folder / "codes.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("label", ["Pneumonia", "PNEUMONIA", " pneu_monia "])
def test_case_spaces_and_underscores_do_not_matter(label: str) -> None:
    assert read_codes().of(label) == Code("233604007", "SCT", "Pneumonia")


def test_a_file_replaces_and_extends_the_built_in_table(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        ENTRY.format("pneumonia", "RID5350", "RADLEX", "pneumonia")
        + ENTRY.format("Ärmel", "123456789012345678", "99LOCAL", "Ärmel"),
    )
    codes = read_codes(path)
    assert codes.of("Pneumonia") == Code("RID5350", "RADLEX", "pneumonia")
    assert codes.of("ärmel") == Code("123456789012345678", "99LOCAL", "Ärmel")
    assert codes.of("Pneumothorax").scheme == "SCT"
    assert codes.unused(["PNEUMONIA", "Pneumothorax"]) == ["ärmel"]


def test_an_unknown_label_has_a_code_of_the_private_scheme() -> None:
    codes = read_codes()
    assert codes.of("No Finding") == Code("NOFINDING", PRIVATE_SCHEME, "No Finding")
    long = codes.of("폐렴" * 50)
    assert re.fullmatch("L-[0-9A-F]{12}", long.value)
    assert long.meaning == f"{'폐렴' * 8} {long.value}"
    assert codes.of("x" * 70 + "1").meaning != codes.of("x" * 70 + "2").meaning
    assert codes.of("폐렴" * 51).value != long.value
    assert codes.of("a\\b").meaning == "a/b"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("labels = 3", "outside of labels"),
        ("[label.x]\n", "outside of labels"),
        ("x = [", "not valid TOML"),
        ('[labels.x]\nvalue = "1"\n', "does not have value, scheme and meaning"),
        (ENTRY.format("x", "1 2", "SCT", "x"), "has a value that DICOM does not allow"),
        (ENTRY.format("x", "1" * 65, "SCT", "x"), "has a value that DICOM does not allow"),
        (ENTRY.format("x", "1", "S" * 17, "x"), "has a scheme that DICOM does not allow"),
        (ENTRY.format("x", "1", "SCT", "x" * 65), "has a meaning that DICOM does not allow"),
        (ENTRY.format("x", "1", "SCT", " "), "has a meaning that DICOM does not allow"),
        (ENTRY.format("x", "1", "SCT", "a\\\\b"), "has a meaning that DICOM does not allow"),
        (ENTRY.format("x", "1", "SCT", "x") + ENTRY.format("X", "1", "SCT", "x"), "twice"),
        ("[labels.x]\nvalue = 1\nscheme = 1\nmeaning = 1\n", "has a value that"),
    ],
)
def test_errors_name_problem_and_remedy(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as raised:
        read_codes(table(tmp_path, text))
    assert raised.value.remedy


def test_a_missing_or_binary_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_codes(tmp_path / "none.toml")
    (tmp_path / "codes.toml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_codes(tmp_path / "codes.toml")


def test_codes_verified_in_the_dicom_dictionary_are_in_it() -> None:
    """The documentation names, for each built-in code, where it was verified."""
    rows = re.findall(r"^\| (.+?) \| (\w+) \| (\w+) \| (.+?) \| (.+?) \|$", DOCS.read_text(), re.M)
    rows = [row for row in rows if row[0] != "label"]
    shown = {(label, Code(value, scheme, meaning)) for label, value, scheme, meaning, _ in rows}
    built_in = read_codes()
    assert {(label, built_in.of(label)) for label, _ in shown} == shown
    assert len(shown) == len(built_in.codes)
    for _, value, scheme, _, where in rows:
        for number in map(int, re.findall(r"CID (\d+)", where)):
            named = cid_concepts[number][scheme]
            assert any(value in concepts[scheme][name] for name in named), (value, number)
