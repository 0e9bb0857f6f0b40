"""The JSON document of a run: schema, writing, reading, the terminal's report."""

import errno
import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from documents import document, nothing
from hypothesis import given
from hypothesis import strategies as st

from meshchat.errors import MeshchatError, StoreError, UsageError
from meshchat.sim import result
from meshchat.sim.document import FORMAT, checked, schema
from meshchat.sim.units import amount, duration, durations, energy, share, volume

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "sim-json.md"


def test_the_schema_that_is_shipped_is_the_one_we_check_by() -> None:
    """``result.schema.json`` is made from the structs and not edited."""
    shipped = resources.files("meshchat.sim").joinpath("result.schema.json").read_text()
    assert json.loads(shipped) == schema()


@pytest.mark.parametrize("made", [document(), nothing()])
def test_documents_are_valid(made: dict[str, Any]) -> None:
    """An independent validator of JSON Schema agrees with us about ours."""
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.Draft202012Validator(schema()).validate(json.loads(json.dumps(made)))
    checked(made)


def test_every_key_is_in_the_reference() -> None:
    """docs/reference/sim-json.md names every key of the schema."""
    text = DOCS.read_text(encoding="utf-8")
    for struct in schema()["$defs"].values():
        for key in struct["properties"]:
            assert f"`{key}`" in text, key


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Writing and reading changes nothing, and replaces an older file."""
    path = tmp_path / "run.json"
    path.write_text("old")
    result.write(document(), path)
    assert result.read(path) == document()
    assert path.read_bytes().isascii()
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_numbers_json_does_not_have_become_null(tmp_path: Path) -> None:
    """NaN, infinities and broken surrogates do not make a file that cannot be read."""
    path = tmp_path / "run.json"
    odd = document(mean_wait_s=float("nan"), overhead_ratio=float("inf"), name="trace\udcff")
    result.write(odd, path)
    found = result.read(path)
    assert (found["mean_wait_s"], found["overhead_ratio"]) == (None, None)
    assert found["name"] == "trace?"


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """``-`` writes one line of JSON."""
    result.write(document(), "-")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == document()


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    """Only plain files are replaced by renaming."""
    link, target = tmp_path / "link", tmp_path / "target"
    target.write_text("old")
    link.symlink_to(target)
    result.write(document(), link)
    assert link.is_symlink()
    assert result.read(target) == document()
    result.write(document(), os.devnull)
    assert not Path(os.devnull).is_file()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear sentence, the old file as it was, and no half one."""
    path = tmp_path / "run.json"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="was not written \\(no space left on device\\)"):
        result.write(document(), path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_that_is_full() -> None:
    """A real ENOSPC of the operating system."""
    with pytest.raises(StoreError, match="/dev/full was not written"):
        result.write(document(), "/dev/full")


@pytest.mark.parametrize("path", ["missing/run.json", "file/run.json", "folder"])
def test_paths_that_cannot_be_written(tmp_path: Path, path: str) -> None:
    """No folder, a file as a folder, a folder as a file: one sentence, exit code 2."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written") as caught:
        result.write(document(), tmp_path / path)
    assert caught.value.reason == "unwritable"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "no JSON, or cut off"),
        (json.dumps(document()).encode()[:-100], "no JSON, or cut off"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON|not the result"),
        (b"[1]", "not the result of a meshchat sim run"),
        (b"{}", "not the result of a meshchat sim run"),
        (b'{"format": "meshchat-sim/9"}', 'its format is "meshchat-sim/9"'),
        (json.dumps({"format": FORMAT}).encode(), "missing required field"),
        (json.dumps(document(delay_s={"p10": "x"})).encode(), "`delay_s.p10`"),
        (json.dumps(document(created=-1)).encode(), "`created`"),
        (json.dumps(document(name=7)).encode(), "`name`"),
    ],
)
def test_files_that_are_no_results(tmp_path: Path, raw: bytes, says: str) -> None:
    """One sentence names the file and what is wrong."""
    path = tmp_path / "run.json"
    path.write_bytes(raw)
    with pytest.raises(UsageError, match=says) as caught:
        result.read(path)
    assert "run.json" in str(caught.value)


def test_series_of_different_lengths_are_refused() -> None:
    """A chart of such a file would be wrong or fail."""
    bad = document()
    bad["series"]["held_bytes"].pop()
    with pytest.raises(UsageError, match="not all as long"):
        checked(bad)
    bad = document()
    bad["series"]["at_s"].reverse()
    with pytest.raises(UsageError, match="does not rise"):
        checked(bad)


def test_a_file_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read to its end."""
    monkeypatch.setattr(result, "DOCUMENT_MAX_BYTES", 1_000)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document()))
    with pytest.raises(UsageError, match="is over"):
        result.read(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
    st.sampled_from(sorted(document())),
)
def test_wrong_values_are_explained(value: Any, key: str) -> None:
    """Whatever stands under a key, it is accepted and shown, or refused with a sentence."""
    try:
        result.summary({**document(), key: value})
    except MeshchatError as error:
        assert str(error)


def test_the_report() -> None:
    """Ratios first, humane units, marks in words, 80 columns, nothing for the terminal to obey."""
    hostile = "\x1b]0;title\x07\u202ename" * 9
    marks = [{**document()["marks"][0], "ok": False, "of": hostile}]
    shown = result.summary(document(name=hostile, title=hostile, marks=marks))
    assert max(map(len, shown.split("\n"))) <= 80
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    shown = result.summary(document(marks=document()["marks"] * 2))
    assert "6 of 10 delivered (60.0 %): 75.0 % of the limit, 85.7 % of clairvoyant" in shown
    assert re.search(r"delay p50 +2 min +1 min +1 min", shown)
    assert re.search(r"payload +60 kB +60.0 % +10 kB  #+", shown)
    assert "pass  delivery_ratio at least 50.0 %: is 60.0 %" in shown
    assert "INCOMPLETE" not in shown


def test_the_report_of_an_interrupted_run() -> None:
    """It says so, and what was missed is said in words."""
    shown = result.summary(document(complete=False, stopped_at_s=600.0, delivered=2))
    assert "INCOMPLETE: stopped after 10 min of 60 min" in shown
    assert "FAIL  delivery_ratio" in shown
    assert result.failed_marks(document(delivered=2)) == [
        "delivery_ratio at least 50.0 %: is 20.0 %"
    ]


def test_the_report_of_nothing() -> None:
    """A run without messages or people has dashes, not errors."""
    shown = result.summary(nothing())
    assert "0 of 0 delivered" in shown
    assert re.search(r"delay p50 +- +-", shown)


def test_units() -> None:
    """Three digits, and the unit people would use."""
    assert [duration(s) for s in (None, 0, 0.0123, 5, 61.5, 3599, 7200, 90_000, 900_000)] == [
        *("-", "0 s", "12.3 ms", "5 s", "61.5 s", "60.0 min", "2 h", "25 h", "10.4 days"),
    ]
    assert durations([60, 7200, None]) == ["0.0167 h", "2 h", "-"]
    assert [volume(n) for n in (None, 0, 999, 1_234, 5_000_000, 2.5e13)] == [
        *("-", "0 B", "999 B", "1.23 kB", "5 MB", "25 TB"),
    ]
    assert [amount(n) for n in (None, 0, 4.123, 1234567, 0.05)] == [
        *("-", "0", "4.12", "1,234,567", "0.0500"),
    ]
    assert (share(None), share(0.8217), energy(1_234.0)) == ("-", "82.2 %", "1.23 kJ")
