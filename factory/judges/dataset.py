"""The scores of judges, next to the candidates they belong to: `round-N/judges/NAME`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, get_args

import pyarrow as pa
import pyarrow.fs as pafs

from factory.judges.environment import JudgeError
from factory.metrics.judge import PREFIX, is_judge
from factory.storage.dataset import DatasetDir
from factory.storage.files import filesystem, retry
from schemas.datasets import Row

Compare = Literal["source", "back_translation", "reference"]
COMPARISONS: tuple[Compare, ...] = get_args(Compare)
"""What a judge compares: the candidate with its source, its back-translation with the source, or it with a reference.

Pairs may be made from the first two. The third reads references, so that it measures labels and makes none.
"""
JUDGED = pa.schema(
    [
        *[pa.field(name, pa.string(), nullable=False) for name in ("utt_id", "src_lang", "tgt_lang")],
        pa.field("scores", pa.list_(pa.float64())),
        pa.field("reasons", pa.list_(pa.string())),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)
"""The scores of the candidates of a row of SCORED, in their order.

- `scores`: higher is better; null: not judged.
- `reasons`: why a candidate has no score (a slug and a sentence); null if it has one.
"""

Key = tuple[str, str, int]
"""Names a candidate: the id of its utterance, the language of the translation, its index in its row of SCORED."""


class JudgeScores(NamedTuple):
    """The finished scores of a judge; `name` is that of its metric, `judge:NAME`."""

    name: str
    compare: Compare
    fingerprint: str
    scores: dict[Key, float]


def judged_dataset(scored: DatasetDir, name: str) -> DatasetDir:
    """Return the dataset of the scores that the judge NAME gave the candidates of `scored`."""
    return DatasetDir(f"{_folder(scored)}/{name}", JUDGED, more=scored.id_columns[1:])


def explain_missing_scores(scored: DatasetDir, metric: str) -> str | None:
    """Return what to do if the judge of `judge:NAME` has no finished scores of these candidates; None if it has."""
    out = judged_dataset(scored, metric.removeprefix(PREFIX))
    if out.is_finished() and scored.is_finished() and out.manifest().inputs["scored"] == scored.manifest().fingerprint:
        return None
    run, folder, _ = scored.uri.rsplit("/", 2)
    command = f"roundtrip judge --run {run} --round {folder.removeprefix('round-')} --judge NAME|FILE"
    return f"{out.uri} has no finished scores of {scored.uri}: run `{command}`, then this command again"


def read_judge(scored: DatasetDir, metric: str) -> JudgeScores:
    """Return the scores of the judge of the metric `judge:NAME`.

    Raises:
        JudgeError: the judge has no finished scores of these candidates.
    """
    out = judged_dataset(scored, metric.removeprefix(PREFIX))
    if sentence := explain_missing_scores(scored, metric):
        raise JudgeError(sentence)
    scores = {
        (row["utt_id"], row["tgt_lang"], index): score
        for row in out.rows(["utt_id", "tgt_lang", "scores"]).to_pylist()
        for index, score in enumerate(row["scores"] or ())
        if score is not None
    }
    manifest = out.manifest()
    return JudgeScores(metric, manifest.content["compare"], manifest.fingerprint, scores)


def read_judge_for_pairs(scored: DatasetDir, metric: str) -> JudgeScores:
    """Return the scores of a judge that pairs may be made from.

    Raises:
        JudgeError: it has no finished scores of these candidates, it read references, or it could score none of them.
    """
    judge = read_judge(scored, metric)
    if judge.compare == "reference":
        raise JudgeError(f"{metric} read references, which serve measurement alone: judge with another --compare")
    if not judge.scores:
        check_any_score(judged_dataset(scored, metric.removeprefix(PREFIX)))
    return judge


def count_candidates(judged: DatasetDir) -> Counter[str | None]:
    """Count the candidates of JUDGED by the reason why they have no score; None: they have one."""
    return Counter(reason for row in judged.rows(["reasons"]).to_pylist() for reason in row["reasons"] or ())


def check_any_score(judged: DatasetDir) -> None:
    """Raise JudgeError, with the most frequent reason, if a judge could score no candidate."""
    counts = count_candidates(judged)
    if counts[None]:
        return
    why = "; ".join(f"{count:,} times {reason}" for reason, count in counts.most_common(1)) or "there are none"
    raise JudgeError(
        f"{judged.uri} has no score of any of {counts.total():,} candidates ({why}): delete this folder and judge "
        "again with what the reason asks for, or name another judge"
    )


def add_select_scores(rows: Iterable[Row], scored: DatasetDir, metric: str) -> None:
    """Add the scores of a judge to rows of SCORED if `select.metric` is one; others are in the rows already."""
    if is_judge(metric):
        add_scores(rows, metric, read_judge_for_pairs(scored, metric).scores)


def read_judges(scored: DatasetDir) -> list[JudgeScores]:
    """Return the scores of all judges that have finished these candidates and could score some, by name."""
    fs, path = filesystem(_folder(scored))
    selector = pafs.FileSelector(path, allow_not_found=True)
    names = sorted(info.base_name for info in retry(fs, path, "listed", lambda: fs.get_file_info(selector)))
    finished = [name for name in names if judged_dataset(scored, name).is_finished()]
    judges = [read_judge(scored, f"{PREFIX}{name}") for name in finished]
    return [judge for judge in judges if judge.scores]


def add_scores(rows: Iterable[Row], metric: str, scores: Mapping[Key, float]) -> None:
    """Give each candidate of rows of SCORED its score by a judge, or None, next to its other scores."""
    for row in rows:
        for index, candidate in enumerate(row["candidates"] or ()):
            score = scores.get((row["utt_id"], row["tgt_lang"], index))
            candidate["scores"] = (candidate["scores"] or {}) | {metric: score}


def _folder(scored: DatasetDir) -> str:
    return f"{scored.uri.rpartition('/')[0]}/judges"
