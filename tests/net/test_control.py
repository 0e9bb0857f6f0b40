"""The control socket and its verbs, with the real node behind and the real client in front."""

import asyncio
import base64
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.config import RuntimeOptions
from meshchat.core.events import AddContact, FileComplete, JoinRoom, Notice
from meshchat.core.files import file_text
from meshchat.core.identity import public_room_key
from meshchat.core.model import Contact, Message, Room, State
from meshchat.core.node import Node
from meshchat.core.sealed import FILE_MAX_BYTES
from meshchat.downloads import saved_name
from meshchat.errors import MeshchatError, StoreError, TrustError, UsageError
from meshchat.net import verbs
from meshchat.net.client import Client
from meshchat.net.control import OUT_MAX_LINES, ControlServer, open_session
from meshchat.net.lines import LINE_MAX_BYTES, PART_MAX_BYTES, dumps, error_json, to_error
from meshchat.net.runtime import Runtime
from meshchat.net.verbs import Json, Session
from meshchat.net.verbs.files import UPLOADS_MAX
from meshchat.profile import Profile
from meshchat.store import SqlStore
from meshchat.system import SystemEntropy, system_now
from meshchat.text import Clean

DOCS = Path(__file__).parents[2] / "docs" / "reference"
LONELY = RuntimeOptions(lan=False)
PASSPHRASE = "five random words"


def friend(name: str) -> str:
    """The card text of somebody new."""
    store = SqlStore.memory()
    with store.transaction():
        Node.create(store, SystemEntropy(), system_now(), name)
        text = Node(store, SystemEntropy(), system_now()).card_text()
    store.close()
    return text


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A node in memory with a home on disk."""
    store = SqlStore.memory()
    with store.transaction():
        Node.create(store, SystemEntropy(), system_now(), "Me")
    home = tmp_path / "h"
    home.mkdir(mode=0o700)
    runtime = Runtime(store, lambda now: Node(store, SystemEntropy(), now))
    return Session(runtime, Profile(home), serving=True)


@asynccontextmanager
async def served(session: Session, *, tcp: bool = False) -> AsyncIterator[ControlServer]:
    server = ControlServer(session, tcp=tcp)
    async with asyncio.TaskGroup() as group:
        group.create_task(session.runtime.run(server.run))
        await server.ready.wait()
        yield server
        session.runtime.stop()


def connected(session: Session, *, tcp: bool = False) -> Client:
    client = Client.connect(session.profile, tcp=tcp)
    assert client is not None
    return client


async def talk(session: Session, *raw: bytes) -> list[Json]:
    """Send raw lines, close our half, and return every line that comes back."""

    def run() -> list[Json]:
        with socket.socket(socket.AF_UNIX) as plug:
            plug.connect(os.fsencode(session.profile.socket_path))
            plug.sendall(b"".join(raw))
            plug.shutdown(socket.SHUT_WR)
            with plug.makefile("rb") as file:
                return [json.loads(line) for line in file]

    return await asyncio.to_thread(run)


# --- the socket ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
async def test_the_client_speaks_with_the_server(session: Session, tcp: bool) -> None:
    """Answers and errors come through both kinds of socket; the file is for the owner only."""
    async with served(session, tcp=tcp):
        place = session.profile.token_path if tcp else session.profile.socket_path
        assert stat.S_IMODE(place.stat().st_mode) == 0o600

        def use() -> tuple[Json, MeshchatError]:
            with connected(session, tcp=tcp) as client:
                card = client.call("card")
                with pytest.raises(UsageError) as caught:
                    client.call("send", {"to": "nobody", "text": "x"})
                return card, caught.value

        card, error = await asyncio.to_thread(use)
    assert card["name"] == "Me"
    assert str(card["card"]).startswith("meshchat:")
    assert error.reason == "unknown_contact"
    assert not place.exists()
    assert Client.connect(session.profile, tcp=tcp) is None


async def test_tcp_without_the_token_gets_nothing(session: Session) -> None:
    """Another user of the machine can reach the port, and is hung up on."""
    async with served(session, tcp=True):
        port = int(session.profile.token_path.read_text().split()[0])
        for first in ({"token": "0" * 64}, {"verb": "card"}, {"token": None}):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(json.dumps(first).encode() + b'\n{"verb":"card"}\n')
            async with asyncio.timeout(10):  # served, it would not end
                assert await reader.read() == b""
            writer.close()


async def test_the_socket_of_a_killed_node_is_replaced(session: Session) -> None:
    """A stale file is no running node, and does not stand in the way of the next."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fsencode(session.profile.socket_path))
    assert Client.connect(session.profile) is None
    async with served(session):
        assert (await talk(session, b'{"id":1,"verb":"name"}\n'))[0]["ok"] is True


async def test_a_folder_open_to_others_is_refused(session: Session) -> None:
    """The socket is never made where others could replace it."""
    session.profile.home.chmod(0o755)
    with pytest.raises(StoreError, match="chmod 700"):
        async with asyncio.timeout(10):  # served, it would not end
            await ControlServer(session).run()


async def test_a_long_home_works(session: Session, tmp_path: Path) -> None:
    """The hashed socket in the temporary folder is found by both sides."""
    home = tmp_path / ("long" * 40)
    home.mkdir(mode=0o700)
    far = Session(session.runtime, Profile(home))
    async with served(far):
        assert (await talk(far, b'{"id":1,"verb":"name"}\n'))[0]["result"] == {"name": "Me"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"garbage\n", "bad_json"),
        (b"[1]\n", "bad_json"),
        (b"[" * 50_000 + b"\n", "bad_json"),
        (b"\xff\xfe\n", "bad_json"),
        (b"{}\n", "bad_request"),
        (b'{"verb":"send","args":[]}\n', None),
        (b'{"verb":"send","args":[1]}\n', "bad_request"),
        (b'{"verb":"nothing"}\n', "unknown_verb"),
        (b'{"verb":"send","args":{"to":"x"}}\n', "missing_argument"),
        (b'{"verb":"send","args":{"to":"x","text":7}}\n', "bad_argument"),
        (b'{"verb":"read","args":{"limit":true}}\n', "bad_argument"),
        (b'{"verb":"card","args":{"x":1}}\n', "unknown_argument"),
        (b'{"verb":"read","args":{"limit":0}}\n', "bad_limit"),
        (b"x" * (LINE_MAX_BYTES + 10) + b"\n", "line_too_long"),
    ],
)
async def test_bad_requests_get_a_reason(session: Session, line: bytes, reason: str | None) -> None:
    """Each is answered with a stable reason and exit code 2; the node lives on."""
    async with served(session):
        answers = await talk(session, line)
        assert answers[0]["ok"] is False
        error = answers[0]["error"]
        assert isinstance(error, dict)
        assert error["reason"] == (reason or "missing_argument")
        assert error["exit"] == 2
        assert (await talk(session, b'{"id":7,"verb":"name"}\n'))[0]["id"] == 7


async def test_half_a_line_is_no_request(session: Session) -> None:
    """What was cut off is not carried out."""
    async with served(session):
        assert await talk(session, b'{"verb":"name","args":{"new":"Cut"}}') == []
        assert session.own_name() == "Me"


async def test_events_are_streamed_beside_answers(session: Session) -> None:
    """A subscriber hears of what others do, and may ask in between."""
    async with served(session):

        def listen() -> list[Json]:
            with connected(session) as client, connected(session) as other:
                client.call("events")
                other.call("room.join", {"name": "Bakery"})
                other.call("send", {"to": "#bakery", "text": "bread\u202e"})
                client.call("name")
                heard = []
                for event in client.events():
                    heard.append(event)
                    if event["event"] == "message":
                        return heard
                return heard

        heard = await asyncio.to_thread(listen)
    names = [event["event"] for event in heard]
    assert names[0] == "room"
    message = heard[-1]["message"]
    assert isinstance(message, dict)
    assert (message["text"], message["state"]) == ("bread", "queued")


async def test_a_reader_that_does_not_read_loses_events_not_the_node(session: Session) -> None:
    """Its backlog is bounded, and it is told how many it missed."""
    async with served(session):
        reader, writer = await asyncio.open_unix_connection(session.profile.socket_path)
        writer.write(b'{"id":1,"verb":"events"}\n')
        await reader.readline()
        flood = 3 * OUT_MAX_LINES
        for number in range(flood):
            session.runtime._tell(Notice("test", str(number)))
        heard = 0
        while heard < OUT_MAX_LINES - 2:
            heard += json.loads(await reader.readline())["event"] == "notice"
        session.runtime._tell(Notice("test", "last"))
        assert json.loads(await reader.readline()) == {"event": "lost", "count": flood - heard}
        assert json.loads(await reader.readline())["detail"] == "last"
        writer.close()


async def test_stop_ends_the_node_after_the_answer(session: Session) -> None:
    """The one who asks gets the answer, then the end of the stream."""
    server = ControlServer(session)
    async with asyncio.TaskGroup() as group:
        run = group.create_task(session.runtime.run(server.run))
        await server.ready.wait()
        answers = await talk(session, b'{"id":1,"verb":"stop"}\n')
        await run
    assert answers[0]["result"] == {"pid": os.getpid()}


async def test_a_listener_does_not_hold_up_the_end(session: Session) -> None:
    """A node that stops hangs up on everybody."""
    async with served(session):
        reader, writer = await asyncio.open_unix_connection(session.profile.socket_path)
        writer.write(b'{"id":1,"verb":"events"}\n')
        await reader.readline()
    assert await reader.read() == b""
    writer.close()


# --- the verbs ----------------------------------------------------------------------------------


@asynccontextmanager
async def alive(session: Session) -> AsyncIterator[Session]:
    async with asyncio.TaskGroup() as group:
        group.create_task(session.runtime.run())
        yield session
        session.runtime.stop()


async def test_contacts_from_card_to_block(session: Session) -> None:
    """The life of a contact through the verbs, and what each answers."""
    async with alive(session):

        async def ask(verb: str, **args: object) -> Json:
            return await verbs.call(session, verb, args)

        added = (await ask("contact.add", card=friend("Bob"), **{"as": "Боб"}))["contact"]
        assert isinstance(added, dict)
        assert (added["name"], added["claimed"], added["trust"]) == ("Боб", "Bob", "unverified")
        words = (await ask("words", name="боб"))["words"]
        assert isinstance(words, list) and len(words) == 12
        verified = (await ask("contact.verify", name="Боб"))["contact"]
        assert isinstance(verified, dict) and verified["trust"] == "verified"
        undone = (await ask("contact.verify", name="Боб", verified=False))["contact"]
        assert isinstance(undone, dict) and undone["trust"] == "unverified"
        renamed = (await ask("contact.rename", old="Боб", new="Bob"))["contact"]
        assert isinstance(renamed, dict) and renamed["name"] == "Bob"
        await ask("contact.add", card=friend("Carol"))
        sent = (await ask("contact.introduce", one="Bob", other="Carol"))["messages"]
        assert isinstance(sent, list) and len(sent) == 2
        with pytest.raises(UsageError):
            await ask("contact.introduce", one="Bob", other="Bob")
        await ask("contact.block", name="Bob")
        with pytest.raises(TrustError) as caught:
            await ask("send", to="Bob", text="x")
        assert (caught.value.reason, caught.value.exit_code) == ("blocked", 3)
        await ask("contact.unblock", name="Bob")
        await ask("send", to="Bob", text="x")
        listed = (await ask("contact.list"))["contacts"]
        assert isinstance(listed, list)
        assert [one["name"] for one in listed] == ["Bob", "Carol"]


async def test_rooms_messages_and_reading(session: Session) -> None:
    """What is sent can be read by room, by time, by page, and each message by its id."""
    async with alive(session):

        async def ask(verb: str, **args: object) -> Json:
            return await verbs.call(session, verb, args)

        room = (await ask("room.join", name="#Tea", passphrase="milk"))["room"]
        assert isinstance(room, dict) and room["private"] is True and room["name"] == "#tea"
        await ask("room.join", name="open")
        ids = []
        for number in range(4):
            sent = (await ask("send", to="#tea", text=f"{number}"))["message"]
            assert isinstance(sent, dict)
            ids.append(sent["id"])
        await ask("send", to="#open", text="elsewhere")

        async def texts(**args: object) -> list[object]:
            found = (await ask("read", **args))["messages"]
            assert isinstance(found, list)
            return [message["text"] for message in found]

        assert await texts(to="#tea") == ["0", "1", "2", "3"]
        assert await texts() == ["0", "1", "2", "3", "elsewhere"]
        assert await texts(to="#tea", limit=2) == ["2", "3"]
        assert await texts(since=ids[1]) == ["2", "3", "elsewhere"]
        assert await texts(since=ids[1], limit=1) == ["2"]
        journey = (await ask("message", id=ids[0]))["journey"]
        assert isinstance(journey, list) and journey[0]["what"] == "written"
        assert journey[0]["at"].endswith("Z") and isinstance(journey[0]["at_s"], int)
        with pytest.raises(UsageError, match="16 hex digits"):
            await ask("message", id="nonsense")
        await ask("room.leave", name="#tea")
        with pytest.raises(UsageError, match="no room #tea; you are in #open"):
            await ask("send", to="#tea", text="x")
        status = await ask("status")
        assert (status["name"], status["running"], status["trouble"]) == ("Me", True, None)


async def test_names_resolve_exactly_by_look_by_prefix_or_by_key(session: Session) -> None:
    """The surest match wins; two equal ones are never guessed between."""
    async with alive(session):
        for name in ("Anna", "Annabel", "Иван"):
            await session.runtime.command(AddContact(friend(name)))
        contacts = {c.petname: c for c in session.runtime.store.contacts()}
        for given_name, meant in [
            ("Anna", "Anna"),
            ("anna", "Anna"),
            ("annab", "Annabel"),
            ("иван", "Иван"),
            ("ива", "Иван"),
            (contacts["Иван"].fp.hex()[:12], "Иван"),
        ]:
            assert verbs.resolve_contact(session, given_name).petname == meant
        with pytest.raises(UsageError, match="More than one") as caught:
            verbs.resolve_contact(session, "ann")
        assert caught.value.reason == "ambiguous_contact"
        with pytest.raises(UsageError, match="nearest: Annabel"):
            verbs.resolve_contact(session, "Anabel")
        for verb, more in (("send", {"text": "x"}), ("send_file", {"name": "a", "data": "eA=="})):
            with pytest.raises(UsageError, match="called 'annab'; nearest: Anna, Annabel"):
                await verbs.call(session, verb, {"to": "annab", **more})
        for nonsense in ("", "#", "\u202e", "x" * 10_000):
            with pytest.raises(UsageError):
                verbs.resolve(session, nonsense)


async def test_backup_needs_the_passphrase_of_the_profile(tmp_path: Path) -> None:
    """Whoever reaches the socket of an unlocked node still cannot take the seed."""
    profile = Profile(tmp_path / "home")
    profile.init("a", PASSPHRASE, seed=bytes(32), small=True)
    with open_session(profile, PASSPHRASE, LONELY) as session:
        async with alive(session):
            with pytest.raises(StoreError) as caught:
                await verbs.call(session, "backup", {"passphrase": "wrong"})
            assert caught.value.reason == "wrong_passphrase"
            words = (await verbs.call(session, "backup", {"passphrase": PASSPHRASE}))["words"]
    assert words == ["abandon"] * 23 + ["art"]


def test_every_verb_and_event_is_documented() -> None:
    """The table and the reference page name the same verbs and arguments."""
    page = (DOCS / "control-socket.md").read_text("utf-8")
    for name, verb in verbs.VERBS.items():
        row = next((line for line in page.splitlines() if line.startswith(f"| `{name}` ")), "")
        for argument in (*verb.needs, *verb.takes):
            assert f"`{argument}" in row, (name, argument)
    for event in ("message", "message_changed", "file_complete", "contact", "room", "neighbour_up",
                  "neighbour_down", "custody", "notice", "transport", "lost", "ready"):  # fmt: skip
        assert f"| `{event}` " in page


def test_a_whole_file_is_an_event(session: Session) -> None:
    """With its message and size, in words that a script reads."""
    words = Message(
        id=b"m" * 8,
        chat=b"c" + bytes(32),
        author=bytes(32),
        author_name=Clean(),
        outgoing=False,
        text=Clean('[file "report.pdf", 123 kB]'),
        sent_at=1.0,
        received_at=2.0,
        state=State.RECEIVED,
    )
    told = verbs.event_json(session, FileComplete(words, 123_456))
    assert (told["event"], told["size_bytes"]) == ("file_complete", 123_456)
    assert told["message"] == verbs.message_json(session, words)
    assert json.loads(dumps(told))["message"]["text"] == '[file "report.pdf", 123 kB]'


async def test_a_file_is_handed_over_in_parts(session: Session) -> None:
    """Through the real socket: many parts, one message, nothing left over."""
    data = os.urandom(5 * PART_MAX_BYTES + 1)
    async with served(session):
        contact = await session.runtime.command(AddContact(friend("Bob")))
        assert isinstance(contact, Contact)

        def hand_over() -> Json:
            with connected(session) as client:
                given = {"to": "Bob", "name": "x" * 96, "data": data}
                return client.call("send_file", given)

        sent = (await asyncio.to_thread(hand_over))["message"]
        assert isinstance(sent, dict) and sent["note"] == "file"
        assert session.runtime.store.file(bytes.fromhex(str(sent["id"]))) == data
        assert session.uploads == {}


async def test_files_begun_and_left_are_bounded(session: Session) -> None:
    """Each is no larger than a file may be, and so many at once; a wrong part ends its file."""
    async with alive(session):

        async def part(data: bytes, **upload: object) -> Json:
            text = base64.b64encode(data).decode()
            return await verbs.call(session, "file_part", {"data": text, **upload})

        begun = [(await part(bytes(10)))["upload"] for _ in range(UPLOADS_MAX)]
        await part(b"x", upload=begun[0])  # now the second waits longest
        await part(b"new")
        assert len(session.uploads) == UPLOADS_MAX
        with pytest.raises(UsageError) as caught:
            await part(b"x", upload=begun[1])
        assert caught.value.reason == "unknown_upload"
        assert (await part(b"x", upload=begun[0]))["size_bytes"] == 12
        with pytest.raises(UsageError) as caught:
            await part(bytes(FILE_MAX_BYTES - 11), upload=begun[0])
        assert caught.value.reason == "file_too_large"
        assert begun[0] not in session.uploads
        for bad in ("AAA", "AAAA\n", "é", "A===", "AAAA AAAA"):
            with pytest.raises(UsageError) as caught:
                await verbs.call(session, "file_part", {"data": bad})
            assert caught.value.reason == "bad_data"


@pytest.mark.parametrize(
    ("reason", "outgoing", "note", "stored", "told"),
    [
        ("", False, "file", True, ""),
        ("file_open", False, "file", False, "file_open"),
        ("file_damaged", False, "file", False, "file_damaged"),
        ("file_ended", False, "file", False, "file_ended"),
        ("", False, "file", False, "file_gone"),
        ("", True, "file", True, "own_file"),
        ("", False, "", False, "no_file"),
    ],
)
async def test_only_a_whole_file_of_others_is_read(
    session: Session, reason: str, outgoing: bool, note: str, stored: bool, told: str
) -> None:
    """Its bytes, with the name as text and the name it is saved under; else why not."""
    store, mid = session.runtime.store, b"f" * 8
    name = "../\u202ex.pdf\x1b"
    message = Message(
        *(mid, b"c" + b"a" * 32, b"a" * 32, Clean("x"), outgoing, file_text(name, 5)),
        *(1.0, 1.0, State.QUEUED if outgoing else State.RECEIVED),
        reason=reason,
        note=note,
    )
    async with alive(session):
        with store.transaction():
            store.add_message(message)
            if stored:
                store.save_file(mid, b"bytes")
        if told:
            with pytest.raises(UsageError) as caught:
                await verbs.call(session, "read_file", {"id": mid.hex()})
            assert caught.value.reason == told
            return
        found = await verbs.call(session, "read_file", {"id": mid.hex()})
    assert base64.b64decode(str(found["data"])) == b"bytes"
    assert (found["name"], found["size_bytes"]) == ("../x.pdf", 5)
    assert found["save_as"] == saved_name("x.pdf", b"bytes")


# --- lines --------------------------------------------------------------------------------------


@given(st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5))
def test_json_lines_carry_no_character_a_terminal_obeys(value: object) -> None:
    """Any text comes back the same, through a line of visible characters only."""
    line = dumps(value)
    assert json.loads(line) == value
    for char in line:
        assert ord(char) >= 0x20
        assert not 0x7F <= ord(char) <= 0x9F
        assert char not in "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    line.encode()


@pytest.mark.parametrize("kind", [UsageError, TrustError, StoreError, MeshchatError])
def test_errors_survive_the_socket(kind: type[MeshchatError]) -> None:
    """Class, reason and text arrive; a hostile text does not."""
    back = to_error(error_json(kind("some_reason", "say\u202e\x1b[2J so"))["error"])
    assert type(back) is kind
    assert (back.reason, str(back)) == ("some_reason", "say[2J so")


async def test_no_damaged_card_is_accepted(session: Session) -> None:
    """Each character of a card changed, dropped or doubled: a sentence, and no contact."""
    card = friend("Bob")
    async with alive(session):
        for at in range(len(card)):
            other = "B" if card[at] != "B" else "C"
            for bad in (card[:at] + other + card[at + 1 :], card[:at] + card[at + 1 :],
                        card[: at + 1] + card[at:]):  # fmt: skip
                with pytest.raises(UsageError):
                    await verbs.call(session, "contact.add", {"card": bad})
        assert session.runtime.store.contacts() == []
        await verbs.call(session, "contact.add", {"card": card})
        assert [c.petname for c in session.runtime.store.contacts()] == ["Bob"]


async def test_reading_a_few_leaves_the_rest_new(session: Session) -> None:
    """What did not fit the limit is not marked as read; once all is shown, it is."""
    store, key = session.runtime.store, public_room_key("yard")
    async with served(session):
        room = await session.runtime.command(JoinRoom("yard", key, False))
        assert isinstance(room, Room)
        chat = b"r" + room.rid
        with store.transaction():
            for number in range(5):
                store.add_message(
                    Message(
                        *(bytes([number]) * 8, chat, b"a" * 32, Clean("x"), False),
                        *(Clean("new"), 1.0, 1.0, State.RECEIVED),
                    )
                )
        for limit, unread in ((3, 5), (5, 0)):
            await verbs.call(session, "read", {"to": "#yard", "limit": limit})
            assert next(row.unread for row in store.chats() if row.chat == chat) == unread
