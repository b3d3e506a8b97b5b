"""Transcripts of candidates: kept next to the audit, and made once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.audit.transcripts import TRANSCRIPT, read_transcripts, transcribe_candidates, write_transcripts
from factory.planning.places import Round
from factory.storage.dataset import DatasetDir
from schemas.datasets import SCORED
from tests.toy_run import toy_recipe, toy_run


@pytest.fixture
def round_(tmp_path: Path) -> Round:
    return Round(toy_run(tmp_path / "run", count=2), 1, toy_recipe())


def ids(round_: Round, lang: str) -> list[str]:
    """Return the ids of the utterances that are translated to a language."""
    return [row["utt_id"] for row in round_.scored.rows().to_pylist() if row["tgt_lang"] == lang]


def test_transcripts_are_read_as_they_were_written(round_: Round) -> None:
    folder = f"{round_.uri}/audit"
    first, second = ids(round_, "en")[:2]
    transcripts = {(second, "en", 1): "hello", (first, "en", 0): "", (second, "en", 0): "bonjour"}
    assert read_transcripts(round_.scored, folder) == {}
    write_transcripts(round_.scored, folder, {})
    assert read_transcripts(round_.scored, folder) == {}
    write_transcripts(round_.scored, folder, transcripts)
    assert read_transcripts(round_.scored, folder) == transcripts
    assert read_transcripts(round_.pairs, folder) == {}  # they belong to other candidates
    assert [path.name for path in Path(folder).iterdir()] == ["transcripts.parquet"]


def test_a_file_that_names_no_candidates_is_not_read(round_: Round) -> None:
    first = ids(round_, "en")[0]
    folder = Path(round_.uri, "audit")
    folder.mkdir()
    pq.write_table(pa.table([[first], [0], ["hello"]], schema=TRANSCRIPT), folder / "transcripts.parquet")
    assert read_transcripts(round_.scored, str(folder)) == {}


def test_an_utterance_is_transcribed_once(round_: Round) -> None:
    folder = f"{round_.uri}/audit"
    done = {(utt_id, lang, 0): "done before" for lang in ("fr", "en") for utt_id in ids(round_, lang)}
    write_transcripts(round_.scored, folder, done)
    silent = replace(round_, recipe=replace(round_.recipe, vocoder={}))  # nothing may be resynthesised
    assert transcribe_candidates(silent, folder, 2) == done


def test_the_well_formed_candidates_of_some_utterances_of_each_language_are_transcribed(round_: Round) -> None:
    folder = f"{round_.uri}/audit"
    french, english = ids(round_, "fr"), ids(round_, "en")
    write_transcripts(round_.scored, folder, {(utt_id, "en", 0): "done before" for utt_id in english})
    only_french = replace(round_.recipe, vocoder={"fr": round_.recipe.vocoder["fr"]})
    transcripts = transcribe_candidates(replace(round_, recipe=only_french), folder, 1)
    new = set(transcripts) - {(utt_id, "en", 0) for utt_id in english}
    assert len(new) == 2 and {key[1:] for key in new} == {("fr", 0), ("fr", 1)}
    assert {utt_id for utt_id, _, _ in new} < set(french)
    assert read_transcripts(round_.scored, folder) == transcripts
    assert all(transcripts[utt_id, "en", 0] == "done before" for utt_id in english)


def test_a_malformed_candidate_is_not_transcribed(round_: Round) -> None:
    rows = round_.scored.rows().to_pylist()
    for row in rows:
        row["candidates"][1]["finish"] = "length"
    shutil.rmtree(round_.scored.uri)
    round_.scored.start({"stage": "toy"})
    round_.scored.append(pa.Table.from_pylist(rows, schema=SCORED))
    round_.scored.publish()
    only_french = replace(round_.recipe, vocoder={"fr": round_.recipe.vocoder["fr"]}, directions=("en-fr",))
    transcripts = transcribe_candidates(replace(round_, recipe=only_french), f"{round_.uri}/audit", 1)
    assert {key[1:] for key in transcripts} == {("fr", 0)}


def test_transcripts_of_an_utterance_are_kept_for_each_target_language(tmp_path: Path) -> None:
    rows = [{"utt_id": "a", "src_lang": "fr", "tgt_lang": lang, "status": "ok"} for lang in ("en", "de")]
    scored = DatasetDir(str(tmp_path / "scored"), SCORED, more=["tgt_lang"])
    scored.start({"stage": "toy"})
    scored.append(pa.Table.from_pylist(rows, schema=SCORED))
    scored.publish()
    transcripts = {("a", "en", 0): "yes", ("a", "de", 0): "ja"}
    write_transcripts(scored, str(tmp_path), transcripts)
    assert read_transcripts(scored, str(tmp_path)) == transcripts
