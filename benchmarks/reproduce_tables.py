"""Tables A to F of a reproduction, as Markdown: each with intervals, and one sentence that holds it against the paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.reproduce_records import HEARD, Record
from factory.metrics import bootstrap, normalise
from factory.report.summary_types import Score, ScoreName

Records = dict[str, Record]
Changes = dict[tuple[ScoreName, str], bootstrap.Estimate]
DIRECTIONS = ("en-fr", "fr-en")
SCORES: dict[ScoreName, str] = {"s2t_bleu": "S2T BLEU", "asr_bleu": "ASR-BLEU"}
COLUMNS: dict[ScoreName, str] = {"s2t_bleu": "text", "asr_bleu": "asr_text"}
READING = """every cell's summary and command, and what its policy wrote and was heard to say, lie beside this page
(`CELL.json`, `CELL.parquet`). In brackets: what the round changes, with 95 % by paired bootstrap over the test sentences. A dash: not run,
or, for the text of a policy that writes none, not there to be measured. An interval says whether two policies differ on other sentences,
not whether two trainings would: two seeds of one setting can differ by 0.6 ASR-BLEU (`heard`), so an effect of one seed that is no larger
may be the seed's. The vocoder and Whisper base stand between a policy and its ASR-BLEU: the first line of table A is what perfect units
would get."""
"""What the page says of itself."""
PAPER_GAIN = {"com": 0.9, "tritask": 1.8, "vanilla": 2.6}
"""ASR-BLEU that DPO adds in the paper (CVSS-C, mean of both directions and both metrics)."""


class Comparison(NamedTuple):
    """Two cells, whose difference is named by `words`, and what the paper found of it: more than 0, less, 0 (alike), or None (nothing)."""

    one: str
    two: str
    words: str
    paper: float | None


def write_tables(told: Records, seeds: Sequence[int], to: Path, arguments: str) -> None:
    """Write all tables from the records of finished cells; a cell without one is a dash."""
    parts = ["# The paper's tables in small"]
    command = f"make reproduce ARGS='{arguments}'" if arguments else "make reproduce"
    parts += ["", f"`{command}`; {READING}"]
    for table in (_table_a, _table_b, _table_c, _table_d, _table_e, _table_f):
        parts += ["", *table(told, list(seeds))]
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
    cells = [_cell(record.summary[score].get(direction)) if record else "-" for score, direction in columns]
    mos = [record.summary["mos"][direction]["after"] if record else None for direction in DIRECTIONS]
    cells += [f"{value:.2f}" if value is not None else "-" for value in mos]
    return f"| {name} | {' | '.join(cells)} |"


def _topline(told: Records) -> str:
    """Return the line of the references' own units, spoken and heard."""
    tops = told["com-start"].summary["toplines"] if "com-start" in told else {}
    known = [tops.get(direction.split("-")[1]) for direction in DIRECTIONS]
    resynthesised = [top.get("resynthesised") if top else None for top in known]
    intervals = [top["asr_bleu"] if top else None for top in resynthesised]
    intervals += [top["mos"] if top else None for top in resynthesised]
    cells = [f"{interval['score']:.2f}" if interval else "-" for interval in intervals]
    return f"| the references' units | {' | '.join(['-', '-', *cells])} |"


def _cell(score: Score | None) -> str:
    if score is None:
        return "-"
    if "difference" not in score:
        return f"{score['after']:.2f}"
    low, high = score["difference_ci"]
    return f"{score['after']:.2f} ({score['difference']:+.2f} [{low:+.2f}, {high:+.2f}])"


def _table_a(told: Records, seeds: list[int]) -> list[str]:
    """Variants before and after preference optimisation."""

    def rows() -> Iterator[str]:
        """Yield what perfect units would get, and of every variant its start and two rows a seed."""
        yield _topline(told)
        for variant in PAPER_GAIN:
            yield _line(variant, told.get(f"{variant}-start"))
            for seed in seeds if variant == "com" else seeds[:1]:
                yield _line(f"{variant}, seed {seed}, DPO (METEOR)", told.get(f"{variant}-s{seed}-meteor"))
                yield _line(f"{variant}, seed {seed}, DPO (BLEU)", told.get(f"{variant}-s{seed}-bleu"))
                if variant == "com" and seed == seeds[0]:
                    yield _line(f"com, seed {seed}, DPO (BLEU), the speech goes back", told.get(f"com-s{seed}-spoken"))

    verdicts = [_gain(variant, told, seeds) for variant in PAPER_GAIN]
    return _grid("Table A: variants and preference optimisation", "policy", rows(), "\n".join(verdicts))


def _gain(variant: str, told: Records, seeds: list[int]) -> str:
    """Tell what a round changes, over all seeds, and hold the change of ASR-BLEU of both metrics against the paper's."""
    ranked = {
        metric: [name for seed in seeds if (name := f"{variant}-s{seed}-{metric.lower()}") in told]
        for metric in ("BLEU", "METEOR")
    }
    if not (every := [name for names in ranked.values() for name in names]):
        return f"- {variant}: not run."
    start = f"{variant}-start"
    words = [
        f"ranked by {metric}, {_in_words(_changes(told, names, start), names)}"
        for metric, names in ranked.items()
        if names
    ]
    return f"- {variant}, {'; '.join(words)}. {_verdict(told, every, start, PAPER_GAIN[variant])}"


def _verdict(told: Records, names: list[str], start: str, paper: float) -> str:
    """Hold the change of ASR-BLEU, which the paper tells as a mean of both directions, against the paper's; where all test sentences were
    heard, not a part of them, by those too.
    """
    words = f"ASR-BLEU, mean of both directions: {_held(told, names, start, paper)} (there {paper:+.1f})."
    if whole := [f"{HEARD}/{name}" for name in names if f"{HEARD}/{name}" in told]:
        before = f"{HEARD}/{start}"
        changes = _in_words(_changes(told, whole, before, ["asr_bleu"]), whole)
        words += f" With every test sentence heard (`{HEARD}`), {changes}; mean of both directions: {_held(told, whole, before, paper)}."
    return words


def _held(told: Records, names: list[str], start: str, paper: float) -> str:
    found = change(told, names, start, DIRECTIONS, "asr_bleu")
    return f"{signed(*found)}, which {_agrees(found, paper)}"


def _changes(told: Records, names: list[str], start: str, scores: Iterable[ScoreName] = tuple(SCORES)) -> Changes:
    """Return what a round changes in each score and direction, on average over runs that differ in their seed."""
    first = told[names[0]].summary
    scored = [(score, direction) for score in scores for direction in DIRECTIONS if first[score].get(direction)]
    return {(score, direction): change(told, names, start, [direction], score) for score, direction in scored}


def _in_words(found: Changes, names: list[str]) -> str:
    changes = "; ".join(
        f"{SCORES[score]} {direction} {signed(*estimate)}" for (score, direction), estimate in found.items()
    )
    return f"mean of {len(names)} seed{'s' * (len(names) > 1)}: {changes}"


def change(
    told: Records, names: list[str], start: str, directions: Sequence[str], score: ScoreName
) -> bootstrap.Estimate:
    """Return what a round changes in `start`, on average over runs that differ in their seed and over directions.

    The interval is over test sentences; both directions test the same ones, in the order of their ids.
    """
    after = bootstrap.average(
        [_sample(told[name], direction, COLUMNS[score]) for name in names for direction in directions]
    )
    before = bootstrap.average([_sample(told[start], direction, COLUMNS[score]) for direction in directions])
    return bootstrap.compare(after, before).difference


def signed(point: float, low: float, high: float) -> str:
    """Write a difference with its interval."""
    return f"{point:+.2f} [{low:+.2f}, {high:+.2f}]"


def _agrees(found: bootstrap.Estimate, paper: float | None) -> str:
    """Say whether a difference can be told apart from none, and whether that agrees with what the paper found."""
    if found.low <= 0 <= found.high:
        return "cannot be told apart from none" + ", as in the paper" * (paper == 0)
    if paper is None:
        return "can be told apart from none"
    return "agrees with the paper" if paper * found.point > 0 else "contradicts the paper"


def _difference(told: Records, sides: Comparison, score: ScoreName) -> str:
    """Compare two cells on the same test sentences; returns the differences of both directions and their mean in words."""
    each = [
        f"{direction} {signed(*change(told, [sides.one], sides.two, [direction], score))}" for direction in DIRECTIONS
    ]
    both = change(told, [sides.one], sides.two, DIRECTIONS, score)
    return f"{SCORES[score]} {', '.join(each)}, mean {signed(*both)}, which {_agrees(both, sides.paper)}"


def _sample(record: Record, direction: str, column: str) -> bootstrap.Sample:
    rows = record.said(direction)
    rows = [row for row in rows if column == "text" or row[column] is not None]
    texts, references = [row[column] or "" for row in rows], [row["reference"] for row in rows]
    lang = direction.split("-")[1]
    if column == "asr_text":
        texts, references = ([normalise.text(text, lang) for text in side] for side in (texts, references))
    return bootstrap.corpus("bleu", texts, references, lang)


def _against(told: Records, paper: str, *sides: Comparison) -> str:
    """Return what stands below a table: by how much cells are better than others, and what the paper found."""
    there = [each for each in sides if each.one in told and each.two in told]
    words = [f"- {each.words}: {'; '.join(_difference(told, each, score) for score in SCORES)}." for each in there]
    return "\n".join([*words, f"- The paper: {paper}."]) if words else "Not run."


def _simple(
    title: str, head: str, rows: list[tuple[str, str]], end: Callable[[Records], str]
) -> Callable[[Records], list[str]]:
    return lambda told: _grid(title, head, (_line(label, told.get(name)) for label, name in rows), end(told))


def _table_b(told: Records, seeds: list[int]) -> list[str]:
    """Monolingual against paired preference data."""
    main, paired = f"com-s{seeds[0]}-bleu", f"com-s{seeds[0]}-paired"
    paper = "monolingual is 1.2 (en-fr) and some 2 (fr-en) ahead on CVSS-T"

    def end(told: Records) -> str:
        return _against(told, paper, Comparison(main, paired, "monolingual minus paired", 1.7))

    return _simple("Table B: source of the pairs", "source", [("monolingual", main), ("paired", paired)], end)(told)


def _table_c(told: Records, seeds: list[int]) -> list[str]:
    """Ranking metrics."""
    start = f"com-s{seeds[0]}"
    rows = [(f"{name}, the text goes back", f"{start}-{name}") for name in ("bleu", "meteor", "wer", "chrf")]
    rows += [("bleu, the speech goes back", f"{start}-spoken"), ("mcd, the speech goes back", f"{start}-mcd")]

    def end(told: Records) -> str:
        sides = [
            Comparison(f"{start}-{name.lower()}", f"{start}-bleu", f"{name} minus BLEU", 0)
            for name in ("METEOR", "WER")
        ]
        chrf = Comparison(f"{start}-chrf", f"{start}-bleu", "chrF minus BLEU", None)
        spoken = Comparison(f"{start}-mcd", f"{start}-spoken", "MCD minus BLEU, the speech going back", 1)
        return _against(
            told,
            "BLEU, METEOR and WER are close, MCD a little ahead en-fr; chrF is not among them",
            *sides,
            chrf,
            spoken,
        )

    return _simple("Table C: ranking metric", "metric", rows, end)(told)


def _table_d(told: Records, seeds: list[int]) -> list[str]:
    """DPO against SimPO."""
    start = f"com-s{seeds[0]}"

    def end(told: Records) -> str:
        return _against(told, "the two are alike", Comparison(f"{start}-simpo", f"{start}-bleu", "SimPO minus DPO", 0))

    return _simple("Table D: loss", "loss", [("DPO", f"{start}-bleu"), ("SimPO", f"{start}-simpo")], end)(told)


def _table_e(told: Records, seeds: list[int]) -> list[str]:
    """Number of pairs, and one round against two."""
    start = f"com-s{seeds[0]}"
    fewer = {"a quarter": "quarter", "half": "half"}
    names = fewer | {"all": "bleu", "two rounds of half, in brackets the second": "two-rounds"}
    rows = [(f"{label} ({_pairs(told.get(f'{start}-{name}'))})", f"{start}-{name}") for label, name in names.items()]
    more = [f"com-s{seed}-more" for seed in seeds]
    rows += [(f"of more utterances, seed {seed} ({_pairs(told.get(name))})", name) for seed, name in zip(seeds, more)]
    paper = "more pairs help; for chain of modality two rounds of half are about one of all"
    once, twice = f"{start}-bleu", f"{start}-two-rounds"
    sides = [Comparison(once, f"{start}-{name}", f"all minus {label}", 1) for label, name in fewer.items()]
    sides.append(Comparison(twice, once, "two rounds of half minus one of all", 0))
    sides.append(Comparison(twice, "com-start", "two rounds of half minus none", 1))

    def end(told: Records) -> str:
        """Return the comparisons, and what more utterances change over all seeds."""
        there = [name for name in more if name in told]
        if not there:
            return _against(told, paper, *sides)
        gained = f"- More utterances, {_in_words(_changes(told, there, 'com-start'), there)}."
        return f"{_against(told, paper, *sides)}\n{gained} {_verdict(told, there, 'com-start', PAPER_GAIN['com'])}"

    return _simple("Table E: number of pairs and rounds", "pairs", rows, end)(told)


def _table_f(told: Records, seeds: list[int]) -> list[str]:
    """The threshold δ."""
    start = f"com-s{seeds[0]}"
    names = {"0": "delta-0", "0.05": "delta-0.05", "0.1": "bleu", "0.2": "delta-0.2", "0.3": "delta-0.3"}
    rows = [(f"{label} ({_pairs(told.get(f'{start}-{name}'))})", f"{start}-{name}") for label, name in names.items()]

    def end(told: Records) -> str:
        others = [value for value in names if value != "0.1"]
        sides = [
            Comparison(f"{start}-{names[value]}", f"{start}-bleu", f"δ {value} minus δ 0.1", None) for value in others
        ]
        return _against(told, "not measured (0.1 throughout)", *sides)

    return _simple("Table F: threshold δ", "δ (pairs kept)", rows, end)(told)


def _pairs(record: Record | None) -> str:
    return f"{record.learned:,} pairs" if record else "not run"
