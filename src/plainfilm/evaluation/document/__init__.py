"""The typed results of evaluations, and how they are read and written."""

from plainfilm._document import Document
from plainfilm.evaluation.document.crossval import CrossValidationDocument
from plainfilm.evaluation.document.evaluation import EvaluationDocument, Summary
from plainfilm.evaluation.document.label import LabelResults, OperatingPointResults
from plainfilm.evaluation.document.several import (
    ComparisonDocument,
    ExternalDocument,
    SeedsDocument,
)

__all__ = [
    "ComparisonDocument",
    "CrossValidationDocument",
    "Document",
    "EvaluationDocument",
    "ExternalDocument",
    "LabelResults",
    "OperatingPointResults",
    "SeedsDocument",
    "Summary",
]
