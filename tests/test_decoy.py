"""Two passphrases, two stores: each opens its own, and nothing outside tells which is real."""

import os
import zlib
from pathlib import Path

import pytest

from meshchat import keyfile, twins
from meshchat.config import RuntimeOptions
from meshchat.core.model import Contact
from meshchat.errors import StoreError, UsageError
from meshchat.profile import WRONG_WAIT_MAX_S, Profile, wait_after
from meshchat.store import SqlStore
from meshchat.text import Clean
from meshchat.ui.app import MeshApp

REAL, DECOY = "five random words are good", "holiday pictures of my cat"
FILES = ["key", "lock", "store.db", "store2.db"]


@pytest.fixture(autouse=True)
def quick_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """How slow a guess is, is tested elsewhere; here there are hundreds."""
    monkeypatch.setattr(keyfile, "MEMORY_FLOOR_KIB", 1_024)
    monkeypatch.setattr(twins, "NOISE_PAGES", (64, 256))


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """A real profile with somebody in it."""
    made = Profile(tmp_path / "home")
    made.init("Aida", REAL, small=True)
    with made.locked():
        store = made.unlock(REAL)
        with store.transaction():
            store.save_contact(Contact(b"B" * 32, b"card", Clean("Bolat")))
        store.close()
    return made


def opened(profile: Profile, passphrase: str) -> tuple[str, list[str]]:
    """Own name and contacts of what a passphrase opens."""
    with profile.locked():
        store = profile.unlock(passphrase)
        try:
            return (store.get("name") or b"").decode(), [c.petname for c in store.contacts()]
        finally:
            store.close()


def reason(profile: Profile, passphrase: str) -> str:
    with pytest.raises(StoreError) as caught:
        opened(profile, passphrase)
    return caught.value.reason


def outside(profile: Profile) -> tuple[list[str], list[int], set[int]]:
    """What the disk shows without a passphrase: names, coarse sizes, times."""
    paths = sorted(profile.home.iterdir())
    times = {path.stat().st_mtime_ns for path in profile.store_paths}
    return [p.name for p in paths], [profile.key_path.stat().st_size], times


def test_each_passphrase_opens_its_own(profile: Profile) -> None:
    """The decoy is a whole identity of its own; the real one has lost nothing."""
    profile.add_decoy(REAL, DECOY, "Visitor")
    assert opened(profile, DECOY) == ("Visitor", [])
    assert opened(profile, REAL) == ("Aida", ["Bolat"])
    assert opened(profile, DECOY) == ("Visitor", [])
    assert reason(profile, "guess") == "wrong_passphrase"


def test_nothing_outside_tells(profile: Profile, tmp_path: Path) -> None:
    """Same files, same key file, one time for both stores; both are noise to the eye."""
    plain = Profile(tmp_path / "plain")
    plain.init("Erlan", DECOY, small=True)
    opened(plain, DECOY)
    profile.add_decoy(REAL, DECOY, "Visitor")
    opened(profile, REAL)
    seen = [outside(one) for one in (plain, profile)]
    assert [names for names, _, _ in seen] == [FILES, FILES]
    assert [sizes for _, sizes, _ in seen] == [[200], [200]]
    assert [len(times) for _, _, times in seen] == [1, 1]
    for one in (plain, profile):
        slots = one.key_path.read_bytes()
        assert slots[:12] == slots[100:112]  # the same work, used or not
        for path in one.store_paths:
            data = path.read_bytes()
            assert len(data) % twins.PAGE_BYTES == 0 and path.stat().st_mode & 0o777 == 0o600
            assert len(zlib.compress(data)) > len(data) and b"SQLite" not in data


def test_the_decoy_opens_the_place_that_all_open(profile: Profile) -> None:
    """Without a decoy the passphrase opens the first slot; so does the decoy's with one."""
    assert profile.find_key(REAL)[0] == 0
    profile.add_decoy(REAL, DECOY, "Visitor")
    assert (profile.find_key(DECOY)[0], profile.find_key(REAL)[0]) == (0, 1)


def test_the_time_to_unlock_tells_nothing(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both slots are tried whatever is typed."""
    profile.add_decoy(REAL, DECOY, "Visitor")
    stretch, calls = keyfile._stretch, []

    def counted(*given: object) -> bytes:
        calls.append(1)
        return stretch(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(keyfile, "_stretch", counted)
    for passphrase in (REAL, DECOY, "guess"):
        calls.clear()
        try:
            profile.find_key(passphrase)
        except StoreError as error:
            assert error.reason == "wrong_passphrase"
        assert len(calls) == 2


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_cut_in_the_making_loses_nothing(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Power gone before any of the three moves: the real passphrase opens all that was there."""
    done = [0]

    def cut(*_: object) -> None:
        done[0] += 1
        if done[0] == step:
            raise OSError(5, "cut")

    replace, take = Path.replace, keyfile.take

    def replaced(self: Path, target: Path) -> Path:
        if self.suffix == ".db":
            cut()
        return replace(self, target)

    def taken(path: Path, fresh: Path) -> None:
        cut()
        take(path, fresh)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replaced)
        patch.setattr(keyfile, "take", taken)
        patch.setattr("meshchat.twins.level", lambda _: None)  # nor is this reached
        with pytest.raises(StoreError):
            profile.add_decoy(REAL, DECOY, "Visitor")
    assert opened(profile, REAL) == ("Aida", ["Bolat"])
    assert reason(profile, DECOY) == "wrong_passphrase"
    assert sorted(path.name for path in profile.home.iterdir()) == FILES
    profile.add_decoy(REAL, DECOY, "Visitor")
    assert opened(profile, REAL) == ("Aida", ["Bolat"])


def test_a_decoy_that_destroys(profile: Profile) -> None:
    """Entering its passphrase is enough; afterwards the real one opens nothing, and no flag
    tells why."""
    profile.add_decoy(REAL, DECOY, "Visitor", destroy=True)
    assert opened(profile, REAL) == ("Aida", ["Bolat"])
    before = profile.key_path.read_bytes()
    assert opened(profile, DECOY) == ("Visitor", [])
    after = profile.key_path.read_bytes()
    assert (before[:112], len(after)) == (after[:112], 200) and before[112:] != after[112:]
    assert reason(profile, REAL) == "wrong_passphrase"
    with profile.locked():
        store = profile.unlock(DECOY)
        assert not store.get("duress")
        store.close()


def test_passphrases_of_both_can_change(profile: Profile) -> None:
    """Changing one leaves the other."""
    profile.add_decoy(REAL, DECOY, "Visitor")
    keyfile.change_passphrase(profile.key_path, REAL, "new real", small=True)
    keyfile.change_passphrase(profile.key_path, DECOY, "new decoy", small=True)
    assert opened(profile, "new real")[0] == "Aida"
    assert opened(profile, "new decoy")[0] == "Visitor"


def test_a_key_file_of_the_first_version(profile: Profile) -> None:
    """One slot opens as before, and becomes two with the next change of the passphrase."""
    profile.key_path.write_bytes(profile.key_path.read_bytes()[:100])
    profile.store_paths[1].unlink()
    assert opened(profile, REAL) == ("Aida", ["Bolat"])
    assert profile.store_paths[1].exists()
    keyfile.change_passphrase(profile.key_path, REAL, "new", small=True)
    assert profile.key_path.stat().st_size == 200 and opened(profile, "new")[0] == "Aida"


def test_refusals(profile: Profile) -> None:
    """One sentence each, and nothing changed."""
    before = profile.key_path.read_bytes()
    for given, why in (
        ((REAL, "", "Visitor"), "passphrase_empty"),
        ((REAL, REAL, "Visitor"), "same_passphrase"),
        ((REAL, DECOY, ""), "bad_name"),
    ):
        with pytest.raises(UsageError) as caught:
            profile.add_decoy(*given)
        assert caught.value.reason == why
    assert profile.key_path.read_bytes() == before
    profile.add_decoy(REAL, DECOY, "Visitor")
    with pytest.raises(UsageError) as caught:
        profile.add_decoy(REAL, "third", "Visitor")
    assert caught.value.reason == "decoy_exists"
    assert opened(profile, REAL) == ("Aida", ["Bolat"])


def test_wipe_takes_both(profile: Profile) -> None:
    profile.add_decoy(REAL, DECOY, "Visitor")
    profile.wipe()
    assert not profile.home.exists()


async def test_the_lock_screen_keeps_them_apart(profile: Profile) -> None:
    """Over an open decoy the real passphrase is as wrong as any."""
    profile.add_decoy(REAL, DECOY, "Visitor")
    app = MeshApp(profile, RuntimeOptions(lan=False), None)
    with app.held:
        app.held.enter_context(profile.locked())
        await app._unlock(DECOY)
        for passphrase in (REAL, "guess"):
            with pytest.raises(StoreError) as caught:
                await app._unlock(passphrase)
            assert caught.value.reason == "wrong_passphrase"
        await app._unlock(DECOY)


def test_noise_is_of_any_plausible_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each doubling is as likely, so that no size says *this is the noise*."""
    random, sizes = os.urandom, []
    monkeypatch.setattr(twins, "NOISE_PAGES", (64, 4_096))
    for draw in (0, 2**63, 2**64 - 1):
        drawn = draw.to_bytes(8, "little")
        with monkeypatch.context() as patch:
            patch.setattr(os, "urandom", lambda n, drawn=drawn: drawn if n == 8 else random(n))
            twins.fill(tmp_path / "noise")
        sizes.append((tmp_path / "noise").stat().st_size)
    assert sizes[0] == 256 << 10 and sizes[1] == 2 << 20 and 15 << 20 < sizes[2] <= 16 << 20


def test_a_damaged_store_is_told_as_before(profile: Profile) -> None:
    """That there are two files hides no damage of the one."""
    path = profile.store_path
    path.write_bytes(b"x" * path.stat().st_size)
    assert reason(profile, REAL) in ("wrong_key", "corrupt")
    assert isinstance(SqlStore.memory(), SqlStore)


def test_the_wait_grows_and_ends() -> None:
    """Two slips cost nothing, ten wrong ones half a minute each at most; nothing is ever locked."""
    waits = [wait_after(n) for n in range(12)]
    assert waits[:3] == [0, 0, 0] and waits[3:7] == [1, 2, 4, 8]
    assert waits == sorted(waits) and waits[-1] == WRONG_WAIT_MAX_S
