"""The errors that plainfilm raises.

::

    PlainfilmError               problem, value received, remedy
    ├── UsageError               wrong arguments (exit status 2)
    │   ├── ConfigError          recipe or setting: unknown key, wrong type, value out of range
    │   └── MissingExtraError    optional dependency that is not installed
    ├── DataError                unusable data
    │   ├── SourceError          folder or table of images: missing, empty, one class only
    │   ├── LabelError           labels that contradict each other or are not 1, 0 or NaN
    │   ├── SplitError           data that cannot be split as requested
    │   └── ImageError           file that cannot be decoded to an image
    ├── MetricError              scores or labels that are not valid for a metric
    ├── RunError                 run folder: other recipe, damaged, not finished
    ├── BundleError              bundle: changed, incomplete, newer schema
    ├── StorageError             disk: full, read-only, not writable
    └── TrackingError            experiment tracker: does not answer, refuses what is sent

The command line prints them without a traceback. Any other exception is a bug.
"""

from __future__ import annotations

__all__ = [
    "BundleError",
    "ConfigError",
    "DataError",
    "ImageError",
    "LabelError",
    "MetricError",
    "MissingExtraError",
    "PlainfilmError",
    "RunError",
    "SourceError",
    "SplitError",
    "StorageError",
    "TrackingError",
    "UsageError",
]


class PlainfilmError(Exception):
    """Base class of all errors.

    Parameters
    ----------
    problem
        The problem, as one sentence without a full stop.
    received
        The value received instead of the expected one.
    remedy
        Instruction to the reader.
    """

    def __init__(self, problem: str, *, received: object = None, remedy: str | None = None) -> None:
        self.problem = problem
        self.received = received
        self.remedy = remedy
        super().__init__(problem)

    def __str__(self) -> str:
        parts = [self.problem]
        if self.received is not None:
            parts.append(f"received: {self.received}")
        if self.remedy:
            parts.append(f"remedy: {self.remedy}")
        return "\n  ".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes return errors by pickle, whose default would lose keyword arguments.
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(kind: type[PlainfilmError], state: dict[str, object]) -> PlainfilmError:
    error = kind.__new__(kind)
    Exception.__init__(error, state.get("problem"))
    error.__dict__.update(state)
    return error


class UsageError(PlainfilmError):
    """The arguments are wrong; the command line exits with status 2."""


class ConfigError(UsageError):
    """A recipe or setting has an unknown key, a wrong type or a value out of range."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed; the message names the extra to install."""


class DataError(PlainfilmError):
    """The data cannot be used."""


class SourceError(DataError):
    """A folder or table of images is missing, empty, or has a single class."""


class LabelError(DataError):
    """Labels contradict each other or are not 1, 0 or NaN."""


class SplitError(DataError):
    """The data cannot be split into train, validation and test as requested."""


class ImageError(DataError):
    """A file cannot be decoded to an image.

    ``reason`` is a stable code in kebab case: ``empty``, ``truncated``, ``not-an-image``,
    ``too-large``, ...
    """

    def __init__(
        self, reason: str, problem: str, *, received: object = None, remedy: str | None = None
    ) -> None:
        self.reason = reason
        super().__init__(problem, received=received, remedy=remedy)


class MetricError(PlainfilmError, ValueError):
    """Scores or labels are NaN, infinite, out of range or of different lengths."""


class RunError(PlainfilmError):
    """A run folder belongs to another recipe or data set, is damaged, or is not finished."""


class BundleError(PlainfilmError):
    """A bundle was changed, is incomplete, or has a schema that this version does not read."""


class StorageError(PlainfilmError):
    """The disk is full, read-only or not writable."""


class TrackingError(PlainfilmError):
    """An experiment tracker does not answer, or refuses what is sent."""
