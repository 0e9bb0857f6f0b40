"""Tab: what it offers for each beginning, and how names are ranked."""

from pathlib import Path

import pytest

from meshchat.core.model import Contact, Room
from meshchat.text import Clean
from meshchat.ui import fuzzy
from meshchat.ui.completion import common, completions
from meshchat.ui.names import Names


@pytest.fixture
def names() -> Names:
    """Three people and two rooms."""
    found = Names()
    for number, name in enumerate(("Aigerim", "Alibek", "Bob Marley")):
        fp = bytes([number]) * 32
        found.contacts[fp] = Contact(fp, b"", Clean(name))
    for number, name in enumerate(("courtyard", "school")):
        rid = bytes([number]) * 16
        found.rooms[rid] = Room(rid, Clean(name), b"", False)
    return found


def texts(before: str, names: Names, authors: tuple[str, ...] = ()) -> list[str]:
    found = completions(before, names, list(authors), {"mute": ["all", "mentions", "none"]})
    return [before[: one.start] + one.text for one in found]


@pytest.mark.parametrize(
    ("before", "first"),
    [
        ("/mes", "/mesh"),
        ("/joi", "/join "),
        ("/join #sc", "/join #school"),
        ("/mute men", "/mute mentions"),
        ("/unblock bob", "/unblock Bob Marley"),
        ("/help jo", "/help join"),
        ("Al", "Alibek: "),
        ("yes, Al", "yes, Alibek "),
        ("see @aig", "see @Aigerim "),
        ("in #court", "in #courtyard "),
        ("well :thumbs_up", "well 👍"),
        ("/react :thumbs_u", "/react 👍"),
        ("/typing o", "/typing on"),
    ],
)
def test_each_beginning_has_its_end(names: Names, before: str, first: str) -> None:
    """Commands, their arguments, people, mentions, rooms, emoji."""
    assert texts(before, names)[0] == first


@pytest.mark.parametrize("before", ["", "a", "hello ", "//mes", "12:30", "http://x", "/nonsense "])
def test_nothing_is_offered_without_reason(names: Names, before: str) -> None:
    """No letters, one letter, a time, an address, an unknown command."""
    assert texts(before, names) == []


def test_people_of_the_room_come_before_contacts(names: Names) -> None:
    """In a room its own speakers are meant."""
    assert texts("@A", names, ("Asel", "Azamat")) == ["@Asel ", "@Azamat "]


def test_paths(names: Names, tmp_path: Path) -> None:
    """Names of one folder; folders end with a slash; hidden ones only if asked for."""
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "phones").mkdir()
    (tmp_path / ".private").touch()
    (tmp_path / "bad\x1bname").touch()
    assert texts(f"/file {tmp_path}/ph", names) == [
        f"/file {tmp_path}/phones/",
        f"/file {tmp_path}/photo.jpg",
    ]
    assert len(texts(f"/file {tmp_path}/", names)) == 2
    assert texts(f"/file {tmp_path}/.p", names) == [f"/file {tmp_path}/.private"]
    assert texts("/file /no/such/folder/x", names) == []


def test_what_all_offers_begin_with(names: Names) -> None:
    """The first Tab goes as far as it is clear."""
    found = completions("@A", names, [], {})
    assert common(found) == "@A" and common([]) == ""


@pytest.mark.parametrize(
    ("typed", "best"),
    [("bob", "Bob Marley"), ("mar", "Bob Marley"), ("cy", "#courtyard"), ("сour", "#courtyard")],
)
def test_names_are_found_by_some_letters(typed: str, best: str) -> None:
    """Starts of words count most; letters that look the same are the same."""
    known = ["#courtyard", "#school", "Aigerim", "Bob Marley", "cab"]
    order = fuzzy.rank(typed, known)
    assert known[order[0]] == best


def test_nothing_fits_nothing() -> None:
    """Letters that do not occur in this order find no name; no letters keep all in order."""
    assert fuzzy.rank("zzz", ["abc"]) == []
    assert fuzzy.rank("", ["b", "a"]) == [0, 1]


def test_what_was_typed_as_it_stands_comes_first() -> None:
    """A word that holds the letters in a row wins over one that has them at starts of words."""
    assert fuzzy.rank("camel", ["call me later", "two-hump camel"])[0] == 1
