"""The store under test, three times; and the one that is a database, twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_values import KEY, AnyStore

from meshchat.sim.memory import MemoryStore
from meshchat.store import SqlStore


@pytest.fixture(params=["memory", "file"])
def sql_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """The same database twice: in memory and in an encrypted file."""
    made = SqlStore.memory() if request.param == "memory" else SqlStore.open(tmp_path / "s", KEY)
    yield made
    assert made.problems() == []
    made.close()


@pytest.fixture(params=["memory", "file", "plain"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyStore]:
    """Both databases, and the simulator's plain data."""
    made: AnyStore
    if request.param == "plain":
        made = MemoryStore()
    elif request.param == "memory":
        made = SqlStore.memory()
    else:
        made = SqlStore.open(tmp_path / "s", KEY)
    yield made
    assert made.problems() == []
    made.close()
