"""Groups of real nodes: who reads what, who may do what, and what a hostile member can do."""

import copy
from collections import Counter

import pytest
from grouptool import GroupWorld, befriend
from mallory import totals_match
from msgspec.structs import replace
from world import Host

from meshchat.core import group_book
from meshchat.core.body import Body, BodyType, encode_body
from meshchat.core.envelope import envelope_id, open_sealed
from meshchat.core.epochs import Gone, Keys, Leave, Rekey, Seized, decode_control, encode_control
from meshchat.core.events import (
    AddMember,
    Block,
    CreateGroup,
    GroupChanged,
    LeaveGroup,
    MakeAdmin,
    MessageAdded,
    Notice,
    RemoveMember,
    RenameGroup,
    ReportSeized,
    Send,
    SendFile,
)
from meshchat.core.limits import GROUP_KEYS_S, GROUP_LINES_MAX, GROUP_MERGE_TURN_S, GROUP_REKEY_S
from meshchat.core.model import Group, GroupMember, Membership, State, contact_chat
from meshchat.errors import TrustError, UsageError
from meshchat.store import SqlStore

FOUR = ("Aida", "Bolat", "Carl", "Dana")


@pytest.fixture
def group() -> GroupWorld:
    """Four members, the first two admins."""
    return GroupWorld(FOUR, 4, admins=2)


def counters(host: Host) -> Counter[str]:
    return Counter(host.node.status(host.world.now).counters)


def membership(host: Host) -> Membership:
    (known,) = host.store.groups()
    return known.membership


def control(group: GroupWorld, sender: Host, to: Host, message: object) -> None:
    """A control message as only its sender can seal it; it reaches one host."""
    body = Body(
        BodyType.GROUP,
        sender.entropy.bytes(8),
        int(group.world.wall),
        control=encode_control(message),  # type: ignore[arg-type]
    )
    exp_h = int(group.world.wall // 3_600) + 100
    with sender.store.transaction():
        data = sender.node._chats.sealer.dm(to.node.fp, body, exp_h, group.world.now)
    group.give(to, data)


def rekey_by(host: Host, group: GroupWorld, parent: bytes, out: tuple[str, ...] = ()) -> Rekey:
    """A rekey somebody makes by hand on a parent they know, without some members."""
    before = next(epoch for epoch in group.epochs(host) if epoch.eid == parent)
    gone = {other.node.fp[:16] for other in group.hosts if other.name in out}
    members = tuple(one for one in before.members if one.fp not in gone)
    return Rekey(
        group.gid,
        (parent,),
        host.entropy.bytes(32),
        before.generation + 1,
        members,
        0,
        "Hospital",
    )


# --- the life of a group -------------------------------------------------------------------------


@pytest.mark.parametrize("make_store", [None, SqlStore.memory])
def test_a_group_from_its_making_to_its_end(make_store) -> None:  # type: ignore[no-untyped-def]
    """Made, written in by all over real links, joined, left: each reads what is theirs."""
    options = {"make_store": make_store} if make_store else {}
    group = GroupWorld((*FOUR, "Erik"), 3, **options)
    a, b, c, d, e = group.hosts
    for host in (a, b, c):
        group.write(host, f"hello from {host.name}")
    group.meet_all()
    for host in (a, b, c):
        assert sorted(host.texts(group.chat)) == sorted(f"hello from {x}" for x in FOUR[:3])
        assert group.chat in [row.chat for row in host.store.chats()]
    assert d.texts(group.chat) == e.texts(group.chat) == []
    a.do(AddMember(group.gid, d.node.fp))
    group.meet_all()
    group.write(d, "I am new")
    b.do(LeaveGroup(group.gid))
    group.meet_all()
    group.write(c, "Bolat has left")
    group.meet_all()
    assert d.texts(group.chat) == ["I am new", "Bolat has left"]
    assert group.roster(a) == [("Aida", True), ("Carl", False), ("Dana", False)]
    assert "Bolat has left" not in b.texts(group.chat)
    assert group.chat not in [row.chat for row in b.store.chats()]
    assert not group.epochs(b)
    with pytest.raises(UsageError, match="You left Hospital"):
        group.write(b, "too late")
    a.do(AddMember(group.gid, b.node.fp))
    group.meet_all()
    group.write(a, "Bolat is back")
    group.meet_all()
    assert b.texts(group.chat)[-1] == "Bolat is back"
    assert "Bolat has left" not in b.texts(group.chat)
    assert all(totals_match(host) for host in group.hosts)


def test_nothing_is_told_but_to_members(group: GroupWorld) -> None:
    """No proof is asked for a group message: the first reader would end it for all others."""
    a, b, c, d = group.hosts
    message = group.write(a, "for three")
    group.meet_all(hosts=[a, b])
    assert a.state(message) == State.CARRIED
    opened = open_sealed(
        group.data(b, message.eid),
        secrets=[epoch.head_key for epoch in group.epochs(c)],
        prekeys=(),
    )
    assert opened is not None and not opened.wants_proof
    group.meet_all(hosts=[b, c, d])
    assert c.texts(group.chat) == d.texts(group.chat) == ["for three"]
    assert a.state(message) == State.CARRIED
    assert [step.detail for step in c.store.journey(message.id)] == ["group"]


def test_the_root_is_kept_only_until_all_have_it(group: GroupWorld) -> None:
    """Control messages are proven one by one; once they are, nothing on disk gives the root."""
    a, b, c, d = group.hosts
    group.meet_all()
    a.do(RenameGroup(group.gid, "Ward"))
    assert len(a.store.group_mail()) == 3
    group.meet_all(hosts=[a, b])
    assert len(a.store.group_mail()) == 2
    group.meet_all(hosts=[a, c])
    assert [mail.fp for mail in a.store.group_mail()] == [d.node.fp]
    group.share(hosts=[a, d])  # no links, so no proofs; but the new epoch is used
    group.write(d, "I have it")
    group.share(hosts=[d, a])
    assert not a.store.group_mail()
    assert {host.store.groups()[0].name for host in group.hosts} == {"Ward"}


def test_a_rekey_is_sealed_anew_until_it_arrives(group: GroupWorld) -> None:
    """The envelope of a control message ends; another one is made, as long as mail may come."""
    a, d = group.hosts[0], group.hosts[3]
    a.do(RenameGroup(group.gid, "Ward"))
    first = {mail.fp: mail.eid for mail in a.store.group_mail()}
    group.world.run(7.2 * 86_400)
    second = {mail.fp: mail.eid for mail in a.store.group_mail()}
    assert second[d.node.fp] not in (b"", first[d.node.fp])
    group.meet_all(hosts=[a, d])
    assert d.store.groups()[0].name == "Ward"


# --- secrets ------------------------------------------------------------------------------------


def test_a_removed_member_opens_nothing_more(group: GroupWorld) -> None:
    """Row 28: somebody who keeps every key ever had finds nothing in the next epoch."""
    a, b, c, d = group.hosts
    spied = [epoch.head_key for epoch in group.epochs(d)]
    before = set(group.held(a))
    a.do(RemoveMember(group.gid, d.node.fp))
    secret = group.write(a, "Dana is gone")
    for eid in set(group.held(a)) - before:
        data = group.data(a, eid)
        assert open_sealed(data, secrets=spied, prekeys=()) is None
        if eid == secret.eid:
            assert open_sealed(data, secrets=(), prekeys=d.node._people.prekeys) is None
    group.meet_all()
    for host in (b, c):
        before = set(group.held(host))
        group.write(host, "from another")
        for eid in set(group.held(host)) - before:
            assert open_sealed(group.data(host, eid), secrets=spied, prekeys=()) is None
    group.meet_all()
    assert d.texts(group.chat) == []
    assert membership(d) is Membership.REMOVED
    assert not any(epoch.head_key for epoch in group.epochs(d))
    assert not any(d.store.group_chain(epoch.eid, 0) for epoch in group.epochs(d))
    assert d.node.members(group.gid) == ()
    with pytest.raises(UsageError, match="You were removed"):
        group.write(d, "still here")


def test_three_partitions_stop_as_soon_as_they_learn() -> None:
    """Attack 60: each partition goes on until the rekey reaches it, and no longer."""
    group = GroupWorld(("Aida", "Bolat", "Carl", "Dana", "Erik"), 5, admins=2)
    a, b, c, d, e = group.hosts
    spied = [epoch.head_key for epoch in group.epochs(e)]

    def readable(host: Host, text: str) -> bool:
        message = group.write(host, text)
        return open_sealed(group.data(host, message.eid), secrets=spied, prekeys=()) is not None

    a.do(ReportSeized(e.node.fp))
    assert not readable(a, "1")
    assert readable(b, "2") and readable(c, "3")  # nobody has told them
    group.share(hosts=[a, b])
    assert not readable(b, "4")
    assert readable(d, "5")
    group.share(hosts=[b, c, d])
    assert not readable(c, "6") and not readable(d, "7")
    group.share(hosts=[a, b, c, d])
    for host in (a, b, c, d):
        assert sorted(host.texts(group.chat)) == list("1234567")
        assert "Erik" not in dict(group.roster(host))
    assert membership(e) is Membership.MEMBER  # nobody tells a device in the wrong hands


def test_what_waits_is_sealed_anew_after_a_removal(group: GroupWorld) -> None:
    """Attack 29: fifty messages that nobody has yet are not left to the one who went."""
    a, b, c, d = group.hosts
    spied = [epoch.head_key for epoch in group.epochs(d)]
    waiting = [group.write(a, f"{n:02d}") for n in range(50)]
    a.do(RemoveMember(group.gid, d.node.fp))
    for message in waiting:
        now = a.store.message(message.id)
        assert now is not None and now.eid not in (b"", message.eid)
        assert a.store.envelope(message.eid) is None
        assert open_sealed(group.data(a, now.eid), secrets=spied, prekeys=()) is None
    group.meet_all()
    for host in (b, c):
        assert sorted(host.texts(group.chat)) == [f"{n:02d}" for n in range(50)]
    assert d.texts(group.chat) == []


def test_keys_go_when_mail_has_ended(group: GroupWorld) -> None:
    """Nine days after an epoch was followed nothing on disk opens its mail."""
    a, b = group.hosts[:2]
    old = group.live(a)[0]
    group.write(b, "kept for a while")
    a.do(RenameGroup(group.gid, "Ward"))
    group.meet_all()
    key = next(epoch.head_key for epoch in group.epochs(a) if epoch.eid == old)
    assert key and a.store.group_chain(old, 0) is not None
    group.world.run(GROUP_KEYS_S + 3_700)
    assert [epoch.head_key for epoch in group.epochs(a) if epoch.eid == old] == [b""]
    assert a.store.group_chain(old, 0) is None
    assert key not in [secret for secret, _ in a.node._chats.groups._talk._secrets(0)]


def test_new_keys_once_a_day_if_it_is_used(group: GroupWorld) -> None:
    """The first admin does it; where that one is silent the next in turn."""
    a, b, c, d = group.hosts
    first = group.live(a)
    group.world.run(GROUP_REKEY_S + 4_000)
    assert group.live(a) == first  # nobody wrote
    group.write(c, "used")
    group.share()
    group.world.run(4_000)
    second = group.live(a)
    assert second != first
    assert group.live(b) == first
    group.share()
    for host in group.hosts:
        assert group.live(host) == second
    group.write(c, "used again")
    group.share(hosts=[b, c, d])  # the first admin hears nothing of it
    group.world.run(GROUP_REKEY_S + 5_000)
    assert group.live(b) == second
    group.world.run(GROUP_REKEY_S / 2 + 5_000)
    assert group.live(b) != second


# --- two admins ----------------------------------------------------------------------------------


def test_two_admins_in_two_partitions() -> None:
    """Row 29: one adds, one removes; both live meanwhile; healed, all have the same members."""
    group = GroupWorld(("Aida", "Bolat", "Carl", "Dana", "Erik", "Fred"), 4, admins=2)
    a, b, c, d, e, f = group.hosts
    a.do(AddMember(group.gid, e.node.fp))
    b.do(RemoveMember(group.gid, d.node.fp))
    b.do(AddMember(group.gid, f.node.fp))
    group.share(hosts=[a, e])
    group.share(hosts=[b, c, f])
    group.write(e, "in one part")
    group.write(f, "in the other")
    group.share(hosts=[a, e])
    group.share(hosts=[b, c, f])
    assert a.texts(group.chat) == ["in one part"]
    assert c.texts(group.chat) == ["in the other"]
    group.meet_all()
    want = [("Aida", True), ("Bolat", True), ("Carl", False), ("Erik", False), ("Fred", False)]
    for host in (a, b, c, e, f):
        assert group.roster(host) == want
        assert len(group.live(host)) == 1 and group.live(host) == group.live(a)
        group.write(host, f"{host.name} again")
    group.meet_all()
    for host in (a, b, c, e, f):
        for other in (a, b, c, e, f):
            assert f"{other.name} again" in host.texts(group.chat)
    assert sorted(a.texts(group.chat)) == sorted(b.texts(group.chat)) == sorted(c.texts(group.chat))
    assert membership(d) is Membership.REMOVED


def test_members_write_on_both_lines_until_they_are_joined() -> None:
    """Who hears of two additions writes for all; nobody sees it twice."""
    group = GroupWorld(("Aida", "Bolat", "Carl", "Erik", "Fred"), 3, admins=2)
    a, b, c, e, f = group.hosts
    a.do(AddMember(group.gid, e.node.fp))
    b.do(AddMember(group.gid, f.node.fp))
    group.share(hosts=[a, c])
    group.share(hosts=[b, c])
    assert len(group.live(c)) == 2
    group.write(c, "to all")
    group.share(hosts=[c, e, f])
    assert e.texts(group.chat) == f.texts(group.chat) == c.texts(group.chat) == ["to all"]


def test_the_second_admin_joins_lines_if_the_first_does_not() -> None:
    """The first admin's device is lost: the other one waits its turn, then acts."""
    group = GroupWorld(("Aida", "Bolat", "Carl", "Erik", "Fred"), 3, admins=2)
    a, b, c, e, f = group.hosts
    a.do(AddMember(group.gid, e.node.fp))
    b.do(AddMember(group.gid, f.node.fp))
    group.share(hosts=[a, c, e])
    group.share(hosts=[b, c, e, f])
    assert len(group.live(b)) == 2
    group.world.run(2 * GROUP_MERGE_TURN_S + 4_000)
    group.share(hosts=[b, c, e, f])
    for host in (b, c, e, f):
        assert len(group.live(host)) == 1
        assert len(group.roster(host)) == 5


def test_two_admins_remove_each_other(group: GroupWorld) -> None:
    """Both are out, and the rest go on, all of them as admins."""
    a, b, c, d = group.hosts
    a.do(RemoveMember(group.gid, b.node.fp))
    b.do(RemoveMember(group.gid, a.node.fp))
    group.meet_all()
    for host in (c, d):
        assert group.roster(host) == [("Carl", True), ("Dana", True)]
    assert membership(a) is membership(b) is Membership.REMOVED
    group.write(c, "two of us")
    group.meet_all()
    assert d.texts(group.chat) == ["two of us"]


def test_two_admins_remove_each_other_after_somebody_left() -> None:
    """Who left told only the two: the others find out when they ask, and go on."""
    group = GroupWorld(("Aida", "Bolat", "Carl", "Dana", "Erik"), 5, admins=2)
    a, b, c, d, e = group.hosts
    c.do(LeaveGroup(group.gid))
    a.do(RemoveMember(group.gid, b.node.fp))
    b.do(RemoveMember(group.gid, a.node.fp))
    for _ in range(4):
        group.share()
        group.world.run(GROUP_MERGE_TURN_S)
    for host in (d, e):
        assert group.roster(host) == [("Dana", True), ("Erik", True)]
    assert membership(c) is Membership.LEFT
    group.write(d, "two of us")
    group.share()
    assert e.texts(group.chat) == ["two of us"]


def test_an_admin_who_does_not_know_everybody_is_helped() -> None:
    """A rekey for a member the second admin cannot write to goes by way of the first."""
    group = GroupWorld(FOUR, 4, admins=2, strangers=((1, 3),))
    a, b, c, d = group.hosts
    b.do(RemoveMember(group.gid, c.node.fp))
    assert {mail.fp for mail in b.store.group_mail()} == {a.node.fp, c.node.fp}
    group.share(hosts=[a, b, d])
    assert group.roster(d) == [("Aida", True), ("Bolat", True), ("Dana", False)]
    group.write(b, "by way of Aida")
    group.write(d, "back")
    group.share(hosts=[a, b, d])
    assert sorted(d.texts(group.chat)) == ["back", "by way of Aida"]
    stranger = next(m for m in d.store.messages(group.chat) if m.text == "by way of Aida")
    assert stranger.author == b.node.fp[:16] and stranger.author_name == "Bolat"
    befriend(b, d)
    assert next(m for m in b.store.messages(group.chat) if m.text == "back").author_name == "Dana"


# --- order, loss, repetition --------------------------------------------------------------------


def test_messages_before_their_epoch_and_in_any_order(group: GroupWorld) -> None:
    """What comes before the rekey waits in custody; a later one may be read before."""
    a, _b, c, _d = group.hosts
    before = set(group.held(a))
    a.do(RenameGroup(group.gid, "Ward"))
    rekeys = [eid for eid in group.held(a) if eid not in before]
    texts = [group.write(a, f"{n}") for n in range(4)]
    for message in reversed(texts):
        group.give(c, group.data(a, message.eid))
    assert c.texts(group.chat) == []
    for eid in rekeys:
        group.give(c, group.data(a, eid))
    group.world.run(5)
    assert sorted(c.texts(group.chat)) == ["0", "1", "2", "3"]
    for message in texts:
        group.give(c, group.data(a, message.eid), again=True)
    assert len(c.texts(group.chat)) == 4
    assert counters(c)["group_replay"] == 4


def test_far_ahead_waits_for_what_lies_between(group: GroupWorld) -> None:
    """More than 512 messages in one jump: it is not lost, it is read when the gap is smaller."""
    a, b = group.hosts[:2]
    sent = [group.write(a, f"{n}") for n in range(600)]
    group.give(b, group.data(a, sent[599].eid))
    assert b.texts(group.chat) == [] and counters(b)["group_jump"] == 1
    group.give(b, group.data(a, sent[200].eid))
    group.world.run(1)
    assert b.texts(group.chat) == ["200", "599"]
    for message in sent:
        group.give(b, group.data(a, message.eid))
    group.world.run(5)
    assert len(b.store.message_sizes(group.chat)) == 600
    assert b.store.group_skipped(group.live(b)[0], 0, 5) is None


def test_rekeys_in_the_wrong_order(group: GroupWorld) -> None:
    """The second rekey arrives first, by an admin whom only the first one makes that."""
    a, _b, c, d = group.hosts
    a.do(MakeAdmin(group.gid, c.node.fp))
    group.share(hosts=[a, c])
    before = set(group.held(c))
    c.do(RenameGroup(group.gid, "Ward"))
    for eid in group.held(c):
        if eid not in before:
            group.give(d, group.data(c, eid))
    assert d.store.groups()[0].name == "Hospital"
    assert [mail.control[0] for mail in d.store.group_mail() if mail.incoming] == [1]
    d.crash()
    group.share(hosts=[a, d])
    assert d.store.groups()[0].name == "Ward"
    assert not [mail for mail in d.store.group_mail() if mail.incoming]
    assert group.live(d) == group.live(c)


# --- hostile members -----------------------------------------------------------------------------


def test_nobody_writes_in_the_name_of_another(group: GroupWorld) -> None:
    """Row 30: another place, another signer, another number: dropped and counted."""
    a, _b, _c, d = group.hosts
    (epoch,) = [each for each in group.epochs(d) if each.eid in group.live(d)]
    body = encode_body(Body(BodyType.TEXT, b"n" * 8, 1, "FORGED"))
    for place in range(3):
        group.give(a, group.forge(d, epoch, body, by=place))
    group.give(a, group.forge(d, epoch, body, by=31))
    group.give(a, group.forge(d, epoch, body, n=5))  # its own signature, the wrong key
    assert a.texts(group.chat) == []
    assert counters(a)["bad_signature"] == 3 and counters(a)["group_member"] == 1
    assert counters(a)["bad_tag"] == 1
    group.write(d, "true")
    group.share()
    assert a.texts(group.chat) == ["true"]


def test_only_admins_tell_keys_and_none_is_replaced(group: GroupWorld) -> None:
    """A member's list of keys is dropped; an admin's does not change a key that is known."""
    a, _b, c, d = group.hosts
    (epoch,) = [each for each in group.epochs(d) if each.eid in group.live(d)]
    control_bytes = encode_control(Keys(((1, b"x" * 32),)))
    body = encode_body(Body(BodyType.GROUP, b"n" * 8, 1, control=control_bytes))
    group.give(a, group.forge(d, epoch, body))
    assert counters(a)["group_admin"] == 1
    group.give(c, group.forge(a, epoch, body))
    assert [one.key for one in c.node.members(group.gid)] == [
        one.key for one in a.node.members(group.gid)
    ]


def test_who_is_no_admin_makes_no_epoch(group: GroupWorld) -> None:
    """By a member, by a removed admin, with a wrong key of ours, or without us."""
    a, b, c, d = group.hosts
    (old,) = group.live(a)
    control(group, d, c, rekey_by(d, group, old))
    assert counters(c)["group_admin"] == 1
    control(group, b, c, rekey_by(b, group, old, out=("Carl",)))
    assert counters(c)["group_not_listed"] == 1
    wrong = rekey_by(b, group, old)
    members = tuple(
        one._replace(key=b"w" * 32) if one.fp == c.node.fp[:16] else one for one in wrong.members
    )
    control(group, b, c, Rekey(group.gid, (old,), wrong.root, wrong.generation, members, 0, "N"))
    assert counters(c)["group_key"] == 1
    skipped = rekey_by(b, group, old)
    control(group, b, c, Rekey(group.gid, (old,), skipped.root, 9, skipped.members, 0, "N"))
    assert counters(c)["group_parents"] == 1
    a.do(RemoveMember(group.gid, b.node.fp))
    late = rekey_by(b, group, old)
    (new,) = group.live(a)
    group.share(hosts=[a, c, d])
    control(group, b, c, Rekey(group.gid, (new,), late.root, 99, late.members, 0, "N"))
    assert counters(c)["group_parents"] >= 2
    before = next(epoch for epoch in group.epochs(a) if epoch.eid == new)
    members = (*before.members, GroupMember(b.node.fp[:16], b"", True))
    control(
        group, b, c, Rekey(group.gid, (new,), late.root, before.generation + 1, members, 0, "N")
    )
    assert counters(c)["group_admin"] >= 2
    assert group.live(c) == [new]
    assert not any(mail.incoming for mail in c.store.group_mail())


def test_an_admin_who_makes_line_after_line(group: GroupWorld) -> None:
    """Each would be compared with every other. Putting us out and taking us in is no way round."""
    a, _, c, _ = group.hosts
    (old,) = group.live(a)
    for _ in range(GROUP_LINES_MAX + 3):
        control(group, a, c, rekey_by(a, group, old))
    assert counters(c)["group_lines"] == 3
    for _ in range(2):
        control(group, a, c, Gone(group.gid, 9))
        anew = rekey_by(a, group, old)
        members = tuple(
            one._replace(key=b"") if one.fp == c.node.fp[:16] else one for one in anew.members
        )
        control(group, a, c, Rekey(group.gid, (), anew.root, 0, members, 0, "N"))
    assert counters(c)["group_lines"] == 5
    assert len(group.epochs(c)) == GROUP_LINES_MAX + 2  # those of the beginning


def test_a_removed_admin_goes_on_from_where_it_was(group: GroupWorld) -> None:
    """Its line lives beside ours, and nothing is ever written on it."""
    a, b, c, d = group.hosts
    (old,) = group.live(a)
    a.do(RemoveMember(group.gid, b.node.fp))
    group.share(hosts=[a, c, d])
    late = rekey_by(b, group, old)
    members = (*late.members, GroupMember(b"p" * 16, b"p" * 32, False))
    control(group, b, c, Rekey(group.gid, (old,), late.root, late.generation, members, 0, "Spy"))
    assert group.live(c) == group.live(a)
    assert group.roster(c) == group.roster(a)
    assert b.node.fp[:16] in [epoch.author for epoch in group.epochs(c)]
    later = rekey_by(b, group, old)
    group.world.run(GROUP_KEYS_S + 4_000)
    group.meet_all()
    control(group, b, c, later)
    assert counters(c)["group_admin"] == 1


def test_what_a_removed_member_still_writes_is_marked(group: GroupWorld) -> None:
    """Until its keys end it is shown, because it may be honest and late; screens can tell."""
    a, b, c, d = group.hosts
    a.do(RemoveMember(group.gid, d.node.fp))
    group.write(d, "late or false?")
    group.share(hosts=[a, b, c])
    group.share(hosts=[a, d])
    (message,) = a.store.messages(group.chat)
    assert (message.text, message.reason) == ("late or false?", "not_member")


def test_only_an_admin_says_that_we_are_out(group: GroupWorld) -> None:
    """GONE by a member, LEAVE in nobody's name but one's own, keys in a letter: nothing happens."""
    a, b, c, d = group.hosts
    control(group, d, c, Gone(group.gid, 9))
    assert membership(c) is Membership.MEMBER and counters(c)["group_admin"] == 1
    control(group, d, a, Keys(((0, b"k" * 32),)))
    assert counters(a)["group_control"] == 1
    control(group, d, a, Leave(b"another group id"))
    assert len(group.roster(a)) == 4
    control(group, b, c, Gone(group.gid, 9))
    assert membership(c) is Membership.REMOVED


def test_reports_of_seizure(group: GroupWorld) -> None:
    """A member's report removes a member at once; of an admin, and from who reports many, a
    person hears. Who reported writes nothing that the seized device reads."""
    a, b, c, d = group.hosts
    c.do(ReportSeized(d.node.fp))
    waiting = group.write(c, "not for Dana")
    assert waiting.eid == b"" and waiting.reason == "no_key"
    group.share(hosts=[a, b, c])
    assert "Dana" not in dict(group.roster(a))
    group.share(hosts=[a, b, c])
    assert "not for Dana" in b.texts(group.chat)
    assert [each.code for each in a.told if isinstance(each, Notice)] == ["seizure_removed"]
    control(group, c, a, Seized(group.gid, b.node.fp[:16]))
    assert "Bolat" in dict(group.roster(a))
    assert [each.code for each in a.told if isinstance(each, Notice)][-1] == "seizure_reported"
    c.do(ReportSeized(b.node.fp))
    assert group.live(c) == []
    c.do(ReportSeized(b.node.fp, seized=False))
    assert len(group.live(c)) == 1
    with pytest.raises(UsageError, match="in none of your groups"):
        c.do(ReportSeized(d.node.fp))


def test_300_flipped_bits(group: GroupWorld) -> None:
    """In a rekey, a letter with our key, a message: none is accepted, none is answered."""
    a, _b, c, _d = group.hosts
    before = set(group.held(a))
    a.do(RenameGroup(group.gid, "Ward"))
    group.write(a, "a message")
    fresh = [group.data(a, eid) for eid in group.held(a) if eid not in before]
    assert len(fresh) == 4
    mail, seen = c.store.group_mail(), set(group.held(c))
    for number in range(300):
        data = bytearray(fresh[number % len(fresh)])
        at = 16 + (number * 7_919) % (len(data) - 16)
        data[at] ^= 1 << number % 8
        group.give(c, bytes(data))
        seen.add(envelope_id(bytes(data)))
    assert c.texts(group.chat) == [] and c.store.groups()[0].name == "Hospital"
    assert c.store.group_mail() == mail
    assert set(group.held(c)) <= seen  # it has written nothing
    for data in fresh:
        group.give(c, data)
    group.world.run(1)
    assert c.texts(group.chat) == ["a message"] and c.store.groups()[0].name == "Ward"


# --- bad input of our own user -------------------------------------------------------------------


def test_what_our_user_cannot_do(group: GroupWorld) -> None:
    """Each refusal is one sentence, and nothing has changed."""
    a, b, _c, d = group.hosts
    stranger = b"s" * 32
    before = (a.store.groups(), a.store.epochs(), group.held(a))
    for command, words in (
        (CreateGroup("", ()), "nothing that can be shown"),
        (CreateGroup("x" * 49, ()), "over 48 bytes"),
        (CreateGroup("New", (b.node.fp, stranger)), "no such contact"),
        (AddMember(group.gid, d.node.fp), "Dana is in Hospital already"),
        (AddMember(group.gid, stranger), "no such contact"),
        (AddMember(b"x" * 16, d.node.fp), "You are in no such group"),
        (RemoveMember(group.gid, stranger), "This person is not in Hospital"),
        (RemoveMember(group.gid, a.node.fp), "leave the group"),
        (MakeAdmin(group.gid, stranger), "This person is not in Hospital"),
        (RenameGroup(group.gid, "\x1b"), "nothing that can be shown"),
        (SendFile(group.chat, "a.txt", b"x"), "not a room or group"),
        (Send(b"g" + b"x" * 16, "hi"), "You are in no such group"),
        (ReportSeized(stranger), "in none of your groups"),
        (ReportSeized(a.node.fp), "in none of your groups"),
    ):
        with pytest.raises(UsageError, match=words):
            a.do(command)
    for command in (
        AddMember(group.gid, a.node.fp),
        RemoveMember(group.gid, a.node.fp),
        MakeAdmin(group.gid, a.node.fp),
        RenameGroup(group.gid, "Ward"),
    ):
        with pytest.raises(UsageError, match="Only an admin"):
            d.do(command)
    assert (a.store.groups(), a.store.epochs(), group.held(a)) == before
    a.do(Block(d.node.fp))
    with pytest.raises(TrustError, match="blocked"):
        a.do(CreateGroup("New", (d.node.fp,)))


def test_the_last_admin_stays_until_there_is_another() -> None:
    """Without an admin nobody could ever be removed."""
    group = GroupWorld(FOUR, 3)
    a, b = group.hosts[:2]
    with pytest.raises(UsageError, match="make somebody else admin first"):
        a.do(LeaveGroup(group.gid))
    a.do(MakeAdmin(group.gid, b.node.fp))
    a.do(LeaveGroup(group.gid))
    group.meet_all()
    assert group.roster(b) == [("Bolat", True), ("Carl", False)]


def test_a_group_of_33() -> None:
    """The 33rd is refused; 32 fit, and each rekey is one envelope of 2 KiB for each other."""
    names = tuple(f"P{n:02d}" for n in range(33))
    pairs = tuple((a, b) for b in range(33) for a in range(1, b))
    group = GroupWorld(names, 1, strangers=pairs)
    first, *others = group.hosts
    with pytest.raises(UsageError, match="at most 32 members"):
        first.do(CreateGroup("Too many", tuple(host.node.fp for host in others)))
    assert [known.name for known in first.store.groups()] == ["Hospital"]
    made = first.do(CreateGroup("Full", tuple(host.node.fp for host in others[:31])))
    assert isinstance(made, Group)
    sizes = [len(group.data(first, mail.eid)) for mail in first.store.group_mail()]
    assert sizes == [2_048] * 31
    with pytest.raises(UsageError, match="at most 32 members"):
        first.do(AddMember(made.gid, others[31].node.fp))
    group.share()
    chat = b"g" + made.gid
    others[30].do(Send(chat, "from the last"))
    group.share()
    assert others[0].texts(chat) == ["from the last"]
    (shown,) = others[0].store.messages(chat)
    assert (shown.author, shown.author_name) == (others[30].node.fp[:16], "P31")


def test_blocked_people_are_not_heard_in_groups(group: GroupWorld) -> None:
    """Who blocks a member reads nothing of them here either; all others do."""
    a, b, c, d = group.hosts
    c.do(Block(d.node.fp))
    group.write(d, "hello")
    group.write(b, "hi")
    group.share()
    assert c.texts(group.chat) == ["hi"]
    assert sorted(a.texts(group.chat)) == ["hello", "hi"]


def test_screens_are_told(group: GroupWorld) -> None:
    """Each change of a group is an event with its group; so is each message."""
    a, _b, _c, d = group.hosts
    d.told.clear()
    a.do(RenameGroup(group.gid, "Ward"))
    group.write(a, "text")
    group.share()
    assert "Ward" in [each.group.name for each in d.told if isinstance(each, GroupChanged)]
    assert [each.message.text for each in d.told if isinstance(each, MessageAdded)] == ["text"]
    assert contact_chat(a.node.fp) in [row.chat for row in d.store.chats()]
    assert not d.texts(contact_chat(a.node.fp))  # control messages are not shown


def test_an_old_invitation_sealed_anew_brings_nobody_back(group: GroupWorld) -> None:
    """What an admin told a member long ago comes again after they have left."""
    aida, carl = group.hosts[0], group.hosts[2]
    told = [mail.control for mail in aida.store.group_mail() if mail.fp == carl.node.fp]
    rekeys = [read for read in map(decode_control, told) if isinstance(read, Rekey)]
    assert {rekey.generation for rekey in rekeys} == {0, 1}
    carl.do(LeaveGroup(group.gid))
    for rekey in rekeys:
        control(group, aida, carl, rekey)
    assert membership(carl) is Membership.LEFT
    assert not group.epochs(carl)
    group.share()
    aida.do(AddMember(group.gid, carl.node.fp))
    group.share()
    assert membership(carl) is Membership.MEMBER


def test_who_comes_back_after_others_did(group: GroupWorld) -> None:
    """Dana goes, Carl goes, Dana comes back, Carl comes back: Carl writes again, to all of them.

    He knows that Dana was put out, and has none of the epochs between.
    """
    aida, bolat, carl, dana = group.hosts
    for admin, command, member in (
        (bolat, RemoveMember, dana),
        (aida, RemoveMember, carl),
        (aida, AddMember, dana),
        (aida, AddMember, carl),
    ):
        admin.do(command(group.gid, member.node.fp))
        group.share()
    assert group.roster(carl) == group.roster(aida)
    group.write(carl, "I am back")
    group.share()
    assert all("I am back" in host.texts(group.chat) for host in group.hosts)


def test_what_one_line_names_is_not_forgotten(
    group: GroupWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the epoch that took Carl in again would seem to follow the line beside it."""
    aida, bolat, carl, dana = group.hosts
    aida.do(RemoveMember(group.gid, carl.node.fp))
    group.share()
    bolat.do(RenameGroup(group.gid, "Ward"))
    for name in ("One", "Hospital"):
        aida.do(RenameGroup(group.gid, name))
    aida.do(AddMember(group.gid, carl.node.fp))
    group.share([aida, dana])
    group.share([bolat, dana])
    book = dana.node._chats.groups.book
    monkeypatch.setattr(group_book, "GROUP_EPOCHS_MAX", 0)
    with dana.store.transaction():
        for epoch in group.epochs(dana):
            book.save(replace(epoch, head_key=b""))
        assert len(book.line(group.gid).live) == 2
        book.trim(group.gid)
        assert len(book.line(group.gid).live) == 2


def test_an_old_copy_of_a_member_goes_on_where_it_was(group: GroupWorld) -> None:
    """What it wrote since comes back to it, so it uses no number twice, which all would drop."""
    carl = group.hosts[2]
    copied = copy.deepcopy(carl.store)
    for number in range(3):
        group.write(carl, f"then {number}")
    group.share()
    carl.store = copied
    carl.crash()
    group.share()
    for number in range(2):
        group.write(carl, f"now {number}")
    group.share()
    for host in group.hosts:
        if host is not carl:
            assert host.texts(group.chat) == ["then 0", "then 1", "then 2", "now 0", "now 1"]
            assert not counters(host)["group_replay"]
