"""The aligner actor: words of good rows, and a reason for every other row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.actors.aligner import WordAligner
from factory.corpora.audio import encode, read
from factory.models.aligners import load_aligner
from factory.models.weights import WeightsError
from factory.recipe.sections import AlignerConfig
from schemas.datasets import ALIGNED, FAILED, OK, SKIPPED, Row

RECORDING = pq.read_table("assets/station/test/fr.parquet").slice(0, 1).to_pylist()[0]


@pytest.fixture(scope="module")
def actor() -> WordAligner:
    return WordAligner(AlignerConfig(), ["fr", "en"], (0.2, 35.0), threads=1)


def row(number: int, **others: object) -> Row:
    fixed: Row = {"utt_id": f"u{number}", "lang": "fr", "text": RECORDING["text"], "audio": RECORDING["audio"]}
    return fixed | {"status": OK, "reason": None} | others


def sound(seconds: float) -> Row:
    noise = 0.1 * np.random.default_rng(0).standard_normal(int(seconds * 16_000)).clip(-1, 1)
    return {"bytes": encode(noise, "FLAC"), "path": None}


def test_words_are_those_of_the_model(actor: WordAligner) -> None:
    [done] = actor(pa.Table.from_pylist([row(0)])).to_pylist()
    aligner = load_aligner("whisper", "package:whisper-base", threads=1)
    words = aligner.align(read(RECORDING["audio"]), RECORDING["text"], "fr")
    expected = [{"text": word.text, "start": word.start, "end": word.end} for word in words]
    assert done == {"utt_id": "u0", "lang": "fr", "text": RECORDING["text"], "words": expected} | {
        "status": OK,
        "reason": None,
    }
    assert " ".join(word["text"] for word in done["words"]) == RECORDING["text"]


def test_bad_rows_are_kept_in_their_order_with_a_reason(actor: WordAligner) -> None:
    rows = [
        (row(0, text=None), SKIPPED, "no_text"),
        (row(1, text=" \t"), SKIPPED, "no_text"),
        (row(2, audio=sound(31)), SKIPPED, "too_long"),
        (row(3, audio=sound(36)), SKIPPED, "too_long"),
        (row(4, audio=sound(0.15)), SKIPPED, "too_short"),
        (row(5, text="mot " * 500), SKIPPED, "too_long"),
        (row(6, audio={"bytes": b"no audio", "path": None}), FAILED, "not_audio"),
        (row(7, audio=None), FAILED, "missing_file"),
        (row(8, lang="de"), SKIPPED, "unknown_lang"),
        (row(9, status=FAILED, reason="duplicate_id: twice"), FAILED, "duplicate_id"),
        (row(10, audio=sound(0.3)), OK, None),
        (row(11), OK, None),
    ]
    table = actor(pa.Table.from_pylist([one for one, _, _ in rows]))
    assert table.schema == ALIGNED
    for done, (one, status, slug) in zip(table.to_pylist(), rows, strict=True):
        assert (done["utt_id"], done["status"]) == (one["utt_id"], status)
        assert (done["reason"] or "").partition(":")[0] == (slug or "")
        assert bool(done["words"]) == (status == OK)


def test_a_language_that_the_weights_do_not_know_is_refused_before_the_first_row() -> None:
    with pytest.raises(WeightsError, match="does not know the language 'xx'"):
        WordAligner(AlignerConfig(), ["fr", "xx"], (0.1, 30.0), threads=1)
