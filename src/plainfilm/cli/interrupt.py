"""Handles Ctrl-C at any moment without a traceback."""

from __future__ import annotations

import _thread
import signal
import sys

# Not from typing: `plainfilm --help` imports this module and must be fast.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any


class Interrupts:
    """Raises KeyboardInterrupt on Ctrl-C within the block and records it in ``came``.

    The record is needed because an interruption during the import of a compiled library may surface
    as another error. An interruption where Python cannot raise (a destructor, a callback) is raised
    again as soon as possible, instead of being printed and lost. If the process ends after the
    block (``last``), Ctrl-C then ends it at once.
    """

    def __init__(self, *, last: bool) -> None:
        self.came = False
        self._last = last
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        self._hook, self._main = sys.unraisablehook, _thread.get_ident()
        try:
            self._before = signal.signal(signal.SIGINT, self._note)
        except ValueError:  # not in the main thread, where signals do not arrive
            return self
        sys.unraisablehook = self._raise_again
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            sys.unraisablehook = self._hook
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._last else self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt

    def _raise_again(self, unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Not from here, where it would be lost again.
            _thread.start_new_thread(_press, (self._main,))
        else:
            self._hook(unraisable)


def _press(main: int) -> None:
    """Interrupt the main thread, even if it is waiting."""
    import time

    time.sleep(0.01)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()
