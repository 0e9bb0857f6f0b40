"""What a device gives away that was taken: files, memory after the lock, dumps, logs, swap."""

import base64
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from meshchat import cli, doctor, keyfile, twins
from meshchat.core.events import AddContact, SaveDraft, Send
from meshchat.core.model import contact_chat
from meshchat.core.node import Node
from meshchat.logfile import start_log
from meshchat.profile import Profile
from meshchat.system import SystemEntropy, system_now
from meshchat.threat import SECTIONS, WIDTH

WORDS = "five random words are good"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(autouse=True)
def quick_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """How slow a guess is, is tested elsewhere."""
    monkeypatch.setattr(keyfile, "MEMORY_FLOOR_KIB", 1_024)
    monkeypatch.setattr(twins, "NOISE_PAGES", (64, 256))


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    made = Profile(tmp_path / "home")
    made.init("Aigerim", WORDS, small=True)
    return made


def forms(secret: bytes) -> list[bytes]:
    """The same in the ways programs write things down."""
    found = [secret, secret.hex().encode(), base64.b64encode(secret)[:-4], base64.b32encode(secret)]
    try:
        found.append(secret.decode().encode("utf-16-le"))
    except UnicodeDecodeError:
        found.append(secret[::-1])
    return found


def image(home: Path) -> bytes:
    """Every byte of every file, names too."""
    files = [path for path in sorted(home.rglob("*")) if path.is_file()]
    return b"".join(path.name.encode() + path.read_bytes() for path in files)


def test_the_disk_tells_nothing(profile: Profile) -> None:
    """Row 21, attack 58: no text, name, fingerprint, seed or key, while a node runs and after."""
    friend = Profile(profile.home.with_name("friend"))
    friend.init("Bolat-Batyr", WORDS, small=True)
    cards = []
    for one in (friend, profile):
        with one.locked():
            store = one.unlock(WORDS)
            with store.transaction():
                cards.append(Node(store, SystemEntropy(), system_now()).card_text())
            if one is friend:
                store.close()
    with store.transaction():
        node = Node(store, SystemEntropy(), system_now())
        node.handle(AddContact(cards[0]), system_now())
        fp = store.contacts()[0].fp
        chat = contact_chat(fp)
        node.handle(Send(chat, "meet at the old bridge"), system_now())
        node.handle(SaveDraft(chat, "bring the red folder"), system_now())
    secrets = [
        *(b"meet at the old bridge", b"bring the red folder", b"Bolat-Batyr", b"Aigerim"),
        *(fp, node.fp, node._people.seed, store.prekeys()[0].secret),
        profile.find_key(WORDS)[1],
        WORDS.encode(),
    ]
    start_log(profile.log_path, "debug")
    try:
        raise ValueError("meet at the old bridge")
    except ValueError:
        logging.getLogger("meshchat.test").exception("something broke")
    running = image(profile.home)
    store.close()
    assert b"ValueError at test_at_rest.py" in running  # the log was written, and only that
    for disk in (running, image(profile.home)):
        assert len(disk) > 100_000
        found = [form for secret in secrets for form in forms(secret) if form in disk]
        assert found == []


@LINUX
def test_no_core_and_no_onlooker() -> None:
    """After ``harden`` there is no core dump and another process of the same user sees no memory;
    before it, it does."""
    if os.geteuid() != 0:
        pytest.skip("needs two processes of another user")
    code = (
        "import ctypes, os, sys, resource; from meshchat.system import harden\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as any program that changed no user\n"
        "most = resource.getrlimit(resource.RLIMIT_CORE)[1]  # many shells forbid dumps as it is\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (most, most))\n"
        "if sys.argv[1] == 'y': harden()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0], flush=True); sys.stdin.read()"
    )
    look = (
        "import os, sys; os.setgid(65534); os.setuid(65534)\nopen(f'/proc/{sys.argv[1]}/mem', 'rb')"
    )
    seen, core = {}, {}
    for hardened in "ny":
        with subprocess.Popen(
            [sys.executable, "-c", code, hardened],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as program:  # fmt: skip
            assert program.stdout is not None and program.stdin is not None
            core[hardened] = program.stdout.readline().strip()
            done = subprocess.run(
                [sys.executable, "-c", look, str(program.pid)], capture_output=True, check=False
            )
            seen[hardened] = done.returncode == 0
            program.stdin.close()
    if not seen["n"]:
        pytest.skip("this system lets nobody look at all")
    assert (core["y"], seen["y"]) == ("0", False)
    if core["n"] == "0":
        pytest.skip("no program may leave a core dump here anyway")


def test_ten_wrong_passphrases(
    profile: Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence each, the same; nothing is locked or lost, and the right one opens."""
    files = {}
    for name, words in (("wrong", "guess"), ("right", WORDS)):
        files[name] = tmp_path / name
        files[name].write_text(words)
    before = profile.key_path.read_bytes()
    for _ in range(10):
        given = ("name", "--home", str(profile.home), "--passphrase-file", str(files["wrong"]))
        assert cli.main([*given]) == 4
        assert capsys.readouterr() == ("", "meshchat: The passphrase is wrong. Try again.\n")
    assert profile.key_path.read_bytes() == before
    assert cli.main([*given[:-1], str(files["right"])]) == 0
    assert capsys.readouterr().out == "Aigerim\n"


@LINUX
def test_wipe_does_not_wait_for_a_node_that_hangs(profile: Profile, tmp_path: Path) -> None:
    """The key is gone at once, before the node so much as answers."""
    (tmp_path / "pw").write_text(WORDS)
    quick = "import meshchat.keyfile as k; k.MEMORY_FLOOR_KIB = 1024\n"
    run = quick + "import sys; from meshchat.cli import main; sys.exit(main())"
    where = ["--home", str(profile.home)]
    secret = ["--passphrase-file", str(tmp_path / "pw")]
    node = subprocess.Popen(
        [sys.executable, "-c", run, "node", "--no-lan", "--no-ble", *where, *secret],
        stdout=subprocess.PIPE,
    )
    assert node.stdout is not None
    with node.stdout as out:
        assert b"runs as" in out.readline()
        node.send_signal(signal.SIGSTOP)
        wipe = subprocess.Popen([sys.executable, "-c", run, "wipe", "--yes", *where])
        end = time.monotonic() + 20
        while profile.key_path.exists():
            assert time.monotonic() < end, "the key is still there"
            time.sleep(0.01)
        assert wipe.poll() is None and profile.store_path.exists()
        node.send_signal(signal.SIGCONT)
        assert (wipe.wait(20), node.wait(20)) == (0, 0)
    assert not profile.home.exists()


@pytest.mark.parametrize(
    ("device", "uuid", "level"),
    [
        ("/dev/sda2", "", "warn"),
        ("/swapfile", "", "warn"),
        ("/dev/zram0", "", "ok"),
        ("/dev/dm-1", "CRYPT-LUKS2-abc", "ok"),
        ("/dev/dm-1", "CRYPT-PLAIN-swap", "ok"),
        ("/dev/dm-1", "LVM-abc", "warn"),
    ],
)
def test_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, uuid: str, level: str
) -> None:
    """Only what is known to be encrypted, or stays in memory, is fine. A volume manager is not."""
    swaps = tmp_path / "swaps"
    swaps.write_text(f"Filename Type Size Used Priority\n{device} partition 1 0 -2\n")
    if uuid:
        folder = tmp_path / Path(device).name / "dm"
        folder.mkdir(parents=True)
        (folder / "uuid").write_text(uuid)
    monkeypatch.setattr(doctor, "_BLOCKS", tmp_path)
    check = doctor._swap(swaps)
    assert check.level == level
    assert level == "ok" or ("swapoff" in check.says and device in check.says)


def test_threats_in_plain_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """All sections or one, without a profile, narrow enough, and as JSON."""
    assert cli.main(["threat"]) == 0
    text = capsys.readouterr().out
    assert all(section.title in text for section in SECTIONS)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert cli.main(["threat", "decoy"]) == 0
    assert len(capsys.readouterr().out) < len(text) / 3
    assert cli.main(["threat", "rooms", "--json"]) == 0
    assert '"name":"rooms"' in capsys.readouterr().out.replace(" ", "")
    assert cli.main(["threat", "nothing"]) == 2
    assert "decoy" in capsys.readouterr().err


@LINUX
def test_idle_the_program_forgets(profile: Profile, tmp_path: Path) -> None:
    """Nobody at the keys: the same process number, and not a trace of the keys in its memory."""
    sys.path.insert(0, str(Path(__file__).parent / "ui"))
    from test_pty import Terminal

    (tmp_path / "pw").write_text(WORDS)
    code = (
        "import sys, msgspec.structs, meshchat.cli as cli, meshchat.ui.app as app\n"
        "import meshchat.commands.node as node\n"
        "import meshchat.keyfile as k; k.MEMORY_FLOOR_KIB = 1024\n"
        "app.IDLE_LOOK_S = 0.2; options = node.runtime_options\n"
        "change = msgspec.structs.replace\n"
        "node.runtime_options = lambda a, p: change(options(a, p), idle_minutes=0.05)\n"
        "sys.exit(cli.main())"
    )
    with profile.locked():
        store = profile.unlock(WORDS)
        seed, key = store.get("seed") or b"", profile.find_key(WORDS)[1]
        store.close()
    secret = ("--passphrase-file", str(tmp_path / "pw"))
    where = ("--home", str(profile.home), "--no-lan", "--no-ble", *secret)
    program = Terminal("-c", code, *where)
    try:
        program.settle(b"meshchat")
        end = time.monotonic() + 20
        while not remembers(program.pid, seed):  # else this finds nothing
            assert time.monotonic() < end, "the profile was never opened"
            program.settle()
        program.output = b""
        while remembers(program.pid, seed) or remembers(program.pid, key.hex().encode()):
            assert time.monotonic() < end + 30, "it still knows"
            program.settle()
        program.settle(b"Passphrase")
        assert program.alive(), program.last_words()
        opened = [str(path.readlink()) for path in Path(f"/proc/{program.pid}/fd").iterdir()]
        assert not any("store" in path for path in opened)
        assert not profile.store_path.with_name("store.db-wal").exists()
    finally:
        program.close()


def remembers(pid: int, secret: bytes) -> bool:
    """Whether some bytes are in a process's writable memory."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            span, mode, *_ = line.split()
            if not mode.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(start)
                if secret in memory.read(end - start):
                    return True
            except (OSError, ValueError, OverflowError):
                continue
    return False
