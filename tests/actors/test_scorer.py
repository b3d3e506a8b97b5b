"""Scores of ways back: rows in the form that the vocoder gives, rows out in the form that is stored."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soxr

from factory.actors.scorer import Scorer
from factory.actors.vocoder import SPOKEN, from_pcm, to_pcm
from factory.metrics import METRICS, mcd
from factory.recipe.sections import RecognizerConfig
from schemas.datasets import SCORED

ALL = list(METRICS)


def candidate(
    back_translation: str | None, back_translation_finish: str | None = "ok", back_audio: bytes | None = None
) -> dict[str, Any]:
    there = {"text": "le train part", "units": [1, 2], "logprob": -1.0, "finish": "ok"}
    return there | {
        "back_translation": back_translation,
        "back_translation_units": None,
        "back_translation_finish": back_translation_finish,
        "audio": None,
        "back_audio": back_audio,
    }


def row(
    text: str | None, *candidates: dict[str, Any], utt_id: str = "a", source_audio: bytes | None = None
) -> dict[str, Any]:
    fixed = {"src_lang": "en", "tgt_lang": "fr", "units": [3], "durations": [4], "status": "ok", "reason": None}
    return {"utt_id": utt_id, "text": text, "candidates": list(candidates), "source_audio": source_audio} | fixed


def scored(rows: list[dict[str, Any]], scorer: Scorer) -> list[list[dict[str, Any]]]:
    table = scorer(pa.Table.from_pylist(rows, schema=SPOKEN))
    assert table.schema == SCORED
    assert [told["utt_id"] for told in table.to_pylist()] == [given["utt_id"] for given in rows]
    return [[one["scores"] for one in told["candidates"] or []] for told in table.to_pylist()]


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    from hibari import Hibari

    voice = Hibari(threads=1)
    texts = ("The train leaves at two o'clock.", "The cat is sleeping on the chair.")
    return [soxr.resample(voice(text), 24_000, 16_000).astype(np.float32) for text in texts]


def test_each_candidate_gets_the_metrics_own_scores() -> None:
    source, good, bad = "the train leaves at two", "the train leaves at three", "a cat sleeps"
    [[first, second]] = scored([row(source, candidate(good), candidate(bad))], Scorer(metrics=ALL))
    for name in ("bleu", "chrf", "meteor", "wer"):
        assert first[name] == pytest.approx(METRICS[name].score(good, source, "en"))
        assert second[name] == pytest.approx(METRICS[name].score(bad, source, "en"))
    assert first["mcd"] is None


def test_a_metric_that_is_not_asked_for_is_null() -> None:
    [[scores]] = scored([row("a b", candidate("a b"))], Scorer(metrics=["bleu"]))
    assert scores == {"bleu": pytest.approx(1.0), "chrf": None, "meteor": None, "wer": None, "mcd": None}


@pytest.mark.parametrize("back_translation_finish", [None, "no_text", "unclosed"])
def test_a_malformed_way_back_gets_the_worst_scores(
    back_translation_finish: str | None, speech: list[np.ndarray]
) -> None:
    [[scores]] = scored(
        [row("a b", candidate(None, back_translation_finish), source_audio=to_pcm(speech[0]))], Scorer(metrics=ALL)
    )
    assert scores == {"bleu": 0.0, "chrf": 0.0, "meteor": 0.0, "wer": 1.0, "mcd": None}


def test_nothing_is_compared_where_there_is_no_text() -> None:
    told = scored([row("a b", candidate(None)), row(None, candidate("a b"), utt_id="b")], Scorer(metrics=ALL))
    assert [set(scores.values()) for [scores] in told] == [{None}, {None}]


def test_mcd_compares_the_audio(speech: list[np.ndarray]) -> None:
    same, other, none = (
        candidate("x", back_audio=to_pcm(speech[0])),
        candidate("x", back_audio=to_pcm(speech[1])),
        candidate("x"),
    )
    short = candidate("x", back_audio=to_pcm(speech[1][:400]))
    [scores] = scored([row("x", same, other, none, short, source_audio=to_pcm(speech[0]))], Scorer(metrics=["mcd"]))
    assert [one["mcd"] for one in scores[2:]] == [None, None]
    assert scores[0]["mcd"] == 0
    assert scores[1]["mcd"] == pytest.approx(mcd.score(from_pcm(to_pcm(speech[1])), from_pcm(to_pcm(speech[0]))))


def test_asr_text_is_heard_and_normalised_on_both_sides(speech: list[np.ndarray]) -> None:
    scorer = Scorer(metrics=["bleu", "wer"], score_text="asr", recognizer=asdict(RecognizerConfig()))
    sound, other = (
        candidate("the policy's own words do not count", back_audio=to_pcm(speech[0])),
        candidate(None, "no_units"),
    )
    rows = [
        row("The train leaves at TWO o'clock!", sound, other),
        row(None, sound, utt_id="b", source_audio=to_pcm(speech[0])),
    ]
    [[heard, missing], [against_audio]] = scored(rows, scorer)
    assert (heard["bleu"], heard["wer"]) == (pytest.approx(1.0), 0.0)
    assert (missing["bleu"], missing["wer"]) == (0.0, 1.0)
    assert against_audio["wer"] == 0.0


def test_skipped_rows_travel_through_and_a_bad_row_fails_alone() -> None:
    skipped = row("a", utt_id="s") | {"status": "skipped", "reason": "no_units: nothing", "candidates": None}
    bad = row("a b", candidate("a b"), utt_id="bad") | {"candidates": None}
    table = Scorer(metrics=["bleu"])(pa.Table.from_pylist([skipped, bad, row("a b", candidate("a b"))], schema=SPOKEN))
    told = table.to_pylist()
    assert [one["status"] for one in told] == ["skipped", "failed", "ok"]
    assert told[2]["candidates"][0]["scores"]["bleu"] == pytest.approx(1.0)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown metrics comet"):
        Scorer(metrics=["bleu", "comet"])
    with pytest.raises(ValueError, match="policy or asr"):
        Scorer(metrics=["bleu"], score_text="neither")  # type: ignore[arg-type]
