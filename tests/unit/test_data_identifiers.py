"""Identifiers of patients are compared in a normal form."""

from __future__ import annotations

import pytest

from plainfilm.data.sources.patients.identifiers import is_rounded, normal_form, placeholders


@pytest.mark.parametrize(
    "spellings",
    [
        ("12", "12.0", "000012", " 12 ", "12,0", "#12", "１２"),
        ("P-12", "p-12", "P_12", "P12", "p 012", "P–12", "P.0012"),
        ("h4000", "H4000", "00h4000"),
        ("Müller 3", "Mu\u0308ller-3", "MÜLLER3"),
        ("2021-0012", "2021/12", "2021_012"),
        ("1.2E+11", "120000000000", "120000000000.0", "1,20e+11"),
    ],
)
def test_one_patient_in_several_spellings(spellings: tuple[str, ...]) -> None:
    assert len({normal_form(text) for text in spellings}) == 1
    assert normal_form(spellings[0]) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1-23", "12-3"),
        ("1-23", "123"),
        ("0-12", "12"),
        ("12.5", "125"),
        ("12.10", "12.1"),
        ("P-12", "Q-12"),
        ("P12", "12"),
        ("12a", "12b"),
        ("Anna-Maria", "Annamaria"),
        ("0a00f3c9b1e2", "0a0f3c9b1e2"),  # zeros of a random code are no padding
        ("का", "कि"),  # vowels that are combining characters
        ("0", "00a"),
    ],
)
def test_different_patients(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "NA",
            "n/a",
            "N.A.",
            "nan",
            "NaN",
            "<NA>",
            "#N/A",
            "null",
            "(null)",
            "None",
            "-",
            "--",
        ),
        *("?", ".", "unknown", "[Unknown]", "UNBEKANNT", "blank", "-1", "-999", "XXX", "no id"),
        *("Anonymized", "not available", "k.A.", "\u200b", "—", "不明"),
    ],
)
def test_words_that_mean_unknown(text: str) -> None:
    assert normal_form(text) is None


def test_zero_is_a_patient_unless_many_images_have_it() -> None:
    assert placeholders(["0"] * 2 + ["1"] * 2) == frozenset()
    assert placeholders(["0"] * 30 + ["1"] * 10 + ["2"]) == frozenset()
    assert placeholders(["0"] * 31 + ["1"] * 10 + ["999"] * 40 + ["998"]) == {"0", "999"}
    assert is_rounded("1.20E+11")
    assert not is_rounded("12e11")
