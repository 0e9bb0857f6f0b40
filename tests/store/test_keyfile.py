"""The key file: sealing, refusals before any work, change of passphrase, destruction."""

import errno
import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshchat import keyfile
from meshchat.errors import StoreError

WORDS = "жылқы құлын тай correct horse"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the key file will be."""
    return tmp_path / "key"


def refusal(path: Path, passphrase: str = WORDS) -> str:
    with pytest.raises(StoreError) as caught:
        keyfile.unlock(path, passphrase)
    return caught.value.reason


def test_round_trip(path: Path) -> None:
    """The same key comes back; the file is small, private and does not contain it."""
    key = keyfile.create(path, WORDS, small=True)
    data = path.read_bytes()
    assert len(key) == 32
    assert len(data) == 200
    assert key not in data
    assert keyfile.unlock(path, WORDS) == key
    assert [file.name for file in path.parent.iterdir()] == ["key"]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_two_files_share_nothing(path: Path) -> None:
    """Key, salt and nonce are random: one passphrase never gives the same bytes twice."""
    first = keyfile.create(path, WORDS, small=True)
    other = path.with_name("other")
    assert keyfile.create(other, WORDS, small=True) != first
    a, b = path.read_bytes(), other.read_bytes()
    assert a[:12] == b[:12]
    assert (a[12:28], a[28:52]) != (b[12:28], b[28:52])


def test_wrong_passphrase(path: Path) -> None:
    """It is told apart from damage, and the sentence holds neither passphrase."""
    keyfile.create(path, WORDS, small=True)
    with pytest.raises(StoreError) as caught:
        keyfile.unlock(path, "guess")
    assert caught.value.reason == "wrong_passphrase"
    assert "guess" not in str(caught.value)


def test_passphrase_is_the_same_on_every_keyboard(path: Path) -> None:
    """Composed and decomposed letters are one passphrase; case is not ignored."""
    key = keyfile.create(path, "й\u0451", small=True)
    assert keyfile.unlock(path, "\u0438\u0306\u0435\u0308") == key
    assert refusal(path, "Й\u0451") == "wrong_passphrase"


def test_a_key_file_is_never_overwritten(path: Path) -> None:
    """That would destroy a profile."""
    keyfile.create(path, WORDS, small=True)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="already"):
        keyfile.create(path, "other", small=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("passes", "memory_kib"),
    [(2, 65_536), (0, 65_536), (65, 65_536), (2**32 - 1, 65_536), (3, 65_535), (3, 2**32 - 1)],
)
def test_absurd_work_is_refused_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, passes: int, memory_kib: int
) -> None:
    """Too little would be a trap, too much would freeze the machine: neither is even started."""
    keyfile.create(path, WORDS, small=True)
    data = path.read_bytes()
    path.write_bytes(data[:4] + struct.pack("<II", passes, memory_kib) + data[12:])
    monkeypatch.setattr(keyfile, "_stretch", lambda *_: pytest.fail("work was done"))
    assert refusal(path) == "corrupt"


def test_every_byte_is_authenticated(path: Path) -> None:
    """A change anywhere, or of the length, is noticed."""
    keyfile.create(path, WORDS, small=True)
    data = path.read_bytes()
    for at in (0, 4, 20, 40, 52, 99):  # one of each field; 4 raises the passes by one
        flipped = bytearray(data)
        flipped[at] ^= 4
        path.write_bytes(flipped)
        assert refusal(path) in ("corrupt", "wrong_passphrase")
    for bad in (b"", data[:-1], data + b"\0", data[:99], data[:101]):
        path.write_bytes(bad)
        assert refusal(path) == "corrupt"
    path.unlink()
    assert refusal(path) == "cannot_open"


@given(data=st.binary(max_size=200))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused(path: Path, data: bytes) -> None:
    """Random content never gives a key and never raises anything else."""
    path.write_bytes(data)
    assert refusal(path) == "corrupt"


def test_change_of_passphrase(path: Path) -> None:
    """Same key, new words; the old words and the old file's bytes are gone."""
    key = keyfile.create(path, WORDS, small=True)
    before = path.read_bytes()
    old_copy = path.with_name("link")
    if os.name == "posix":
        os.link(path, old_copy)  # keeps the old bytes reachable, as an undelete would
    keyfile.change_passphrase(path, WORDS, "new words", small=True)
    assert keyfile.unlock(path, "new words") == key
    assert refusal(path) == "wrong_passphrase"
    if os.name == "posix":
        assert old_copy.read_bytes()[52:100] != before[52:100]
        assert path.stat().st_mode & 0o777 == 0o600


def test_change_needs_the_old_passphrase(path: Path) -> None:
    """With a wrong one nothing happens."""
    key = keyfile.create(path, WORDS, small=True)
    with pytest.raises(StoreError):
        keyfile.change_passphrase(path, "guess", "new", small=True)
    assert keyfile.unlock(path, WORDS) == key


def test_a_change_cut_in_the_middle(path: Path) -> None:
    """A left-over new file does no harm: the old one works, the next change goes through."""
    key = keyfile.create(path, WORDS, small=True)
    path.with_name("key.new").write_bytes(b"half")
    assert keyfile.unlock(path, WORDS) == key
    keyfile.change_passphrase(path, WORDS, "new", small=True)
    assert keyfile.unlock(path, "new") == key
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_destroy(path: Path) -> None:
    """The bytes are overwritten before the name goes, also of a left-over; twice is fine."""
    keyfile.create(path, WORDS, small=True)
    before = path.read_bytes()
    path.with_name("key.new").write_bytes(before)
    if os.name == "posix":
        os.link(path, path.with_name("undeleted"))
    keyfile.destroy(path)
    assert not path.exists()
    assert not path.with_name("key.new").exists()
    if os.name == "posix":
        left = path.with_name("undeleted").read_bytes()
        assert len(left) == 200
        assert not any(left[at : at + 8] == before[at : at + 8] for at in range(0, 192, 8))
    keyfile.destroy(path)


def test_a_file_for_reading_only(path: Path) -> None:
    """As a copy from a disc has it: the passphrase is changed and the file destroyed all the same.

    Root writes it anyway, so the mode that comes out is what shows it.
    """
    key = keyfile.create(path, WORDS, small=True)
    path.chmod(0o400)
    keyfile.change_passphrase(path, WORDS, "new", small=True)
    assert keyfile.unlock(path, "new") == key
    path.chmod(0o400)
    if os.name == "posix":
        os.link(path, path.with_name("undeleted"))
    keyfile.destroy(path)
    assert not path.exists()
    if os.name == "posix":
        assert path.with_name("undeleted").stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_overwritten_is_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk that copies on writing refuses to overwrite; a wipe does not stop at that."""
    keyfile.create(path, WORDS, small=True)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(keyfile, "_overwrite", full)
    keyfile.change_passphrase(path, WORDS, "new", small=True)  # and it says that it is done
    assert refusal(path) == "wrong_passphrase"
    keyfile.destroy(path)
    assert not path.exists()


def test_a_change_after_the_profile_went(path: Path) -> None:
    """A wipe while the new passphrase is stretched: one sentence, and no key file again."""
    keyfile.create(path, WORDS, small=True)
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(StoreError, match="cannot be written"):
        keyfile._rewrite(path, data)
    assert not path.exists()


def test_work_grows_until_a_guess_is_slow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``small`` the passes rise until the machine needs the wanted time; here, a bit."""
    monkeypatch.setattr(keyfile, "MEMORY_KIB", keyfile.MEMORY_FLOOR_KIB)
    monkeypatch.setattr(keyfile, "CALIBRATE_SECONDS", 60.0)  # more than any machine needs
    monkeypatch.setattr(keyfile, "TIME_MAX", 5)
    key = keyfile.create(path, WORDS)
    assert struct.unpack_from("<4sII", path.read_bytes()) == (b"mc1k", 5, 65_536)
    assert keyfile.unlock(path, WORDS) == key


def test_an_unwritable_place(tmp_path: Path) -> None:
    """A missing folder is one sentence."""
    with pytest.raises(StoreError) as caught:
        keyfile.create(tmp_path / "no" / "key", WORDS, small=True)
    assert caught.value.reason == "cannot_write"
