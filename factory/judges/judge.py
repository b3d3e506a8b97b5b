"""`roundtrip judge`: the candidates of a finished round are scored by a judge in an environment of its own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from factory.audit.transcripts import read_transcripts
from factory.judges.dataset import JUDGED, Compare, count_candidates, judged_dataset
from factory.judges.environment import JudgeError, find_model, find_script, make_environment
from factory.judges.process import ASKED, Answers, stream_answers
from factory.passes.progress import Clock
from factory.planning.places import Round
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import FingerprintMismatch
from factory.storage.names import file_name
from schemas.datasets import OK, SKIPPED, Row
from schemas.fingerprint import json_digest

PART_ROWS = 64
"""Utterances that are asked and written together: what a kill can lose."""
_COLUMNS = ["utt_id", "src_lang", "tgt_lang", "text", "reference", "candidates", "status", "reason"]
_CHANGES = {
    "script": "the script",
    "model": "--model",
    "compare": "--compare",
    "transcripts": "the transcripts of roundtrip audit --asr",
    "inputs.scored": "the candidates",
}
"""Key of the content of a dataset of JUDGED -> what it is."""
Transcripts = Mapping[tuple[str, str, int], str]


class Judge(NamedTuple):
    """Who judges what: a name of SHIPPED or a script, its model, and the texts that it compares."""

    judge: str
    model: str = ""
    compare: Compare = "source"

    @property
    def name(self) -> str:
        """The name of its scores: the metric is `judge:NAME`."""
        parts = [
            Path(self.judge).stem,
            Path(find_model(self.model)).name,
            "" if self.compare == "source" else self.compare,
        ]
        return file_name("-".join(filter(None, parts)))


def judge_round(round_: Round, judge: Judge, python: Path | None = None) -> DatasetDir:
    """Score the candidates of a round, or those that an earlier call left; return the dataset of JUDGED.

    A candidate without text is judged by the transcript of its speech, where `roundtrip audit --asr` made one.

    Args:
        round_: a round with candidates.
        judge: who judges.
        python: the Python of an environment that has the judge's packages; None: one is made for it.

    Raises:
        JudgeError: the judge lacks its model, cannot be installed, or fails; or the scores are those of another
            script. What it had scored is kept.
    """
    if judge.judge == "comet" and not judge.model:
        raise JudgeError("the judge comet needs a model: --model Unbabel/wmt22-cometkiwi-da, or a folder")
    scored, script, model = round_.scored, find_script(judge.judge), find_model(judge.model)
    judge = judge._replace(model=model)
    out, transcripts = judged_dataset(scored, judge.name), read_transcripts(scored, f"{round_.uri}/audit")
    content = {
        "stage": "judge",
        "script": hashlib.sha256(script.read_bytes()).hexdigest()[:16],
        "model": judge.model,
        "compare": judge.compare,
        "transcripts": json_digest(sorted([*key, text] for key, text in transcripts.items())),
        "inputs": {"scored": scored.manifest().fingerprint},
    }
    if _start(out, content):
        try:
            python = python or make_environment(script)
            _score_rows(scored, out, transcripts, judge, (python, script))
            out.publish(out.list_ids(scored.rows(list(out.id_columns))))
        finally:
            out.release()
    return out


def _start(out: DatasetDir, content: Mapping[str, object]) -> bool:
    """Start the scores of a judge; say what has changed since they were begun, unless there are none yet."""
    try:
        return out.start(content, replace_empty=True)
    except FingerprintMismatch as error:
        changed = " and ".join(_CHANGES.get(key, key) for key in error.differences)
        raise JudgeError(
            f"{out.uri} has scores, and since they were made changed: {changed}. Delete {out.uri} to score all "
            "candidates anew, or keep it and give the script another name"
        ) from error


def _score_rows(
    scored: DatasetDir, out: DatasetDir, transcripts: Transcripts, judge: Judge, command: tuple[Path, Path]
) -> None:
    """Ask the judge about the rows that are not written yet, and write each part when its answers are there."""
    table, done = scored.rows(_COLUMNS), out.done_ids()
    left = table.filter(pa.array([name not in done for name in out.list_ids(table)], pa.bool_()))
    parts = [left.slice(start, PART_ROWS) for start in range(0, left.num_rows, PART_ROWS)]
    asked = [pa.Table.from_pylist(list(_list_asked(part, transcripts, judge.compare)), schema=ASKED) for part in parts]
    with Clock(out.uri).bar("judge", table.num_rows, len(done)) as bar:
        for part, answers in zip(parts, stream_answers(*command, judge.model, asked), strict=True):
            rows = [_make_row(row, transcripts, judge.compare, answers) for row in part.to_pylist()]
            out.append(pa.Table.from_pylist(rows, schema=JUDGED))
            bar.update(part.num_rows)


def _list_asked(part: pa.Table, transcripts: Transcripts, compare: Compare) -> Iterator[Row]:
    for row in part.to_pylist():
        for index, texts in enumerate(_compare_candidates(row, transcripts, compare)):
            if not isinstance(texts, str):
                yield {"id": _candidate_id(row, index), **texts}


def _compare_candidates(row: Row, transcripts: Transcripts, compare: Compare) -> Iterator[Row | str]:
    """Yield for each candidate the texts that the judge gets, or the reason why it cannot be judged."""
    for index, candidate in enumerate((row["candidates"] or ()) if row["status"] == OK else ()):
        text = candidate["text"] or transcripts.get((row["utt_id"], row["tgt_lang"], index))
        if compare == "back_translation":
            texts = {"source": text, "candidate": candidate["back_translation"], "reference": row["text"]}
        else:
            texts = {"source": row["text"], "candidate": text, "reference": None}
            texts |= {"reference": row["reference"]} if compare == "reference" else {}
        needed = [name for name in texts if name != "reference" or compare != "source"]
        missing = next((name for name in needed if not (texts[name] or "").strip()), None)
        yield texts if missing is None else f"no_{missing}: there is no text of it to compare"


def _make_row(row: Row, transcripts: Transcripts, compare: Compare, answers: Answers) -> Row:
    """Return the row of JUDGED of a row of SCORED; without any score it is `skipped` with the first reason."""
    head = {key: row[key] for key in ("utt_id", "src_lang", "tgt_lang", "status", "reason")}
    if row["status"] != OK:
        return head
    results = [
        (None, texts) if isinstance(texts, str) else answers[_candidate_id(row, index)]
        for index, texts in enumerate(_compare_candidates(row, transcripts, compare))
    ]
    scores, reasons = [result[0] for result in results], [result[1] for result in results]
    if all(score is None for score in scores):
        first = next(filter(None, reasons), "no_candidate: the row has no candidates")
        head |= {"status": SKIPPED, "reason": first}
    return head | {"scores": scores, "reasons": reasons}


def _candidate_id(row: Row, index: int) -> str:
    return f"{row['utt_id']}-{row['tgt_lang']}-{index}"


def describe(judged: DatasetDir, judge: Judge) -> str:
    """Return what a judge has scored, and what it could not score, as text for a terminal."""
    reasons, counts = count_candidates(judged), Counter[str]()
    for reason, count in reasons.items():
        counts.update({reason.partition(":")[0]: count} if reason else {})
    lines = [f"{reasons[None]:,} of {reasons.total():,} candidates have a score: metric judge:{judge.name}"]
    lines += [f"  {count:,} have none: {slug}" for slug, count in counts.most_common()]
    return "\n".join([*lines, f"  {judged.uri}"])
