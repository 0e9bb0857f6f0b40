"""The proof of the whole: real processes on real (small) networks, every one killed once.

Hosts h1 (Aida) and h2 (Carrier) start on lan1, h3 (Bolat) is on lan2; Aida and Bolat never
share a LAN. Everything goes through the installed command, as a person or a script would use it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from labtool import NEEDS_LAB, Lab
from person import Person, crew, wait_for

pytestmark = [pytest.mark.lab, NEEDS_LAB, pytest.mark.timeout(240)]

Trio = tuple[Lab, Person, Person, Person]


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Trio]:
    with crew("mccarry", "Aida Carrier Bolat", tmp_path, "--lans", "2", start=False) as made:
        lab, (aida, carrier, bolat) = made
        for host, lan in (("h1", "lan1"), ("h2", "lan1"), ("h3", "lan2")):
            lab.run("join", host, lan)
        yield lab, aida, carrier, bolat


def test_a_stranger_carries_mail_between_two_lans(people: Trio) -> None:
    """Queued, carried, delivered; each node killed -9 on the way; nothing lost, nothing twice."""
    lab, aida, carrier, bolat = people
    aida.run("contact", "add", str(bolat.run("card")["card"]))
    bolat.run("contact", "add", str(aida.run("card")["card"]))
    bolat.run("contact", "verify", "Aida")

    aida.start()
    mid = str(aida.run("send", "Bolat", "сәлем through a stranger")["message"]["id"])
    assert aida.state(mid) == "queued"
    aida.kill()
    aida.start()
    assert aida.state(mid) == "queued"

    carrier.start()
    took = wait_for(lambda: aida.state(mid) == "carried", "the stranger takes it", 30)
    print(f"carried after {took:.1f} s")
    carrier.kill()

    lab.run("join", "h2", "lan2")
    carrier.start()
    bolat.start()
    took = wait_for(lambda: bolat.texts("Aida"), "Bolat reads it", 30)
    print(f"read after {took:.1f} s")
    bolat.kill()
    bolat.start()
    [message] = bolat.messages("Aida")
    assert message["text"] == "сәлем through a stranger"
    assert bolat.run("contact", "list")["contacts"][0]["trust"] == "verified"
    assert aida.state(mid) == "carried"
    # the receipt leaves Bolat 5 to 60 s after reading: wait until the stranger holds it
    wait_for(lambda: carrier.run("status")["custody"]["proofs"], "the receipt leaves", 90)

    lab.run("join", "h2", "lan1")
    took = wait_for(lambda: aida.state(mid) == "delivered", "the receipt comes home", 30)
    print(f"delivered {took:.1f} s after the stranger came back")
    assert aida.texts("Bolat") == ["сәлем through a stranger"]
    assert bolat.texts("Aida") == ["сәлем through a stranger"]
    assert carrier.lines("read") == []


def test_three_on_one_lan_talk_in_a_room(people: Trio) -> None:
    """A public room: each reads all three, once, also after one was killed and came back."""
    lab, *everybody = people
    lab.run("join", "h3", "lan1")
    for person in everybody:
        person.run("room", "join", "#courtyard")
        person.start()
    for person in everybody:
        wait_for(
            lambda who=person: len(who.run("status")["neighbours"]) == 2,  # type: ignore[misc]
            f"{person.name} has two neighbours",
            30,
        )
    for person in everybody:
        person.run("send", "#courtyard", f"I am {person.name}")
    said = sorted(f"I am {person.name}" for person in everybody)
    for person in everybody:
        wait_for(lambda who=person: sorted(who.texts("#courtyard")) == said, "all is read", 20)  # type: ignore[misc]
    everybody[1].kill()
    everybody[0].run("send", "#courtyard", "while you were gone")
    everybody[1].start()
    wait_for(
        lambda: sorted(everybody[1].texts("#courtyard")) == sorted([*said, "while you were gone"]),
        "the one that was gone catches up",
        30,
    )
