"""A small town to try meshchat in: fifteen people who walk about, write, answer and carry.

Everything is simulated but the messenger: real nodes, real cryptography, real wire bytes. The same
seed gives the same town; what our user writes is all that changes it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import NamedTuple

from meshchat.core.events import (
    Accept,
    AddContact,
    AnswerCheck,
    CheckShown,
    Command,
    CreateGroup,
    Edit,
    Effect,
    Introduce,
    MarkRead,
    MessageAdded,
    React,
    Send,
    SendFile,
    Verify,
)
from meshchat.core.model import Message
from meshchat.errors import MeshchatError
from meshchat.sim.chance import Chance
from meshchat.sim.demo_lines import (
    CHATTER,
    INTRODUCTION,
    PLACES,
    REPLIES,
    ROOM_CHATTER,
    SMALL_TALK,
    STAIRS_ANSWER,
    STAIRS_CORRECTION,
    STORY,
    WHO_HAS_WHAT,
    Beat,
    Lang,
    language,
    topic,
)
from meshchat.sim.links import Radio
from meshchat.sim.meetings import encounters, place_groups
from meshchat.sim.paths import Leg, Path, Paths
from meshchat.sim.person import Person
from meshchat.sim.ways import Change, merged
from meshchat.sim.world import START_WALL, World

ME = "Sasha"
ROOM = "yard"
GROUP = "stairs 4"
ASEL = "Asel"
"""A friend whose phone broke: her new one has another key."""
START = START_WALL + 9 * 3600 - 900  # our user comes in at nine
PROLOGUE_S = 900.0  # lived before our user comes in, so that there is something to read
BLE_M, BLE_HOLD_M = 25.0, 10.0  # street; a link lasts a little longer than it is found
HOTSPOT_M = 18.0
HOTSPOT_SPAN_S = 6 * 3600.0  # then the router starts again; meetings are computed so far ahead
SPOT_M = 4.0  # people do not stand on one point
HERE_M = 30.0  # as near as this to a place is "at" it
ANSWER_S = (12.0, 45.0)  # to see a message, think, and type
LETTERS_PER_S = 6.0
CHATTER_MEAN_S, CHATTER_LEAST_S = 130.0, 40.0
ROOM_ANSWERS = 2  # of all who read something in the room, so many answer
ROOM_ANSWER_CHANCE = 0.6  # that another one answers after the first
COMPARE_S = (8.0, 15.0)  # to read seven signs aloud and look twice
QUIET_S = 600.0  # so long nobody who wrote without an answer writes to our user again

RADIOS = {
    "ble": Radio(
        rate=12_000.0,
        discovery_s=(1.0, 5.0),
        setup_s=1.0,
        failure=0.05,
        loss=0.02,
        links_max=7,
        shared=True,
    ),
    "lan": Radio(rate=500_000.0, latency_s=0.005, discovery_s=(0.5, 2.0), supervised=False),
}

_SITES: dict[str, tuple[float, float]] = {
    "home": (0, 0),
    "yard": (55, 0),
    "house7": (55, 80),
    "house14": (150, -140),
    "bakery": (300, 40),
    "square": (240, -80),
    "school": (420, 150),
    "clinic": (800, 60),
    "village": (3_000, 600),
}
_HOTSPOTS = ("yard", "bakery", "clinic", "school")


class _Round(NamedTuple):
    """How somebody spends the time: first these stays, then the others for ever."""

    speed: float
    """Metres a second."""
    first: tuple[tuple[str, float, float], ...]
    """Place, least and most seconds."""
    then: tuple[tuple[str, float, float], ...]


_WALK, _BIKE, _CAR = 1.4, 4.5, 12.0
_PEOPLE: dict[str, _Round] = {
    ME: _Round(
        _WALK,
        (("home", 1_980, 2_020), ("yard", 130, 170)),
        (("home", 380, 620), ("yard", 90, 200), ("home", 300, 500), ("bakery", 80, 140)),
    ),
    "Timur": _Round(
        _WALK,
        (("home", 1_700, 1_705), ("bakery", 620, 640), ("home", 600, 700)),
        (("yard", 150, 300), ("home", 400, 700), ("bakery", 250, 400), ("home", 400, 700)),
    ),
    "Aigerim": _Round(_WALK, (), (("clinic", 900, 1_500),)),
    "Dana": _Round(
        _WALK,
        (("school", 500, 520),),
        (("yard", 150, 250), ("school", 500, 800), ("square", 120, 200), ("school", 300, 500)),
    ),
    "Bolat": _Round(
        _CAR,
        (("home", 320, 330), ("yard", 700, 710), ("home", 70, 80), ("village", 1_000, 1_010)),
        (("home", 60, 90), ("yard", 900, 1_300), ("square", 200, 300), ("village", 800, 1_000)),
    ),
    "Bekzat": _Round(  # he and Nurlan cycle out of step, so that somebody passes every few minutes
        _BIKE,
        (("clinic", 60, 61), ("bakery", 40, 41), ("home", 60, 61)),
        (("bakery", 20, 25), ("clinic", 75, 95), ("home", 45, 60)),
    ),
    "Nurlan": _Round(
        _BIKE,
        (("square", 540, 541),),
        (("home", 45, 60), ("clinic", 75, 95)),
    ),
    "Gulnara": _Round(_WALK, (), (("bakery", 1_500, 2_500), ("square", 60, 120))),
    "Olga": _Round(
        _WALK,
        (("yard", 300, 310),),
        (("house7", 300, 500), ("yard", 200, 400), ("bakery", 60, 120), ("home", 50, 90)),
    ),
    "Saule": _Round(
        _WALK, (("yard", 500, 510),), (("yard", 300, 500), ("home", 50, 90), ("house7", 200, 400))
    ),
    "Marat": _Round(
        _WALK,
        (("yard", 700, 710), ("home", 500, 510)),
        (("house14", 300, 500), ("yard", 150, 300), ("bakery", 80, 150)),
    ),
    "Zhanar": _Round(_WALK, (), (("clinic", 1_200, 2_000),)),
    "Emir": _Round(
        _WALK,
        (),
        (("square", 150, 250), ("home", 40, 60), ("yard", 120, 200), ("bakery", 60, 120)),
    ),
    "Aliya": _Round(_WALK, (), (("school", 300, 600), ("bakery", 60, 120), ("square", 200, 300))),
    "Kairat": _Round(_WALK, (), (("bakery", 150, 250), ("clinic", 150, 250), ("school", 60, 90))),
    ASEL: _Round(_WALK, (), (("square", 300, 500), ("yard", 150, 250), ("bakery", 60, 120))),
}
_IN_ROOM = (ME, "Timur", "Gulnara", "Olga", "Saule", "Dana", "Emir", "Bekzat", "Kairat")
_KNOW_EACH_OTHER = (
    (ME, "Aigerim"),
    (ME, "Timur"),
    (ME, "Dana"),
    (ME, "Bolat"),
    ("Dana", "Zhanar"),
    ("Kairat", "Gulnara"),
    ("Aliya", "Zhanar"),
    ("Emir", "Aliya"),
    ("Olga", "Aigerim"),
    ("Marat", "Olga"),
    ("Nurlan", "Kairat"),
    ("Bekzat", "Gulnara"),
    ("Timur", "Bolat"),
    ("Timur", "Olga"),
)


class Demo:
    """The town, and our user's person in it."""

    def __init__(self, seed: int = 1, start: float = START) -> None:
        """A town at the moment our user comes in.

        Args:
            seed: Of everything but what our user does.
            start: Wall time when its first people get up, 15 minutes before that.
        """
        self.world = World(seed=seed, radios=RADIOS, start=start)
        self.people = {name: self.world.person(name) for name in _PEOPLE}
        self.me = self.people[ME]
        self._paths = Paths(
            _path(each, Chance(seed, "demo", "walks", name)) for name, each in _PEOPLE.items()
        )
        for one, other in _KNOW_EACH_OTHER:
            self.world.acquaint(self.people[one], self.people[other])
        self.people["Marat"].add(self.me)
        self.me.do(Verify(self.people["Aigerim"].fp))
        self.people["Aigerim"].do(Verify(self.me.fp))
        for name in _IN_ROOM:
            self.world.join(self.people[name], ROOM)
        ways = [encounters(self._paths, BLE_M, float("inf"), "ble", BLE_HOLD_M)]
        ways += [
            place_groups(self._paths, *_SITES[site], HOTSPOT_M, _spans(), "lan")
            for site in _HOTSPOTS
        ]
        self.world.follow(_best(merged(*ways)))
        self.people[ASEL].add(self.me)
        broken = self.world.person(f"{ASEL}'s old phone")
        self.me.do(AddContact(broken.node.card_text(), ASEL))
        broken.off()
        self._cast = _Cast(self, seed)
        self.world.run(until=PROLOGUE_S)
        self._read_up()

    def where(self, person: Person) -> str:
        """Key of ``PLACES`` for where somebody is; empty: between two of them."""
        x, y = self._paths.position(person.number, self.world.now)
        for name, (at_x, at_y) in _SITES.items():
            if (x - at_x) * (x - at_x) + (y - at_y) * (y - at_y) <= HERE_M * HERE_M:
                return name
        return ""

    def _read_up(self) -> None:
        """What is in our user's chats was read before, but for the last thing in the room."""
        store = self.me.store
        for summary in store.chats():
            if summary.last is not None:
                unread = summary.chat[:1] == b"r"
                self.me.do(MarkRead(summary.chat, summary.last.seq - unread))


def _best(changes: Iterator[Change]) -> Iterator[Change]:
    """Two people on one LAN do not use Bluetooth as well: one way at a time."""
    near: dict[tuple[int, int], None] = {}
    wired: dict[tuple[int, int], None] = {}
    for change in changes:
        at, up, a, b, way = change
        pair = (a, b)
        mine, other = (wired, near) if way == "lan" else (near, wired)
        if up:
            mine[pair] = None
        else:
            mine.pop(pair, None)
        if way == "ble" and pair in other:
            continue
        if way == "lan" and pair in other and up:
            yield Change(at, False, a, b, "ble")
        yield change
        if way == "lan" and pair in other and not up:
            yield Change(at, True, a, b, "ble")


def _spans() -> Iterator[tuple[float, float]]:
    for number in count():
        yield number * HOTSPOT_SPAN_S, (number + 1) * HOTSPOT_SPAN_S


def _path(each: _Round, chance: Chance) -> Path:
    """Straight from place to place at an own pace, with a stay at each."""
    speed = each.speed * chance.uniform(0.95, 1.05)
    t, here = 0.0, None
    for number in count():
        stays = each.first if not number else each.then
        for site, least, most in stays:
            dx, dy = chance.in_disc(SPOT_M)
            x, y = _SITES[site][0] + dx, _SITES[site][1] + dy
            if here is not None:
                distance = ((x - here[0]) * (x - here[0]) + (y - here[1]) * (y - here[1])) ** 0.5
                yield Leg(t, *here, t + distance / speed, x, y)
                t += distance / speed
            here = x, y
            end = t + chance.uniform(least, most)
            yield Leg(t, x, y, end, x, y)
            t = end


class _Cast:
    """What the people of the town write, and how they answer our user."""

    def __init__(self, demo: Demo, seed: int) -> None:
        self._demo, self._world, self._people = demo, demo.world, demo.people
        self._me = demo.me
        self._chance = Chance(seed, "demo", "chatter")
        self._answers = Chance(seed, "demo", "answers")
        self._waiting: dict[tuple[int, str], str] = {}  # what somebody has yet to answer, and where
        self._said: dict[tuple[int, str, str], int] = {}  # how often this kind of thing
        self._told: dict[tuple[str, str], int] = {}  # how much of their own news
        self._open: dict[bytes, int] = {}  # answers a room message of our user may still get
        self._known: dict[int, None] = {}  # who has ever heard from our user
        self._wrote: dict[int, float] = {}  # when somebody last wrote to our user
        for person in self._people.values():
            person.told = partial(self._heard, person)
        for beat in STORY:
            self._world.at(PROLOGUE_S + beat.at, partial(self._play, beat))
        self._world.at(PROLOGUE_S + INTRODUCTION[0], self._introduce)
        for at, deed in self._deeds():
            self._world.at(PROLOGUE_S + at, deed)
        self._world.at(PROLOGUE_S + CHATTER_LEAST_S, self._chatter)

    # --- by themselves --------------------------------------------------------------------------

    def _play(self, beat: Beat) -> None:
        self._write(self._people[beat.who], beat.to, beat.text)

    def _write(self, person: Person, to: str, text: str) -> None:
        if to.startswith("#"):
            chat = b"r" + person.room(to[1:])
        elif to.startswith("&"):
            if not (gids := [group.gid for group in person.store.groups()]):
                return  # not told of it yet
            chat = b"g" + gids[0]
        else:
            known = (c.fp for c in person.store.contacts() if c.petname == to)
            chat = b"c" + next(known, self._people[to].fp)
            if to == ME:
                self._wrote[person.number] = self._world.now
        self._do(person, Send(chat, text))

    def _do(self, person: Person, command: Command) -> None:
        """Whoever cannot write now (blocked, frozen, off) says nothing."""
        with suppress(MeshchatError):
            person.do(command)

    def _deeds(self) -> Sequence[tuple[float, Callable[[], None]]]:
        """What people do beside writing, seconds after our user comes in."""
        return (
            (-890.0, self._make_group),
            (-500.0, partial(self._answer_to, "Timur", "Bolat", "&", STAIRS_ANSWER)),
            (-450.0, partial(self._react, "Timur", "Bolat", "&", "👍")),
            (-400.0, partial(self._correct, "Bolat", "&", STAIRS_CORRECTION)),
            (-380.0, partial(self._react, ME, "Bolat", "&", "🙏")),
            (-130.0, self._new_phone),
            (90.0, partial(self._send_file, "Timur", "stairs 4 - who has what.txt", WHO_HAS_WHAT)),
        )

    def _make_group(self) -> None:
        fps = tuple(self._people[name].fp for name in (ME, "Bolat", "Olga"))
        self._do(self._people["Timur"], CreateGroup(GROUP, fps))

    def _last(self, who: str, of: str, to: str) -> tuple[Person, Message | None]:
        """The last message of somebody in the group (or chat) as another sees it."""
        person, author = self._people[who], self._people[of]
        gids = [b"g" + group.gid for group in person.store.groups()]
        chat = gids[0] if to == "&" and gids else b"c" + author.fp
        found = [
            message
            for message in person.store.messages(chat, limit=20)
            if (message.outgoing if person is author else message.author == author.fp)
        ]
        return person, found[-1] if found else None

    def _answer_to(self, who: str, of: str, to: str, text: str) -> None:
        person, message = self._last(who, of, to)
        if message is not None:
            self._do(person, Send(message.chat, text, reply_to=message.id))

    def _react(self, who: str, of: str, to: str, emoji: str) -> None:
        person, message = self._last(who, of, to)
        if message is not None:
            self._do(person, React(message.id, emoji))

    def _correct(self, who: str, to: str, text: str) -> None:
        person, message = self._last(who, who, to)
        if message is not None:
            self._do(person, Edit(message.id, text))

    def _new_phone(self) -> None:
        """Asel comes by with a new phone: what waited for her old key fails, and says why."""
        old = next(c for c in self._me.store.contacts() if c.petname == ASEL)
        card = self._people[ASEL].node.card_text()
        self._do(self._me, AddContact(card, ASEL, replaces=old.fp))
        self._me.knows[self._people[ASEL].number] = None

    def _send_file(self, who: str, name: str, text: str) -> None:
        data = text.encode()
        self._do(self._people[who], SendFile(b"c" + self._me.fp, name, data))

    def _introduce(self) -> None:
        _, who, one, other = INTRODUCTION
        people = self._people
        self._do(people[who], Introduce(people[one].fp, people[other].fp))
        people["Zhanar"].knows[self._me.number] = None
        self._known[people["Zhanar"].number] = None

    def _chatter(self) -> None:
        """Somebody writes something; and so on for ever."""
        kind = self._chance.uniform()
        if kind < 0.3:
            self._news_for_me()
        elif kind < 0.65:
            who = self._chance.pick(tuple(ROOM_CHATTER))
            self._write(self._people[who], "#" + ROOM, self._next(who, "room", ROOM_CHATTER))
        else:
            pairs = [pair for pair in _KNOW_EACH_OTHER if ME not in pair]
            one, other = self._chance.pick(pairs)
            if self._chance.happens(0.5):
                one, other = other, one
            self._write(self._people[one], other, self._chance.pick(SMALL_TALK))
        self._world.later(
            CHATTER_LEAST_S + self._chance.exponential(CHATTER_MEAN_S), lambda _: self._chatter()
        )

    def _news_for_me(self) -> None:
        """From whoever of those who know our user has been silent longest."""
        now = self._world.now
        ready = [
            name
            for name in CHATTER
            if self._me.number in self._people[name].knows
            and (name != "Marat" or self._people[name].number in self._known)
            and now - self._wrote.get(self._people[name].number, 0.0) > QUIET_S
        ]
        if ready:
            who = min(ready, key=lambda name: self._wrote.get(self._people[name].number, 0.0))
            self._write(self._people[who], ME, self._next(who, "news", CHATTER))

    def _next(self, who: str, kind: str, lines: Mapping[str, Sequence[str]]) -> str:
        """Their next line; from the beginning again when all were said."""
        at = self._told.get((who, kind), 0)
        self._told[who, kind] = at + 1
        return lines[who][at % len(lines[who])]

    # --- answers --------------------------------------------------------------------------------

    def _heard(self, person: Person, effect: Effect) -> None:
        """A node told its user something. Nothing is done here: only planned."""
        if isinstance(effect, CheckShown) and person is not self._me:
            wait = self._answers.uniform(*COMPARE_S)
            self._world.later(wait, self._compare, (person, effect.fp))
        if not isinstance(effect, MessageAdded):
            return
        message = effect.message
        if person is self._me:
            if message.outgoing and message.chat[:1] != b"c" and self._world.now >= PROLOGUE_S:
                self._open[message.id] = ROOM_ANSWERS
        elif message.outgoing:
            return
        elif message.chat == b"c" + self._me.fp:
            self._known[person.number] = None
            if self._world.now >= PROLOGUE_S:
                self._plan(person, message, ME)
        elif (left := self._open.get(message.id)) and (
            left == ROOM_ANSWERS or self._answers.happens(ROOM_ANSWER_CHANCE)
        ):
            self._open[message.id] -= 1
            self._plan(person, message, _place(message))

    def _compare(self, who: tuple[Person, bytes]) -> None:
        """Their signs are ours: nobody stands between in this town."""
        person, fp = who
        if person.node.signs_shown(fp):
            self._do(person, AnswerCheck(fp, True))

    def _plan(self, person: Person, message: Message, to: str) -> None:
        """Answer in a while; what arrives until then is answered with it."""
        key = (person.number, to)
        before = self._waiting.get(key)
        self._waiting[key] = f"{before or ''} {message.text}"
        if before is None:
            typing = min(30.0, len(message.text) / LETTERS_PER_S)
            self._world.later(self._answers.uniform(*ANSWER_S) + typing, self._answer, key)

    def _answer(self, key: tuple[int, str]) -> None:
        text = self._waiting.pop(key)
        number, to = key
        person = self._world.people[number]
        contact = person.store.contact(self._me.fp)
        if to == ME and contact is not None and contact.request:
            self._do(person, Accept(self._me.fp))
        self._write(person, to, self._reply(person, text))

    def _reply(self, person: Person, text: str) -> str:
        """A fitting line in the language of the question."""
        tongue: Lang = language(text) or "en"
        about, other = topic(text), self._named(text, person)
        if other is not None and about in ("question", "word", "where", "how", "who"):
            about = "whereis"
        lines = REPLIES[about][tongue]
        key = (person.number, about, tongue)
        turn = self._said.get(key, person.number)  # not all begin with the same one
        self._said[key] = turn + 1
        there = self._demo.where(other) if other is not None else ""
        return lines[turn % len(lines)].format(
            me=ME,
            name=person.name,
            place=PLACES[self._demo.where(person)][tongue],
            other=other.name if other is not None else "",
            there=PLACES[there][tongue],
        )

    def _named(self, text: str, person: Person) -> Person | None:
        """Somebody else of the town whose name is in the text."""
        folded = text.casefold()
        for name, signs in _NAMES.items():
            found = self._people[name]
            if found is not person and any(sign in folded for sign in signs):
                return found
        return None


def _place(message: Message) -> str:
    return "&" if message.chat[:1] == b"g" else "#" + ROOM


_NAMES = {
    "Timur": ("timur", "тимур"),
    "Aigerim": ("aigerim", "айгерим", "айгерім"),
    "Dana": ("dana", "дана"),
    "Bolat": ("bolat", "болат"),
    "Bekzat": ("bekzat", "бекзат"),
    "Nurlan": ("nurlan", "нурлан", "нұрлан"),
    "Gulnara": ("gulnara", "гульнар", "гүлнар"),
    "Olga": ("olga", "ольг"),
    "Saule": ("saule", "сауле", "сәуле"),
    "Marat": ("marat", "марат"),
    "Zhanar": ("zhanar", "жанар"),
    "Emir": ("emir", "эмир", "әмір"),
    "Aliya": ("aliya", "алия", "әлия"),
    ASEL: ("asel", "асел", "әсел"),
    "Kairat": ("kairat", "кайрат", "қайрат"),
}
