"""The words that a DICOM header may say of an image and be repeated: closed lists, no free text.

A text element holds whatever somebody typed, a name among it. What is not on these lists is left
out. Sources: DICOM PS3.3 C.7.3.1.1.1 (modalities), C.8.11.5 and C.8.1.4 (views), PS3.16 annex L
(body parts), C.7.6.3.1.2 (photometric interpretations).
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WORDS = {
    "modality": _words(
        "AR ASMT AU BDUS BI BMD CD CF CFM CP CR CS CT CTPROTOCOL DD DF DG DM DMS DOC DS DX EC ECG "
        "EEG EMG EOG EPS ES FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS "
        "NM OAM OCT OP OPM OPR OPT OPTBSV OPTENF OPV OSS OT PLAN POS PR PT PX REG RESP RF RG "
        "RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF ST "
        "STAIN TEXTUREMAP TG US VA VF XA XAPROTOCOL XC"
    ),
    "body_part": _words(
        "ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BLADDER BRAIN BREAST BRONCHUS "
        "BUTTOCK CALCANEUS CALF CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CHOROID CLAVICLE COCCYX "
        "COLON CORNEA CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR "
        "FINGER FOOT FOREARM GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS ILEUM ILIUM JAW "
        "JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LSPINE LSSPINE LUNG MANDIBLE MAXILLA MEDIASTINUM "
        "MOUTH NECK NECKCHEST NOSE ORBIT OVARY PANCREAS PAROTID PATELLA PELVIS PENIS PHARYNX "
        "PROSTATE RECTUM RIB RIBS SACRUM SCALP SCAPULA SCROTUM SHOULDER SI SINUS SKULL SPINE "
        "SPLEEN SSPINE STERNUM STOMACH TESTIS THIGH THORAX THUMB THYMUS THYROID TIBIA TLSPINE TMJ "
        "TOE TONGUE TRACHEA TSPINE ULNA URETER URETHRA UTERUS VAGINA VULVA WHOLEBODY WRIST ZYGOMA"
    ),
    "view": _words(
        "AP PA LL RL RLD LLD RLO LLO LPO RPO LAO RAO LATERAL OBLIQUE CC ML MLO LM LMO FB SIO ISO "
        "XCCL XCCM AT CV GSD"
    ),
    "sex": _words("M F O"),
    "presentation": _words("IDENTITY INVERSE"),
    "photometric": frozenset(
        (
            *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK"),
            *("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT"),
            *("YBR_RCT", "XYB"),
        )
    ),
}
"""Fact to the codes that it may have."""

MAKERS = (
    *("Acuson", "Agfa", "Barco", "Canon", "Carestream", "Del Medical", "DRTECH", "Elscint"),
    *("Esaote", "Fuji", "GE", "General Electric", "Hitachi", "Hologic", "iCRco"),
    *("Imaging Dynamics", "Italray", "Kodak", "Konica", "Lorad", "Lumisys", "Marconi"),
    *("McKesson", "Mindray", "Neusoft", "Philips", "Picker", "Planmed", "Rayence", "Samsung"),
    *("Sectra", "Sedecal", "Shimadzu", "Siemens", "Stephanix", "Swissray", "Thales", "Toshiba"),
    *("Trixell", "United Imaging", "Varian", "Vieworks", "Villa", "Vidar", "Ziehm"),
    "plainfilm phantom",
)
"""Makers of X-ray devices and of what reads and scans their films."""

_MAKER = re.compile("|".join(rf"\b{re.escape(name)}(?=\b|film)" for name in MAKERS), re.I)
_SPELLED = {name.casefold(): name for name in MAKERS}


def maker_of(text: str) -> str | None:
    """Return the maker that a text names, as it is spelled here; None where it names none."""
    found = _MAKER.search(text)
    return None if found is None else _SPELLED[found[0].casefold()]
