"""The store under test, twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_values import KEY

from meshchat.store import SqlStore


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """The same store twice: in memory and in an encrypted file."""
    made = SqlStore.memory() if request.param == "memory" else SqlStore.open(tmp_path / "s", KEY)
    yield made
    assert made.problems() == []
    made.close()
