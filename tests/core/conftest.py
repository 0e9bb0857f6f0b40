"""Lets the tests of the core share ``world``, ``pair`` and ``sealing``."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def carries_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of a node that met nobody is whole: for tests of other rules than the share."""
    monkeypatch.setattr("meshchat.core.relay.SHARE_FIRST", 1.0)
