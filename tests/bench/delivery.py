"""How much arrives, and what it costs: ``python -m tests.bench.delivery [TRACE ...]``.

The real node on the shared traces, beside what physics allows, what a planner reaches who knows
the future, plain flooding by the same node, and the routers of the design study (delivery.md).

    --condition T|M   text without a buffer limit, or files with 5 MB; both if not given
    --seeds N         means over N seeds of the simulator
    --ablate          every rule switched off, one at a time (``--values``: other numbers too)
    --unseen          movement that no rule was tuned on
    --hostile         black holes, a flood of junk, false identities
    --hours H         only the first hours of each trace
    --markdown        the table of ``--ablate`` for a document
    --results FILE    keep every run here, and do no run twice

Traces are found in ``../shared/traces``, or where ``MESHCHAT_TRACES`` says.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import delivery_hostile
from tests.bench.delivery_rules import FLOODING, RULES, VALUES, title
from tests.bench.delivery_runs import TRACES, Kept, Results, Run, one
from tests.bench.delivery_unseen import UNSEEN, folder_of
from tests.bench.table import Figure, show

SHARED = ("hosp10", "museum09", "hs13", "conf17", "crowd500")
QUICK = ("hosp10",)
DENSE = ("conf17", "hosp10")
OVERHEAD_MAX = 40
COLUMNS = ("payload", "sync", "handshake", "proofs", "presence", "keepalive", "padding", "total")


class Study(NamedTuple):
    """What delivery.md, C2 and C3, has for a trace."""

    best: str
    """The best router of The ONE that finished."""
    best_ratio: float
    causal_ratio: float
    causal_overhead: float


STUDY = {
    ("hs13", "M"): Study("PRoPHETv2", 0.399, 0.524, 475.7),
    ("hosp10", "M"): Study("MaxProp", 0.430, 0.436, 149.6),
    ("conf17", "M"): Study("Spray&Wait 16", 0.677, 0.763, 304.2),
    ("museum09", "M"): Study("PRoPHETv2", 0.119, 0.148, 248.8),
    ("crowd500", "M"): Study("Epidemic", 0.434, 0.694, 1404.2),
    ("hs13", "T"): Study("Epidemic", 0.756, 0.822, 256.7),
    ("hosp10", "T"): Study("MaxProp", 0.477, 0.479, 47.3),
    ("conf17", "T"): Study("Spray&Wait 16", 0.753, 0.793, 166.3),
    ("museum09", "T"): Study("MaxProp", 0.264, 0.294, 296.2),
    ("crowd500", "T"): Study("4 spray copies", 0.435, 0.883, 344.8),
}


def mean(runs: Sequence[Kept], what: str) -> float:
    """Over the seeds; what has no value counts as nothing."""
    return statistics.fmean(run[what] or 0.0 for run in runs)


def compare(run: Run, seeds: int, results: Results, bars: bool) -> list[Figure]:
    """One trace under one condition. Without ``bars`` nothing is asked of it."""
    ours = [results.get(run._replace(seed=seed, limits=seed == 0)) for seed in range(seeds)]
    first = ours[0]
    flooding = results.get(run._replace(rules=FLOODING))
    head = f"{run.trace} {run.condition}"
    delivered, overhead = mean(ours, "delivery_ratio"), mean(ours, "overhead_ratio")
    sent = mean(ours, "transmissions")

    def bar(text: str, condition: str) -> str:
        return text if bars and run.condition == condition else ""

    limit, planned = (first[name]["delivery_ratio"] or 1.0 for name in ("limit", "clairvoyant"))
    least = 0.95 if run.trace in DENSE else 0.8
    found: list[Figure] = [
        (f"{head}: delivered", delivered, ""),
        (f"{head}: delivered by the limit", limit, ""),
        (f"{head}: delivered by the clairvoyant schedule", planned, ""),
        (f"{head}: delivered by plain flooding", flooding["delivery_ratio"], ""),
        (f"{head}: delivered / limit", delivered / limit, bar(">= 0.97", "T")),
        (f"{head}: delivered / clairvoyant", delivered / planned, bar(f">= {least}", "M")),
        (f"{head}: mean wait, h", mean(ours, "wait_h"), ""),
        (f"{head}: mean wait of the limit, h", first["limit"]["mean_wait_s"] / 3600, ""),
        (
            f"{head}: mean wait / flooding's",
            mean(ours, "wait_h") / flooding["wait_h"],
            bar("<= 1.05", "T"),
        ),
        (f"{head}: overhead", overhead, bar(f"<= {OVERHEAD_MAX}", "M")),
        (f"{head}: overhead of plain flooding", flooding["overhead_ratio"] or 0.0, ""),
        (
            f"{head}: transmissions / flooding's",
            sent / flooding["transmissions"],
            bar("<= 0.2", "T"),
        ),
    ]
    study = STUDY.get((run.trace, run.condition))
    if study is not None and not run.hours:
        theirs = study.causal_ratio * first["created"] * (1 + study.causal_overhead)
        found += [
            (f"{head}: transmissions / causal rules'", sent / theirs, ""),
            (f"{head}: delivered / causal rules'", delivered / study.causal_ratio, ""),
            (
                f"{head}: delivered / {study.best}'s, the best router",
                delivered / study.best_ratio,
                bar(">= 1", "M"),
            ),
        ]
    for kind in COLUMNS:
        each = statistics.fmean(kept["bytes"][kind] or 0.0 for kept in ours)
        found.append((f"{head}: bytes per delivery, {kind}", each, ""))
    return found


def figures(
    traces: Sequence[str] = QUICK,
    conditions: Sequence[str] = ("T", "M"),
    seeds: int = 1,
    results: Results | None = None,
    hours: float = 0.0,
) -> list[Figure]:
    """Delivery and its cost on shared traces; nothing where they are not to be had."""
    if not TRACES.is_dir():
        return []
    results = results or Results(None)
    found: list[Figure] = []
    for trace in traces:
        for condition in conditions:
            run = Run(trace, condition, hours=hours)
            found += compare(run, seeds, results, bars=True)
    return found


# --- ablations -------------------------------------------------------------------------------


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and, of more than one, standard deviation."""
    text = f"{statistics.fmean(values):.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {statistics.stdev(values):.{digits}f}"


def ablate(run: Run, seeds: int, names: Sequence[str], results: Results) -> list[list[str]]:
    """One row for each rule: what the node does without it, over the seeds."""
    base = [results.get(run._replace(seed=seed)) for seed in range(seeds)]
    rows = [_row("all rules", base, base)]
    for name in names:
        runs = [results.get(run._replace(seed=seed, rules=(name,))) for seed in range(seeds)]
        rows.append(_row(title(name), runs, base))
    flooding = results.get(run._replace(rules=FLOODING))
    rows.append(_row("plain flooding (seed 0)", [flooding], base))
    return rows


def _row(name: str, runs: Sequence[Kept], base: Sequence[Kept]) -> list[str]:
    paired = [
        100 * (one["delivery_ratio"] / other["delivery_ratio"] - 1) if other["delivered"] else 0.0
        for one, other in zip(runs, base, strict=False)
    ]
    return [
        name,
        spread([each["delivery_ratio"] for each in runs], 3),
        spread(paired, 1),
        spread([each["wait_h"] for each in runs], 2),
        spread([each["overhead_ratio"] or 0.0 for each in runs], 1),
        spread([(each["bytes"]["total"] or 0.0) / 1e6 for each in runs], 2),
        str(len(runs)),
    ]


HEAD = ["", "delivered", "change, %", "mean wait, h", "overhead", "MB per delivery", "seeds"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> str:
    """Rows below a head, for people or for a document."""
    if markdown:
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


# --- command ---------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.delivery")
    parser.add_argument("traces", nargs="*", metavar="TRACE")
    parser.add_argument("--condition", choices=("T", "M"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--results", type=Path)
    for flag in ("ablate", "values", "unseen", "hostile", "markdown"):
        parser.add_argument(f"--{flag}", action="store_true")
    return parser


def main(arguments: list[str]) -> int:
    """Exit code 1 if a bar is missed."""
    if arguments[:1] == ["--one"]:
        return one(arguments[1])
    if arguments[:1] == ["--one-hostile"]:
        return delivery_hostile.one(arguments[1])
    asked = _parser().parse_args(arguments)
    results = Results(asked.results)
    conditions = [asked.condition] if asked.condition else ["T", "M"]
    if asked.hostile:
        return bool(show(delivery_hostile.figures(asked.traces[0] if asked.traces else "hosp10")))
    traces: Sequence[str] = asked.traces or tuple(UNSEEN if asked.unseen else SHARED)
    if asked.unseen:
        compared = [
            (what, value, "")
            for trace in traces
            for condition in conditions
            for what, value, _ in compare(
                Run(trace, condition, folder=folder_of(trace)), asked.seeds, results, bars=False
            )
        ]
        return bool(show(compared))
    if not asked.ablate:
        return bool(show(figures(traces, conditions, asked.seeds, results, asked.hours)))
    names = [*RULES, *(VALUES if asked.values else ())]
    for trace in traces:
        for condition in conditions:
            run = Run(trace, condition, hours=asked.hours, folder=folder_of(trace))
            said = f", first {asked.hours:g} h" if asked.hours else ""
            rows = ablate(run, asked.seeds, names, results)
            print(f"\n{trace} {condition}{said}\n")
            print(table(HEAD, rows, asked.markdown), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
