"""The people of the demo live: headless, in virtual time."""

from string import Formatter

import pytest

from meshchat.core.events import Block, JoinRoom, MessageAdded, Send
from meshchat.core.identity import public_room_key
from meshchat.core.model import State, Trust
from meshchat.sim.chance import Chance
from meshchat.sim.demo import ME, ROOM, Demo
from meshchat.sim.demo_lines import (
    CHATTER,
    PLACES,
    REPLIES,
    ROOM_CHATTER,
    STORY,
    TOPICS,
    language,
    topic,
)
from meshchat.sim.person import Person

HOUR_S = 3_600.0
TWO_MINUTES_S = 2 * 60 * 20.0  # at the usual speed
HARMLESS = {  # what a node counts when all is well
    "envelopes_stored",
    "links_opened",
    "links_duplicate",  # met on the LAN before the Bluetooth link was known to be dead
    "link_timeout",  # walked out of the hotspot
    "hello_timeout",  # did so within the second of connecting: a LAN tells nobody
    "handshake_timeout",  # the same, a moment earlier
    "replay",  # what a stranger wrote, tried again when a contact is new
    "refused_unwanted",  # two gave the same at once
}


def test_an_hour_without_errors() -> None:
    """Everybody writes, carries and answers for an hour; no node saw anything wrong."""
    demo = Demo(1)
    demo.world.run(HOUR_S)
    for person in demo.people.values():
        counters = person.node.status(person.clock).counters
        assert {key: n for key, n in counters.items() if key not in HARMLESS} == {}
        assert counters["links_opened"] > 10, person.name
    assert demo.world.measure.commits_failed == 0


def test_the_same_seed_is_the_same_town() -> None:
    """Twice the same, in one go or in slices; another seed is another town."""
    one, other, third = Demo(3), Demo(3), Demo(4)
    one.world.run(HOUR_S / 4)
    while other.world.now < one.world.now:
        other.world.run(until=min(one.world.now, other.world.now + 7.3))
    third.world.run(HOUR_S / 4)
    assert one.world.trace_hash == other.world.trace_hash
    assert one.world.trace_hash != third.world.trace_hash


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_two_minutes_show_it_all(seed: int) -> None:
    """In the first two minutes: messages, a room, a request, an introduction, three languages."""
    demo = Demo(seed)
    heard = listen(demo.me)
    demo.world.run(10 * 20.0)
    assert heard, "within the first ten seconds"
    demo.world.run(until=900 + TWO_MINUTES_S)
    contacts = {str(contact.petname): contact for contact in demo.me.store.contacts()}
    assert contacts["Aigerim"].trust is Trust.VERIFIED
    assert contacts["Timur"].trust is Trust.UNVERIFIED
    assert contacts["Marat"].request
    assert contacts["Zhanar"].trust is Trust.INTRODUCED
    assert any(event.message.chat[:1] == b"r" for event in heard)
    assert {language(str(event.message.text)) for event in heard} >= {"en", "ru", "kk"}


def test_a_message_waits_is_carried_and_arrives() -> None:
    """Written while alone, taken by a passer-by, proven by the reader, answered."""
    demo = Demo(1)
    alone(demo)
    aigerim = demo.people["Aigerim"]
    message = demo.me.say(aigerim, "where are you?")
    states = [demo.me.state(message)]
    for _ in range(3_000):
        demo.world.run(1.0)
        if demo.me.state(message) != states[-1]:
            states.append(demo.me.state(message))
            assert aigerim.number not in {way.b.number for way in demo.me.links.values()}
    assert states == [State.QUEUED, State.CARRIED, State.DELIVERED]
    assert "clinic" in demo.me.texts(aigerim)[-1] or "clinic" in str(demo.me.texts(aigerim))


def test_answers_are_in_the_language_of_the_question() -> None:
    """Timur answers three questions, each in its language, knowing where people are."""
    demo = Demo(1)
    timur = demo.people["Timur"]
    for text, words in (
        ("Где хлеб?", ("пекарн", "Гульнара", "магазин")),
        ("Рахмет!", ("Оқасы", "Көрші")),
        ("Where is Aigerim?", ("at the clinic",)),
    ):
        before = len(demo.me.texts(timur))
        demo.me.say(timur, text)
        demo.world.run(100.0)
        answers = demo.me.texts(timur)[before + 1 :]
        assert any(word in answer for answer in answers for word in words), answers


def test_the_room_answers() -> None:
    """A question in the room is answered, by two people at most."""
    demo = Demo(1)
    heard = listen(demo.me)
    demo.me.do(Send(b"r" + demo.me.room(ROOM), "Is there water?"))
    demo.world.run(2_000.0)
    lines = REPLIES["water"]["en"]
    answers = [event for event in heard if str(event.message.text) in lines]
    assert 1 <= len(answers) <= 2


def test_a_stranger_to_them_is_accepted() -> None:
    """Our user takes the card of somebody who does not know us: that person answers too."""
    demo = Demo(1)
    gulnara = demo.people["Gulnara"]
    demo.me.add(gulnara)
    demo.me.say(gulnara, "Сәлем!")
    demo.world.run(HOUR_S)
    assert len(demo.me.texts(gulnara)) > 1
    contact = gulnara.store.contact(demo.me.fp)
    assert contact is not None and not contact.request


def test_whatever_our_user_does_the_town_lives_on() -> None:
    """Odd texts, other rooms, and a blocked friend disturb nobody."""
    demo = Demo(2)
    chance = Chance(2, "odd")
    demo.me.do(JoinRoom("attic", public_room_key("attic"), False))
    for text in ("{me}", "?" * 500, "/", "\u202e?", "{0}{x!r}", "ы" * 3_000):
        demo.me.do(Send(b"c" + demo.people["Timur"].fp, text))
        demo.me.do(Send(b"r" + demo.me.room("attic"), text))
        demo.world.run(chance.uniform(1, 120))
    demo.me.do(Block(demo.people["Timur"].fp))
    demo.world.run(1_000.0)
    for person in demo.people.values():
        assert set(person.node.status(person.clock).counters) <= HARMLESS


def test_every_line_can_be_said() -> None:
    """Each topic has answers in each language that fill in; who speaks exists."""
    fields = {"me", "name", "place", "other", "there"}
    assert {name for name, _ in TOPICS} | {"question", "word", "whereis"} == set(REPLIES)
    for by_language in REPLIES.values():
        assert set(by_language) == {"en", "ru", "kk"}
        for lines in by_language.values():
            for line in lines:
                assert {name for _, name, _, _ in Formatter().parse(line) if name} <= fields
    demo = Demo(1)
    assert {beat.who for beat in STORY} | set(CHATTER) | set(ROOM_CHATTER) <= set(demo.people)
    assert all(set(place) == {"en", "ru", "kk"} for place in PLACES.values())
    assert [beat.at for beat in STORY] == sorted(beat.at for beat in STORY)


@pytest.mark.parametrize(
    ("text", "about", "tongue"),
    [
        ("hi, where can I buy bread?", "bread", "en"),
        ("hello Timur", "hello", "en"),
        ("Су бар ма?", "water", "kk"),
        ("Привет! Ты где?", "where", "ru"),
        ("қайдасың", "where", "kk"),
        ("is this real?", "simulated", "en"),
        ("hm", "word", "en"),
        ("???", "question", None),
        ("", "word", None),
    ],
)
def test_topics(text: str, about: str, tongue: str | None) -> None:
    """Words decide what is answered and in which language."""
    assert (topic(text), language(text)) == (about, tongue)


def listen(person: Person) -> list[MessageAdded]:
    """What arrives for somebody from now on."""
    heard: list[MessageAdded] = []
    before = person.told

    def told(effect: object) -> None:
        if before is not None:
            before(effect)  # type: ignore[arg-type]
        if isinstance(effect, MessageAdded) and not effect.message.outgoing:
            heard.append(effect)

    person.told = told
    return heard


def alone(demo: Demo) -> None:
    """Let time pass until nobody is near our user."""
    for _ in range(2_000):
        if not demo.me.ways and not demo.me.links:
            return
        demo.world.run(1.0)
    raise AssertionError(f"{ME} is never alone")
