"""Which columns of a table, and which cells, may tell who a patient is.

Names decide first, in the words of a few languages; then the cells of the columns that are left.
In doubt a column stays out: what it held is still in the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["is_identifying", "looks_like_data", "tells_identity"]

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z\u00df-\uffff]+|[0-9]+|[\u00c0-\uffff]+")

# Alone or among other words, these stand for a person.
_ALWAYS = frozenset(
    {"mrn", "pid", "uid", "uids", "guid", "uuid", "ssn", "nhs", "dob", "accession", "passport"}
    | {"surname", "lastname", "firstname", "forename", "fullname", "initials", "signature"}
    | {"birth", "birthdate", "birthday", "birthplace", "born", "email", "mail", "phone", "mobile"}
    | {"telephone", "tel", "fax", "address", "street", "zip", "zipcode", "postcode", "insurance"}
    | {"physician", "doctor", "operator", "comment", "comments", "remark", "remarks", "notes"}
    | {"narrative", "anamnesis", "indication", "impression", "freetext"}
    # German, French, Spanish and Portuguese, Italian
    | {"nachname", "vorname", "geburtsdatum", "geburtstag", "geboren", "adresse", "strasse"}
    | {"straße", "plz", "telefon", "arzt", "befund", "befundtext", "fallnummer", "patientennummer"}
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
    | {"patienten", "paciente", "paziente"}
)
_ALONE = frozenset({"id", "ids", "patient", "patients", "subject", "person", "client"}) | _NAMES
_THINGS = frozenset(
    {"file", "image", "img", "picture", "path", "class", "label", "column", "device", "model"}
    | {"manufacturer", "site", "hospital", "institution", "finding", "disease", "protocol", "view"}
    | {"dataset", "data", "set", "source", "diagnosis", "folder"}
)
_GLUED = re.compile(
    r"(?:study|series|instance|sop|reference|class)uid"
    r"|(?:patient|subject|study|exam|person|accession|mrn)s?(?:id|nr|no|num|number|key|name)"
    r"|medicalrecord|socialsecurity|dateofbirth|birthdate|geburtsdatum|reporttext|clinicalhistory"
)

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
    if len(words) == 1:
        return words[0] in _ALONE
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


def looks_like_data(names: Iterable[str]) -> bool:
    """Tell whether a header is no header but the first row of a table that has none."""
    return any(
        tells_identity(name)
        or name.replace(".", "", 1).lstrip("-").isdigit()
        or re.search(r"\.(?:jpe?g|png|dcm|tiff?|bmp)$", name, re.IGNORECASE)
        for name in names
    )
