"""Who was heard and who failed: bounded, whatever is made up."""

from random import Random

from meshchat.net.ble.limits import (
    BACKOFF_MAX_S,
    BACKOFFS_MAX,
    FRESH_S,
    SIGHTING_LIFE_S,
    SIGHTINGS_MAX,
)
from meshchat.net.ble.sightings import Sighting, Sightings


def heard(
    table: Sightings, token: bytes, address: str = "", rssi: int = -60, now: float = 0
) -> bool:
    return table.heard(token, address or token.hex(), rssi, now, lambda: 0.0)


def everybody(table: Sightings) -> list[Sighting]:
    return table.candidates(-200, set(), strangers=True)


def test_failures_are_forgotten_oldest_first() -> None:
    table = Sightings(Random(1))
    for number in range(10_000):
        table.fail(number, 0.0)
    assert len(table._failing) == BACKOFFS_MAX
    assert 9_999 in table._failing and 0 not in table._failing


def test_back_off_doubles_up_to_its_most() -> None:
    table = Sightings(Random(1))
    waits = []
    for _ in range(9):
        table.fail(b"key", 100.0)
        waits.append(table._failing[b"key"][0])
    assert waits == [2, 4, 8, 16, 32, 64, BACKOFF_MAX_S, BACKOFF_MAX_S, BACKOFF_MAX_S]
    table.succeed(b"key")
    table.fail(b"key", 100.0)
    assert table._failing[b"key"][0] == 2


def test_another_token_at_an_address_replaces_the_old_one() -> None:
    """Where a system cannot change its address, the old token is not dialled in vain."""
    table = Sightings(Random(1))
    assert heard(table, b"before", "here")
    assert heard(table, b"after.", "here")
    assert [sighting.token for sighting in everybody(table)] == [b"after."]
    assert not heard(table, b"after.", "there")
    assert heard(table, b"other.", "here")
    assert len(table) == 2


def test_who_was_heard_again_survives_a_storm() -> None:
    table = Sightings(Random(1))
    for _ in range(2):
        heard(table, b"honest")
    for number in range(10_000):
        heard(table, number.to_bytes(6, "big"))
    assert len(table) == SIGHTINGS_MAX
    assert b"honest" in [sighting.token for sighting in everybody(table)]
    assert table.forgotten == 10_001 - SIGHTINGS_MAX


def test_room_is_made_of_the_silent_first() -> None:
    table = Sightings(Random(1))
    for number in range(SIGHTINGS_MAX):
        for _ in range(2):
            heard(table, number.to_bytes(6, "big"))
    heard(table, b"\xff" * 6, now=SIGHTING_LIFE_S)
    assert len(table) == 1 and table.forgotten == 0


def test_who_parted_has_to_be_heard_anew() -> None:
    table = Sightings(Random(1))
    heard(table, b"friend", now=10.0)
    table.parted(b"friend", 11.0, 5.0, stranger=True)
    (sighting,) = everybody(table)
    assert sighting.heard_at < 11.0 - FRESH_S
    assert table.ready_at(sighting) == 16.0
    assert table.candidates(-200, set(), strangers=False) == []


def test_best_is_least_failed_then_heard_twice_then_strongest() -> None:
    table = Sightings(Random(1))
    for token, rssi in ((b"failed", -30), (b"once..", -35), (b"weaker", -80), (b"strong", -70)):
        heard(table, token, rssi=rssi)
    for token in (b"failed", b"weaker", b"strong"):
        heard(table, token, rssi=-70 if token == b"strong" else -80)
    table.fail(b"failed", 0.0)
    everyone = everybody(table)
    assert table.best(everyone, by_chance=False).token == b"strong"
    chosen = {table.best(everyone, by_chance=True).token for _ in range(100)}
    assert chosen == {b"strong", b"weaker"}
