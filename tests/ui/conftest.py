"""Fixtures of the screens' tests."""

import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
import textual._wait
import textual.screen
from screens import Person
from textual.pilot import Pilot

# A Pilot looks fifty times a second whether the app is done, twice for each key, and the app
# paints sixty times a second. Both four times as often: nobody watches, and a key takes a third.
textual.screen.UPDATE_PERIOD /= 4
textual._wait.SLEEP_GRANULARITY /= 4
textual._wait.SLEEP_IDLE = 0.0004


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One time zone and one kind of terminal for everybody."""
    monkeypatch.setenv("TZ", "UTC")
    for name in ("NO_COLOR", "COLORFGBG", "LC_ALL", "LC_CTYPE", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm-256color")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def me() -> Person:
    """Our user."""
    return Person("Me")


@pytest.fixture
def bob() -> Person:
    """A friend."""
    return Person("Bob")


@pytest.fixture
def snap_compare(snap_compare: Callable[..., bool]) -> Callable[..., bool]:
    """Compares pictures; what is done before one begins when the first screen stands.

    Up to Python 3.11 it does by itself, later ones begin tasks in another order.
    """

    def compare(
        app: object, run_before: Callable[..., Awaitable[None]] | None = None, **options: object
    ) -> bool:
        async def prepared(pilot: Pilot[None]) -> None:
            await pilot.pause()
            if run_before is not None:
                await run_before(pilot)

        return snap_compare(app, run_before=prepared, **options)

    return compare
