"""Two runs side by side."""

import json
import re

from documents import document, nothing

from meshchat.sim.compare import compare, comparison


def test_a_run_beside_itself() -> None:
    """Nothing differs, and that is said."""
    shown = compare(document(), document())
    assert "Same scenario, seed and settings, and the same trace" in shown
    assert "+" not in shown
    assert re.search(r"^delivered +6 +6 +=$", shown, re.M)


def test_differences_with_sign_and_percent() -> None:
    """B minus A, and percent of A; shares differ by percentage points."""
    other = document(delivered=3, settings={"rate": 2_000, "radio": "ble"})
    shown = compare(document(), other)
    assert max(map(len, shown.split("\n"))) <= 80
    assert "settings.rate: 12000, 2000" in shown
    assert "settings.buffer: -, -" in shown
    assert "settings.radio: -, ble" in shown
    assert re.search(r"^delivered +6 +3 +-3 +-50.0 %$", shown, re.M)
    assert re.search(r"^delivery_ratio +60.0 % +30.0 % +-30.0 pp +-50.0 %$", shown, re.M)


def test_an_incomplete_run_is_pointed_out() -> None:
    """Comparing a part with a whole misleads."""
    shown = compare(document(complete=False, stopped_at_s=60.0), document())
    assert "INCOMPLETE: stopped after 60 s of 60 min" in shown


def test_figures_that_only_one_has() -> None:
    """They are shown with a dash; what neither has is left out."""
    shown = compare(document(), nothing())
    assert re.search(r"^delay_s.p50 +2 min +- +-$", shown, re.M)
    assert re.search(r"^energy_j.mean +100 J +- +-$", shown, re.M)
    assert "energy_j" not in compare(nothing(), nothing())


def test_hostile_names() -> None:
    """Nothing reaches the terminal that it would obey."""
    bad = "\x1b[2J\u202e"
    shown = compare(document(name=bad, settings={bad: bad}), document())
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_as_json() -> None:
    """The same for a script."""
    found = comparison(document(), document(delivered=9, seed=2))
    json.dumps(found, allow_nan=False)
    assert found["settings_differ"] == {"seed": [1, 2]}
    assert not found["same_trace"]
    row = next(row for row in found["figures"] if row["figure"] == "delivered")
    assert row == {"figure": "delivered", "a": 6, "b": 9, "difference": 3, "percent": 50.0}
