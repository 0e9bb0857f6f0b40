"""Control messages as bytes, chains, and what a graph of epochs says about a group."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from meshchat.core.epochs import (
    Control,
    Gone,
    Key,
    Keys,
    Leave,
    Rekey,
    Seized,
    decode_control,
    derive,
    encode_control,
    reach,
    step,
)
from meshchat.core.limits import GROUP_JUMP_MAX
from meshchat.core.lineage import Lineage
from meshchat.core.model import Epoch, GroupMember
from meshchat.errors import AuthError, QuotaError, WireError
from meshchat.text import Clean

GID = b"g" * 16
b16 = st.binary(min_size=16, max_size=16)
key = st.binary(min_size=32, max_size=32).filter(any)


@st.composite
def rekeys(draw: st.DrawFn) -> Rekey:
    fps = draw(st.lists(b16, min_size=1, max_size=32, unique=True))
    members = [
        GroupMember(fp, draw(st.one_of(st.just(b""), key)), draw(st.booleans())) for fp in fps
    ]
    members[0] = members[0]._replace(admin=True)
    parent = st.binary(min_size=8, max_size=8).filter(any)
    parents = tuple(sorted(draw(st.lists(parent, max_size=2, unique=True))))
    return Rekey(
        draw(b16),
        parents,
        draw(key),
        draw(st.integers(1, 2**31 - 1)) if parents else 0,
        tuple(members),
        draw(st.integers(0, 2 ** len(fps) - 1)),
        draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)),
    )


controls: st.SearchStrategy[Control] = st.one_of(
    rekeys(),
    st.builds(Key, b16, key),
    st.builds(Leave, b16),
    st.builds(Gone, b16, st.integers(0, 2**32 - 1)),
    st.builds(Seized, b16, b16),
    st.dictionaries(st.integers(0, 31), key, min_size=1, max_size=4).map(
        lambda found: Keys(tuple(sorted(found.items())))
    ),
)


@given(control=controls)
def test_a_control_message_comes_back_as_it_went(control: Control) -> None:
    """Every kind, to the last bit; one byte less or more is no control message, but for a name."""
    data = encode_control(control)
    assert decode_control(data) == control
    if not isinstance(control, Rekey):
        for wrong in (data[:-1], data + b"\0"):
            with pytest.raises(WireError):
                decode_control(wrong)


@given(data=st.binary(max_size=300) | controls.map(encode_control), at=st.integers(0, 4_000))
def test_whatever_comes_is_read_or_refused(data: bytes, at: int) -> None:
    """Arbitrary bytes and flipped bits: ``WireError`` or a message that is written the same."""
    if data:
        changed = bytearray(data)
        changed[at // 8 % len(data)] ^= 1 << at % 8
        data = bytes(changed)
    try:
        control = decode_control(data)
    except WireError:
        return
    assert encode_control(control) == data


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d[:69] + b"\x21" + d[70:], "group_count"),
        (lambda d: d[:69] + b"\x00" + d[70:], "group_count"),
        (lambda d: d[:17] + b"\1" * 8 + d[25:], "group_parents"),  # a parent, generation 0
        (lambda d: d[:25] + b"\1" * 8 + d[33:], "group_parents"),  # the second without the first
        (lambda d: d[:65] + b"\xff" * 4 + d[69:], "group_parents"),
        (lambda d: d[:70] + bytes(4) + d[74:], "group_rekey"),  # no admin
        (lambda d: d[:70] + b"\4" + d[71:], "group_rekey"),  # an admin who is not listed
        (lambda d: d[:74] + b"\4" + d[75:], "group_rekey"),
        (lambda d: d[: 78 + 96], "group_name"),
        (lambda d: d + b"x" * 48, "group_name"),
        (lambda d: d[: 78 + 96] + b"\xff", "group_name"),
        (lambda d: d[: 78 + 48] + d[78 : 78 + 48] + d[78 + 96 :], "group_members"),
    ],
)
def test_bad_rekeys(change, reason: str) -> None:  # type: ignore[no-untyped-def]
    """A group of 33 or of nobody, wrong parents, admins, names, somebody twice."""
    members = (GroupMember(b"a" * 16, b"k" * 32, True), GroupMember(b"b" * 16, b"", False))
    data = encode_control(Rekey(GID, (), b"r" * 32, 0, members, 3, "N"))
    with pytest.raises(WireError) as caught:
        decode_control(change(data))
    assert caught.value.reason == reason


def test_chains_go_forward_only() -> None:
    """Steps reach what a straight walk reaches, keep what was passed over, and know their end."""
    chain = derive(GID, b"r" * 32, [b"a" * 16]).chains[0]
    keys = []
    for _ in range(GROUP_JUMP_MAX + 2):
        chain, one = step(chain)
        keys.append(one)
    start = derive(GID, b"r" * 32, [b"a" * 16]).chains[0]
    reached = reach(start, 0, GROUP_JUMP_MAX)
    assert reached.key == keys[GROUP_JUMP_MAX]
    assert reached.skipped == tuple(enumerate(keys[:GROUP_JUMP_MAX]))
    assert reach(reached.chain, GROUP_JUMP_MAX + 1, GROUP_JUMP_MAX + 1).key == keys[-1]
    with pytest.raises(QuotaError):
        reach(start, 0, GROUP_JUMP_MAX + 1)
    with pytest.raises(AuthError):
        reach(reached.chain, GROUP_JUMP_MAX + 1, GROUP_JUMP_MAX)


# --- lineage ---------------------------------------------------------------------------------


def fp(name: str) -> bytes:
    return name.encode().ljust(16, b".")


def epoch(
    eid: str,
    parents: str,
    members: str,
    author: str = "A",
    generation: int | None = None,
    name: str = "N",
) -> Epoch:
    """Members are letters; capitals are admins."""
    level = generation if generation is not None else int(eid[1:] or 0)
    return Epoch(
        eid.encode().ljust(8, b"."),
        GID,
        tuple(parent.encode().ljust(8, b".") for parent in parents.split()),
        level,
        fp(author),
        tuple(GroupMember(fp(one.upper()), b"k" * 32, one.isupper()) for one in members),
        Clean(name),
        b"h" * 32,
        0.0,
    )


def people(line: Lineage) -> str:
    shown = ((one.fp[:1].decode(), one.admin) for one in line.roster.members)
    return "".join(sorted(name if admin else name.lower() for name, admin in shown))


def ids(epochs: list[Epoch]) -> str:
    return " ".join(one.eid.rstrip(b".").decode() for one in epochs)


X = epoch("x0", "", "ABcdm")

CASES = {
    # what: epochs, who is in, live heads, heads to write on
    "one line": ([X, epoch("h1", "x0", "ABcdmp")], "ABcdmp", "h1", "h1"),
    "two add": ([X, epoch("g1", "x0", "ABcdmp"), epoch("h1", "x0", "ABcdmq", "B")],
                "ABcdmpq", "g1 h1", "g1 h1"),
    "add and remove": ([X, epoch("g1", "x0", "ABcd"), epoch("h1", "x0", "ABcdmq", "B")],
                       "ABcdq", "g1 h1", "g1"),
    "remove beside a plain rekey": ([X, epoch("g1", "x0", "ABcd"), epoch("h1", "x0", "ABcdm", "B")],
                                    "ABcd", "g1", "g1"),
    "the same twice": ([X, epoch("g1", "x0", "ABcd"), epoch("h1", "x0", "ABcd", "B")],
                       "ABcd", "g1", "g1"),
    "two remove each other": ([X, epoch("g1", "x0", "Acdm"), epoch("h1", "x0", "Bcdm", "B")],
                              "CDM", "g1 h1", ""),
    "added by somebody removed": ([X, epoch("g1", "x0", "Acdm"), epoch("h1", "x0", "ABcdmp", "B")],
                                  "Acdm", "g1", "g1"),
    "removed by somebody removed": ([X, epoch("g1", "x0", "Acdm"), epoch("h1", "x0", "ABcd", "B")],
                                    "Acd", "g1 h1", ""),
    "promoted by somebody removed": (
        [X, epoch("g1", "x0", "Acdm"), epoch("h1", "x0", "ABCdm", "B")], "Acdm", "g1", "g1"),
    "promoted and added": ([X, epoch("g1", "x0", "ABCdm"), epoch("h1", "x0", "ABcdmp", "B")],
                           "ABCdmp", "g1 h1", "g1 h1"),
    "removed, and back on one line": (
        [X, epoch("g1", "x0", "ABcd"), epoch("g2", "g1", "ABcdm"), epoch("h1", "x0", "ABcdp", "B")],
        "ABcdp", "h1", "h1"),
    "added on two, removed again on one": (
        [X, epoch("g1", "x0", "ABcdmp"), epoch("h1", "x0", "ABcdmp", "B"),
         epoch("h2", "h1", "ABcdm", "B")], "ABcdm", "h2", "h2"),
    "added on two, removed and added again on one": (
        [X, epoch("g1", "x0", "ABcdmp"), epoch("h1", "x0", "ABcdmp", "B"),
         epoch("h2", "h1", "ABcdm", "B"), epoch("h3", "h2", "ABcdmp", "B")],
        "ABcdmp", "g1 h3", "g1 h3"),
    "joined while one is added again": (
        [X, epoch("g1", "x0", "ABcdmp"), epoch("h1", "x0", "ABcdmp", "B"),
         epoch("h2", "h1", "ABcdm", "B"), epoch("j3", "g1 h2", "ABcdm"),
         epoch("h3", "h2", "ABcdmp", "B")], "ABcdmp", "h3", "h3"),
    "joined": ([X, epoch("g1", "x0", "ABcdmp"), epoch("h1", "x0", "ABcd", "B"),
                epoch("j2", "g1 h1", "ABcdp")], "ABcdp", "j2", "j2"),
    "three lines": ([X, epoch("f1", "x0", "ABcdmp"), epoch("g1", "x0", "ABcdmq"),
                     epoch("h1", "x0", "ABcd")], "ABcdpq", "f1 g1 h1", "h1"),
    "one between is missing": ([X, epoch("h3", "g2", "ABcdp")], "ABcdp", "h3", "h3"),
    "one between is missing, and lists somebody removed": (
        [X, epoch("g1", "x0", "ABcd"), epoch("h3", "k2", "ABcdm", "B")], "ABcd", "g1", "g1"),
    "one between is missing, and somebody goes later": (
        [X, epoch("h3", "g2", "Abcdm", "B"), epoch("h4", "h3", "Abcd", "A")], "Abcd", "h4", "h4"),
    "no past in common": ([epoch("g2", "e1", "ABcp"), epoch("h2", "f1", "ABcq", "B")],
                          "ABc", "g2 h2", ""),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_where_lines_meet(what: str) -> None:
    """Who is in, what still says something, and what may be written on, in any order of arrival."""
    epochs, inside, live, writable = CASES[what]
    for order in (epochs, epochs[::-1]):
        line = Lineage(order)
        assert people(line) == inside
        assert ids(line.live) == live
        assert ids(line.sendable()) == writable


def test_lines_without_a_common_past_are_not_joined() -> None:
    """Somebody who was added on both lines cannot tell who was removed: others join them."""
    assert not Lineage(CASES["no past in common"][0]).joinable()
    assert Lineage(CASES["two add"][0]).joinable()


def test_names_join_too() -> None:
    """A name changed on one line stays changed; of two the greater; keys once known stay known."""
    g, h = epoch("g1", "x0", "ABcdm", name="Ward"), epoch("h1", "x0", "ABcdmp", "B")
    assert Lineage([X, g, h]).roster.name == "Ward"
    assert Lineage([X, g, replace(h, name=Clean("Zoo"))]).roster.name == "Zoo"
    bare = replace(h, members=tuple(one._replace(key=b"") for one in h.members))
    known = Lineage([X, g, bare]).roster
    assert [bool(one.key) for one in known.members] == [True] * 5 + [False]


@st.composite
def histories(draw: st.DrawFn) -> list[Epoch]:
    """Admins who add and remove on lines that part and join, all rekeys made by the rules."""
    epochs = [epoch("x0", "", "ABcd")]
    for number in range(draw(st.integers(1, 9))):
        known = Lineage(draw(st.just(epochs)) if draw(st.booleans()) else epochs[: 1 + number // 2])
        parents = known.live[:2]
        roster = known.joined([parent.eid for parent in parents])
        assert roster is not None
        admins = roster.admins
        if not admins:
            break
        author = draw(st.sampled_from(admins))
        members = list(roster.members)
        if draw(st.booleans()):
            new = GroupMember(fp(draw(st.sampled_from("ABCDPQ"))), b"k" * 32, False)
            members += [] if roster.get(new.fp) else [new]
        else:
            out = draw(st.sampled_from(members))
            members = [one for one in members if one is not out or one.fp == author]
        epochs.append(
            Epoch(
                f"e{number}".encode().ljust(8, b"."),
                GID,
                tuple(sorted(parent.eid for parent in parents)),
                1 + max(parent.generation for parent in parents),
                author,
                tuple(members),
                Clean("N"),
                b"h" * 32,
                0.0,
            )
        )
    return epochs


@given(epochs=histories(), data=st.data())
def test_all_who_know_the_same_agree(epochs: list[Epoch], data: st.DataObject) -> None:
    """The order of arrival does not matter, and nobody writes to whom some line has removed."""
    line = Lineage(epochs)
    other = Lineage(data.draw(st.permutations(epochs)))
    assert (line.roster, line.live) == (other.roster, other.live)
    assert line.live
    inside = {one.fp for one in line.roster.members}
    for head in line.sendable():
        assert {one.fp for one in head.members} <= inside
    if len(line.sendable()) == len(line.live):
        assert inside == {one.fp for head in line.live for one in head.members}
