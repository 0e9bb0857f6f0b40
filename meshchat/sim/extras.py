"""Libraries that only some commands need: imported late, missed politely."""

from collections.abc import Iterator
from contextlib import contextmanager

from meshchat.errors import UsageError


@contextmanager
def extra(what: str) -> Iterator[None]:
    """Imports inside may be missing.

    Args:
        what: What cannot be done without them, as the beginning of a sentence.

    Raises:
        UsageError: ``extra_missing``, naming what to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            "extra_missing",
            f"{what} needs {error.name}; install it with: pip install 'meshchat[sim]'",
        ) from None
