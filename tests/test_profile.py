"""Profiles on disk: birth, lock, settings, end, and what happens when the disk will not."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshchat.config import RuntimeOptions, read_options, split_address
from meshchat.errors import StoreError, UsageError
from meshchat.logfile import start_log
from meshchat.profile import Profile

PASSPHRASE = "five random words are good"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_init_makes_a_private_profile_that_unlocks(home: Path) -> None:
    """The files are there, for the owner only, and the passphrase opens the identity."""
    profile = Profile(home)
    profile.init("Алия", PASSPHRASE, small=True)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for path in (profile.key_path, profile.store_path):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    with profile.locked():
        store = profile.unlock(PASSPHRASE)
        assert (store.get("name") or b"").decode() == "Алия"
        store.close()
    assert sorted(path.name for path in home.iterdir()) == ["key", "lock", "store.db", "store2.db"]


def test_restore_gives_the_same_identity(home: Path, tmp_path: Path) -> None:
    """A seed from a backup is written as it is."""
    profile = Profile(home)
    profile.init("a", PASSPHRASE, seed=bytes(range(32)), small=True)
    with profile.locked():
        store = profile.unlock(PASSPHRASE)
        assert store.get("seed") == bytes(range(32))
        store.close()


@pytest.mark.parametrize(
    ("name", "passphrase", "reason"),
    [
        ("", PASSPHRASE, "bad_name"),
        ("\u202e\u0007", PASSPHRASE, "bad_name"),
        ("x" * 10_000, PASSPHRASE, "name_too_long"),
        ("ж" * 25, PASSPHRASE, "name_too_long"),
        ("a", "", "passphrase_empty"),
    ],
)
def test_bad_input_to_init_leaves_nothing(
    home: Path, name: str, passphrase: str, reason: str
) -> None:
    """A refused init says why and creates no file."""
    with pytest.raises(UsageError) as caught:
        Profile(home).init(name, passphrase, small=True)
    assert caught.value.reason == reason
    assert not home.exists()


def test_init_twice_keeps_the_first(home: Path) -> None:
    """A profile is never overwritten."""
    profile = Profile(home)
    profile.init("a", PASSPHRASE, small=True)
    before = profile.key_path.read_bytes()
    with pytest.raises(UsageError, match="already"):
        profile.init("b", PASSPHRASE, small=True)
    assert profile.key_path.read_bytes() == before


def test_a_beaten_init_leaves_the_winner_alone(home: Path) -> None:
    """Two at once: the one that comes too late removes nothing of the other's."""
    other, late = Profile(home), Profile(home)
    late.has_home = lambda: False  # type: ignore[method-assign]  # it looked just before
    with other.locked():
        (home / "key").write_bytes(b"the winner's")
        with pytest.raises(StoreError, match="in use"):
            late.init("late", "pw", small=True)
    assert (home / "key").read_bytes() == b"the winner's"


def test_init_after_a_cut_one(home: Path) -> None:
    """Leftovers of an init that was killed do not stand in the way."""
    (home / ".init-dead").mkdir(parents=True)
    (home / "store.db").write_bytes(b"half")
    (home / "store.db-wal").write_bytes(b"half")
    profile = Profile(home)
    assert not profile.exists()
    profile.init("a", PASSPHRASE, small=True)
    with profile.locked():
        profile.unlock(PASSPHRASE).close()


def test_wrong_passphrase(home: Path) -> None:
    """It is told apart from damage, with exit code 4."""
    profile = Profile(home)
    profile.init("a", PASSPHRASE, small=True)
    with pytest.raises(StoreError) as caught:
        profile.unlock("wrong")
    assert (caught.value.reason, caught.value.exit_code) == ("wrong_passphrase", 4)


def test_the_lock_names_the_process_that_holds_it(home: Path) -> None:
    """A second process is told who has the profile; a killed one leaves no lock."""
    code = (
        "import sys; from meshchat.profile import Profile\n"
        f"with Profile({str(home)!r}).locked(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        who = f"in use by process {holder.pid};"
        with pytest.raises(StoreError, match=who) as caught, Profile(home).locked():
            pass
        assert caught.value.reason == "in_use"
        holder.kill()
        holder.wait()
    with Profile(home).locked():
        assert Profile(home).lock_path.read_text() == f"{os.getpid()}\n"


def test_wipe_leaves_nothing_of_ours(home: Path) -> None:
    """Key, store, settings and log go; a file of somebody else stays."""
    profile = Profile(home)
    profile.init("a", PASSPHRASE, small=True)
    profile.config_path.write_text("[lan]\nenabled = false\n")
    start_log(profile.log_path)
    (home / "letter.txt").write_text("mine")
    profile.wipe()
    assert [path.name for path in home.iterdir()] == ["letter.txt"]


def test_wipe_in_use_is_refused(home: Path) -> None:
    """While a process holds the profile nothing is destroyed."""
    profile = Profile(home)
    profile.init("a", PASSPHRASE, small=True)
    with profile.locked(), pytest.raises(StoreError, match="in use"):
        profile.wipe()
    assert profile.exists()


def test_a_folder_of_others_is_no_home(tmp_path: Path) -> None:
    """A sticky, shared folder such as /tmp is not made private by force."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(UsageError, match="shared"):
        Profile(shared).init("a", PASSPHRASE, small=True)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


def test_unusable_home_is_one_sentence(tmp_path: Path) -> None:
    """A home that cannot be a folder is a StoreError that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is not usable: Not a directory") as caught:
        Profile(tmp_path / "file" / "home").init("a", PASSPHRASE, small=True)
    assert caught.value.reason == "unusable_home"


def _in_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script as root of new user and mount namespaces, or skip."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    tried = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("this system gives no user namespaces")
    return subprocess.run(
        ["unshare", "-rm", "sh", "-ec", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [("size=64k", "full"), ("ro", "Read-only file system")],
)
def test_init_on_a_bad_disk_leaves_nothing(tmp_path: Path, options: str, says: str) -> None:
    """On a real full or read-only disk: exit code 4, one sentence, no half profile."""
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "pw").write_text(PASSPHRASE)
    done = _in_namespace(
        f"mount -t tmpfs -o {options},mode=700 none {disk}; set +e; "
        f"{sys.executable} -m meshchat init --name a --small --home {disk}/home "
        f"--passphrase-file {tmp_path}/pw; echo code $?; ls -A {disk}"
    )
    assert done.stdout == "code 4\n", done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_full_stick_and_a_read_only_home(tmp_path: Path) -> None:
    """Half a card is not left in the way of the next; the passphrase is not changed."""
    home, stick, passfile = tmp_path / "home", tmp_path / "stick", tmp_path / "pw"
    stick.mkdir()
    passfile.write_text(PASSPHRASE)
    Profile(home).init("a", PASSPHRASE, small=True)
    run = f"{sys.executable} -m meshchat --home {home} --passphrase-file {passfile}"
    done = _in_namespace(
        f"mount -t tmpfs -o size=4k,mode=700 none {stick}; set +e; cat /dev/zero > {stick}/more; "
        f"{run} card --out {stick}/card; echo code $?; ls {stick}; "
        f"mount --bind {home} {home}; mount -o remount,ro,bind {home}; "
        f"{run} passphrase --small --new-passphrase-file {passfile}; echo code $?"
    )
    assert done.stdout == "code 2\nmore\ncode 4\n", done.stderr
    _, card, passphrase = done.stderr.splitlines()  # the first is of cat
    assert "No space left" in card and "Read-only file system" in passphrase


# --- settings -----------------------------------------------------------------------------------


def test_no_settings_are_the_defaults(home: Path) -> None:
    """Without a file everything has its default."""
    assert read_options(Profile(home).config_path) == RuntimeOptions()


def test_every_documented_setting_is_read(home: Path) -> None:
    """The example in the reference page is valid and names every key."""
    page = Path(__file__).parent.parent / "docs" / "reference" / "config.md"
    example = page.read_text("utf-8").split("```toml\n")[1].split("```")[0]
    home.mkdir()
    (home / "config.toml").write_text(example, "utf-8")
    assert read_options(Profile(home).config_path) == RuntimeOptions(
        lan=True,
        listen="0.0.0.0:4747",
        peers=("192.0.2.7:4747", "[2001:db8::7]:4747"),
        discover=True,
        interfaces=("wlan0",),
        ble=True,
        ble_profile="normal",
        ble_adapter="hci1",
        mesh_passphrase="...",
        receipts=True,
        store_megabytes=256,
        log_level="warning",
        language="ru",
        theme="contrast",
        glyphs="plain",
        emoji="simple",
        keys=(("mesh", "f8"), ("find", "ctrl+g,f9")),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[ui]\ntheme = 'pink'\n", "line 2, needs one of dark, light"),
        ("[ui]\nglyphs = 1\n", "line 2, needs a text in quotes for 'glyphs'"),
        ("[lock]\nhide_minutes = -1\n", "line 2, needs 0 (never) to 1440 for 'hide_minutes'"),
        ("[ui]\nnotify = 'shout'\n", "line 2, needs one of off, bell"),
        ("[keys]\nmesh = 8\n", "line 2, needs a key in quotes for 'mesh' in [keys]"),
        ("[lan]\nenabled = 1\n", "line 2, needs true or false for 'enabled'"),
        ("[lan]\n\nport = 5\n", "line 3, has an unknown key 'port'"),
        ("[radio]\n", "line 1, has an unknown key 'radio'"),
        ("lan = 3\n", "line 1, has an unknown key 'lan'"),
        ("[lan]\npeers = [1]\n", "line 2, needs a list"),
        ("[lan]\npeers = ['here']\n", "line 2, has a bad value for 'peers'"),
        ("[lan]\nlisten = '1.2.3.4'\n", "line 2, has a bad value for 'listen'"),
        ("[log]\nlevel = 'loud'\n", "line 2, needs one of error"),
        ("[lan\n", "line 1"),
        ("\ud800", "is not UTF-8"),
        ("#" * 70_000, "is over"),
        ("a = " + "[" * 5_000, "config.toml"),
    ],
)
def test_bad_settings_name_file_line_and_key(home: Path, text: str, says: str) -> None:
    """Whatever is wrong, the sentence leads to it."""
    home.mkdir()
    (home / "config.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UsageError) as caught:
        read_options(Profile(home).config_path)
    assert says in str(caught.value)
    assert str(home / "config.toml") in str(caught.value)


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_any_settings_file_is_read_or_refused(tmp_path: Path, raw: bytes) -> None:
    """No bytes in the settings file raise anything but UsageError."""
    (tmp_path / "config.toml").write_bytes(raw)
    try:
        read_options(Profile(tmp_path).config_path)
    except UsageError as error:
        assert "config.toml" in str(error)


@given(st.text(max_size=60))
def test_any_address_is_split_or_refused(text: str) -> None:
    """An accepted address has a host and a port in range."""
    try:
        host, port = split_address(text)
    except UsageError:
        return
    assert host
    assert 0 <= port <= 65_535


def test_a_long_home_has_its_socket_elsewhere(tmp_path: Path) -> None:
    """A Unix socket's path is short; two long homes do not share one."""
    one, other = (Profile(tmp_path / (letter * 120)) for letter in "ab")
    assert len(os.fsencode(one.socket_path)) <= 100
    assert one.socket_path != other.socket_path
    assert Profile("/short").socket_path == Path("/short/node.sock")


@pytest.mark.parametrize("value", ["7", "65537", "true", '"256"', "1.5"])
def test_store_size_is_checked(home: Path, value: str) -> None:
    """A store size that makes no sense is refused with file, line and key."""
    profile = Profile(home)
    home.mkdir(exist_ok=True)
    profile.config_path.write_text(f"[store]\nmegabytes = {value}\n")
    with pytest.raises(UsageError, match=r"config\.toml, line 2.*'megabytes'"):
        read_options(profile.config_path)


def test_node_settings(home: Path) -> None:
    """Closed mesh, receipts and store size are read."""
    profile = Profile(home)
    home.mkdir(exist_ok=True)
    profile.config_path.write_text(
        '[mesh]\npassphrase = "x y"\n[receipts]\nsend = false\n[store]\nmegabytes = 8\n'
    )
    options = read_options(profile.config_path)
    assert (options.mesh_passphrase, options.receipts, options.store_megabytes) == ("x y", False, 8)


def test_screen_settings(home: Path) -> None:
    """Colours, signs, bell, lock, mouse and keys are read."""
    profile = Profile(home)
    home.mkdir(exist_ok=True)
    profile.config_path.write_text(
        '[ui]\ntheme = "contrast"\nglyphs = "plain"\nnotify = "off"\n'
        'mouse = false\nlanguage = "kk"\n[lock]\nhide_minutes = 0\n[keys]\nmesh = "f8"\n'
    )
    found = read_options(profile.config_path)
    assert (found.theme, found.glyphs, found.notify) == ("contrast", "plain", "off")
    assert (found.hide_minutes, found.mouse, found.language) == (0, False, "kk")
    assert found.keys == (("mesh", "f8"),)
