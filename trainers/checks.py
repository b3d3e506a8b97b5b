"""Errors in training data and policies, found before the first step; each message says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.datasets import Row
from trainers.errors import TrainingError

_TOKEN = re.compile(r"<\|[a-z]+\d*\|>")
_MAX_SHOWN = 3
ROWS_AT_ONCE = 1_000
"""Sequences whose words are Python objects at once: those of a large corpus would fill the memory."""


def read_texts(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a Parquet file or folder with these columns of texts.

    Raises:
        TrainingError: there is no such file, it is not Parquet, or a column is missing.
    """
    try:
        rows: list[dict[str, str]] = pq.read_table(path, columns=list(columns)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(
            f"{path} cannot be read as Parquet with the columns {', '.join(columns)} ({error}): give such a file"
        ) from error
    return rows


def read_words(path: Path) -> Iterator[Row]:
    """Return the id and the words of each sequence of a Parquet file or folder (schema SEQUENCE), one after the other.

    Raises:
        TrainingError: the sequences have no columns for words.
    """
    columns = ["sequence_id", "prompt_words", "completion_words"]
    try:
        table = pq.read_table(path, columns=columns)
    except pa.ArrowException as error:
        raise TrainingError(
            f"{path} lacks one of {', '.join(columns)}, which sft.interleave needs: write the sequences again with "
            "sft.interleave, or leave it out"
        ) from error
    return (row for some in table.to_batches(ROWS_AT_ONCE) for row in some.to_pylist())


def check_tokens(texts: Iterable[str], vocabulary: Mapping[str, int], policy: str) -> None:
    """Check that the policy has a token for every unit, tag and wrapper in the texts; it would read others as letters.

    Args:
        texts: prompts and completions, or single tokens.
        vocabulary: the tokens of the policy and their ids.
        policy: the name of the policy, for the message.

    Raises:
        TrainingError: the vocabulary lacks a token.
    """
    missing = sorted({token for text in texts for token in _TOKEN.findall(text)} - set(vocabulary))
    if missing:
        more = f" and {len(missing) - _MAX_SHOWN:,} more" if len(missing) > _MAX_SHOWN else ""
        raise TrainingError(
            f"the policy {policy} has no token {', '.join(missing[:_MAX_SHOWN])}{more}: its vocabulary was made for "
            "another codebook, other languages or other tasks; use the codebook of this policy, or train round 0 again"
        )


def check_pairs(rows: Iterable[Mapping[str, str]], source: str) -> None:
    """Raise TrainingError for a pair with an empty text, or with equal sides, from which nothing can be learned."""
    for index, row in enumerate(rows):
        if not (row["prompt"] and row["chosen"] and row["rejected"]):
            raise TrainingError(f"row {index} of {source} has an empty prompt, chosen or rejected text: remove the row")
        if row["chosen"] == row["rejected"]:
            start = row["chosen"][:60]
            raise TrainingError(
                f"row {index} of {source} has the same text as chosen and as rejected ({start!r}): remove the row"
            )


def check_targets(targets: Iterable[str], layers: Iterable[str], policy: str) -> None:
    """Check that the policy has the layers to which LoRA is applied.

    Args:
        targets: names of layers, such as q_proj.
        layers: the dotted names of all linear layers of the policy.
        policy: the name of the policy, for the message.

    Raises:
        TrainingError: the policy lacks a layer.
    """
    known = sorted({name.rpartition(".")[2] for name in layers})
    if missing := [target for target in targets if target not in known]:
        raise TrainingError(
            f"preference.targets names {', '.join(missing)}, which {policy} does not have; "
            f"its linear layers are {', '.join(known)}"
        )


def nothing_fits(kind: str, source: str, max_length: int, prompts: Sequence[int]) -> TrainingError:
    """Return the error for data of which no row fits into the context.

    Args:
        kind: "sequences" or "pairs".
        source: the file of the data.
        max_length: the context, in tokens.
        prompts: the length of the prompt of every row, in tokens.
    """
    full = sum(length >= max_length for length in prompts)
    filled = f"; {full} prompts fill it alone and leave no room for an answer" if full else ""
    return TrainingError(
        f"none of the {len(prompts)} {kind} in {source} fits into {max_length} tokens{filled}: "
        "raise max_length, or leave out long utterances"
    )
