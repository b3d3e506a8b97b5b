"""Tables G and H of a reproduction: text inside speech in round 0, and preference rounds after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.interleave_grid import CONSTANT, DIRECTIONS, REPEATED, ROUND_DIRECTIONS, SPANS
from benchmarks.reproduce_cells import INTERLEAVE
from benchmarks.reproduce_changes import SCORES, Records, change, describe_agreement, describe_score, estimate, signed
from factory.report.summary_types import ScoreName

ROWS = {
    "none": "no text inside speech",
    "scheduled": "scheduled",
    "constant": f"a constant share of {CONSTANT}",
    "source": "scheduled, source side only",
    "target": "scheduled, target side only",
    "mask": "scheduled, a mask instead of text",
    "uniform": "scheduled, words spread evenly",
}
BELOW_SCHEDULED = ("constant", "source", "target", "mask", "uniform")
"""Rows that are below `scheduled` in the paper; `constant` is below `none` too."""
SAYS = (
    "- The paper (ASR-BLEU): scheduled is above none, the more the less paired speech there is (fr-en +0.7, pt-en "
    "+9.2); a constant share is 3.0 below none in fr-en; in pt-en a mask is 13.3 below scheduled, words spread evenly "
    "8.0, one side only 6.9 to 8.4."
)


def table_g(records: Records, seeds: Sequence[int]) -> list[str]:
    """Return the table of the ways to write text inside speech, as lines of Markdown."""
    head = [f"{label} {direction}" for label in SCORES.values() for direction in DIRECTIONS]
    lines = [f"| round 0 | text | {' | '.join(head)} |", "|---" * (len(head) + 2) + "|"]
    lines += [_line(records, row, _cells(records, row, seeds)) for row in SPANS]
    return ["## Table G: text inside speech in round 0", "", *lines, "", *_verdicts(records, seeds)]


def table_h(records: Records, seeds: Sequence[int]) -> list[str]:
    """Return the table of a preference round after two kinds of round 0."""
    columns = [(score, direction) for score in SCORES for direction in ROUND_DIRECTIONS]
    head = [f"{SCORES[score]} {direction}" for score, direction in columns]
    lines = [f"| start | pairs | {' | '.join(head)} |", "|---" * (len(head) + 2) + "|"]
    for row in REPEATED:
        record = records.get(f"{INTERLEAVE}-round-{row}")
        cells = [
            describe_score(record.summary[score].get(direction)) if record else "-" for score, direction in columns
        ]
        lines.append(f"| {ROWS[row]} | {record.learned if record else '-'} | {' | '.join(cells)} |")
    return ["## Table H: a preference round after it", "", *lines, "", *_compare_gains(records, seeds[0])]


def _cells(records: Records, row: str, seeds: Sequence[int]) -> list[str]:
    """Return the finished cells of a row, one per seed."""
    names = [f"{INTERLEAVE}-{row}-s{seed}" for seed in (seeds if row in REPEATED else seeds[:1])]
    return [name for name in names if name in records]


def _line(records: Records, row: str, cells: list[str]) -> str:
    several = f" ({len(cells)} seeds)" if len(cells) > 1 else ""
    if not cells:
        return f"| {ROWS[row]} | " + " | ".join("-" for _ in range(1 + len(SCORES) * len(DIRECTIONS))) + " |"
    scores = [_interval(estimate(records, cells, direction, score)) for score in SCORES for direction in DIRECTIONS]
    share = records[cells[0]].text_share
    return f"| {ROWS[row]}{several} | {'-' if share is None else format(share, '.2f')} | {' | '.join(scores)} |"


def _interval(found: tuple[float, float, float]) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(*found)


def _verdicts(records: Records, seeds: Sequence[int]) -> Iterator[str]:
    """Yield what each row changes, and whether the paper found the same."""
    none, scheduled = (_cells(records, row, seeds) for row in REPEATED)
    if none and len(none) == len(scheduled):
        yield f"- scheduled minus none: {_difference(records, scheduled, none, 1)}."
    comparisons = [(row, "scheduled", scheduled) for row in BELOW_SCHEDULED] + [("constant", "none", none)]
    for row, words, others in comparisons:
        cells = _cells(records, row, seeds)
        if cells and others:
            difference = _difference(records, cells, others[:1], -1)
            yield f"- {ROWS[row]}, minus {words} (seed {seeds[0]}): {difference}."
    yield SAYS


def _difference(records: Records, ones: Sequence[str], twos: Sequence[str], paper: float) -> str:
    """Return the differences of cells in words: each direction, and whether it is as in the paper."""
    words = []
    for score, direction in ((score, direction) for score in SCORES for direction in DIRECTIONS):
        found = change(records, ones, twos, [direction], score)
        words.append(f"{SCORES[score]} {direction} {signed(*found)}, which {describe_agreement(found, paper)}")
    return "; ".join(words)


def _compare_gains(records: Records, seed: int) -> Iterator[str]:
    """Yield whether the round gained less from the start with text inside speech."""
    plain, scheduled = ((f"{INTERLEAVE}-{row}-s{seed}", f"{INTERLEAVE}-round-{row}") for row in REPEATED)
    if not all(name in records for name in (*plain, *scheduled)):
        yield "Not run."
        return
    score: ScoreName = "s2t_bleu"
    gained = [plain[0], scheduled[1]], [plain[1], scheduled[0]]
    words = [
        f"{direction} {signed(*(2 * end for end in change(records, *gained, [direction], score)))}"
        for direction in DIRECTIONS
    ]
    yield f"- Gain from the scheduled start minus gain from the plain one: S2T BLEU {', '.join(words)}."
