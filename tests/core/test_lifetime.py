"""A lifetime chosen by the author: when it ends, and that it is not sealed past that."""

import pytest
from filetool import (
    DAY,
    HOUR,
    befriend,
    chunks,
    content,
    friends_and_carrier,
    give,
    held_by,
    now_of,
    tidy,
    whole,
)
from world import Host, World

from meshchat.core.events import (
    AddContact,
    JoinRoom,
    Send,
    SendFile,
)
from meshchat.core.identity import public_room_key
from meshchat.core.limits import (
    HOUSEKEEPING_S,
)
from meshchat.core.model import Message, State, contact_chat, room_chat
from meshchat.errors import UsageError


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def three(world: World) -> tuple[Host, Host, Host]:
    """Aida and Bolat are friends; a stranger carries."""
    return friends_and_carrier(world)


@pytest.mark.parametrize("life", [1.0, 600.0, HOUR, 5.5 * HOUR, 3 * DAY, 1e9])
def test_life_is_as_chosen(world: World, three: tuple[Host, Host, Host], life: float) -> None:
    """The first whole hour not before the wish, or the most there is; in room and chat."""
    a, b, _ = three
    room = a.do(JoinRoom("x", public_room_key("x"), False))
    for chat in (contact_chat(b.node.fp), room_chat(room.rid)):  # type: ignore[attr-defined]
        message = a.do(Send(chat, "soon", life))
        assert isinstance(message, Message)
        exp_h = held_by(a, message).exp_h
        assert message.expires_at == exp_h * HOUR
        if life < 1e9:
            assert 0 <= exp_h * HOUR - (world.wall + life) < HOUR
        else:
            assert exp_h == int(world.wall // HOUR) + 170
    file = give(a, b, content(whole(2)), life=life)
    ends = {held.exp_h for held in map(a.store.envelope, chunks(a, file)) if held}
    assert ends == {held_by(a, file).exp_h} == {exp_h}


def test_life_on_the_hour(world: World, three: tuple[Host, Host, Host]) -> None:
    """At a whole hour a life of whole hours is exact, and a tiny one still has an hour."""
    a, b, _ = three
    world.run(HOUR - world.wall % HOUR)
    assert world.wall % HOUR == 0
    for life, hours in ((HOUR, 1), (1e-12, 1), (2 * HOUR, 2)):
        message = a.do(Send(contact_chat(b.node.fp), "x", life))
        assert isinstance(message, Message)
        assert message.expires_at == world.wall + hours * HOUR


def test_the_usual_life_says_nothing(world: World, three: tuple[Host, Host, Host]) -> None:
    """Without a wish the end is drawn between 136 and 170 hours, and a week is tried."""
    a, b, _ = three
    ends = set()
    for _ in range(40):
        message = a.do(Send(contact_chat(b.node.fp), "x"))
        assert isinstance(message, Message)
        assert message.expires_at == world.wall + 7 * DAY and message.life_s == 0
        ends.add(held_by(a, message).exp_h - int(world.wall // HOUR))
    assert min(ends) >= 136 and max(ends) <= 170 and len(ends) > 10


@pytest.mark.parametrize("life", [-1.0, float("nan"), float("inf"), float("-inf")])
def test_lives_that_cannot_be(three: tuple[Host, Host, Host], life: float) -> None:
    """Each is refused with a sentence, and nothing is stored."""
    a, b, _ = three
    chat = contact_chat(b.node.fp)
    for command in (Send(chat, "x", life), SendFile(chat, "x", b"x", life)):
        with pytest.raises(UsageError) as refusal:
            a.do(command)
        assert refusal.value.reason == "bad_life" and str(refusal.value).endswith(".")
    assert a.texts(chat) == []
    tidy(a)


def test_it_fails_when_its_life_is_over(world: World, three: tuple[Host, Host, Host]) -> None:
    """After the chosen end it has failed and is not sealed again, also after a crash."""
    a, b, c = three
    message = a.do(Send(contact_chat(b.node.fp), "now or never", 2 * HOUR))
    assert isinstance(message, Message)
    file = give(a, b, content(whole(1) + 1), life=2 * HOUR)
    ids = [now_of(a, message).eid, now_of(a, file).eid, *chunks(a, file)]
    world.meet(a, c)
    assert all(c.store.envelope(eid) for eid in ids)
    a.crash()
    world.run(message.expires_at - world.wall + HOUSEKEEPING_S + 1)
    for each in (message, file):
        assert (now_of(a, each).state, now_of(a, each).reason) == (State.FAILED, "expired")
    assert not any(what == "sealed" for what in steps_after(a, message, "expired"))
    a.do(AddContact(b.node.card_text()))
    world.run(HOUSEKEEPING_S)
    assert a.state(message) == State.FAILED
    assert not any(c.store.envelope(eid) for eid in ids)
    tidy(a)


def steps_after(host: Host, message: Message, mark: str) -> list[str]:
    steps = [step.what for step in host.store.journey(message.id)]
    return steps[steps.index(mark) :]


def test_no_new_key_seals_what_is_over(world: World) -> None:
    """A card that comes between the end and the next look at ends does not bring it back."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.run(12 * DAY)
    fresh = b.node.card_text()
    message = a.do(Send(contact_chat(b.node.fp), "for a key", HOUR))
    assert isinstance(message, Message)
    a.crash()
    kept = now_of(a, message)
    assert (kept.reason, kept.life_s) == ("no_key", HOUR)
    world.wall = message.expires_at + 1  # the clock only: no timer was due yet
    a.do(AddContact(fresh))
    assert now_of(a, message).eid == b""
    world.run(HOUSEKEEPING_S)
    assert now_of(a, message).reason == "expired"


def test_a_late_key_does_not_lengthen_a_life(world: World) -> None:
    """Sealed days after it was written, the envelope ends at the hour chosen at first."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.run(12 * DAY)
    message = a.do(Send(contact_chat(b.node.fp), "for a key", 3 * DAY))
    assert isinstance(message, Message)
    world.run(2 * DAY)
    a.crash()
    a.do(AddContact(b.node.card_text()))
    assert held_by(a, message).exp_h * HOUR == message.expires_at
