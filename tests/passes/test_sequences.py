"""sequences: round 0 learns from every pair for every task that it serves, and from parallel text for the task mt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.passes.errors import PassError
from factory.passes.sequences import build_sequences, read_paired, write_sequences
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.recipe.training import InterleaveConfig
from factory.storage.dataset import DatasetDir
from schemas.datasets import PAIRED, SEQUENCE, Row
from schemas.fingerprint import json_digest

SPOKEN: Row = {
    "pair_id": "a",
    "src_lang": "fr",
    "src_text": "bonjour",
    "src_units": [1, 2],
    "tgt_lang": "en",
    "tgt_text": "hello",
    "tgt_units": [3, 4],
}
TEXT = SPOKEN | {"pair_id": "t", "src_units": None, "tgt_units": None}


def test_a_pair_is_written_for_every_task() -> None:
    tasks = {"com": 1.0, "asr": 1.0, "mt": 1.0, "s2t": 1.0, "vanilla": 1.0, "tts": 1.0}
    sequences = {row["task"]: row for row in build_sequences(SPOKEN, tasks)}
    assert [row["sequence_id"] for row in sequences.values()] == [f"{task}-a" for task in tasks]
    head, speech = "<|{}|><|fr|><|en|>", "<|sosp|><|u1|><|u2|><|eosp|>"
    assert {task: (row["prompt"], row["completion"]) for task, row in sequences.items()} == {
        "com": (head.format("com") + speech, "hello<|sosp|><|u3|><|u4|><|eosp|>"),
        "asr": (f"<|asr|><|fr|><|fr|>{speech}", "bonjour"),
        "mt": ("<|mt|><|fr|><|en|>bonjour<|sep|>", "hello"),
        "s2t": (head.format("s2t") + speech, "hello"),
        "vanilla": (head.format("vanilla") + speech, "<|sosp|><|u3|><|u4|><|eosp|>"),
        "tts": ("<|tts|><|fr|><|fr|>bonjour<|sep|>", speech),
    }


@pytest.mark.parametrize("text", [None, ""])
@pytest.mark.parametrize(("side", "left"), [("src", ["com", "s2t", "vanilla"]), ("tgt", ["asr", "vanilla", "tts"])])
def test_a_pair_without_a_transcript_serves_the_tasks_that_need_none(
    text: str | None, side: str, left: list[str]
) -> None:
    tasks = dict.fromkeys(("com", "cot", "asr", "mt", "s2t", "vanilla", "tts"), 1.0)
    assert [row["task"] for row in build_sequences(SPOKEN | {f"{side}_text": text}, tasks)] == left
    assert [row["task"] for row in build_sequences(TEXT | {f"{side}_text": text}, tasks)] == []


def test_a_chain_of_thought_can_be_learned() -> None:
    _, thought = build_sequences(SPOKEN, load(None, ["policy.tasks={com: 1.0, cot: 1.0}"]).policy.tasks)
    assert thought["completion"] == "bonjour<|sep|>hello<|sosp|><|u3|><|u4|><|eosp|>"


def test_parallel_text_is_written_for_the_task_mt_only() -> None:
    assert [row["task"] for row in build_sequences(TEXT, {"com": 1.0, "asr": 1.0, "mt": 1.0, "tts": 1.0})] == ["mt"]
    assert list(build_sequences(TEXT, {"com": 1.0})) == []


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_id_of_a_pair_decides_whether_a_task_gets_it(share: float) -> None:
    rows = [SPOKEN | {"pair_id": str(number)} for number in range(400)]
    drawn = [row["pair_id"] for row in rows if list(build_sequences(row, {"com": share}))]
    assert abs(len(drawn) - 400 * share) < 60
    assert drawn == [row["pair_id"] for row in rows if list(build_sequences(row, {"com": share}))]
    if share == 0.5:
        other = [row["pair_id"] for row in rows if list(build_sequences(row, {"asr": share}))]
        assert drawn != other, "tasks draw independently"


def corpora(folder: Path, *, text: bool, tasks: dict[str, float]) -> Recipe:
    """Write one paired row (and one row of text), and return a recipe that names them."""
    for name, row in (("paired", SPOKEN), ("text", TEXT)):
        pq.write_table(pa.Table.from_pylist([row], schema=PAIRED), folder / f"{name}.parquet")
    recipe = load(None)
    uris = {"paired": f"{folder}/paired.parquet", "text": f"{folder}/text.parquet" if text else None}
    return replace(recipe, corpus=replace(recipe.corpus, **uris), policy=replace(recipe.policy, tasks=tasks))


def test_pairs_without_a_transcript_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = corpora(tmp_path, text=True, tasks={"com": 1.0, "asr": 1.0, "mt": 1.0})
    rows = [SPOKEN, *(SPOKEN | {"pair_id": f"m{number}", "tgt_text": None} for number in range(2))]
    pq.write_table(pa.Table.from_pylist(rows, schema=PAIRED), tmp_path / "paired.parquet")
    out = DatasetDir(str(tmp_path / "sequences"), SEQUENCE, "sequence_id")
    write_sequences(recipe, out)
    assert "sequences: left out, no transcript: com 2, mt 2\n" in capsys.readouterr().out
    assert sorted(row["sequence_id"] for row in out.rows().to_pylist()) == (
        ["asr-a", "asr-m0", "asr-m1", "com-a", "mt-a", "mt-t"]
    )


def test_the_dataset_has_the_sequences_of_both_corpora(tmp_path: Path) -> None:
    recipe = corpora(tmp_path, text=True, tasks={"com": 1.0, "mt": 1.0})
    assert [row["pair_id"] for row in read_paired(recipe)] == ["a", "t"]
    assert [row["pair_id"] for row in read_paired(corpora(tmp_path, text=False, tasks={"com": 1.0}))] == ["a"]
    out = DatasetDir(str(tmp_path / "sequences"), SEQUENCE, "sequence_id")
    for _ in range(2):  # the second run has nothing to do
        write_sequences(recipe, out)
    assert sorted(row["sequence_id"] for row in out.rows().to_pylist()) == ["com-a", "mt-a", "mt-t"]
    assert out.manifest().content["policy.tasks"] == {"com": 1.0, "mt": 1.0}
    assert out.manifest().content["inputs"] == {"units": json_digest(read_paired(recipe))}


ALIGNED = SPOKEN | {
    "src_units": [1, 2, 3],
    "src_durations": [4, 2, 4],
    "src_words": [{"text": "bon", "start": 0, "end": 5}, {"text": "jour", "start": 7, "end": 10}],
    "tgt_durations": [1, 1],
    "tgt_words": [{"text": "hello", "start": 0, "end": 2}],
}


def test_sequences_have_the_words_of_their_speech() -> None:
    tasks = {"com": 1.0, "asr": 1.0, "mt": 1.0, "s2t": 1.0, "vanilla": 1.0, "cot": 1.0, "tts": 1.0}
    source, target = [{"text": "bon", "units": 2}, {"text": "jour", "units": 1}], [{"text": "hello", "units": 2}]
    expected = {
        **dict.fromkeys(("com", "vanilla", "cot"), (source, target)),
        **dict.fromkeys(("asr", "s2t"), (source, None)),
        "mt": (None, None),
        "tts": (None, source),
    }
    found = {
        row["task"]: (row["prompt_words"], row["completion_words"]) for row in build_sequences(ALIGNED, tasks, "words")
    }
    assert found == expected
    spread = [{"text": "bonjour", "units": 3}]
    found = {
        row["task"]: (row["prompt_words"], row["completion_words"])
        for row in build_sequences(ALIGNED, tasks, "uniform")
    }
    assert found["com"] == (spread, target) and found["mt"] == (None, None)
    for row in build_sequences(ALIGNED, tasks):
        assert row["prompt_words"] is row["completion_words"] is None
    for lacking in ({"src_words": None}, {"src_words": []}, {"src_durations": None}):
        [row] = build_sequences(ALIGNED | lacking, {"com": 1.0}, "words")
        assert (row["prompt_words"], row["completion_words"]) == (None, target)
    [row] = build_sequences(SPOKEN | {"src_text": "", "tgt_text": None}, {"vanilla": 1.0}, "uniform")
    assert row["prompt_words"] is row["completion_words"] is None


def interleaved(recipe: Recipe, units: Literal["words", "uniform"]) -> Recipe:
    """Return the recipe with a training that interleaves."""
    return replace(recipe, sft=replace(recipe.sft, interleave=InterleaveConfig(units=units)))


def test_the_dataset_has_words_if_the_training_interleaves(tmp_path: Path) -> None:
    plain = corpora(tmp_path, text=True, tasks={"com": 1.0, "mt": 1.0})
    pq.write_table(pa.Table.from_pylist([ALIGNED], schema=PAIRED), tmp_path / "paired.parquet")
    for name, recipe, units in (
        ("plain", plain, None),
        ("words", interleaved(plain, "words"), [2, 1]),
        ("uniform", interleaved(plain, "uniform"), [3]),
    ):
        out = DatasetDir(str(tmp_path / name), SEQUENCE, "sequence_id")
        write_sequences(recipe, out)
        [row] = [row for row in out.rows().to_pylist() if row["task"] == "com"]
        assert row["prompt_words"] == units or [word["units"] for word in row["prompt_words"]] == units
        assert {row["prompt_words"] for row in out.rows().to_pylist() if row["task"] == "mt"} == {None}


def test_speech_without_words_or_with_other_frames_cannot_be_interleaved(tmp_path: Path) -> None:
    recipe = interleaved(corpora(tmp_path, text=True, tasks={"com": 1.0}), "words")
    out = DatasetDir(str(tmp_path / "sequences"), SEQUENCE, "sequence_id")
    sentence = (
        r"no row of corpus.paired \(.*paired.parquet\) has .* a section aligner, or set sft.interleave.units: uniform"
    )
    with pytest.raises(PassError, match=sentence):
        write_sequences(recipe, out)
    shifted = ALIGNED | {"tgt_words": [{"text": "hello", "start": 0, "end": 4}]}
    pq.write_table(pa.Table.from_pylist([ALIGNED, shifted], schema=PAIRED), tmp_path / "paired.parquet")
    sentence = (
        "the words of 1 of 4 utterances end behind their last unit: a has 2 frames of units and a word that ends at "
    )
    with pytest.raises(PassError, match=sentence):
        write_sequences(recipe, DatasetDir(str(tmp_path / "other"), SEQUENCE, "sequence_id"))
    write_sequences(interleaved(recipe, "uniform"), DatasetDir(str(tmp_path / "third"), SEQUENCE, "sequence_id"))


def test_every_direction_and_its_opposite_need_paired_rows(tmp_path: Path) -> None:
    recipe = replace(corpora(tmp_path, text=True, tasks={"com": 1.0}), languages=("fr", "en", "de"))
    with pytest.raises(PassError, match=r"no paired rows in fr-de, en-fr, en-de, de-fr, de-en, and .*paired\.parquet"):
        read_paired(recipe)
    with pytest.raises(PassError, match="round 0 has no paired rows in en-fr, and"):
        read_paired(replace(recipe, directions=("fr-en",)))
    back = SPOKEN | {"pair_id": "b", "src_lang": "en", "tgt_lang": "fr"}
    other = SPOKEN | {"pair_id": "c", "tgt_lang": "de"}
    pq.write_table(pa.Table.from_pylist([SPOKEN, back, other], schema=PAIRED), tmp_path / "paired.parquet")
    assert [row["pair_id"] for row in read_paired(replace(recipe, directions=("fr-en",)))] == ["a", "b", "t"]


def test_corpora_that_give_no_sequence_are_refused(tmp_path: Path) -> None:
    recipe = corpora(tmp_path, text=True, tasks={"com": 1e-9})
    with pytest.raises(
        PassError, match=r"corpus.paired \(.*\) and corpus.text hold 2 rows, .* of policy.tasks \(com\)"
    ):
        write_sequences(recipe, DatasetDir(str(tmp_path / "sequences"), SEQUENCE, "sequence_id"))
