"""spoken: utterances become training sequences of continuous speech, and units are spoken first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.audio import read
from factory.corpora.base import CORPUS_ROW
from factory.passes.errors import PassError
from factory.passes.progress import Clock
from factory.passes.spoken import build_spoken, speak, write_spoken_sequences
from factory.planning.places import Round, Run
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from schemas.audio import SAMPLE_RATE
from schemas.datasets import PAIRED, Row
from tests.corpora.speech import put, tone

RECIPE = "recipes/phrasebook_part.yaml"
ALL = "policy.tasks={asr: 1.0, s2t: 1.0, mt: 1.0}"


def utterance(name: str, lang: str, text: str | None, reference: str | None = None, status: str = "ok") -> Row:
    row: Row = {"utt_id": name, "lang": lang, "text": text, "reference": reference, "status": status}
    return row | {"audio": {"bytes": name.encode(), "path": None}}


def build(rows: list[Row], recipe: Recipe, texts: dict[str, str] | None = None) -> dict[str, Row]:
    table = pa.Table.from_pylist(rows, schema=CORPUS_ROW)
    return {row["sequence_id"]: row for row in build_spoken(table, recipe, texts or {})}


def test_an_utterance_serves_each_task_that_its_texts_allow() -> None:
    rows = [
        utterance("a", "fr", "la gare", "the station"),
        utterance("b", "en", "the train"),
        utterance("c", "fr", None, "a café"),
        utterance("d", "de", "der Zug", "the train"),
        utterance("e", "fr", "le train", "the train", status="failed"),
    ]
    made = build(rows, load(RECIPE, [ALL]))
    assert set(made) == {"asr-a", "s2t-a-en", "mt-a-en", "asr-b"}
    assert made["asr-a"] == {
        "sequence_id": "asr-a",
        "task": "asr",
        "prompt": "<|asr|><|fr|><|fr|><|sosp|><|eosp|>",
        "completion": "la gare",
        "audio": {"bytes": b"a", "path": None},
    }
    assert made["s2t-a-en"]["prompt"] == "<|s2t|><|fr|><|en|><|sosp|><|eosp|>"
    assert made["s2t-a-en"]["completion"] == made["mt-a-en"]["completion"] == "the station"
    assert made["mt-a-en"]["prompt"] == "<|mt|><|fr|><|en|>la gare<|sep|>" and made["mt-a-en"]["audio"] is None


def test_with_three_languages_the_partner_is_the_reference() -> None:
    recipe = load("recipes/part_2b.yaml", ["policy.tasks={s2t: 1, mt: 1, asr: 1}"])
    rows = [
        utterance("x/fr", "fr", "la gare"),
        utterance("x/en", "en", "the station"),
        utterance("y/fr-en", "fr", "a", "b"),
    ]
    made = build(rows, recipe, {"x/en": "the station", "x/fr": "la gare"})
    assert made["s2t-x/fr-en"]["completion"] == "the station"
    assert made["s2t-x/en-fr"]["completion"] == "la gare", "the opposite direction, for the back-translation"
    assert made["s2t-y/fr-en-en"]["completion"] == "b"
    assert "s2t-y/fr-en-de" not in made


def test_a_task_takes_its_share_of_the_utterances() -> None:
    rows = [utterance(f"u{number}", "fr", "la gare", "the station") for number in range(400)]
    made = build(rows, load(RECIPE, ["policy.tasks={asr: 0.5, s2t: 0.25, mt: 1.0}"]))
    count = [sum(name.startswith(task) for name in made) for task in ("asr", "s2t", "mt")]
    assert 160 < count[0] < 240 and 70 < count[1] < 130 and count[2] == 400


def paired(path: Path, langs: Sequence[str] = ("fr", "en")) -> Path:
    rows = pq.read_table("assets/phrasebook/paired.parquet").slice(0, 20).to_pylist()
    pq.write_table(pa.Table.from_pylist([row for row in rows if row["src_lang"] in langs], schema=PAIRED), path)
    return path


def test_units_without_a_vocoder_are_refused(tmp_path: Path) -> None:
    file = paired(tmp_path / "paired.parquet")
    recipe = load(RECIPE, [f"corpus.paired={file}", ALL, "vocoder={fr: assets/phrasebook/vocoder-fr}"])
    with pytest.raises(PassError, match=r"no vocoder that speaks those in en: give vocoder.en, or recordings"):
        speak(recipe, Run(str(tmp_path / "run")).speech("paired"), Clock(str(tmp_path)))


def test_units_are_spoken_as_recordings_and_those_that_cannot_be_are_counted(
    local_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = paired(tmp_path / "paired.parquet")
    broken = pq.read_table(file).slice(0, 1).to_pylist()[0] | {"pair_id": "zz", "src_units": [1, 10_000]}
    mixed = tmp_path / "mixed.parquet"
    pq.write_table(pa.concat_tables([pq.read_table(file), pa.Table.from_pylist([broken], schema=PAIRED)]), mixed)
    recipe = load(RECIPE, [f"corpus.paired={mixed}", ALL])
    round_ = Round(Run(str(tmp_path / "run")), 0, recipe)
    write_spoken_sequences(recipe, round_.run.speech("paired"), round_.sequences, Clock(str(tmp_path)))
    assert re.search(r"sequences: asr 20, s2t 20, mt [\d,]+; left out: error 1\n", capsys.readouterr().out)
    *rows, lost = round_.run.speech("paired").rows().to_pylist()
    assert lost["status"] == "failed" and lost["reason"].startswith("error: ")
    for row, pair in zip(rows, pq.read_table(file).to_pylist(), strict=True):
        assert (row["utt_id"], row["status"], row["reason"]) == (pair["pair_id"], "ok", None)
        assert (row["lang"], row["text"], row["reference"]) == (pair["src_lang"], pair["src_text"], pair["tgt_text"])
        assert 0.5 < len(read(row["audio"])) / SAMPLE_RATE / (0.02 * len(pair["src_units"])) < 4, "deduplicated units"


def test_what_only_tasks_of_text_take_is_not_spoken(local_ray: None, tmp_path: Path) -> None:
    file = paired(tmp_path / "paired.parquet", ["fr"])
    text = tmp_path / "text.parquet"
    pq.write_table(pq.read_table("assets/phrasebook/text.parquet").slice(0, 4), text)
    tasks = "policy.tasks={asr: 0.3, s2t: 0.3, mt: 1.0}"
    recipe = load(RECIPE, [f"corpus.paired={file}", f"corpus.text={text}", tasks])
    round_ = Round(Run(str(tmp_path / "run")), 0, recipe)
    write_spoken_sequences(recipe, round_.run.speech("paired"), round_.sequences, Clock(str(tmp_path)))
    spoken = {row["utt_id"]: row["audio"] is not None for row in round_.run.speech("paired").rows().to_pylist()}
    counts = Counter(round_.sequences.rows()["task"].to_pylist())
    heard = {
        row["sequence_id"].split("-", 1)[1].removesuffix("-en")
        for row in round_.sequences.rows().to_pylist()
        if row["task"] != "mt"
    }
    assert {name for name, is_spoken in spoken.items() if is_spoken} == heard
    assert 0 < len(heard) < len(spoken) == counts["mt"] - 4, "a text needs no recording"


def test_a_task_that_no_utterance_serves_is_named(local_ray: None, tmp_path: Path) -> None:
    put(tmp_path / "speech/fr/one.wav", tone())
    put(tmp_path / "speech/fr/one.txt", "la gare")
    text = tmp_path / "text.parquet"
    pq.write_table(pq.read_table("assets/phrasebook/text.parquet").slice(0, 4), text)
    recipe = load(RECIPE, [f"corpus.paired={tmp_path / 'speech'}", f"corpus.text={text}", ALL])
    round_ = Round(Run(str(tmp_path / "run")), 0, recipe)
    with pytest.raises(PassError, match="round 0 has no training sequence of s2t: asr needs a text, s2t a reference"):
        write_spoken_sequences(recipe, round_.run.speech("paired"), round_.sequences, Clock(str(tmp_path)))
    pq.write_table(pq.read_table("assets/phrasebook/mono/fr.parquet").slice(0, 3), tmp_path / "fr.parquet")
    recipe = load(RECIPE, [f"corpus.paired={tmp_path / 'fr.parquet'}", f"corpus.text={text}", ALL])
    other = Round(Run(str(tmp_path / "other")), 0, recipe)
    write_spoken_sequences(recipe, other.run.speech("paired"), other.sequences, Clock(str(tmp_path)))
    tasks = Counter(other.sequences.rows()["task"].to_pylist())
    assert tasks == {"asr": 3, "s2t": 3, "mt": 3 + 4}, "the text of utterances, and of corpus.text"
    assert not other.run.speech("paired").is_finished(), "recordings are not spoken"
