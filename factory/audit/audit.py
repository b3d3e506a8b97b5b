"""The whole audit of scored candidates, and the audit of a round, which its `audit/audit.json` keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from factory.audit.comparisons import RULES, compare, group_by_delta, group_by_gap, measure_agreement
from factory.audit.delta import recommend
from factory.audit.labels import JUDGES, ScoredUtterance, explain_unmeasured, judge_rows, read_rows_with_reference
from factory.audit.result import Audit, AuditTable, RoundAudit, RuleName
from factory.audit.transcripts import read_transcripts, transcribe_candidates
from factory.judges.dataset import add_scores, read_judges
from factory.passes.unit_languages import read_languages
from factory.planning.places import Round
from factory.storage.files import filesystem, get_json, put_json

ALL = "all"
"""The direction that stands for all directions together."""


def audit(rows: Sequence[ScoredUtterance], metrics: Sequence[str]) -> Audit:
    """Audit the labels of every metric by every judge that could score candidates, per direction and rule."""
    named = {judge for row in rows for one in row.candidates for judge in one.judgements}
    judges = [*(judge for judge in JUDGES if judge in named), *sorted(named - set(JUDGES))]
    directions = [ALL, *sorted({row.direction for row in rows})]
    return {
        "utterances": len(rows),
        "judges": judges,
        "tables": [
            _make_table(rows, metric, judge, direction, rule)
            for metric in metrics
            for judge in judges
            for direction in directions
            for rule in RULES
        ],
        "recommended": {metric: recommend(rows, metric, *judges[:1]) for metric in metrics},
        "agreement": measure_agreement(rows, metrics),
    }


def _make_table(rows: Sequence[ScoredUtterance], metric: str, judge: str, direction: str, rule: RuleName) -> AuditTable:
    chosen = [row for row in rows if direction in (ALL, row.direction)]
    comparisons = compare(chosen, metric, judge, rule)
    return {
        "metric": metric,
        "judge": judge,
        "direction": direction,
        "rule": rule,
        "by_gap": group_by_gap(comparisons, metric),
        "by_delta": group_by_delta(comparisons, metric),
    }


def audit_round(round_: Round, asr: int = 0) -> RoundAudit:
    """Audit the candidates of a round and write `audit/audit.json`.

    The scores of `roundtrip judge` count too: those that read references judge the labels, the others give labels.

    Args:
        round_: a round with candidates.
        asr: number of utterances per direction whose candidates are resynthesised and transcribed, for ASR-BLEU.
            Transcripts of earlier audits are used as well.
    """
    folder, select = f"{round_.uri}/audit", round_.recipe.select
    transcripts = transcribe_candidates(round_, folder, asr) if asr else read_transcripts(round_.scored, folder)
    known = read_rows_with_reference(round_.scored)
    judges = read_judges(round_.scored)
    labelling = [judge for judge in judges if judge.compare != "reference"]
    for judge in labelling:
        add_scores(known, judge.name, judge.scores)
    judgements = {judge.name: judge.scores for judge in judges if judge.compare == "reference"}
    languages = read_languages(round_.scored, round_.recipe)
    rows = judge_rows(known, select.filters, transcripts, languages, judgements)
    metrics = [*round_.recipe.scorer.metrics, *(judge.name for judge in labelling)]
    result = RoundAudit(**audit(rows, metrics), select={"metric": select.metric, "delta": select.delta})
    fs, path = filesystem(f"{folder}/audit.json")
    put_json(fs, path, result)
    return result


def read_audit(round_: Round) -> RoundAudit | None:
    """Return the audit of a round; None if it has none."""
    fs, path = filesystem(f"{round_.uri}/audit/audit.json")
    return cast("RoundAudit | None", get_json(fs, path))


def find_table(
    result: Audit, metric: str, judge: str, direction: str = ALL, rule: RuleName = "best_worst"
) -> AuditTable | None:
    """Return the table of an audit with this metric, judge, direction and rule; None if it has none.

    Args:
        result: the audit.
        metric: the metric of the back-translations.
        judge: the judge of the labels.
        direction: `fr-en`, or `all`.
        rule: the rule that chooses two candidates.
    """
    key = (metric, judge, direction, rule)
    tables = result["tables"]
    return next((t for t in tables if (t["metric"], t["judge"], t["direction"], t["rule"]) == key), None)


def explain_unmeasured_audit(result: Audit) -> str | None:
    """Return why an audit could not measure labels and what to do about it; None if it could."""
    return explain_unmeasured(result["utterances"], bool(result["judges"]))
