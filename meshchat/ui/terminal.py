"""The terminal our screens are painted on, which may be closed at any moment."""

from __future__ import annotations

import os
from typing import IO, Any

from textual.drivers.linux_driver import LinuxDriver


class LastingFile:
    """A terminal's output that takes what is written also when the terminal is gone.

    Textual paints from a thread. Where that thread ends by an error of the terminal, the program
    waits for it for ever: closed windows would leave nodes behind that hold their profile.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except OSError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        """What could not be written is not tried again: it would fail at every flush."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class TerminalDriver(LinuxDriver):
    """Textual's own, for terminals that may go away."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file: Any = LastingFile(self._file)

    def _sigcont_application(self, *args: Any) -> None:
        """Begin again only after Ctrl+Z: with SIGHUP a closed terminal sends SIGCONT as well."""
        if self._must_signal_resume:
            super()._sigcont_application(*args)
