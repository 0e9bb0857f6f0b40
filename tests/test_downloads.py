"""Files of others on the disk: whatever they are called, they stay where they belong."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.core.files import file_text, named_in
from meshchat.core.sealed import FILE_NAME_MAX_BYTES
from meshchat.downloads import ENDINGS, SAME_NAME_MAX, save, saved_name
from meshchat.errors import UsageError
from meshchat.profile import Profile
from meshchat.text import Clean

OURS = re.compile(r"[0-9a-f]{8}(-[0-9]+)?\.[a-z0-9]{2,7}")  # a name that every system takes

# What has hurt other programs: folders, links, blanks, bidi, devices, streams, shells, sizes.
HOSTILE = [
    *("", ".", "..", "...", "/", "\\", "~"),
    *("-", "--", "-rf", "-rf.pdf", "--output=x.pdf", " ", "\t"),
    *("../x.pdf", "../../etc/passwd", "..\\..\\x.pdf", "/etc/cron.d/x", "//host/share/x.pdf"),
    *("\\\\host\\share\\x.pdf", "C:\\x.pdf", "C:x.pdf"),
    *("file:///x.pdf", "~/.bashrc", "~root/x.pdf"),
    *("a/../../b.pdf", "./x.pdf", ".bashrc", ".ssh/authorized_keys"),
    *(".pdf", "x.", "x..pdf", "x. "),
    *("x\0.pdf", "x.pdf\0.exe", "x.exe\0.pdf", "x\n.pdf"),
    *("x.pdf\n", "x\r\ny.pdf", "\x1b]0;x\x07.pdf"),
    *("\u202efdp.exe", "x\u202efdp.exe", "x.p\u200bdf"),
    *("x.pdf\u202e", "x\u2028.pdf", "\ufeffx.pdf"),
    *("CON", "con.pdf", "NUL.txt", "COM1.png", "LPT9"),
    *("AUX.", "x.pdf:stream", "x.pdf::$DATA", "x.lnk"),
    *("$(reboot).pdf", "`reboot`.pdf", "x;reboot.pdf", "x|y.pdf", "%PATH%.pdf", "*.pdf", "?.pdf"),
    *("x.exe", "x.sh", "x.desktop", "x.html", "x.svg", "x.js", "x.docm", "x.pdf.exe", "x.tar.gz"),
    *("x.PDF", "x.ＰＤＦ", "x.pdƒ", "x.ｐdf"),
    *("x" * 4_096 + ".pdf", "я" * 4_096, "\ud800.pdf", "x.p df"),
    *('"x".pdf', '", 1 B].exe', '[file "x.exe", 1 B]', "x.pdf/"),
    *("x.pdf\\", "x.pdf/..", "x.\N{KELVIN SIGN}ml"),
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=[f"{name!a:.24}" for name in HOSTILE])
def test_hostile_names_stay_in_the_folder(name: str, tmp_path: Path) -> None:
    """A plain file of the owner's, not runnable, in that folder, under a name of ours."""
    before = sorted(tmp_path.parent.iterdir())
    folder = tmp_path / "d"
    folder.mkdir()
    path = save(name, b"data", folder)
    assert [path] == list(folder.iterdir()) and path.parent == folder
    assert OURS.fullmatch(path.name) and path.suffix[1:] in {*ENDINGS, "bin"}
    assert stat.S_ISREG(path.lstat().st_mode) and stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert path.read_bytes() == b"data"
    assert sorted(tmp_path.parent.iterdir()) == before and list(tmp_path.iterdir()) == [folder]


@given(st.text() | st.builds("{}.{}".format, st.text(), st.text(min_size=1)), st.binary())
def test_no_name_reaches_the_disk(name: str, data: bytes) -> None:
    """Of any text there is left an ending of our list, or ``bin``."""
    made = saved_name(name, data)
    assert OURS.fullmatch(made)
    assert made.partition(".")[2] in {*ENDINGS, "bin"}
    assert made[:8] == saved_name("", data)[:8]


@pytest.mark.parametrize(
    ("name", "ending"),
    [("a.pdf", "pdf"), ("Фото.JPG", "jpg"), ("a.b.ogg", "ogg"), ("pdf", "bin"), ("a.svg", "bin"),
     ("a.pdf.exe", "bin"), ("a.exe.pdf", "pdf"), ("run.sh", "bin"), ("a.pdf ", "bin")],
)  # fmt: skip
def test_endings_come_from_the_list(name: str, ending: str) -> None:
    """The last one counts, in any case; what programs run has none."""
    assert saved_name(name, b"x").endswith("." + ending)
    assert not ENDINGS & {"exe", "sh", "html", "svg", "js", "lnk", "desktop", "docm", "jar", "app"}


@given(st.text(max_size=200), st.integers(1, 3_000_000))
def test_the_name_is_found_in_what_stands_for_a_file(name: str, size: int) -> None:
    """``named_in`` undoes ``file_text``, quotes and brackets in the name included."""
    shown = Clean.line(name, FILE_NAME_MAX_BYTES) or "without a name"
    assert named_in(file_text(name, size)) == Clean.line(shown, FILE_NAME_MAX_BYTES)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """Files, folders and links that are there already stay as they are."""
    name = Path(saved_name("a.txt", b"new"))
    away = tmp_path / "away"
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / name).write_text("mine")
    (folder / f"{name.stem}-2.txt").symlink_to(away)  # to nothing: must not be followed
    (folder / f"{name.stem}-3.txt").mkdir()
    assert save("a.txt", b"new", folder).name == f"{name.stem}-4.txt"
    assert save("a.txt", b"new", folder).name == f"{name.stem}-5.txt"
    assert (folder / name).read_text() == "mine" and not away.exists()
    for number in range(6, SAME_NAME_MAX + 1):
        (folder / f"{name.stem}-{number}.txt").touch()
    with pytest.raises(UsageError, match="another folder"):
        save("a.txt", b"new", folder)


def test_a_folder_that_cannot_take_it(tmp_path: Path) -> None:
    """One sentence, and nothing half made."""
    for folder in (tmp_path / "none", Path(__file__), tmp_path / ("x" * 300)):
        with pytest.raises(UsageError, match="Nothing can be written in"):
            save("a.txt", b"new", folder)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from meshchat.downloads import save; from meshchat.errors import UsageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: save('a.txt', bytes(5000), Path(sys.argv[1]))\n"
        "except UsageError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_wipe_takes_what_was_saved_in_the_profile(tmp_path: Path) -> None:
    """Saved files are in the clear, so they go too; a link in their place leads nowhere else."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("x")
    for linked in (False, True):
        profile = Profile(tmp_path / "home")
        profile.init("a", "five random words", seed=bytes(32), small=True)
        if linked:
            profile.downloads_path.symlink_to(elsewhere)
        else:
            save("a.txt", b"secret", profile.make_downloads())
            assert stat.S_IMODE(profile.downloads_path.stat().st_mode) == 0o700
        profile.wipe()
        assert not profile.home.exists()
    assert (elsewhere / "mine").read_text() == "x"
