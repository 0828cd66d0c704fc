"""Identifiers of patients are compared in a normal form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.data.sources.patients.identifiers import (
    is_rounded,
    normal_form,
    placeholders,
    shared_identifier,
)


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
        ("P-9", "P-8"),
        ("unknown 1", "unknown 2"),
        ("Anonymous Patient 1", "Anonymous Patient 2"),
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
        *("-1.0", "-9,0", "-999.0", "\u22121", "-7", "-88", "#REF!", "#DIV/0!", "#N/A", "#WERT!"),
        *("not recorded", "Not yet assigned", "unknown patient", "pending", "Hidden"),
        *("Anonymous Patient", "ANONYMOUS^PATIENT", "Removed by CTP", "No patient ID"),
    ],
)
def test_words_that_mean_unknown(text: str) -> None:
    assert normal_form(text) is None


def test_zero_is_a_patient_unless_many_images_have_it() -> None:
    assert placeholders(["0"] * 2 + ["1"] * 2) == frozenset()
    assert placeholders(["0"] * 30 + ["1"] * 10 + ["2"]) == frozenset()
    assert placeholders(["0"] * 31 + ["1"] * 10 + ["999"] * 40 + ["998"]) == {"0", "999"}
    assert placeholders(["training"] * 30 + [*map(str, range(20))]) == {"training"}
    assert placeholders(["kim"] * 30 + ["lee", "ray", "fox"]) == frozenset()
    assert is_rounded("1.20E+11")
    assert not is_rounded("12e11")


def test_an_identifier_that_many_images_share() -> None:
    spread = [*map(str, range(20))]
    assert shared_identifier(["77"] * 30 + spread) == "77"
    assert shared_identifier(["77"] * 30 + spread * 6) is None
    assert shared_identifier(["77"] * 9 + spread) is None
    assert shared_identifier(["77"] * 30 + spread[:5]) is None
    assert shared_identifier([]) is None


@given(st.text())
def test_any_text_has_a_stable_form(text: str) -> None:
    form = normal_form(text)
    assert form is None or form
    assert normal_form(f" {text} ") == form


@pytest.mark.parametrize("text", ["፩", "²", "x፩", "①", "፩፪", "-²"])
def test_digits_that_are_no_numbers(text: str) -> None:
    normal_form(text)
