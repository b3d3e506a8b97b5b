"""Which utterances of a corpus are tokenized: those that the round uses, and no others."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.corpus import Speech
from factory.corpora.opening import open_corpus
from factory.passes.choose import choose_ids, choose_sources, choose_tested, group_ids
from factory.passes.progress import Clock
from factory.passes.tokenize import tokenize
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import UNITS, UTTERANCE

IDS = {"fr": ["f2", "f0", "f1", "f3"], "en": ["e1", "e0"], "de": ["d0"]}


THREE = ["languages=[fr, en, de]", "vocoder.de=any"]


def recipe(*changes: str) -> Recipe:
    return load("recipes/phrasebook.yaml", list(changes))


@pytest.fixture
def speech(local_ray: None, tmp_path: Path) -> Speech:
    """Four French utterances, the first without a reference, two English ones and a German one; without audio."""
    rows = [
        {"utt_id": utt_id, "lang": lang, "text": "t", "reference": None if utt_id == "f0" else "r"}
        for lang, ids in IDS.items()
        for utt_id in ids
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), tmp_path / "speech.parquet")
    return open_corpus(str(tmp_path / "speech.parquet")).load_speech()


def test_each_round_takes_its_own_share_of_every_language() -> None:
    two = recipe("corpus.limit=2")
    groups = group_ids(((utt_id, lang) for lang, ids in IDS.items() for utt_id in ids), two)
    assert sorted(groups) == ["en-fr", "fr-en"], "the third language is not translated"
    chosen = [sorted(choose_ids(groups, number, two, 1)) for number in (1, 2, 3)]
    assert chosen == [["e0", "e1", "f0", "f1"], ["e0", "e1", "f2", "f3"], ["e0", "e1", "f0", "f1"]]
    assert sorted(choose_ids(groups, 2, recipe("corpus.limit=2", "rounds.fresh=false"), 1)) == chosen[0]
    assert sorted(choose_ids(groups, 2, recipe("corpus.limit=4", "corpus.source=both"), 2)) == chosen[1]
    assert len(list(choose_ids(groups, 2, recipe("corpus.limit=null"), 1))) == 6
    part = {"fr-en": ["f2", "f3"], "en-fr": ["e0", "e1"]}
    assert sorted(choose_ids(part, 2, two, 1)) == chosen[1], "of the utterances of a round all are taken"


def test_a_part_of_a_corpus_keeps_its_order_and_has_its_own_digest(speech: Speech) -> None:
    part = choose_sources(speech, 2, recipe("corpus.limit=2"))
    assert part.ids == ["f2", "f3", "e1", "e0"]
    assert [kind.lang for kind in part.kinds] == ["fr", "fr", "en", "en"]
    assert sorted(row["utt_id"] for row in part.rows.iter_rows()) == sorted(part.ids)
    assert part.part not in (None, choose_sources(speech, 1, recipe("corpus.limit=2")).part)
    assert (part.digest, speech.part) == (speech.digest, None)
    assert choose_sources(speech, 1, recipe("corpus.limit=null")) is speech.take(speech.ids) is speech


def test_test_utterances_with_a_reference_come_first(speech: Speech) -> None:
    assert choose_tested(speech, recipe("evaluate.s2t_utterances=2")).ids == ["f2", "f1", "e1", "e0"]
    assert choose_tested(speech, recipe("evaluate.s2t_utterances=9")).ids == [*IDS["fr"], *IDS["en"]]
    other = recipe("languages=[es, it]", "vocoder={es: a, it: b}")
    assert choose_tested(speech, other) is speech, "the reason is found in its units"


def test_only_languages_that_are_translated_are_tokenized_for_pairs(speech: Speech) -> None:
    into_english = recipe(*THREE, "directions=[fr-en, de-en]", "corpus.limit=null")
    assert choose_sources(speech, 1, into_english).ids == [*IDS["fr"], *IDS["de"]]
    assert choose_sources(speech, 1, recipe(*THREE, "corpus.limit=null")) is speech
    sizes = ["evaluate.s2t_utterances=2", "evaluate.asr_utterances=1"]
    tested = choose_tested(speech, recipe(*THREE, "directions=[fr-en, de-en]", *sizes))
    assert tested.ids == ["f2", "f1", "e0", "d0"], "one utterance of the target language, for its toplines"


def test_test_utterances_come_with_the_sentence_that_is_their_reference(local_ray: None, tmp_path: Path) -> None:
    ids = ["a/en", "b/en", "a/fr", "b/fr", "c/fr", "b/de"]
    rows = [{"utt_id": utt_id, "lang": utt_id[-2:], "text": "t"} for utt_id in ids]
    pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), tmp_path / "speech.parquet")
    speech = open_corpus(str(tmp_path / "speech.parquet")).load_speech()
    one = ["evaluate.s2t_utterances=1", "evaluate.asr_utterances=1"]
    tested = choose_tested(speech, recipe(*THREE, "directions=[fr-de, de-en]", *one))
    assert tested.ids == ["b/en", "b/fr", "b/de"], "a/fr has no German, and b/de has b/en"


def test_units_of_an_earlier_round_are_not_encoded_again(speech: Speech, tmp_path: Path) -> None:
    one = recipe("corpus.limit=2")
    outs = [DatasetDir(str(tmp_path / name), UNITS) for name in ("mono", "mono-2", "mono-3", "other")]
    clock = Clock(str(tmp_path))
    tokenize("speech", choose_sources(speech, 1, one), one, outs[0], clock)
    tokenize("speech", choose_sources(speech, 2, one), one, outs[1], clock, outs[:1])
    assert sorted(outs[1].rows()["utt_id"].to_pylist()) == ["e0", "e1", "f2", "f3"]
    assert len(outs[1].parts()) == 2, "the rows of the earlier round, and those that were encoded"
    tokenize("speech", choose_sources(speech, 3, one), one, outs[2], clock, outs[:2])
    assert len(outs[2].parts()) == 1 and outs[2].manifest().rows == 4
    changed = recipe("corpus.limit=2", "encoder.max_s=1.0")
    tokenize("speech", choose_sources(speech, 1, changed), changed, outs[3], clock, outs[:2])
    assert outs[3].manifest().rows == 4 and outs[3].manifest().content["encoder.max_s"] == 1.0
