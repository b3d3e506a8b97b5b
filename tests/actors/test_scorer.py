"""Scores of back-translations: rows in as the vocoder returns them, rows out as they are stored."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import soxr

from factory.actors.scorer import Scorer
from factory.actors.vocoder import SPOKEN, SpokenCandidate, from_pcm, to_pcm
from factory.metrics import METRICS, mcd
from factory.recipe.sections import RecognizerConfig, ScorerConfig
from schemas.datasets import SCORED, Row, Scores

CONFIG = ScorerConfig(metrics=tuple(METRICS))


def make_scorer(*metrics: str, **changes: str) -> Scorer:
    config = replace(CONFIG, metrics=metrics or CONFIG.metrics, **changes)
    return Scorer(config, RecognizerConfig(), threads=1)


def candidate(
    back_translation: str | None, finish: str | None = "ok", back_audio: bytes | None = None
) -> SpokenCandidate:
    return {
        "text": "le train part",
        "units": [1, 2],
        "logprob": -1.0,
        "finish": "ok",
        "back_translation": back_translation,
        "back_translation_units": None,
        "back_translation_finish": finish,
        "back_audio": back_audio,
    }


def row(text: str | None, *candidates: SpokenCandidate, utt_id: str = "a", source_audio: bytes | None = None) -> Row:
    fixed = {"src_lang": "en", "tgt_lang": "fr", "units": [3], "durations": [4], "status": "ok", "reason": None}
    return {"utt_id": utt_id, "text": text, "candidates": list(candidates), "source_audio": source_audio} | fixed


def score(rows: list[Row], scorer: Scorer) -> list[list[Scores]]:
    """Return the scores of each row's candidates."""
    table = scorer(pa.Table.from_pylist(rows, schema=SPOKEN))
    assert table.schema == SCORED
    done = table.to_pylist()
    assert [one["utt_id"] for one in done] == [one["utt_id"] for one in rows]
    assert [one["status"] for one in done] == ["ok"] * len(rows)
    return [[candidate["scores"] for candidate in one["candidates"]] for one in done]


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    from hibari import Hibari

    voice = Hibari(threads=1)
    texts = ("The train leaves at two o'clock.", "The cat is sleeping on the chair.")
    return [soxr.resample(voice(text), 24_000, 16_000).astype(np.float32) for text in texts]


def test_each_candidate_gets_the_scores_of_the_metrics() -> None:
    source, good, bad = "the train leaves at two", "the train leaves at three", "a cat sleeps"
    [[first, second]] = score([row(source, candidate(good), candidate(bad))], make_scorer())
    for name in ("bleu", "chrf", "meteor", "wer"):
        assert first[name] == pytest.approx(METRICS[name].score(good, source, "en"))
        assert second[name] == pytest.approx(METRICS[name].score(bad, source, "en"))
    assert first["mcd"] is None


def test_the_other_fields_of_a_candidate_stay() -> None:
    table = make_scorer("bleu")(pa.Table.from_pylist([row("a b", candidate("a b"))], schema=SPOKEN))
    [done] = table.to_pylist()[0]["candidates"]
    expected = candidate("a b")
    del expected["back_audio"]
    assert {key: done[key] for key in expected} == expected


def test_a_metric_that_is_not_in_the_recipe_is_null() -> None:
    [[scores]] = score([row("a b", candidate("a b"))], make_scorer("bleu"))
    assert scores == {
        "bleu": pytest.approx(1.0),
        "chrf": None,
        "meteor": None,
        "wer": None,
        "mcd": None,
        "reconstruction": None,
        "chrfpp": None,
    }


@pytest.mark.parametrize("finish", [None, "no_text", "unclosed"])
def test_a_malformed_back_translation_gets_the_worst_scores(finish: str | None, speech: list[np.ndarray]) -> None:
    rows = [row("a b", candidate(None, finish), source_audio=to_pcm(speech[0]))]
    worst = {"bleu": 0.0, "chrf": 0.0, "meteor": 0.0, "wer": 1.0, "mcd": None, "reconstruction": None, "chrfpp": 0.0}
    assert score(rows, make_scorer()) == [[worst]]


def test_the_policys_own_score_of_each_candidate_stays() -> None:
    own: list[Scores] = [{"reconstruction": -0.5}, {"reconstruction": -2.0}, {}]
    equal = [candidate("a b") | {"scores": scores} for scores in own]
    [found] = score([row("a b", *equal, candidate("c"))], make_scorer("bleu", "reconstruction"))
    assert [one["reconstruction"] for one in found] == [-0.5, -2.0, None, None], "equal texts, other candidates"
    assert [one["bleu"] for one in found[:3]] == [pytest.approx(1.0)] * 3
    [alone] = score([row("a b", *equal)], make_scorer("reconstruction"))
    assert [one["reconstruction"] for one in alone] == [-0.5, -2.0, None]
    [without] = score([row("a b", *equal)], make_scorer("bleu"))
    assert [one["reconstruction"] for one in without] == [None] * 3, "the recipe does not name it"


def test_nothing_is_compared_if_a_side_has_no_text() -> None:
    rows = [
        row("a b", candidate(None)),
        row(None, candidate("a b"), utt_id="b"),
        row(None, candidate(None, "no_text"), utt_id="c"),
    ]
    assert [set(scores.values()) for [scores] in score(rows, make_scorer())] == [{None}] * 3


def test_mcd_compares_the_audio(speech: list[np.ndarray]) -> None:
    same, other = (candidate("x", back_audio=to_pcm(wave)) for wave in speech)
    short = candidate("x", back_audio=to_pcm(speech[1][:400]))
    source = to_pcm(speech[0])
    [scores] = score([row("x", same, other, candidate("x"), short, source_audio=source)], make_scorer("mcd"))
    expected = mcd.score(from_pcm(to_pcm(speech[1])), from_pcm(source))
    assert [one["mcd"] for one in scores] == [0, pytest.approx(expected), None, None]


def test_transcripts_are_compared_if_the_recipe_asks_for_them(speech: list[np.ndarray]) -> None:
    valid = candidate("the policy's own words do not count", back_audio=to_pcm(speech[0]))
    malformed = candidate(None, "no_units")
    rows = [
        row("The train leaves at TWO o'clock!", valid, malformed),
        row(None, valid, utt_id="b", source_audio=to_pcm(speech[0])),
        row(None, valid, utt_id="c"),
    ]
    [[heard, missing], [against_audio], [nothing]] = score(rows, make_scorer("bleu", "wer", score_text="asr"))
    assert (heard["bleu"], heard["wer"]) == (pytest.approx(1.0), 0.0), "both sides are normalised"
    assert (missing["bleu"], missing["wer"]) == (0.0, 1.0)
    assert against_audio["wer"] == 0.0, "a source without text is transcribed"
    assert (nothing["bleu"], nothing["wer"]) == (None, None)


def test_skipped_rows_pass_through_and_a_bad_row_fails_alone() -> None:
    skipped = row("a", utt_id="s") | {"status": "skipped", "reason": "no_units: nothing", "candidates": None}
    bad = row("a b", candidate("a b"), utt_id="bad") | {"candidates": None}
    rows = [skipped, bad, row("a b", candidate("a b"))]
    done = make_scorer("bleu")(pa.Table.from_pylist(rows, schema=SPOKEN)).to_pylist()
    assert [one["status"] for one in done] == ["skipped", "failed", "ok"]
    assert done[2]["candidates"][0]["scores"]["bleu"] == pytest.approx(1.0)


def test_equal_back_translations_are_compared_once_and_others_on_their_own() -> None:
    scorer, text = make_scorer("bleu", "chrf", "wer"), "the train leaves at nine from the old station"

    def cost(*back_translations: str) -> float:
        rows = [row(text, *map(candidate, back_translations))]
        began = time.process_time()
        score(rows, scorer)
        return time.process_time() - began

    words = [f"the train number {number} leaves at nine from the station" for number in range(400)]
    equal, different = [words[0]] * 400, words
    cost(*different)
    assert min(cost(*equal) for _ in range(3)) < 0.5 * min(cost(*different) for _ in range(3))
    [[first, missing, again, empty]] = score(
        [row(text, candidate(text), candidate(None, "no_text"), candidate(text), candidate(None))], scorer
    )
    assert first == again and (first["bleu"], first["wer"]) == (pytest.approx(1), 0)
    assert (missing["bleu"], empty["bleu"]) == (0.0, None), "the same text, for another reason"
