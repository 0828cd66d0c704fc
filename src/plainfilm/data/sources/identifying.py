"""Which columns of a table, and which cells, may tell who a patient is.

Names decide first, in the words of a few languages; then the cells of the columns that are left:
what they look like, and whether nearly every patient has another. In doubt a column stays out:
what it held is still in the table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

__all__ = ["is_identifying", "is_number", "looks_like_data", "tells_apart", "tells_identity"]

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z\u00df-\uffff]+|[0-9]+|[\u00c0-\uffff]+")

# Alone or among other words, these stand for a person.
_ALWAYS = frozenset(
    {"mrn", "pid", "uid", "uids", "guid", "uuid", "ssn", "nhs", "dob", "accession", "passport"}
    | {"surname", "lastname", "firstname", "forename", "fullname", "initials", "signature"}
    | {"birth", "birthdate", "birthday", "birthplace", "born", "email", "mail", "phone", "mobile"}
    | {"telephone", "tel", "fax", "address", "street", "zip", "zipcode", "postcode", "insurance"}
    | {"physician", "doctor", "operator", "comment", "comments", "remark", "remarks", "notes"}
    | {"narrative", "anamnesis", "indication", "impression", "freetext", "note"}
    | {"middlename", "maidenname", "nickname", "username", "contact", "relative", "mother"}
    | {"accno", "accnr", "accnum", "accnumber", "accid", "patid", "patnr", "patno", "patnum"}
    # German, French, Spanish and Portuguese, Italian
    | {"nachname", "vorname", "geburtsdatum", "geburtstag", "geboren", "adresse", "strasse"}
    | {"rufname", "gebname", "gebdat", "gebdatum", "geb", "wohnort", "anschrift", "handy"}
    | {"mutter", "notiz", "notizen", "freitext", "beurteilung", "vorgeschichte", "krankenkasse"}
    | {"hinweis", "remarque", "remarques", "commentaire", "commentaires", "comentario"}
    | {"comentarios", "comentário", "observaciones", "observações", "osservazioni", "commento"}
    | {
        "nota",
        "notas",
        "straße",
        "plz",
        "telefon",
        "arzt",
        "befund",
        "befundtext",
        "fallnummer",
        "patientennummer",
    }
    | {"prenom", "prénom", "naissance", "nascimento", "nacimiento", "apellido", "apellidos"}
    | {"sobrenome", "dirección", "direccion", "endereço", "telefono", "teléfono", "médico"}
    | {"cognome", "nascita", "indirizzo", "dni", "cpf"}
)
# These do alone; beside others only where what they name is a person or a visit.
_NUMBERS = frozenset({"id", "ids", "identifier", "number", "no", "nr", "num", "key", "code"})
_NAMES = frozenset({"name", "names", "nom", "nombre", "nome"})
_WHOSE = frozenset(
    {"patient", "patients", "subject", "person", "client", "case", "study", "exam"}
    | {"examination", "visit", "encounter", "admission", "stay", "record", "hospitalization"}
    | {"order", "request", "dicom", "series", "sop", "medical", "referring", "performing"}
    | {"patienten", "paciente", "paziente", "pat", "acc", "fall", "akte", "akten", "aufnahme"}
    | {"auftrag", "auftrags", "versicherten", "untersuchung", "untersuchungs", "insured"}
)
_ALONE = frozenset({"id", "ids", "patient", "patients", "subject", "person", "client"}) | _NAMES
_THINGS = frozenset(
    {"file", "image", "img", "picture", "path", "class", "label", "column", "device", "model"}
    | {"manufacturer", "site", "hospital", "institution", "finding", "disease", "protocol", "view"}
    | {"dataset", "data", "set", "source", "diagnosis", "diagnose", "folder", "base", "dir", "code"}
    | {"scanner", "machine", "station", "vendor", "country", "region", "city", "ward"}
)
_GLUED = re.compile(
    r"(?:study|series|instance|sop|reference|class)uid"
    r"|(?:patient|subject|study|exam|person|accession|mrn)(?:s|en)?"
    r"(?:id|nr|no|num|number|nummer|key|name)"
    r"|medicalrecord|socialsecurity|dateofbirth|birthdate|geburtsdatum|reporttext|clinicalhistory"
)

# Words that are written as one, as German does.
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
_AGE = re.compile(r"\d{3}[DWMY]")  # as DICOM writes it
_ENOUGH = 10  # below, values may well be all different and still be groups


def is_identifying(column: str) -> bool:
    """Tell whether a column of this name may hold what tells who a patient is.

    Examples
    --------
    >>> [is_identifying(n) for n in ("Patient Name", "StudyInstanceUID", "dob", "patient_age")]
    [True, True, True, False]
    """
    words = [word.casefold() for word in _WORDS.findall(column)]
    known = set(words)
    if known & _ALWAYS or _GLUED.search("".join(words)):
        return True
    if any(_COMPOUND.search(word) for word in words):
        return True
    if len(words) == 1:
        named = _NAME_OF.fullmatch(words[0])
        return words[0] in _ALONE or (named is not None and named[1] not in _THINGS)
    if known & _NAMES:
        return not known & _THINGS
    return bool(known & _NUMBERS and known & _WHOSE)


def tells_identity(cell: str) -> bool:
    """Tell whether a cell holds a UID, a full date, an address of mail, a DICOM name or free text.

    Examples
    --------
    >>> [tells_identity(cell) for cell in ("1.2.840.10008.1", "1961-04-12", "Doe^John", "41.5")]
    [True, True, True, False]
    """
    return len(cell) > _LONG or any(
        pattern.search(cell) is not None for pattern in (_UID, _DATE, _MAIL, _PERSON_NAME)
    )


def tells_apart(cells: Sequence[str], patients: Sequence[str] | None = None) -> bool:
    """Tell whether a column of text says something else of nearly every patient.

    Such a column is no group that anything could be counted in, and may tell who a patient is: a
    name, a number at a hospital, a remark. It has more different values than half of the patients
    (of the rows, where no patients are given or are too few), and most of those values are of one
    patient (row) only. Blank cells count for nothing, fewer than ten others tell nothing, and
    numbers and ages may differ.

    Parameters
    ----------
    cells
        The column, one cell a row.
    patients
        Whose each row is; a row without one is its own.

    Examples
    --------
    >>> tells_apart([f"Doe {n}" for n in range(10)]), tells_apart(["PA", "AP"] * 5)
    (True, False)
    >>> tells_apart([f"{n}.5" for n in range(10)])
    False
    """
    filled = [row for row, cell in enumerate(cells) if cell.casefold() not in _BLANK]
    if len(filled) < _ENOUGH or all(_is_measure(cells[row]) for row in filled):
        return False
    owners: list[str | int] = [(patients[row] or row) if patients else row for row in filled]
    if len(set(owners)) < _ENOUGH:
        owners = [*filled]
    whose: dict[str, set[str | int]] = {}
    for row, owner in zip(filled, owners, strict=True):
        whose.setdefault(cells[row], set()).add(owner)
    single = sum(len(those) == 1 for those in whose.values())
    return 2 * len(whose) > len(set(owners)) and 2 * single > len(whose)


def _is_measure(cell: str) -> bool:
    # With a comma: as a German spreadsheet writes decimals.
    return is_number(cell.replace(",", ".", 1)) or _AGE.fullmatch(cell) is not None


def is_number(cell: str) -> bool:
    """Tell whether a cell is a plain decimal number; codes such as 007 are none.

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
    """Tell whether a header is no header but the first row of a table that has none."""
    return any(
        tells_identity(name)
        or name.replace(".", "", 1).lstrip("-").isdigit()
        or re.search(r"\.(?:jpe?g|png|dcm|tiff?|bmp)$", name, re.IGNORECASE)
        for name in names
    )
