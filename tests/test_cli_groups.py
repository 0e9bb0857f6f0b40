"""Groups on the command line: real processes, real profiles, two nodes on this machine."""

import json
from pathlib import Path

import pytest
from test_cli import (  # noqa: F401
    Running,
    alice,
    bob,
    free_port,
    good,
    made,
    mesh,
    passfile,
    refused,
)


@pytest.fixture
def both(alice: Path, bob: Path, passfile: Path) -> tuple[Path, Path]:  # noqa: F811
    """Alice and Bob know each other."""
    secret = ("--passphrase-file", passfile)
    for one, other in ((alice, bob), (bob, alice)):
        card = good("card", "--home", other, *secret).strip()
        good("contact", "add", card, "--home", one, *secret)
    return alice, bob


def test_a_group_by_commands(both: tuple[Path, Path], passfile: Path) -> None:  # noqa: F811
    """Made, written in, renamed, listed, changed and left; every refusal one sentence."""
    home, _ = both
    node = Running(home, passfile, "--no-lan")
    try:
        use(home)
    finally:
        node.end()


def use(home: Path) -> None:
    def run(*args: object) -> str:
        return good(*args, home=home)

    shown = run("group", "new", "Ward 3", "Bob")
    assert shown.startswith("Ward 3  [admin, members: 2]")
    found = json.loads(run("group", "list", "--json"))["groups"]
    assert [(one["name"], one["admin"], one["members"]) for one in found] == [("Ward 3", True, 2)]
    mid = run("send", "group:Ward 3", "hello both").strip()
    sent = json.loads(run("message", mid, "--json"))["message"]
    assert sent["chat"] == {"kind": "group", "id": found[0]["gid"], "name": "Ward 3"}
    assert (sent["state"], sent["trust"]) == ("queued", "own")
    assert "Ward 3: me (queued): hello both" in run("read", "group:ward 3")
    members = json.loads(run("group", "members", found[0]["gid"][:8], "--json"))["members"]
    assert [(one["name"], one["trust"], one["admin"], one["key_known"]) for one in members] == [
        ("Alice", "own", True, True),
        ("Bob", "unverified", False, False),
    ]
    assert "has not answered yet" in run("group", "members", "Ward 3")
    assert "Ward 4  [admin" in run("group", "rename", "Ward 3", "Ward 4")
    run("group", "admin", "Ward 4", f"~{members[1]['tag']}")
    assert "members: 1" in run("group", "remove", "Ward 4", members[1]["fp"])
    run("group", "add", "Ward 4", "Bob")
    assert "members: 1" in run("group", "seized", "Bob")
    for args, code, says in (
        (("group", "add", "Ward 4", "Nobody"), 2, "No contact is called"),
        (("group", "remove", "Ward 4", "Bob"), 2, "Bob is not in Ward 4"),
        (("group", "members", "Ward 9"), 2, "no group 'Ward 9'; you are in Ward 4"),
        (("group", "seized", "Bob"), 2, "in none of your groups"),
        (("group", "new", "\u202e"), 2, "nothing that can be shown"),
        (("send", "group:x", "hi"), 2, "no group 'x'"),
    ):
        refused(mesh(*args, home=home), code, says)
    run("group", "leave", "Ward 4")
    assert run("group", "list") == ""
    refused(mesh("send", "group:Ward 4", "x", home=home), 2, "no group")


def test_two_people_in_a_group(both: tuple[Path, Path], passfile: Path) -> None:  # noqa: F811
    """Over a real link: invited, both write, one is removed and told so."""
    home, other = both
    port = free_port()
    one = Running(home, passfile, "--listen", f"127.0.0.1:{port}")
    two = Running(other, passfile, "--listen", "127.0.0.1:0", "--peer", f"127.0.0.1:{port}")
    try:
        gid = json.loads(good("group", "new", "Ward", "Bob", "--json", home=home))["group"]["gid"]
        two.until("group", lambda e: e["group"]["gid"] == gid)
        good("send", "group:Ward", "from Alice", home=home)
        heard = two.until("message", lambda e: e["message"]["text"] == "from Alice")["message"]
        assert (heard["chat"]["name"], heard["author_name"]) == ("Ward", "Alice")
        good("send", "group:Ward", "from Bob", home=other)
        heard = one.until("message", lambda e: e["message"]["text"] == "from Bob")["message"]
        assert heard["author_name"] == "Bob" and not heard["outgoing"]
        good("group", "remove", "Ward", "Bob", home=home)
        two.until("group", lambda e: e["group"]["membership"] == "removed")
        refused(mesh("send", "group:Ward", "x", home=other), 2, "You were removed from Ward")
    finally:
        two.end()
        one.end()
