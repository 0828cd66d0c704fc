"""Ctrl-C at any moment: remembered, and never answered with a traceback."""

from __future__ import annotations

import _thread
import signal
import sys

# Not from typing, nor what is for types alone: `plainfilm --help` comes by here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """While the block runs, Ctrl-C raises KeyboardInterrupt and is remembered in ``came``.

    It is remembered because an interruption amid the import of a compiled library may come out of
    it as another error. One that lands where Python cannot raise (a destructor, a callback) is
    raised again as soon as it can be, instead of being printed and lost.

    Parameters
    ----------
    last
        Whether nothing follows but the end of the process: Ctrl-C then ends it at once.
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            sys.unraisablehook = self._hook
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._last else self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt

    def _raise_again(self, unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            _thread.start_new_thread(
                _press, (self._main,)
            )  # not from here, where it would be lost again
        else:
            self._hook(unraisable)


def _press(main: int) -> None:
    """Interrupt the main thread, also where it waits for something."""
    import time

    time.sleep(0.01)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()
