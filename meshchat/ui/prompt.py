"""A prompt and lines: the terminal, serial line or pipe behind the linear mode.

Nothing is ever drawn twice and the cursor is the terminal's own, so a screen reader, a braille
line and a log all see the same text. Knows no Textual.
"""

import asyncio
import contextlib
import io
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from meshchat.errors import UsageError
from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui.completion import Found

LINE_MAX_CHARS = 64 * 1024  # of a pipe; a message has 7,000 bytes
HELD_MAX = 1_000  # lines that wait while something is being typed


class Prompt:
    """Asks for one line at a time, in a thread of its own; prints from the loop's thread."""

    def __init__(self, finish: Callable[[str], list[Found]]) -> None:
        """Make it; nothing is read yet.

        Args:
            finish: Ways to finish a line, for Tab.
        """
        self.tty = sys.stdin.isatty()
        self._finish = finish
        self._held: deque[str] = deque(maxlen=HELD_MAX)
        self._shown = ""  # the prompt that stands on the screen now
        self._readline = _readline(self._complete) if self.tty and sys.stdout.isatty() else None
        self._wanted: deque[tuple[str, bool, asyncio.Future[str | None]]] = deque()
        if not self.tty and isinstance(sys.stdin, io.TextIOWrapper):
            # or a line that is no text takes with it all that was read ahead
            sys.stdin.reconfigure(errors="surrogateescape")
        self._ask = threading.Semaphore(0)
        self._loop = asyncio.get_running_loop()
        self._attributes = _terminal_state() if self.tty else None
        threading.Thread(target=self._read_lines, daemon=True, name="prompt").start()

    # --- printing ----------------------------------------------------------------------------

    def print(self, text: str) -> None:
        """Print lines; while something is being typed they wait for its end."""
        for line in Clean(text).split("\n"):
            self._held.append(line)
        if not self._typing():
            self._flush()

    def _typing(self) -> bool:
        return bool(self._shown and self._readline and self._readline.get_line_buffer())

    def _flush(self) -> None:
        if not self._held:
            return
        lines = list(self._held)
        self._held.clear()
        start = "\n" if self._shown and self.tty else ""
        self._write(start + "".join(f"{line}\n" for line in lines))
        if self._shown and self.tty:
            self._write(self._shown)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    # --- reading -----------------------------------------------------------------------------

    async def read(self, prompt: str, *, secret: bool = False) -> str | None:
        """The next line; None: there are no more.

        Raises:
            UsageError: It is no text, or too long; the one after it can be read.
        """
        self._flush()
        future: asyncio.Future[str | None] = self._loop.create_future()
        self._shown = prompt
        self._wanted.append((prompt, secret, future))
        self._ask.release()
        try:
            return await future
        finally:
            self._shown = ""

    def _read_lines(self) -> None:
        while True:
            self._ask.acquire()
            prompt, secret, future = self._wanted.popleft()
            line: str | UsageError | None
            try:
                line = self._read_one(prompt, secret)
            except UsageError as error:
                line = error
            try:
                self._loop.call_soon_threadsafe(_answer, future, line)
            except RuntimeError:  # the loop has ended meanwhile
                return

    def _read_one(self, prompt: str, secret: bool) -> str | None:
        try:
            if secret and self.tty:
                import getpass

                return getpass.getpass(prompt)
            if self.tty:
                return _text(input(prompt))
            line = sys.stdin.readline(LINE_MAX_CHARS)
            long = len(line) == LINE_MAX_CHARS
            while line and not line.endswith("\n") and len(line) == LINE_MAX_CHARS:
                line = sys.stdin.readline(LINE_MAX_CHARS)
            if long:
                raise UsageError("line_too_long", _("This line is too long: it is left out."))
            return _text(line.rstrip("\r\n")) if line else None
        except UnicodeDecodeError as error:
            raise _no_text() from error
        except (EOFError, OSError, ValueError):
            return None

    def close(self) -> None:
        """Leave the terminal as it was, also when a line is still being asked for."""
        self._flush()
        if self._attributes is not None:
            import termios

            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._attributes)
            if self._shown:
                self._write("\n")

    def _complete(self, _text: str, turn: int) -> str | None:
        """For readline: the whole line, finished in the ``turn``-th way."""
        assert self._readline is not None
        before = self._readline.get_line_buffer()
        found = self._finish(before)
        return before[: found[turn].start] + found[turn].text if turn < len(found) else None


def _answer(future: asyncio.Future[str | None], line: str | UsageError | None) -> None:
    if future.done():
        return
    if isinstance(line, UsageError):
        future.set_exception(line)
    else:
        future.set_result(line)


def _text(line: str) -> str:
    """The line, if it can be written again: bytes that are no text were read as surrogates."""
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise _no_text() from error
    return line


def _no_text() -> UsageError:
    text = _("This line is not text in the encoding {name}: it is left out.")
    return UsageError("no_text", text.format(name=sys.stdin.encoding))


def _readline(complete: Callable[[str, int], str | None]) -> Any:
    """Line editing where the system has it; else None: the terminal's own will do."""
    try:
        import readline
    except ImportError:
        return None
    readline.set_completer(complete)
    readline.set_completer_delims("")
    readline.parse_and_bind("tab: complete")
    readline.parse_and_bind("set enable-bracketed-paste on")
    return readline


def _terminal_state() -> list[Any] | None:
    try:
        import termios

        return termios.tcgetattr(sys.stdin.fileno())
    except (ImportError, OSError):
        return None
