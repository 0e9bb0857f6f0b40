"""The page for testers shows files that work: they are taken out of it and run."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/howto/test-with-simulated-peers.md"
FILES = re.compile(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_files_of_the_page_pass(tmp_path: Path) -> None:
    """Every block of Python on the page is a file with a name, and pytest passes them all."""
    text = PAGE.read_text("utf-8")
    files = dict(FILES.findall(text))
    assert len(files) == text.count("```python") >= 5
    for name, code in files.items():
        (tmp_path / name).write_text(code, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{text.count('def test_')} passed" in done.stdout
