"""Finds columns and cells of a table that may identify a patient.

First the names of columns are checked, in several languages; then the cells: their format, and
whether nearly every patient has another value. In case of doubt a column is not kept; it remains in
the table.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z\u00df-\uffff]+|[0-9]+|[\u00c0-\uffff]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that make any column name identifying, in English, German, French, Spanish, Portuguese and
# Italian.
_ALWAYS = _words(
    """
    mrn pid uid uids guid uuid ssn nhs dob accession passport surname lastname firstname forename
    fullname initials signature birth birthdate birthday birthplace born email mail phone mobile
    telephone tel fax address street zip zipcode postcode insurance physician doctor operator
    comment comments remark remarks notes narrative anamnesis indication impression freetext note
    middlename maidenname nickname username contact relative mother accno accnr accnum accnumber
    accid patid patnr patno patnum nachname vorname geburtsdatum geburtstag geboren adresse strasse
    rufname gebname gebdat gebdatum geb wohnort anschrift handy mutter notiz notizen freitext
    beurteilung vorgeschichte krankenkasse hinweis remarque remarques commentaire commentaires
    comentario comentarios comentário observaciones observações osservazioni commento nota notas
    straße plz telefon arzt befund befundtext fallnummer patientennummer prenom prénom naissance
    nascimento nacimiento apellido apellidos sobrenome dirección direccion endereço telefono
    teléfono médico cognome nascita indirizzo dni cpf
    """
)
# Words that do so alone, or with a word for a person or a visit.
_NUMBERS = _words("id ids identifier number no nr num key code")
_NAMES = _words("name names nom nombre nome")
_PERSON_OR_VISIT = _words(
    """
    patient patients subject person client case study exam examination visit encounter admission
    stay record hospitalization order request dicom series sop medical referring performing
    patienten paciente paziente pat acc fall akte akten aufnahme auftrag auftrags versicherten
    untersuchung untersuchungs insured
    """
)
_ALONE = _words("id ids patient patients subject person client") | _NAMES
_THINGS = _words(
    """
    file image img picture path class label column device model manufacturer site hospital
    institution finding disease protocol view dataset data set source diagnosis diagnose folder
    base dir code scanner machine station vendor country region city ward
    """
)
_GLUED = re.compile(
    r"(?:study|series|instance|sop|reference|class)uid"
    r"|(?:patient|subject|study|exam|person|accession|mrn)(?:s|en)?"
    r"(?:id|nr|no|num|number|nummer|key|name)"
    r"|medicalrecord|socialsecurity|dateofbirth|birthdate|geburtsdatum|reporttext|clinicalhistory"
)

# Compound words, as in German.
_COMPOUND = re.compile(
    r"bemerkung|kommentar|anmerkung|remark|comment|geburts|adresse|versichert"
    r"|(?:nummer|kennung|kennzeichen)$"
    r"|^(?:pat|patient|fall|akten?|aufnahme|auftrags?|untersuchungs?)(?:en)?(?:nr|id|name)$"
)
_NAME_OF = re.compile(r"(\w+?)_?names?$")

_UID = re.compile(r"(?<![\d.])\d+(?:\.\d+){3,}(?![\d.]*[a-z])", re.IGNORECASE)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mär|mai|okt|dez)[a-zäö]*\.?"
_DATE = re.compile(
    r"(?<!\d)(?:"
    r"(?:18|19|20)\d\d([-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2(?:(?:18|19|20)\d\d|\d\d)"
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    rf"|\d{{1,2}}[-. ]*{_MONTH}[-. ,]*(?:(?:18|19|20)\d\d|\d\d)"
    rf"|{_MONTH}[ .]*\d{{1,2}},? +(?:18|19|20)\d\d"
    r")(?!\d)",
    re.IGNORECASE,
)
_MAIL = re.compile(r"[^\s@]+@[^\s@]+\.[a-z]{2,}", re.IGNORECASE)
_PERSON_NAME = re.compile(r"[^\W\d_]\^|\^[^\W\d_]")
_LONG = 200
_BLANK = frozenset({"", "nan", "na", "n/a", "none", "null", "-", "?", "unknown", "unbekannt"})
_AGE = re.compile(r"\d{3}[DWMY]")  # in the format of DICOM
_ENOUGH = 10  # with fewer rows, different values may still be groups


def is_identifying_name(column: str) -> bool:
    """Return whether a column of this name may identify a patient.

    Examples
    --------
    >>> [is_identifying_name(n) for n in ("Patient Name", "StudyInstanceUID", "dob", "patient_age")]
    [True, True, True, False]
    """
    words = [word.casefold() for word in _WORDS.findall(column)]
    known = set(words)
    if known & _ALWAYS or _GLUED.search("".join(words)) or any(map(_COMPOUND.search, words)):
        return True
    if len(words) == 1:
        named = _NAME_OF.fullmatch(words[0])
        return words[0] in _ALONE or (named is not None and named[1] not in _THINGS)
    if known & _NAMES:
        return not known & _THINGS
    return bool(known & _NUMBERS and known & _PERSON_OR_VISIT)


def contains_identity(cell: str) -> bool:
    """Return whether a cell contains a UID, a date, an email address, a DICOM name or long text.

    Examples
    --------
    >>> [contains_identity(cell) for cell in ("1.2.840.10008.1", "1961-04-12", "Doe^John", "41.5")]
    [True, True, True, False]
    """
    return len(cell) > _LONG or any(p.search(cell) for p in (_UID, _DATE, _MAIL, _PERSON_NAME))


def is_nearly_unique(cells: Sequence[str], patients: Sequence[str] | None = None) -> bool:
    """Return whether a column of text differs between nearly all patients.

    Such a column does not define subgroups and may identify a patient: a name, a hospital number, a
    remark. It has more distinct values than half the number of patients (or of rows, without
    patients or with fewer than ten), and most of these values occur for one patient (row) only.
    Blank cells are ignored, and a row with a blank patient counts as its own. The result is False
    for fewer than ten other cells and for numbers and ages.

    Examples
    --------
    >>> is_nearly_unique([f"Doe {n}" for n in range(10)]), is_nearly_unique(["PA", "AP"] * 5)
    (True, False)
    >>> is_nearly_unique([f"{n}.5" for n in range(10)])
    False
    """
    different = {cell for cell in set(cells) if cell.casefold() not in _BLANK}
    if 2 * len(different) <= _ENOUGH or all(map(_is_measure, different)):
        return False
    filled = [row for row, cell in enumerate(cells) if cell in different]
    if len(filled) < _ENOUGH:
        return False
    owners: list[str | int] = [(patients[row] or row) if patients else row for row in filled]
    if len(set(owners)) < _ENOUGH:
        owners = [*filled]
    pairs = {(cells[row], owner) for row, owner in zip(filled, owners, strict=True)}
    owners_of = Counter(cell for cell, _ in pairs)
    single = sum(count == 1 for count in owners_of.values())
    return 2 * len(owners_of) > len(set(owners)) and 2 * single > len(owners_of)


def _is_measure(cell: str) -> bool:
    # A comma may be the decimal separator.
    return is_number(cell.replace(",", ".", 1)) or _AGE.fullmatch(cell) is not None


def is_number(cell: str) -> bool:
    """Return whether a cell is a plain decimal number, and not a code such as 007.

    Examples
    --------
    >>> [is_number(cell) for cell in ("41.5", "-1e3", "007", "nan", "1_000")]
    [True, True, False, False, False]
    """
    digits = cell.removeprefix("-")
    if len(digits) > 1 and digits[0] == "0" and digits[1] != ".":
        return False
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def looks_like_data(names: Iterable[str]) -> bool:
    """Return whether a header is probably the first row of a table without a header."""
    return any(
        contains_identity(name)
        or name.replace(".", "", 1).lstrip("-").isdigit()
        or ("{" not in name and re.search(r"\.(?:jpe?g|png|dcm|tiff?|bmp)$", name, re.IGNORECASE))
        for name in names
    )


def name_columns(names: Collection[str]) -> str:
    """Return the names of columns for a message, unless they look like data."""
    if looks_like_data(names):
        return f"{len(names)} names that look like data (has the table no header?)"
    return ", ".join(names)
