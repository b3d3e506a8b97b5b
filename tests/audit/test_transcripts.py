"""Transcripts of candidates: kept next to the audit, and made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from factory.audit.transcripts import read_transcripts, transcribe_candidates, write_transcripts
from factory.planning.places import Round
from tests.toy_run import toy_recipe, toy_run


@pytest.fixture
def round_(tmp_path: Path) -> Round:
    return Round(toy_run(tmp_path / "run", count=2), 1, toy_recipe())


def ids(round_: Round, lang: str) -> list[str]:
    """Return the ids of the utterances that are translated to a language."""
    return [row["utt_id"] for row in round_.scored.rows().to_pylist() if row["tgt_lang"] == lang]


def test_transcripts_are_read_as_they_were_written(round_: Round) -> None:
    folder = f"{round_.uri}/audit"
    transcripts = {("b", 1): "hello", ("a", 0): "", ("b", 0): "bonjour"}
    assert read_transcripts(round_.scored, folder) == {}
    write_transcripts(round_.scored, folder, transcripts)
    assert read_transcripts(round_.scored, folder) == transcripts
    assert read_transcripts(round_.pairs, folder) == {}  # they belong to other candidates
    assert [path.name for path in Path(folder).iterdir()] == ["transcripts.parquet"]


def test_an_utterance_is_transcribed_once(round_: Round) -> None:
    folder = f"{round_.uri}/audit"
    done = {(utt_id, 0): "done before" for lang in ("fr", "en") for utt_id in ids(round_, lang)}
    write_transcripts(round_.scored, folder, done)
    silent = replace(round_, recipe=replace(round_.recipe, vocoder={}))  # nothing may be resynthesised
    assert transcribe_candidates(silent, folder, 2) == done


def test_the_well_formed_candidates_of_some_utterances_of_each_language_are_transcribed(round_: Round) -> None:
    folder = f"{round_.uri}/audit"
    french, english = ids(round_, "fr"), ids(round_, "en")
    write_transcripts(round_.scored, folder, {(utt_id, 0): "done before" for utt_id in english})
    only_french = replace(round_.recipe, vocoder={"fr": round_.recipe.vocoder["fr"]})
    transcripts = transcribe_candidates(replace(round_, recipe=only_french), folder, 1)
    new = set(transcripts) - {(utt_id, 0) for utt_id in english}
    assert len(new) == 2 and {index for _, index in new} == {0, 1}
    assert {utt_id for utt_id, _ in new} < set(french)
    assert read_transcripts(round_.scored, folder) == transcripts
    assert all(transcripts[utt_id, 0] == "done before" for utt_id in english)
