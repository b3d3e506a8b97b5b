"""paired: both sides of paired speech become pairs, and pairs become utterances."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.opening import open_corpus
from factory.passes.errors import PassError
from factory.passes.paired import add_words, join_sides, pair_units, write_utterances
from factory.passes.progress import Clock
from factory.passes.tokenize import list_speech
from factory.recipe.loading import load
from factory.storage.dataset import DatasetDir
from schemas.datasets import ALIGNED, PAIRED, UNITS
from schemas.fingerprint import json_digest
from tests.corpora.speech import tone

RECIPE = "recipes/phrasebook.yaml"


def units(*names: tuple[str, str]) -> pa.Table:
    """Return utterances NAME/LANG, each with its index as its first unit."""
    rows = [
        {"utt_id": f"{name}/{lang}", "lang": lang, "text": f"{name} in {lang}", "units": [index, 1]}
        | {"durations": [2, 3 + index], "status": "ok"}
        for index, (name, lang) in enumerate(names)
    ]
    return pa.Table.from_pylist(rows, schema=UNITS)


def words(*rows: tuple[str, list[tuple[str, int, int]]]) -> pa.Table:
    """Return rows of ALIGNED."""
    table = [
        {"utt_id": utt_id, "words": [dict(zip(("text", "start", "end"), word, strict=True)) for word in some]}
        for utt_id, some in rows
    ]
    return pa.Table.from_pylist(table, schema=pa.schema([ALIGNED.field("utt_id"), ALIGNED.field("words")]))


def test_words_that_end_behind_their_units_are_refused() -> None:
    table = units(("a", "fr"), ("a", "en"))  # 5 and 6 frames
    slow = words(("a/fr", [("a", 0, 3), ("b", 3, 9)]), ("a/en", [("a", 0, 7)]))
    sentence = "the words of 1 of 2 utterances end behind their last unit: a/fr has 5 frames of units and a word that "
    with pytest.raises(PassError, match=f"^{sentence}ends at frame 9. Words and units need the same 50 frames per"):
        add_words(table, slow)
    known = add_words(table, words(("a/fr", [("a", 0, 6)]), ("a/en", []), ("x/fr", [("x", 0, 99)])))
    assert known["words"].to_pylist() == [[{"text": "a", "start": 0, "end": 6}], []]
    assert add_words(table, None)["words"].to_pylist() == [None, None]


def test_units_of_two_sides_become_a_pair_in_each_direction() -> None:
    aligned = words(("a/fr", [("a", 0, 1), ("in", 2, 3), ("fr", 3, 8)]), ("b/fr", [("b", 0, 6)]))
    table = add_words(units(("b", "fr"), ("a", "en"), ("a", "fr"), ("b", "en"), ("c", "fr")), aligned)
    joined = join_sides(table, "fr", "en")
    assert joined.schema == PAIRED
    first, second = joined.to_pylist()
    assert first == {
        "pair_id": "a/fr-en",
        "src_lang": "fr",
        "tgt_lang": "en",
        "src_text": "a in fr",
        "src_units": [2, 1],
        "tgt_text": "a in en",
        "tgt_units": [1, 1],
        "src_durations": [2, 5],
        "tgt_durations": [2, 4],
        "src_words": [
            {"text": "a", "start": 0, "end": 1},
            {"text": "in", "start": 2, "end": 3},
            {"text": "fr", "start": 3, "end": 8},
        ],
        "tgt_words": None,
    }
    assert second["src_words"] == [{"text": "b", "start": 0, "end": 6}], "one frame behind the last unit"
    assert (second["pair_id"], second["src_units"], second["tgt_units"]) == ("b/fr-en", [0, 1], [3, 1])
    assert [row["pair_id"] for row in join_sides(table, "en", "fr").to_pylist()] == ["a/en-fr", "b/en-fr"]


@pytest.mark.parametrize(
    ("table", "example"),
    [
        (units(("a", "fr"), ("b", "en")), "an id is a/fr"),
        (units(("x/fr", "en")).set_column(1, "lang", pa.array(["fr"])), "an id is x/fr/en"),
        (units(("a", "fr"), ("a", "en")).set_column(1, "lang", pa.array(["en", "en"])), "an id is a/fr"),
        (units(), "no utterance could be tokenized"),
    ],
)
def test_speech_without_a_partner_is_refused(table: pa.Table, example: str) -> None:
    message = f"no utterance has a partner: call the two sides of a pair NAME/fr and NAME/en; {example}"
    with pytest.raises(PassError, match=f"^{message}$"):
        join_sides(add_words(table, None), "fr", "en")


def test_paired_rows_become_utterances_whose_reference_is_their_translation(tmp_path: Path) -> None:
    sides = {"src_lang": "fr", "src_text": "bonjour", "tgt_lang": "en", "tgt_text": "hello", "tgt_units": [3]}
    sides |= {"src_durations": [4, 5]}
    rows = [{"pair_id": "a", "src_units": [1, 2], **sides}, {"pair_id": "text", "src_units": None, **sides}]
    corpus = str(tmp_path / "p.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=PAIRED), corpus)
    assert open_corpus(corpus).holds_units and list_speech(corpus) is None
    out = DatasetDir(str(tmp_path / "units"), UNITS)
    for _ in range(2):  # the second run has nothing to do
        write_utterances(corpus, "paired", load(RECIPE), out)
    [row] = out.rows().to_pylist()
    assert {key: value for key, value in row.items() if value is not None} == {
        "utt_id": "a",
        "lang": "fr",
        "text": "bonjour",
        "reference": "hello",
        "units": [1, 2],
        "durations": [4, 5],
        "split": "paired",
        "status": "ok",
    }
    digest = json_digest(DatasetDir(corpus).rows().to_pylist())
    assert out.manifest().content == {"stage": "paired_units", "inputs": {"paired": digest}}


def test_paired_rows_of_several_languages_name_their_direction(tmp_path: Path) -> None:
    recipe = load(RECIPE, ["languages=[fr, en, de]", "vocoder.de=any", "directions=[fr-en, fr-de, de-en]"])
    names = [("fr", "en"), ("fr", "de"), ("de", "en"), ("de", "fr"), ("es", "en")]
    rows = [
        {"pair_id": pair_id, "src_lang": src, "tgt_lang": tgt, "src_units": [1], "tgt_text": f"in {tgt}"}
        for src, tgt in names
        for pair_id in (["a", f"b/{src}-{tgt}"] if src == "fr" else [f"{src}-{tgt}"])
    ]
    corpus, out = str(tmp_path / "p.parquet"), DatasetDir(str(tmp_path / "units"), UNITS)
    pq.write_table(pa.Table.from_pylist(rows, schema=PAIRED), corpus)
    write_utterances(corpus, "dev", recipe, out)
    found = [(row["utt_id"], row["reference"]) for row in out.rows().to_pylist()]
    assert found == [
        ("a/fr-en", "in en"),
        ("b/fr-en", "in en"),
        ("a/fr-de", "in de"),
        ("b/fr-de", "in de"),
        ("de-en", "in en"),
        ("es-en", "in en"),  # of an unknown language: a check of the round names it
    ]


def test_paired_speech_is_tokenized_and_paired_in_both_directions(
    local_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [("a", "fr"), ("a", "en"), ("b", "fr"), ("b", "en"), ("c", "fr")]
    rows = [
        {
            "utt_id": f"{name}/{lang}",
            "lang": lang,
            "text": f"{name} in {lang}",
            "audio": {"bytes": tone(0.5 + index / 10) if name != "b" or lang == "fr" else b"RIFF", "path": None},
        }
        for index, (name, lang) in enumerate(names)
    ]
    corpus, clock = str(tmp_path / "paired.parquet"), Clock(str(tmp_path))
    pq.write_table(pa.Table.from_pylist(rows), corpus)
    speech = list_speech(corpus)
    assert speech is not None and speech.ids == [f"{name}/{lang}" for name, lang in names]
    units, out = DatasetDir(str(tmp_path / "units"), UNITS), DatasetDir(str(tmp_path / "out"), PAIRED, "pair_id")
    aligned = DatasetDir(str(tmp_path / "words"), ALIGNED)
    for _ in range(2):  # the second run has nothing to do
        pair_units(corpus, speech, load(RECIPE), units, aligned, out, clock)
    assert units.manifest().by_status == {"ok": 4, "failed": 1}
    by_id = {row["utt_id"]: row["units"] for row in units.rows().to_pylist()}
    assert all(by_id[name] for name in ("a/fr", "a/en", "b/fr", "c/fr"))
    pairs = {row["pair_id"]: row for row in out.rows().to_pylist()}
    assert sorted(pairs) == ["a/en-fr", "a/fr-en"]
    assert (pairs["a/fr-en"]["src_units"], pairs["a/fr-en"]["tgt_units"]) == (by_id["a/fr"], by_id["a/en"])
    assert out.manifest().content == {"stage": "pair_units", "inputs": {"units": units.manifest().fingerprint}}
    assert pairs["a/fr-en"]["src_durations"] and pairs["a/fr-en"]["src_words"] is None
    assert not aligned.parts(), "the recipe has no aligner"
    assert f"2 rows of paired units from 5 utterances of {corpus}" in capsys.readouterr().out


def test_paired_speech_gets_words_where_the_recipe_has_an_aligner(local_ray: None, tmp_path: Path) -> None:
    files = {lang: pq.read_table(f"assets/station/test/{lang}.parquet").slice(0, 1) for lang in ("fr", "en")}
    rows = [table.to_pylist()[0] | {"utt_id": f"a/{lang}"} for lang, table in files.items()]
    rows += [{**row, "utt_id": row["utt_id"].replace("a", "b"), "text": None} for row in rows]
    corpus, clock = str(tmp_path / "paired.parquet"), Clock(str(tmp_path))
    pq.write_table(pa.Table.from_pylist(rows), corpus)
    speech = list_speech(corpus)
    assert speech is not None
    recipe = load(RECIPE, ["aligner.kind=whisper"])
    units, out = DatasetDir(str(tmp_path / "units"), UNITS), DatasetDir(str(tmp_path / "out"), PAIRED, "pair_id")
    aligned = DatasetDir(str(tmp_path / "words"), ALIGNED)
    for _ in range(2):  # the second run has nothing to do
        pair_units(corpus, speech, recipe, units, aligned, out, clock)
    assert aligned.manifest().by_status == {"ok": 2, "skipped": 2}
    assert aligned.manifest().by_reason == {"no_text": 2}
    assert aligned.manifest().inputs.keys() == {"aligner", "corpus"}
    pairs = {row["pair_id"]: row for row in out.rows().to_pylist()}
    assert sorted(pairs) == ["a/en-fr", "a/fr-en", "b/en-fr", "b/fr-en"]
    for side, lang in (("src", "fr"), ("tgt", "en")):
        pair = pairs["a/fr-en"]
        assert [word["text"] for word in pair[f"{side}_words"]] == files[lang]["text"][0].as_py().split()
        assert 0 <= sum(pair[f"{side}_durations"]) - pair[f"{side}_words"][-1]["end"] < 25
        assert pairs["b/fr-en"][f"{side}_words"] is None and pairs["b/fr-en"][f"{side}_units"]
    fingerprints = {"units": units.manifest().fingerprint, "words": aligned.manifest().fingerprint}
    assert out.manifest().content == {"stage": "pair_units", "inputs": fingerprints}
