"""The table of a sweep: one row a run, as CSV and Parquet."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshchat.errors import UsageError
from meshchat.sim.document import checked
from meshchat.sim.extras import extra
from meshchat.sim.figures import figures
from meshchat.sim.result import failed_marks, save

CSV_FILE, PARQUET_FILE = "results.csv", "results.parquet"
SET_PREFIX = "set."  # of columns with what was varied: a key may be named like a figure
_TEXTS = ("status", "error", "file", "trace_hash")
_WHOLE = ("job", "seed", "nodes", "marks_failed")

Row = dict[str, Any]
"""``job``, ``status`` (``done``, ``incomplete`` or ``failed``), ``error``, ``seed``, each varied
key as ``set.KEY``, ``nodes``, ``marks_failed``, the figures under flat names, ``trace_hash``,
``file``. A failed run has no figures."""


def row_of(
    job: Mapping[str, Any], document: Mapping[str, Any] | None, file: str, error: str
) -> Row:
    """The row of a run. Raises ``UsageError`` if the document is no result."""
    row: Row = {"job": job["number"], "status": "failed", "error": error, "seed": job["seed"]}
    row.update({f"{SET_PREFIX}{key}": value for key, value in job["sets"].items()})
    if document is not None:
        result = checked(document)
        row["status"] = "done" if result.complete else "incomplete"
        row["nodes"] = result.nodes
        row["marks_failed"] = len(failed_marks(document))
        row.update(figures(result))
        row["trace_hash"] = result.trace_hash
    row["file"] = file
    return row


def check_table(folder: Path) -> None:
    """Find out before long runs that the table could not be written.

    Raises:
        UsageError: There is one, or pyarrow is not installed.
    """
    with extra("A sweep"):
        import pyarrow.parquet
    del pyarrow
    if (folder / CSV_FILE).exists():
        raise UsageError(
            "has_results", f"{folder} holds the results of another sweep; name a new folder."
        )


def write_table(rows: Sequence[Row], jobs: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write both files. Raises as ``result.save``."""
    columns = _columns(rows, jobs)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    save(text.getvalue(), folder / CSV_FILE)
    with extra("A sweep"):
        import pyarrow
        import pyarrow.parquet
    schema = pyarrow.schema([(name, _kind(pyarrow, name)) for name in columns])
    lists = {name: [row.get(name) for row in rows] for name in columns}
    table = pyarrow.table(
        {name: pyarrow.array(some, schema.field(name).type) for name, some in lists.items()}
    )
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    save(sink.getvalue().to_pybytes(), folder / PARQUET_FILE)


def _kind(pyarrow: Any, name: str) -> Any:
    if name in _TEXTS or name.startswith(SET_PREFIX):
        return pyarrow.string()
    return pyarrow.int64() if name in _WHOLE else pyarrow.float64()


def _columns(rows: Sequence[Row], jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """In the order of a full row, whatever the first row lacks."""
    longest: Row = max(rows, key=len, default={})
    varied = [f"{SET_PREFIX}{key}" for key in jobs[0]["sets"]] if jobs else []
    first = ["job", "status", "error", "seed", *varied, "nodes", "marks_failed"]
    every = dict.fromkeys([*first, *longest, *(key for row in rows for key in row)])
    return [*(name for name in every if name not in ("trace_hash", "file")), "trace_hash", "file"]
