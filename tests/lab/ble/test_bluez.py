"""Real BlueZ and a real kernel, in an emulated machine on emulated radios (tier C).

One guest, many scenarios. What its nodes run is the shipped node over the shipped transport.
"""

import time
from collections.abc import Iterator

import pytest
from guest import Guest, missing

pytestmark = [
    pytest.mark.bluez,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

ADAPTERS = 5
EXTENDED = 4  # this one advertises by sets; emulated, it can only be heard
SERVICE = bytes.fromhex("61b56bfdb66a4893ba3a393428070000")[::-1]


@pytest.fixture(scope="module")
def machines() -> Iterator[list[Guest]]:
    """The one that runs, if any; booted once, unless its kernel crashes."""
    made: list[Guest] = []
    try:
        yield made
    finally:
        for one in made:
            one.stop()


@pytest.fixture
def guest(machines: list[Guest]) -> Iterator[Guest]:
    """Nobody runs, all adapters are in, everybody would hear everybody."""
    if machines and machines[0].crashed():
        machines.pop().stop()
    if not machines:
        machines.append(Guest(ADAPTERS, frozenset({EXTENDED})))
        machines[0].start()
    machine = machines[0]
    machine.bluetoothd("device")
    inside, outside = machine.clock, time.monotonic()
    yield machine
    took = machine.clock - inside, time.monotonic() - outside
    print("measured: {:.1f} s inside, {:.1f} s outside".format(*took))
    if not machine.crashed():
        machine.clear()


def test_the_advert_is_flags_service_and_token(guest: Guest) -> None:
    """31 bytes, as the radio sends them: no name, no address of ours, nothing else."""
    guest.begin("radio", "a", 0)
    guest.open("a")
    adverts = guest.capture()
    guest.tell("a", "advertise", token="a1b2c3d4e5f6")
    guest.wait_for(lambda: adverts)
    data = {data for _, data in adverts}
    token = bytes.fromhex("ffffa1b2c3d4e5f6")
    [sent] = data
    assert sent[:2] == b"\x02\x01"
    assert sent[3:] == b"\x11\x07" + SERVICE + b"\x09\xff" + token
    assert len(sent) == 31


def test_a_new_token_has_a_new_address_where_the_adapter_can(guest: Guest) -> None:
    """With Privacy and an adapter that advertises by sets, as those since Bluetooth 5, BlueZ takes
    a new address for each advertisement: nothing on the air ties two tokens together. With an older
    adapter the address has a clock of its own, a quarter of an hour."""
    tokens = [bytes.fromhex(text * 6) for text in ("a1", "a2", "a3")]
    for name, number, addresses in (("a", 0, 1), ("e", EXTENDED, len(tokens))):
        guest.begin("radio", name, number)
        says = "changes" if addresses == 1 else "changes_with_token"
        assert guest.open(name)["address"] == says
        seen = [one for token in tokens for one in shown(guest, name, token)]
        assert {data[-6:] for _, data in seen} == set(tokens)
        assert len({address for address, _ in seen}) == addresses


def shown(guest: Guest, name: str, token: bytes) -> list[tuple[str, bytes]]:
    """Adverts under a token, of somebody who is silent before and after."""
    adverts = guest.capture()
    guest.tell(name, "advertise", token=token.hex())
    guest.wait_for(lambda: adverts)
    guest.tell(name, "advertise", token="")
    return list(adverts)


def test_values_of_every_size_cross_both_ways(guest: Guest) -> None:
    """20, 244, 489 and 510 bytes by write and by notification; an end is told to both."""
    sizes = [20, 244, 489, 510]
    for number, name in enumerate("ab"):
        guest.begin("radio", name, number)
        guest.open(name)
    guest.tell("b", "advertise", token="b0b0b0b0b0b0")
    guest.tell("a", "scan", on=True)
    device = guest.until("a", "sighted", lambda s: s["token"] == "b0b0b0b0b0b0")["device"]
    dialled = guest.tell("a", "dial", device=device)
    assert dialled["payload"] == 489, dialled
    assert guest.tell("a", "send", device=device, sizes=sizes) == ""
    guest.until("b", "received", count=4)
    # in whatever order: two BlueZ use several channels side by side
    assert sorted(s["size"] for s in guest.of("b", "received")) == sizes
    back = guest.until("b", "opened")["device"]
    assert guest.tell("b", "send", device=back, sizes=sizes) == ""
    guest.until("a", "received", count=4)
    assert sorted(s["size"] for s in guest.of("a", "received")) == sizes
    guest.tell("b", "hang_up", device=back)
    guest.until("a", "lost")
    assert guest.tell("a", "send", device=device, sizes=[20]) != ""


def test_two_nodes_chat(guest: Guest) -> None:
    """One link, a message each way, and the proof that it was read."""
    one, two = guest.people("ab")
    sent = guest.tell("a", "send", fp=two, text="hello")
    guest.until("b", "text", lambda s: s["text"] == "hello")
    guest.tell("b", "send", fp=one, text="x" * 3_000)
    guest.until("a", "text", lambda s: s["size"] == 3_000)
    guest.wait_for(lambda: guest.tell("a", "state", message=sent) == "DELIVERED")
    assert [guest.tell(n, "node")["links"] for n in "ab"] == [1, 1]
    assert guest.tell("a", "status")["detail"]["address"] == "changes"


def test_three_nodes_are_a_mesh(guest: Guest) -> None:
    """Every node serves, scans and dials on its one adapter, and everybody reaches everybody."""
    a, b, c = guest.people("abc")
    guest.befriend("a", "c")
    for to, fp in (("b", b), ("c", c)):
        guest.tell("a", "send", fp=fp, text=f"a to {to}")
        guest.until(to, "text", lambda s, to=to: s["text"] == f"a to {to}")  # type: ignore[misc]
    guest.tell("c", "send", fp=a, text="c to a")
    guest.until("a", "text", lambda s: s["text"] == "c to a")


def test_a_sealed_message_over_three_hops(guest: Guest) -> None:
    """Four in a line: strangers in the middle carry it, its receipt, and the answer to it."""
    guest.reach({(0, 1), (1, 2), (2, 3)})
    for number, name in enumerate("abcd"):
        guest.begin("node", name, number)
    first, last = guest.befriend("a", "d")
    sent = guest.tell("a", "send", fp=last, text="over three hops")
    guest.until("d", "text", lambda s: s["text"] == "over three hops", timeout=120)
    guest.wait_for(lambda: guest.tell("a", "state", message=sent) == "DELIVERED")
    guest.tell("d", "send", fp=first, text="and back")
    guest.until("a", "text", lambda s: s["text"] == "and back", timeout=120)
    assert guest.tell("a", "node")["links"] == guest.tell("d", "node")["links"] == 1


def test_a_killed_node_is_missed_and_found_again(guest: Guest) -> None:
    """SIGKILL leaves the connection up in BlueZ; the other side still notices, and links anew
    when the node is back with the same store."""
    _, two = guest.people("ab")
    since = guest.mark()
    guest.kill("b")
    guest.until("a", "down", since=since, timeout=120)
    guest.tell("a", "send", fp=two, text="while you were away")
    guest.begin("node", "b", 1)
    guest.until("b", "text", lambda s: s["text"] == "while you were away", timeout=120)


def test_bluetooth_switched_off_and_on(guest: Guest) -> None:
    """The status says so with a remedy; afterwards the radio comes back by itself."""
    _, two = guest.people("ab")
    since = guest.mark()
    guest.power(1, on=False)
    off = guest.until("b", "status", lambda s: not s["on"], since=since)
    assert off["reason"] == "off"
    assert "switch it on" in off["remedy"]
    guest.until("a", "down", since=since)
    guest.tell("a", "send", fp=two, text="good morning")
    guest.power(1, on=True)
    guest.until("b", "status", lambda s: s["on"], since=since)
    guest.until("b", "text", lambda s: s["text"] == "good morning", timeout=120)


def test_an_adapter_pulled_out_and_plugged_in(guest: Guest) -> None:
    """In the middle of a chat."""
    one, _ = guest.people("ab")
    since = guest.mark()
    guest.pull_out(1)
    # BlueZ says first that it has no power, and then that it is gone
    guest.until("b", "status", lambda s: s["reason"] == "no_adapter", since=since)
    guest.until("a", "down", since=since)
    guest.tell("b", "send", fp=one, text="back again")
    guest.plug_in(1)
    guest.until("a", "text", lambda s: s["text"] == "back again", timeout=120)


def test_bluez_restarted(guest: Guest) -> None:
    """Its end is a status; its return needs nobody. Without Privacy the address is fixed, and
    the status says how to change that."""
    one, _ = guest.people("ab")
    since = guest.mark()
    guest.bluetoothd("")
    guest.until("b", "status", lambda s: s["reason"] == "no_bluetooth", since=since)
    guest.tell("b", "send", fp=one, text="still here")
    since = guest.mark()
    guest.bluetoothd("off")
    fixed = guest.until("b", "status", lambda s: s["on"], since=since)
    assert fixed["reason"] == "fixed_address"
    assert "Privacy = device" in fixed["remedy"]
    guest.until("a", "text", lambda s: s["text"] == "still here", timeout=120)


def test_a_suspended_machine_is_somebody_else(guest: Guest) -> None:
    """The kernel ends all connections before the programs freeze. Afterwards the links come back by
    themselves, under other tokens: the machine may be in another place."""
    _, two = guest.people("ab")
    before = guest.tokens()
    since = guest.mark()
    guest.tell("lab", "suspend", hours=1)
    for name in "ab":
        guest.until(name, "down", since=since)
    guest.tell("a", "send", fp=two, text="good morning")
    guest.until("b", "text", lambda s: s["text"] == "good morning", timeout=120)
    # The kernel goes on with the old advert until the program has thawed and told BlueZ.
    guest.wait_for(lambda: not before & guest.tokens())


def test_a_file_cut_in_its_middle_is_resumed(guest: Guest) -> None:
    """What had arrived before the connection broke is not sent again."""
    _, two = guest.people("ab")
    data = guest.listen()
    guest.tell("a", "send_file", fp=two, size=30_000)  # one envelope of 32 KiB, and one more
    guest.wait_for(lambda: sum(map(len, data)) > 16_000)
    before = sum(map(len, data))
    guest.cut(0, 1)
    assert not guest.of("b", "file")
    guest.until("b", "file", timeout=120)
    again = sum(map(len, data)) - before
    print(f"measured: {before} bytes before the cut, {again} after it")
    assert again < 36_000 - before + 14_000  # window in flight, discovery, greeting


def test_two_runs_have_nothing_in_common(guest: Guest) -> None:
    """Whoever records the air cannot tie one evening to the next: neither address, nor token,
    nor eight bytes of anything that is sent, but for what all Bluetooth devices say."""
    runs = []
    for run in range(2):
        if run:  # an address lives for fifteen minutes, or until a restart
            for on in (False, True):
                guest.power(0, 1, on=on)
        adverts, data = guest.capture(), guest.listen()
        one, two = guest.people("ab")
        guest.tell("a", "send", fp=two, text="the same words")
        guest.until("b", "text")
        guest.tell("b", "send", fp=one, text="the same answer")
        guest.until("a", "text")
        guest.clear()
        addresses = {address for address, _ in adverts}
        tokens = {advert[-6:] for _, advert in adverts}
        runs.append((addresses, tokens, pieces(data)))
    for first, second in zip(*runs, strict=True):
        assert first
        assert second
        assert not first & second


def pieces(data: list[bytes]) -> set[bytes]:
    """Every eight bytes of our own values: writes and notifications of plain ATT and EATT."""
    found = set()
    for pdu in data:
        channel = int.from_bytes(pdu[2:4], "little")
        at = 4 if channel == 4 else 6 if channel >= 0x40 else len(pdu)
        if len(pdu) > at and pdu[at] in (0x12, 0x52, 0x1B):
            value = pdu[at + 3 + 4 :]  # behind the heads of ATT and of our fragment
            found |= {value[n : n + 8] for n in range(len(value) - 7)}
    return found


CRASHES: dict[str, Guest] = {}


@pytest.mark.parametrize(
    "fault", ["echo c > /proc/sysrq-trigger", "pkill -SEGV -x bluetoothd"], ids=["kernel", "BlueZ"]
)
def test_a_guest_that_crashed_is_replaced(guest: Guest, fault: str) -> None:
    """Both have done it by themselves. The test is run again, on another machine."""
    if fault not in CRASHES:
        CRASHES[fault] = guest
        guest.tell("lab", "sh", command=fault)
        guest.wait_for(lambda: False)
    assert guest is not CRASHES[fault]
    assert guest.tell("lab", "sh", command="pgrep -x bluetoothd")
