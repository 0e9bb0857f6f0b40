"""The log of a process: what went wrong, with no message text, keys or names."""

import logging
import traceback
from pathlib import Path
from types import TracebackType

LOG_MAX_BYTES = 256 * 1024  # two of them are kept

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def start_log(path: Path, level: str = "warning") -> None:
    """Send this process's log to a file, and nowhere else."""
    import logging.handlers

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler: logging.Handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_MAX_BYTES, backupCount=1, encoding="utf-8", delay=True
        )
    except OSError:  # a log is not worth a refusal
        handler = logging.NullHandler()
    handler.setFormatter(_Discreet("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in tuple(root.handlers):
        if isinstance(old, logging.handlers.RotatingFileHandler | logging.NullHandler):
            root.removeHandler(old)
            old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.raiseExceptions = False  # a full disk must not print tracebacks over the screen
    logging.getLogger("zeroconf").setLevel(logging.ERROR)  # it warns of every odd datagram
    logging.getLogger("bleak").setLevel(logging.ERROR)  # it warns with addresses
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # ``Runtime.run`` speaks for it


class _Discreet(logging.Formatter):
    """Exceptions by type and place only: their texts and locals may hold what people wrote."""

    def format(self, record: logging.LogRecord) -> str:
        known, record.exc_text = record.exc_text, None  # another handler may have written it out
        try:
            return super().format(record)
        finally:
            record.exc_text = known

    def formatException(self, ei: ExcInfo) -> str:  # the name is logging's
        return where(ei[1]) if ei[1] is not None else ""


def where(error: BaseException) -> str:
    """The type of an exception and the places it came through, innermost first; never its text."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    found = f"{type(error).__name__} at {places or 'no place'}"
    if isinstance(error, BaseExceptionGroup):
        found += "; " + "; ".join(where(part) for part in error.exceptions)
    return found
