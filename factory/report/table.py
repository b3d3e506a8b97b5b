"""The table that a round prints at its end."""

from __future__ import annotations

from collections.abc import Iterator

from factory.audit.labels import bin_name
from factory.storage.names import on_one_line
from schemas.datasets import Row

LABELS = {"s2t_bleu": "S2T BLEU", "s2t_chrf": "S2T chrF", "asr_bleu": "ASR-BLEU"}
OTHERS = {"cascade_bleu": "cascade", "round_trip": "round trip"}
"""Scores that are no merit of the policy's speech: the baseline's ASR-BLEU, and BLEU of the way back against the source."""


def render(summary: Row, place: str) -> str:
    """Return the summary of a round as text for a terminal, and where its files lie."""
    lines = [f"\nRound {summary['round']} of {summary['recipe']}"]
    if "rows" in summary:
        lines += [f"  utterances   {_counts(summary['rows'])}", f"  pairs        {_counts(summary['pairs'])}"]
        lines += [*_labels(summary["label_accuracy"]), *_note(summary.get("unmeasured"))]
    if scores := [*_scores(summary)]:
        lines += [
            "",
            f"  {'':12}{'':7}{'before':>8}{'after':>8}   95 % interval     difference (95 % interval)",
            *scores,
        ]
    lines += [line for sentence in summary.get("untested", ()) for line in _note(sentence)]
    if toplines := [*_toplines(summary["toplines"])]:
        lines += ["", "  topline     lang   ASR-BLEU      WER      MOS", *toplines]
    lines += [*_failures(summary["failures"], place)]
    lines += [f"\n  !!! TRIPWIRE !!! {sentence}" for sentence in summary.get("tripwire", ())]
    lines += ["", f"  seconds      {_counts(summary['wall_s'])}; peak memory {summary['peak_rss_mb']:,} MB"]
    lines += [
        f"  look at      {place}/summary.json",
        f"  listen to    {place}/samples/*.wav (texts.tsv says which is which)",
    ]
    return "\n".join(lines)


def _note(sentence: str | None) -> list[str]:
    return [f"  note         {sentence}"] if sentence else []


def _counts(counts: Row) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _labels(accuracy: Row) -> Iterator[str]:
    """The share of labels that the reference agrees with, by gap."""
    for judge, bins in accuracy.items():
        cells = [f"{bin_name(b['gap'])}: {b['accuracy']:.2f} (n={b['n']})" for b in bins if b["n"]]
        if cells:
            yield f"  label right  by {judge} against the reference, by gap in {bins[0]['metric']}: {', '.join(cells)}"


def scores_of(summary: Row, key: str) -> Row:
    """Return a summary's score for each direction that has it: a policy without text has no S2T score."""
    return {direction: score for direction, score in summary.get(key, {}).items() if score is not None}


def _scores(summary: Row) -> Iterator[str]:
    for key, label in (LABELS | OTHERS).items():
        for direction, score in scores_of(summary, key).items():
            before = f"{score['before']:8.2f}" if score["before"] is not None else f"{'-':>8}"
            low, high = score.get("difference_ci", (0, 0))
            change = f"{score['difference']:+.2f} [{low:+.2f}, {high:+.2f}]" if "difference" in score else ""
            interval = f"[{score['ci'][0]:.2f}, {score['ci'][1]:.2f}]"
            yield f"  {label:12}{direction:7}{before}{score['after']:8.2f}   {interval:17} {change}  n={score['utterances']}"
    for key, label in {"mos": "MOS", "well_formed": "well-formed"}.items():
        for direction, score in summary[key].items():
            values = score["before"], score["after"]
            if values != (None, None):
                cells = [f"{value:8.2f}" if value is not None else f"{'-':>8}" for value in values]
                yield f"  {label:12}{direction:7}{''.join(cells)}"


def _toplines(toplines: Row) -> Iterator[str]:
    for lang, told in toplines.items():
        for name, found in told.items():
            if name == "utterances":
                continue
            cells = [_cell(found[key], digits) for key, digits in (("asr_bleu", 2), ("wer", 3), ("mos", 2))]
            yield f"  {name:14}{lang:4}{' '.join(cells)}   n={told['utterances']}"


def _cell(found: Row | None, digits: int) -> str:
    return f"{found['score']:8.{digits}f}" if found else f"{'-':>8}"


def _failures(failures: Row, place: str) -> Iterator[str]:
    """What is not ok, by dataset and reason, and the command that shows the rows."""
    for dataset, reasons in failures.items():
        for row in reasons:
            yield f"  {dataset:12} {row['status']} {row['reason']}: {row['count']:,} (first: {', '.join(map(on_one_line, row['ids'][:5]))})"
    if any(failures.values()):
        yield f"  to see them  roundtrip rows {place}/pairs --status skipped (or failed; any dataset of the round)"
