"""The HTML page of a run: safe, self-contained, and made of whatever there is."""

import base64
import hashlib
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from documents import document, nothing

from meshchat.errors import UsageError
from meshchat.sim import page as page_module
from meshchat.sim.page import check_page, page, write_page
from meshchat.sim.result import read

VOID = {"meta", "input", "br", "link", "img"}
EVIL = "</script></style><img src=x onerror=alert(1)>\"'`{{7*7}}&<b>\x1b\u202e$x_1^2$"


class Tree(HTMLParser):
    """Checks that tags close in order, and gathers what a test wants to see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs)), f"an attribute twice in {tag}"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def check(text: str) -> Tree:
    """What holds for every page: well formed, unique ids, nothing from elsewhere, no handlers."""
    tree = Tree(text)
    ids = [attrs["id"] for _, attrs in tree.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    for tag, attrs in tree.tags:
        assert tag not in ("img", "link", "iframe", "object", "embed", "a", "base")
        for name, value in attrs.items():
            assert name != "src"
            assert not name.startswith("on")
            if name in ("href", "clip-path"):
                assert (value or "").lstrip("url(").startswith("#")
                assert (value or "").strip("url()#") in ids
            if name == "aria-labelledby":
                assert all(one in ids for one in (value or "").split())
    return tree


def test_a_page_is_one_file() -> None:
    """No network, no other file; its only program is the one its policy allows."""
    text = page(document())
    tree = check(text)
    policy = next(attrs["content"] for _, attrs in tree.tags if "http-equiv" in attrs) or ""
    assert policy.startswith("default-src 'none'")
    own = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(own) == 1
    digest = base64.b64encode(hashlib.sha256(own[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_everything_is_shown() -> None:
    """Each figure people want has its place, and every picture its words."""
    text = page(document())
    tree = check(text)
    for key in ("delivery", "delays", "traffic", "carried", "storage", "neighbours", "awake"):
        assert ("figure", key) in [(tag, attrs.get("id")) for tag, attrs in tree.tags]
    for key in ("kinds", "carriers", "map", "graph"):
        assert f'id="{key}"' in text
    pictures = [attrs for tag, attrs in tree.tags if tag == "svg"]
    assert all("aria-labelledby" in one or one.get("aria-hidden") == "true" for one in pictures)
    assert "75.0 %" in text
    assert "of the limit" in text
    assert "✓ pass" in text
    assert "Incomplete." not in text


def test_an_interrupted_and_failed_run() -> None:
    """Both are said in words."""
    text = page(document(complete=False, stopped_at_s=60.0, delivered=2))
    assert "Incomplete." in text
    assert "Failed:" in text
    assert "✗ FAIL" in text


def test_hostile_names() -> None:
    """Names from files are text, wherever they stand."""
    bad = document(name=EVIL, title=EVIL, meshchat=EVIL, trace_hash=EVIL, settings={EVIL: EVIL})
    bad["counters"] = {EVIL: 1}
    bad["by_workload"] = {EVIL: bad["by_workload"]["family"], "b": bad["by_workload"]["square"]}
    bad["marks"] = [{**bad["marks"][0], "of": EVIL, "figure": EVIL, "rule": EVIL}]
    bad["map"]["places"][0]["name"] = EVIL
    bad["series"]["bytes"][EVIL] = [0] * 5
    for one in bad["people"]:
        one["name"] = EVIL
    text = page(bad)
    tree = check(text)
    assert "<img" not in text
    assert "<b>\x1b" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "{{7*7}}" in text  # as it was given: nothing evaluated it
    assert sum("</script" in one for one in tree.scripts) == 0


@pytest.mark.parametrize("points", [0, 1, 2, 3])
def test_few_points(points: int) -> None:
    """A chart of next to nothing is a chart, or says that there is nothing."""
    text = page(document(points=points))
    check(text)
    assert ("Nothing to show" in text) == (points < 2)


@pytest.mark.parametrize(
    "other",
    [
        {"clairvoyant": None, "ratio": {"limit": 0.5, "clairvoyant": None}},
        {"map": None},
        {"energy_j": None, "marks": [], "by_workload": {}},
        {"delays_s": [5.0], "limit_delays_s": []},
        {"delays_s": [0.0], "limit_delays_s": [0.0]},
        {"delays_s": [], "limit_delays_s": [1e9]},
        {"contact_graph": {"edges": [[0, 0, 1.0]]}},
        {"contact_graph": {"edges": [[7, 9, 0.0], [10**9, 3, 1e300]]}},
        {"people": [], "nodes": 10**12},
        {"map": {"width": 0, "height": 0, "places": [], "jam": [], "frames": []}},
        {"map": {**document()["map"], "width": 0.0, "height": 1e300}},
        {"map": {**document()["map"], "frames": [{"at_s": 0, "xy": [[1e300, -1e300], None]}]}},
        {"map": {**document()["map"], "jam": [{"radius": 5, "xy": []}]}},
        {"map": {**document()["map"], "frames": [{"at_s": 0, "xy": []}]}},
    ],
)
def test_odd_documents(other: dict[str, Any]) -> None:
    """Whatever is missing or out of range, there is a page."""
    check(page(document(**other)))


def test_an_empty_run() -> None:
    """Nobody, nothing, never: still a page."""
    text = page(nothing())
    check(text)
    assert "Nothing to show" in text


def test_the_same_page_every_time() -> None:
    """Nothing in it is left to chance or to the clock."""
    assert page(document()) == page(document())


def test_writing_a_page(tmp_path: Path) -> None:
    """A folder is made with the page and the document it shows."""
    folder = tmp_path / "new" / "report"
    check_page(folder)
    write_page(document(), folder)
    check((folder / "index.html").read_text(encoding="utf-8"))
    assert read(folder / "result.json") == document()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        check_page(tmp_path / "file" / "report")


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2", "igraph"])
def test_a_library_that_is_not_there(
    missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One sentence says what to install, before a long run too."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=r"pip install 'meshchat\[sim\]'"):
        page(document())
    monkeypatch.setattr(page_module, "find_spec", lambda name: None if name == missing else 1)
    with pytest.raises(UsageError, match=rf"needs {missing}.*pip install 'meshchat\[sim\]'"):
        check_page(tmp_path)
