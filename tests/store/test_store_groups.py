"""Groups in both stores: epochs, chains, keys that are destroyed, control messages under way."""

import pytest
from msgspec.structs import replace
from store_values import ANNA, AnyStore, contact, message

from meshchat.core.model import Epoch, Group, GroupMail, GroupMember, Membership
from meshchat.store import SqlStore
from meshchat.text import Clean

GID, OTHER = b"g" * 16, b"h" * 16


def epoch(n: int, gid: bytes = GID) -> Epoch:
    members = (
        GroupMember(b"a" * 16, b"k" * 32, True),
        GroupMember(b"b" * 16, b"", False),
    )
    return Epoch(
        n.to_bytes(8, "big"),
        gid,
        ((n - 1).to_bytes(8, "big"),) if n > 1 else (),
        n,
        b"a" * 16,
        members,
        Clean("Hospital"),
        b"s" * 32,
        1_000.0 + n,
    )


def mail(n: int, **changes: object) -> GroupMail:
    base = GroupMail(n.to_bytes(8, "big"), GID, ANNA, b"control", 5_000.0)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_groups(store: AnyStore) -> None:
    """In order of name; replaced by id; names pass the gate; those we left are in no chat list."""
    one = Group(GID, Clean("b"), Membership.MEMBER, 1.0)
    with store.transaction():
        store.save_group(one)
        store.save_group(Group(OTHER, Clean("A"), Membership.REMOVED, 2.0))
        store.save_contact(contact(ANNA, "Anna"))
    assert [group.name for group in store.groups()] == ["A", "b"]
    assert {row.chat[:1] for row in store.chats()} == {b"c", b"g"}
    assert len(store.chats()) == 3
    with store.transaction():
        store.add_message(message(1, chat=b"g" + GID))
        store.save_group(replace(one, membership=Membership.LEFT, name=Clean("c")))
    assert [group.name for group in store.groups()] == ["A", "c"]
    assert [row.chat for row in store.chats() if row.chat[:1] == b"g"] == [b"g" + OTHER]
    dirty = str.__new__(Clean, "x\x1b[2J")
    with store.transaction():
        store.save_group(replace(one, name=dirty))
    assert "\x1b" not in store.groups()[-1].name


def test_epochs(store: AnyStore) -> None:
    """As they were, in order of arrival; only members, head key and end change."""
    one, two = epoch(1), epoch(2)
    with store.transaction():
        store.save_epoch(two)
        store.save_epoch(one)
    assert store.epochs() == [two, one]
    known = (one.members[0], one.members[1]._replace(key=b"q" * 32))
    changed = replace(one, members=known, head_key=b"", ends_at=7.0)
    with store.transaction():
        store.save_epoch(replace(changed, generation=9, author=b"z" * 16))
    assert store.epochs() == [two, changed]
    with store.transaction():
        store.save_group_chain(one.eid, 0, 1, b"c" * 32)
        store.save_group_skipped(GID, one.eid, 0, [(0, b"m" * 32)], 1.0, 10)
        store.drop_epoch(one.eid)
        store.drop_epoch(b"unknown!")
    assert store.epochs() == [two]
    assert store.group_chain(one.eid, 0) is None and store.group_skipped(one.eid, 0, 0) is None


def test_chains(store: AnyStore) -> None:
    """One for each place; used once it has moved."""
    with store.transaction():
        store.save_group_chain(b"e" * 8, 0, 0, b"x" * 32)
        store.save_group_chain(b"e" * 8, 1, 0, b"y" * 32)
    assert not store.group_used(b"e" * 8)
    with store.transaction():
        store.save_group_chain(b"e" * 8, 1, 3, b"z" * 32)
    assert store.group_chain(b"e" * 8, 0) == (0, b"x" * 32)
    assert store.group_chain(b"e" * 8, 1) == (3, b"z" * 32)
    assert store.group_chain(b"e" * 8, 2) is None
    assert store.group_used(b"e" * 8) and not store.group_used(b"f" * 8)
    with store.transaction():
        store.drop_group_chains(b"e" * 8)
    assert store.group_chain(b"e" * 8, 0) is None


def test_skipped_keys_are_few_and_end(store: AnyStore) -> None:
    """The oldest of a group go first; those of another group stay; all go with time."""
    eid, other = b"e" * 8, b"f" * 8
    with store.transaction():
        store.save_group_skipped(OTHER, other, 0, [(0, b"o" * 32)], 1.0, 2)
        store.save_group_skipped(GID, eid, 0, [(n, bytes([n]) * 32) for n in range(4)], 2.0, 3)
        store.save_group_skipped(GID, eid, 1, [(9, b"n" * 32)], 3.0, 3)
    kept = [n for n in range(4) if store.group_skipped(eid, 0, n)]
    assert kept == [2, 3]
    assert (
        store.group_skipped(eid, 1, 9) == b"n" * 32
        and store.group_skipped(other, 0, 0) == b"o" * 32
    )
    with store.transaction():
        store.drop_group_skipped(eid, 0, 3)
        store.drop_group_skipped_before(2.5)
    assert [store.group_skipped(eid, 0, n) for n in range(4)] == [None] * 4
    assert store.group_skipped(other, 0, 0) is None and store.group_skipped(eid, 1, 9) == b"n" * 32


def test_control_messages(store: AnyStore) -> None:
    """In order; only envelope and end change."""
    with store.transaction():
        store.save_group_mail(mail(2))
        store.save_group_mail(mail(1, incoming=True))
        store.save_group_mail(mail(2, eid=b"e" * 16, until=6_000.0, control=b"other"))
    assert store.group_mail() == [mail(2, eid=b"e" * 16, until=6_000.0), mail(1, incoming=True)]
    with store.transaction():
        store.drop_group_mail([mail(2).number, b"unknown!"])
    assert store.group_mail() == [mail(1, incoming=True)]


def test_all_or_nothing(store: AnyStore) -> None:
    """What a failed step changed of groups is as it was."""
    with store.transaction():
        store.save_group(Group(GID, Clean("n")))
        store.save_epoch(epoch(1))
        store.save_group_chain(epoch(1).eid, 0, 0, b"c" * 32)
        store.save_group_skipped(GID, epoch(1).eid, 0, [(0, b"m" * 32)], 1.0, 10)
        store.save_group_mail(mail(1))
    before = (store.groups(), store.epochs(), store.group_mail())
    with pytest.raises(RuntimeError), store.transaction():
        store.save_group(Group(OTHER, Clean("m")))
        store.save_group_skipped(GID, epoch(1).eid, 0, [(1, b"m" * 32), (2, b"m" * 32)], 2.0, 1)
        store.drop_epoch(epoch(1).eid)
        store.drop_group_mail([mail(1).number])
        raise RuntimeError
    assert (store.groups(), store.epochs(), store.group_mail()) == before
    assert store.group_chain(epoch(1).eid, 0) == (0, b"c" * 32)
    assert store.group_skipped(epoch(1).eid, 0, 0) == b"m" * 32
    assert store.group_skipped(epoch(1).eid, 0, 2) is None


def test_used_keys_are_in_no_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A chain key that moved on and a root that was delivered are gone from database and log."""
    path = tmp_path / "plain.db"
    from meshchat.database import Database

    db = Database(str(path), None)  # without encryption, so that the bytes can be searched
    store = SqlStore(db)
    chain, root, skipped = b"CHAINKEY" * 4, b"ROOTROOT" * 4, b"SKIPPED!" * 4
    with store.transaction():
        store.save_group_chain(b"e" * 8, 0, 0, chain)
        store.save_group_skipped(GID, b"e" * 8, 0, [(0, skipped)], 1.0, 9)
        store.save_group_mail(mail(1, control=root))
    with store.transaction():
        store.save_group_chain(b"e" * 8, 0, 1, b"next" * 8)
        store.drop_group_skipped(b"e" * 8, 0, 0)
        store.drop_group_mail([mail(1).number])
    store.truncate_wal()
    files = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"next" * 8 in files
    for secret in (chain, root, skipped):
        assert secret not in files
    store.close()
