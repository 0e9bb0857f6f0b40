"""Fixtures of the tests of languages."""

from collections.abc import Iterator

import pytest

from meshchat import i18n


@pytest.fixture(autouse=True)
def english_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No language of this machine, and none that stays for the next test."""
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    yield
    i18n.choose("en")
