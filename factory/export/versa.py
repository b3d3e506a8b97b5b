"""VERSA (https://github.com/wavlab-speech/versa): its Kaldi tables of a round's pairs, and its scores read back.

A key is the NAME of a pair (`factory.storage.names`), which has no spaces. VERSA wants a text for every key or no table
of texts, paths from the folder that it runs in, and `--io soundfile` for FLAC.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from collections.abc import Iterator, KeysView, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.audit.formats import format_interval
from factory.export.base import ExportError
from factory.export.writing import count_splits, write_json_lines, write_sound
from factory.metrics import bootstrap
from factory.planning.places import Round
from factory.report.pairs import SIDES
from factory.storage.files import exists, filesystem, put_table
from factory.storage.names import file_name
from schemas.datasets import OK, Row

VERSA_SCORES = pa.schema(
    [("pair_id", pa.string()), *[(f"{side}_versa", pa.map_(pa.string(), pa.float64())) for side in SIDES]]
)
"""What VERSA measured of both sides of a pair: name of the score -> value; which direction is better, VERSA says."""
SidesScores = dict[str, dict[str, float]]
"""`chosen_versa` and `rejected_versa` -> the scores of that side."""


def write_versa(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """Write `chosen.scp`, `rejected.scp` and `source.scp`, the texts of a side if all have one, and `ids.jsonl`.

    A pair without sounds of both sides is left out and not counted.
    """
    rows = [row for row in rows if all(row.get(f"{side}_audio") for side in SIDES)]
    for side in (*SIDES, "source"):
        paths = {file_name(row["pair_id"]): write_sound(row, side, folder / "audio") for row in rows}
        _write_table(
            folder / f"{side}.scp", {key: str(path.relative_to(folder)) for key, path in paths.items() if path}
        )
    for side in SIDES:
        texts = {file_name(row["pair_id"]): " ".join((row[f"{side}_text"] or "").split()) for row in rows}
        if all(texts.values()):
            _write_table(folder / f"{side}.text", texts)
    ids = [{"key": file_name(row["pair_id"]), "pair_id": row["pair_id"], "utt_id": row["utt_id"]} for row in rows]
    write_json_lines(folder / "ids.jsonl", ids)
    return count_splits(rows)


def _write_table(path: Path, values: Mapping[str, str]) -> None:
    path.write_text("".join(f"{key} {value}\n" for key, value in values.items()), "utf-8")


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """Return the numbers of VERSA's result file by key; nulls, texts and nested values are left out.

    A line is JSON, or in older versions of VERSA a dict as Python prints it.

    Raises:
        ExportError: the file cannot be read, a line is neither, or a key is there twice.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} cannot be read ({error}): give the --output_file of VERSA") from error
    parsed = [_parse_line(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    counts = Counter(str(scores["key"]) for scores in parsed)
    if twice := [key for key, count in counts.items() if count > 1]:
        raise ExportError(f"{path} has {len(twice)} keys more than once, first {twice[0]}: give the result of one run")
    return {str(scores["key"]): dict(_numbers(scores)) for scores in parsed}


def _parse_line(line: str, where: str) -> Row:
    for parse in (json.loads, ast.literal_eval):
        try:
            scores = parse(line)
        except (ValueError, SyntaxError, RecursionError):
            continue
        if isinstance(scores, dict) and "key" in scores:
            return scores
    raise ExportError(f'{where} is no result of VERSA: expected {{"key": NAME, SCORE: number, ...}}')


def _numbers(scores: Row) -> Iterator[tuple[str, float]]:
    for name, value in scores.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name != "key" and is_number and abs(value) <= sys.float_info.max:
            yield name, float(value)


def keep_scores(round_: Round, chosen: Path, rejected: Path) -> str:
    """Keep VERSA's scores of both sides with a round, for its exports; return the comparison as text.

    Args:
        round_: the round.
        chosen: the result file of the chosen side.
        rejected: that of the rejected side.

    Raises:
        ExportError: a file cannot be read, or has no number, or no key of a pair of this round.
    """
    names = {file_name(pair_id): pair_id for pair_id in round_.pairs.rows(["pair_id"], OK)["pair_id"].to_pylist()}
    sides = {"chosen": read_scores(chosen), "rejected": read_scores(rejected)}
    for side, path in (("chosen", chosen), ("rejected", rejected)):
        if not any(sides[side].values()):
            raise ExportError(f"{path} has no number: did VERSA fail? The scores that were kept before are still there")
        if not sides[side].keys() & names.keys():
            raise ExportError(
                f"{path} has no key of a pair of {round_.pairs.uri}: export that round with --format versa"
            )
    rows: list[Row] = [
        {"pair_id": pair_id, **{f"{side}_versa": list(sides[side].get(key, {}).items()) for side in SIDES}}
        for key, pair_id in names.items()
    ]
    fs, path_in_round = filesystem(_uri(round_))
    put_table(fs, path_in_round, pa.Table.from_pylist(rows, schema=VERSA_SCORES))
    differences = [line for side in SIDES for line in _describe_differences(side, sides[side].keys(), names.keys())]
    return "\n".join([*_compare(load_scores(round_)), *differences])


def load_scores(round_: Round) -> dict[str, SidesScores]:
    """Return the scores of VERSA that a round keeps, by pair; empty if it has none."""
    if not exists(_uri(round_)):
        return {}
    fs, path = filesystem(_uri(round_))
    keys = [f"{side}_versa" for side in SIDES]
    rows = pq.read_table(path, filesystem=fs).to_pylist()
    return {row["pair_id"]: {key: dict(row[key]) for key in keys} for row in rows}


def list_names(scores: Mapping[str, SidesScores]) -> list[str]:
    """Return the names of all scores, sorted."""
    return sorted({name for sides in scores.values() for side in sides.values() for name in side})


def _compare(scores: Mapping[str, SidesScores]) -> Iterator[str]:
    """Yield a line per score: its means, and how often the chosen side has the higher one."""
    yield "score: pairs with both sides, mean chosen, mean rejected, share with chosen higher (95 %)"
    for name in list_names(scores):
        sides = [(one["chosen_versa"], one["rejected_versa"]) for one in scores.values()]
        both = np.array([(a[name], b[name]) for a, b in sides if name in a and name in b]).reshape(-1, 2)
        higher, differs = both[:, 0] > both[:, 1], both[:, 0] != both[:, 1]
        share = "-"
        if differs.any():
            [found] = bootstrap.estimates([bootstrap.quotient(higher, differs)])
            share = format_interval(found.point, [found.low, found.high])
        means = ", ".join(f"{mean:.3f}" for mean in both.mean(axis=0)) if len(both) else "-"
        yield f"  {name}: {len(both):,}, {means}, {share}"


def _describe_differences(side: str, keys: KeysView[str], pairs: KeysView[str]) -> Iterator[str]:
    if unknown := len(keys - pairs):
        yield f"  {unknown:,} keys of the {side} side are no pairs of this round"
    if missing := len(pairs - keys):
        yield f"  {missing:,} of {len(pairs):,} pairs have no score of the {side} side"


def _uri(round_: Round) -> str:
    return f"{round_.uri}/versa/scores.parquet"
