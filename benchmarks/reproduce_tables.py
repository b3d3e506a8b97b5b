"""Tables A to I of a reproduction as Markdown, each with intervals and a comparison with the paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.interleave_tables import table_g, table_h
from benchmarks.part_tables import OUTPUTS, table_i
from benchmarks.reproduce_changes import (
    DIRECTIONS,
    SCORES,
    Records,
    change,
    changes_by_score,
    describe_agreement,
    describe_changes,
    describe_score,
    signed,
)
from benchmarks.reproduce_records import HEARD, Record
from factory.report.summary_types import ScoreName

READING = (
    "every cell's summary and command, and what its policy wrote and was heard to say, lie beside this page\n"
    "(`CELL.json`, `CELL.parquet`). In brackets: what the round changes, with 95 % by paired bootstrap over the "
    "test sentences. A dash: not run,\n"
    "or, for the text of a policy that writes none, not there to be measured. An interval says whether two "
    "policies differ on other sentences,\n"
    "not whether two trainings would: two seeds of one setting can differ by 0.6 ASR-BLEU (`heard`), so an "
    "effect of one seed that is no larger\n"
    "may be the seed's. The vocoder and Whisper base stand between a policy and its ASR-BLEU: the first line of "
    "table A is what perfect units\n"
    "would get."
)
"""How to read the page."""
PAPER_GAIN = {"com": 0.9, "tritask": 1.8, "vanilla": 2.6}
"""ASR-BLEU that DPO adds in the paper (CVSS-C, mean of both directions and both metrics)."""


class Comparison(NamedTuple):
    """The difference of cell `one` minus cell `two`, in `words`.

    `paper` is what the paper found: above 0, below 0, 0 (no difference) or None (not measured).
    """

    one: str
    two: str
    words: str
    paper: float | None


def write_tables(records: Records, seeds: Sequence[int], to: Path, arguments: str) -> None:
    """Write all tables from the records of finished cells. A cell without a record is a dash.

    Args:
        records: the records by name of the cell.
        seeds: the seeds of the grid.
        to: the path of the Markdown file.
        arguments: the arguments of `make reproduce`.
    """
    parts = ["# The paper's tables in small"]
    command = f"make reproduce ARGS='{arguments}'" if arguments else "make reproduce"
    parts += ["", f"`{command}`; {READING}"]
    for table in (_table_a, _table_b, _table_c, _table_d, _table_e, _table_f, table_g, table_h):
        parts += ["", *table(records, list(seeds))]
    parts += ["", *table_i(to.parent / OUTPUTS, list(seeds))]
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text("\n".join(parts) + "\n")


def _grid(title: str, head: str, rows: Iterator[str], verdict: str) -> list[str]:
    columns = [f"{label} {direction}" for label in (*SCORES.values(), "MOS") for direction in DIRECTIONS]
    return [
        f"## {title}",
        "",
        f"| {head} | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *rows,
        "",
        verdict,
    ]


def _line(name: str, record: Record | None) -> str:
    columns = [(score, direction) for score in SCORES for direction in DIRECTIONS]
    cells = [describe_score(record.summary[score].get(direction)) if record else "-" for score, direction in columns]
    mos = [record.summary["mos"][direction]["after"] if record else None for direction in DIRECTIONS]
    cells += [f"{value:.2f}" if value is not None else "-" for value in mos]
    return f"| {name} | {' | '.join(cells)} |"


def _topline(records: Records) -> str:
    """Return the line of the references' units, resynthesised and transcribed."""
    tops = records["com-start"].summary["toplines"] if "com-start" in records else {}
    known = [tops.get(direction.split("-")[1]) for direction in DIRECTIONS]
    resynthesised = [top.get("resynthesised") if top else None for top in known]
    intervals = [top["asr_bleu"] if top else None for top in resynthesised]
    intervals += [top["mos"] if top else None for top in resynthesised]
    cells = [f"{interval['score']:.2f}" if interval else "-" for interval in intervals]
    return f"| the references' units | {' | '.join(['-', '-', *cells])} |"


def _table_a(records: Records, seeds: list[int]) -> list[str]:
    """Variants before and after preference optimisation."""

    def rows() -> Iterator[str]:
        """Yield the toplines, and for each variant its start and two rows per seed."""
        yield _topline(records)
        for variant in PAPER_GAIN:
            yield _line(variant, records.get(f"{variant}-start"))
            for seed in seeds if variant == "com" else seeds[:1]:
                yield _line(f"{variant}, seed {seed}, DPO (METEOR)", records.get(f"{variant}-s{seed}-meteor"))
                yield _line(f"{variant}, seed {seed}, DPO (BLEU)", records.get(f"{variant}-s{seed}-bleu"))
                if variant == "com" and seed == seeds[0]:
                    yield _line(
                        f"com, seed {seed}, DPO (BLEU), the speech goes back", records.get(f"com-s{seed}-spoken")
                    )

    verdicts = [_gain(variant, records, seeds) for variant in PAPER_GAIN]
    return _grid("Table A: variants and preference optimisation", "policy", rows(), "\n".join(verdicts))


def _gain(variant: str, records: Records, seeds: list[int]) -> str:
    """Return the changes of a round over all seeds, and compare the change of ASR-BLEU with the paper."""
    ranked = {
        metric: [name for seed in seeds if (name := f"{variant}-s{seed}-{metric.lower()}") in records]
        for metric in ("BLEU", "METEOR")
    }
    if not (every := [name for names in ranked.values() for name in names]):
        return f"- {variant}: not run."
    start = f"{variant}-start"
    words = [
        f"ranked by {metric}, {describe_changes(changes_by_score(records, names, start), names)}"
        for metric, names in ranked.items()
        if names
    ]
    return f"- {variant}, {'; '.join(words)}. {_verdict(records, every, start, PAPER_GAIN[variant])}"


def _verdict(records: Records, names: list[str], start: str, paper: float) -> str:
    """Compare the change of ASR-BLEU with the paper, and the change over all test sentences if they are transcribed."""
    words = f"ASR-BLEU, mean of both directions: {_held(records, names, start, paper)} (there {paper:+.1f})."
    if whole := [f"{HEARD}/{name}" for name in names if f"{HEARD}/{name}" in records]:
        before = f"{HEARD}/{start}"
        changes = describe_changes(changes_by_score(records, whole, before, ["asr_bleu"]), whole)
        held = _held(records, whole, before, paper)
        words += f" With every test sentence heard (`{HEARD}`), {changes}; mean of both directions: {held}."
    return words


def _held(records: Records, names: list[str], start: str, paper: float) -> str:
    found = change(records, names, [start], DIRECTIONS, "asr_bleu")
    return f"{signed(*found)}, which {describe_agreement(found, paper)}"


def _difference(records: Records, sides: Comparison, score: ScoreName) -> str:
    """Return the differences of two cells on the same test sentences in words: both directions and their mean."""
    each = [
        f"{direction} {signed(*change(records, [sides.one], [sides.two], [direction], score))}"
        for direction in DIRECTIONS
    ]
    both = change(records, [sides.one], [sides.two], DIRECTIONS, score)
    return f"{SCORES[score]} {', '.join(each)}, mean {signed(*both)}, which {describe_agreement(both, sides.paper)}"


def _against(records: Records, paper: str, *comparisons: Comparison) -> str:
    """Return the text below a table: the differences between cells, and what the paper found."""
    known = [one for one in comparisons if one.one in records and one.two in records]
    words = [f"- {one.words}: {'; '.join(_difference(records, one, score) for score in SCORES)}." for one in known]
    return "\n".join([*words, f"- The paper: {paper}."]) if words else "Not run."


def _simple(records: Records, title: str, head: str, rows: list[tuple[str, str]], verdict: str) -> list[str]:
    """Return a table with a row (label, cell) per cell."""
    return _grid(title, head, (_line(label, records.get(name)) for label, name in rows), verdict)


def _table_b(records: Records, seeds: list[int]) -> list[str]:
    """Return the table of monolingual against paired preference data."""
    main, paired = f"com-s{seeds[0]}-bleu", f"com-s{seeds[0]}-paired"
    paper = "monolingual is 1.2 (en-fr) and some 2 (fr-en) ahead on CVSS-T"
    verdict = _against(records, paper, Comparison(main, paired, "monolingual minus paired", 1.7))
    rows = [("monolingual", main), ("paired", paired)]
    return _simple(records, "Table B: source of the pairs", "source", rows, verdict)


def _table_c(records: Records, seeds: list[int]) -> list[str]:
    """Return the table of ranking metrics."""
    start = f"com-s{seeds[0]}"
    rows = [(f"{name}, the text goes back", f"{start}-{name}") for name in ("bleu", "meteor", "wer", "chrf")]
    rows += [("bleu, the speech goes back", f"{start}-spoken"), ("mcd, the speech goes back", f"{start}-mcd")]
    comparisons = [
        Comparison(f"{start}-meteor", f"{start}-bleu", "METEOR minus BLEU", 0),
        Comparison(f"{start}-wer", f"{start}-bleu", "WER minus BLEU", 0),
        Comparison(f"{start}-chrf", f"{start}-bleu", "chrF minus BLEU", None),
        Comparison(f"{start}-mcd", f"{start}-spoken", "MCD minus BLEU, the speech going back", 1),
    ]
    paper = "BLEU, METEOR and WER are close, MCD a little ahead en-fr; chrF is not among them"
    return _simple(records, "Table C: ranking metric", "metric", rows, _against(records, paper, *comparisons))


def _table_d(records: Records, seeds: list[int]) -> list[str]:
    """Return the table of DPO against SimPO."""
    dpo, simpo = f"com-s{seeds[0]}-bleu", f"com-s{seeds[0]}-simpo"
    verdict = _against(records, "the two are alike", Comparison(simpo, dpo, "SimPO minus DPO", 0))
    return _simple(records, "Table D: loss", "loss", [("DPO", dpo), ("SimPO", simpo)], verdict)


def _table_e(records: Records, seeds: list[int]) -> list[str]:
    """Return the table of the number of pairs, and of one round against two."""
    start = f"com-s{seeds[0]}"
    fewer = {"a quarter": "quarter", "half": "half"}
    names = fewer | {"all": "bleu", "two rounds of half, in brackets the second": "two-rounds"}
    rows = _rows_with_pairs(records, start, names)
    more = [f"com-s{seed}-more" for seed in seeds]
    rows += [
        (f"of more utterances, seed {seed} ({_pairs(records.get(name))})", name) for seed, name in zip(seeds, more)
    ]
    paper = "more pairs help; for chain of modality two rounds of half are about one of all"
    once, twice = f"{start}-bleu", f"{start}-two-rounds"
    comparisons = [
        *(Comparison(once, f"{start}-{name}", f"all minus {label}", 1) for label, name in fewer.items()),
        Comparison(twice, once, "two rounds of half minus one of all", 0),
        Comparison(twice, "com-start", "two rounds of half minus none", 1),
    ]
    verdict = _against(records, paper, *comparisons)
    if known := [name for name in more if name in records]:
        gained = f"- More utterances, {describe_changes(changes_by_score(records, known, 'com-start'), known)}."
        verdict += f"\n{gained} {_verdict(records, known, 'com-start', PAPER_GAIN['com'])}"
    return _simple(records, "Table E: number of pairs and rounds", "pairs", rows, verdict)


def _table_f(records: Records, seeds: list[int]) -> list[str]:
    """Return the table of the threshold δ."""
    start = f"com-s{seeds[0]}"
    names = {"0": "delta-0", "0.05": "delta-0.05", "0.1": "bleu", "0.2": "delta-0.2", "0.3": "delta-0.3"}
    comparisons = [
        Comparison(f"{start}-{name}", f"{start}-bleu", f"δ {delta} minus δ 0.1", None)
        for delta, name in names.items()
        if delta != "0.1"
    ]
    verdict = _against(records, "not measured (0.1 throughout)", *comparisons)
    return _simple(records, "Table F: threshold δ", "δ (pairs kept)", _rows_with_pairs(records, start, names), verdict)


def _rows_with_pairs(records: Records, start: str, names: dict[str, str]) -> list[tuple[str, str]]:
    """Return a row (label, cell) per cell, with the number of its pairs in the label."""
    cells = {label: f"{start}-{name}" for label, name in names.items()}
    return [(f"{label} ({_pairs(records.get(cell))})", cell) for label, cell in cells.items()]


def _pairs(record: Record | None) -> str:
    return f"{record.learned:,} pairs" if record else "not run"
