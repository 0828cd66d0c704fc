"""The elements of a DICOM file that are read, and their values."""

from __future__ import annotations

import math
from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TABLES = _words(
    "ExtendedOffsetTable ExtendedOffsetTableLengths LUTData "
    "RedPaletteColorLookupTableData SegmentedRedPaletteColorLookupTableData "
    "GreenPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData "
    "BluePaletteColorLookupTableData SegmentedBluePaletteColorLookupTableData"
)
"""Keywords of elements that hold a table; every other value that is used is short."""

USED = TABLES | _words(
    "SpecificCharacterSet TransferSyntaxUID "
    # identity, see ``plainfilm.pixels.identity``
    "PatientID PatientName OtherPatientIDs AccessionNumber IssuerOfPatientID "
    "PatientIdentityRemoved SOPInstanceUID StudyInstanceUID SeriesInstanceUID "
    # metadata
    "Modality BodyPartExamined PatientSex PresentationLUTShape ViewPosition PatientAge "
    "AnatomicRegionSequence ViewCodeSequence CodeMeaning Manufacturer PatientOrientation "
    "ImageLaterality Laterality FrameLaterality "
    "PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing "
    # layout of the pixels
    "Rows Columns NumberOfFrames SamplesPerPixel PhotometricInterpretation "
    "PlanarConfiguration BitsAllocated BitsStored HighBit PixelRepresentation "
    # grey levels and colours
    "PixelPaddingValue PixelPaddingRangeLimit RescaleSlope RescaleIntercept "
    "WindowCenter WindowWidth VOILUTFunction LUTDescriptor "
    "ModalityLUTSequence VOILUTSequence FrameVOILUTSequence "
    "PixelValueTransformationSequence PerFrameFunctionalGroupsSequence "
    "SharedFunctionalGroupsSequence "
    "RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor "
    "BluePaletteColorLookupTableDescriptor"
)
"""Keywords of the elements that are read; all others are skipped."""


def element(dataset: Any, keyword: str) -> Any:
    """Return the value of an element, or None if it is absent, empty or unreadable."""
    if keyword not in USED:
        raise LookupError(f"{keyword} is not read")
    try:
        value = dataset.get(keyword)
    except Exception:  # converting a damaged value raises all kinds
        return None
    return None if value is None or value == "" else value


def numbers(dataset: Any, keyword: str) -> list[float]:
    """Return the values of a numeric element, or an empty list if one is no finite number."""
    value = element(dataset, keyword)
    if value is None:
        return []
    several = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    try:
        found = [float(one) for one in several]
    except (TypeError, ValueError):
        return []
    return found if all(map(math.isfinite, found)) else []
