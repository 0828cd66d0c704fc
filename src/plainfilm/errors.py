"""Every error that plainfilm raises on purpose.

::

    PlainfilmError                  says what happened, what was received, what to do
    ├── UsageError               the call itself is wrong (exit status 2)
    │   ├── ConfigError          a recipe or a setting: unknown key, wrong type, out of range
    │   └── MissingExtraError    an optional part of plainfilm is not installed
    ├── DataError                the data cannot be used as they are
    │   ├── SourceError          a folder or table of images: missing, empty, one class only
    │   ├── LabelError           labels that contradict each other or leave the schema
    │   ├── SplitError       the data cannot be split as asked
    │   └── ImageError           one file that does not become an image
    ├── MetricError              scores or labels that a metric cannot take
    ├── RunError                 a run folder: of another recipe, damaged, not finished
    ├── BundleError              a bundle: changed, incomplete, of a newer schema
    └── StorageError             the disk: full, read-only, not writable

The command line prints one of these without a traceback; anything else is a defect of ours.
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
    "UsageError",
]


class PlainfilmError(Exception):
    """The root of the tree.

    Parameters
    ----------
    problem
        What went wrong, one sentence without a full stop.
    received
        What was found instead of what was expected, where that helps.
    remedy
        What the reader can do about it, as an instruction.
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
        # Errors cross process borders (decoding runs in workers); the default reduction would
        # call the class with `args` alone and lose the keyword-only parts.
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(kind: type[PlainfilmError], state: dict[str, object]) -> PlainfilmError:
    error = kind.__new__(kind)
    Exception.__init__(error, state.get("problem"))
    error.__dict__.update(state)
    return error


class UsageError(PlainfilmError):
    """The call itself is wrong; the command line exits with 2."""


class ConfigError(UsageError):
    """A recipe or setting has an unknown key, a wrong type or a value out of range."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed; the message names the extra to install."""


class DataError(PlainfilmError):
    """The data cannot be used as they are."""


class SourceError(DataError):
    """A folder or table of images is missing, empty, or has a single class."""


class LabelError(DataError):
    """Labels contradict each other or leave the schema of 1, 0 and NaN."""


class SplitError(DataError):
    """The data cannot be split into train, validation and test as asked."""


class ImageError(DataError):
    """One file does not become an image.

    ``reason`` is a stable code in kebab case (``empty``, ``truncated``, ``not-an-image``,
    ``too-large``, ...), fit for counting; ``problem`` is the sentence for a person.
    """

    def __init__(
        self, reason: str, problem: str, *, received: object = None, remedy: str | None = None
    ) -> None:
        self.reason = reason
        super().__init__(problem, received=received, remedy=remedy)


class MetricError(PlainfilmError, ValueError):
    """Scores or labels that a metric cannot take: NaN, infinite, mismatched, out of range."""


class RunError(PlainfilmError):
    """A run folder is of another recipe or data set, damaged, or not finished."""


class BundleError(PlainfilmError):
    """A bundle was changed, is incomplete, or has a newer schema than this version reads."""


class StorageError(PlainfilmError):
    """The disk is full, read-only or not writable."""
