"""The table that a round prints at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import fill

from factory.audit.formats import format_gap
from factory.report.malformed import describe_malformed
from factory.report.summary_types import BeforeAfter, Interval, LabelBin, MeanName, Score, ScoreName, Summary, Topline
from factory.storage.names import on_one_line

LABELS: dict[ScoreName, str] = {"s2t_bleu": "S2T BLEU", "s2t_chrf": "S2T chrF", "asr_bleu": "ASR-BLEU"}
"""The scores of the policy's translations against references."""
OTHER_LABELS: dict[ScoreName, str] = {"cascade_bleu": "cascade", "round_trip": "round trip"}
"""The ASR-BLEU of the baseline, and BLEU of back-translations against the source."""
SPEECH_LABELS: dict[ScoreName, str] = {"slc_02": "SLC 0.2", "slc_04": "SLC 0.4", "spoken_language": "spoken lang"}
"""Shares (%) of the spoken translations: of the source's duration within 20 and 40 %, and in the target language."""
MEANS: dict[MeanName, str] = {
    "mos": "DistilMOS",
    "dnsmos": "DNSMOS",
    "speaker_similarity": "speaker sim",
    "well_formed": "well-formed",
    "distinct": "distinct",
    "repetition": "repetition",
}
"""Means of outputs, which need no reference."""

WIDTH = 120
"""Characters of a line of text."""


def render_summary(summary: Summary, uri: str) -> str:
    """Return the summary of a round as text for a terminal; `uri` is the folder of the round."""
    title = f"\nRound {summary['round']} of {summary['recipe']}\n"
    verdict = fill(summary["verdict"], WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    lines = [title, f"{verdict}\n", *_production_lines(summary)]
    if scores := [*_score_lines(summary), *_mean_lines(summary)]:
        head = f"  {'':12}{'':7}{'before':>8}{'after':>8}   95 % interval     difference (95 % interval)"
        lines += ["", head, *scores]
    lines += [f"  note         {sentence}" for sentence in [*summary["untested"], *describe_unmeasured(summary)]]
    if toplines := [*_topline_lines(summary)]:
        lines += ["", "  topline     lang   ASR-BLEU      WER      MOS", *toplines]
    lines += _failure_lines(summary, uri)
    lines += [f"\n  !!! TRIPWIRE !!! {sentence}" for sentence in summary["tripwire"]]
    lines += ["", f"  seconds      {_counts(summary['wall_s'])}; peak memory {summary['peak_rss_mb']:,} MB"]
    lines += [f"  summary      {uri}/summary.json", f"  samples      {uri}/samples/*.wav (described in texts.tsv)"]
    return "\n".join(lines)


def scores_by_direction(summary: Summary, name: ScoreName) -> dict[str, Score]:
    """Return a score of the summary for each direction that has it.

    A policy without text has no S2T score, and a round of an older version no share of its speech.
    """
    return {direction: score for direction, score in summary.get(name, {}).items() if score is not None}


def means_by_direction(summary: Summary, name: MeanName) -> dict[str, BeforeAfter]:
    """Return a mean of the summary for each direction; none in a round of before it was measured."""
    return summary.get(name, {})


def describe_unmeasured(summary: Summary) -> list[str]:
    """Return a sentence for each direction, measure and reason that spoken translations have no value for."""
    return [
        f"{direction}: {count:,} spoken translations have no {measure} ({reason})"
        for direction, reasons in summary.get("unmeasured_speech", {}).items()
        for (measure, _, reason), count in ((one.partition(": "), count) for one, count in reasons.items())
    ]


def _production_lines(summary: Summary) -> Iterator[str]:
    if "rows" not in summary:
        return
    yield f"  utterances   {_counts(summary['rows'])}"
    yield f"  pairs        {_counts(summary['pairs'])}"
    if malformed := describe_malformed(summary.get("malformed")):
        yield f"  malformed    {malformed}"
    yield from _label_lines(summary["label_accuracy"])
    if summary["unmeasured"]:
        yield f"  note         {summary['unmeasured']}"


def _counts(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _label_lines(accuracy: dict[str, list[LabelBin]]) -> Iterator[str]:
    """Yield the share of labels that each judge agrees with, by gap."""
    for judge, bins in accuracy.items():
        cells = [f"{format_gap(b['gap'])}: {b['accuracy']:.2f} (n={b['n']})" for b in bins if b["n"]]
        if cells:
            yield f"  label right  by {judge} against the reference, by gap in {bins[0]['metric']}: {', '.join(cells)}"


def _score_lines(summary: Summary) -> Iterator[str]:
    for name, label in (LABELS | OTHER_LABELS | SPEECH_LABELS).items():
        for direction, score in scores_by_direction(summary, name).items():
            low, high = score["ci"]
            cells = f"{_cell(score['before'])}{_cell(score['after'])}   {f'[{low:.2f}, {high:.2f}]':17}"
            yield f"  {label:12}{direction:7}{cells} {_difference(score)}  n={score['utterances']}"


def _difference(score: Score) -> str:
    if "difference" not in score:
        return ""
    low, high = score["difference_ci"]
    return f"{score['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _mean_lines(summary: Summary) -> Iterator[str]:
    for name, label in MEANS.items():
        for direction, mean in means_by_direction(summary, name).items():
            if mean["before"] is not None or mean["after"] is not None:
                yield f"  {label:12}{direction:7}{_cell(mean['before'])}{_cell(mean['after'])}"


def _cell(value: float | None, digits: int = 2) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.{digits}f}"


def _topline_lines(summary: Summary) -> Iterator[str]:
    for lang, toplines in summary["toplines"].items():
        speech = {"audio": toplines.get("audio"), "resynthesised": toplines.get("resynthesised")}
        for name, topline in speech.items():
            if topline is not None:
                yield f"  {name:14}{lang:4}{_topline_cells(topline)}   n={toplines['utterances']}"


def _topline_cells(topline: Topline) -> str:
    return " ".join([_score(topline["asr_bleu"], 2), _score(topline["wer"], 3), _score(topline["mos"], 2)])


def _score(interval: Interval | None, digits: int) -> str:
    return _cell(interval["score"] if interval else None, digits)


def _failure_lines(summary: Summary, uri: str) -> Iterator[str]:
    """Yield a line for each dataset and reason, and the command that shows the rows."""
    for dataset, failures in summary["failures"].items():
        for failure in failures:
            ids = ", ".join(map(on_one_line, failure["ids"][:5]))
            yield f"  {dataset:12} {failure['status']} {failure['reason']}: {failure['count']:,} (first: {ids})"
    if any(summary["failures"].values()):
        yield f"  show them    roundtrip rows {uri}/pairs --status skipped (or failed; or another dataset of the round)"
