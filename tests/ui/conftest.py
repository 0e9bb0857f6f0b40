"""Fixtures of the screens' tests."""

import time
from collections.abc import Iterator

import pytest
from screens import Person


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One time zone and one kind of terminal for everybody."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
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
