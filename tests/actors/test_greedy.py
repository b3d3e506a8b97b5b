"""The greedy translator on a real vLLM: the shipped policy, and a toy as the second policy of one process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.actors.greedy import TRANSLATED, GreedyTranslator
from factory.passes.produce import build_engine_config, build_job
from factory.recipe.loading import load
from schemas.datasets import UNITS, Row
from schemas.sequences import Variant
from tests.toys import tiny_policy

pytestmark = pytest.mark.service

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = load(ROOT / "recipes/phrasebook.yaml")
POLICY = str(ROOT / "assets/phrasebook/policy")


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GreedyTranslator]:
    toy = tiny_policy(tmp_path_factory.mktemp("toy"), num_units=200, context=256)
    weights = {"shipped": POLICY, "toy": str(toy)}
    actor = GreedyTranslator(weights, RECIPE.translator, build_job(RECIPE), build_engine_config(RECIPE))
    yield actor
    actor.release()


def make_rows(policy: str, spoken: bool, count: int = 6) -> list[Row]:
    """Return utterances that the shipped policy was not trained on."""
    pairs = pq.read_table(ROOT / "assets/phrasebook/dev.parquet").to_pylist()[:count]
    fixed = {"policy": policy, "spoken": spoken, "status": "ok"}
    return [
        {"utt_id": pair["pair_id"], "lang": pair["src_lang"], "tgt_lang": pair["tgt_lang"], "units": pair["src_units"]}
        | {"text": pair["src_text"], "reference": pair["tgt_text"]}
        | fixed
        for pair in pairs
    ]


def translate(actor: GreedyTranslator, rows: list[Row], *more: str) -> list[Row]:
    schema = pa.schema([*UNITS, *(TRANSLATED.field(name) for name in ("tgt_lang", "policy", "spoken", *more))])
    table = actor(pa.Table.from_pylist(rows, schema=schema))
    assert table.schema == TRANSLATED
    done: list[Row] = table.to_pylist()
    assert [(row["utt_id"], row["policy"], row["spoken"]) for row in done] == [
        (row["utt_id"], row["policy"], row["spoken"]) for row in rows
    ]
    return done


def test_a_text_alone_is_the_text_of_the_whole_translation_and_takes_a_fraction_of_its_tokens(
    actor: GreedyTranslator,
) -> None:
    counts, texts = [], []
    for spoken in (True, False):
        before = actor.translator.engine.generated
        candidates = [row["candidates"] for row in translate(actor, make_rows("shipped", spoken))]
        counts.append(actor.translator.engine.generated - before)
        texts.append([candidate["text"] for [candidate] in candidates])
        assert all(bool(candidate["units"]) is spoken for [candidate] in candidates)
        assert {candidate["finish"] for [candidate] in candidates} == {"ok" if spoken else "unspoken"}
        assert all(candidate["back_translation"] for [candidate] in candidates), "texts are translated back"
    assert texts[0] == texts[1] and all(texts[0])
    assert counts[1] < counts[0] / 3


def test_spoken_rows_and_others_share_a_batch_and_keep_their_order(
    actor: GreedyTranslator, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished: list[Row] = []
    monkeypatch.setattr(actor, "on_finished", finished.append)
    rows = [row | {"spoken": number % 2 == 0} for number, row in enumerate(make_rows("shipped", True, 4))]
    rows.append(rows[0] | {"utt_id": "long", "spoken": False, "units": [1, 2] * 400})
    rows.append(rows[0] | {"utt_id": "failed", "status": "failed", "reason": "silent: no"})
    done = translate(actor, rows)
    assert [bool(row["candidates"][0]["units"]) for row in done[:4]] == [True, False, True, False]
    assert done[4]["status"] == "skipped" and done[4]["reason"].startswith("too_long")
    assert (done[5]["status"], done[5]["reason"], done[5]["candidates"]) == ("failed", "silent: no", None)
    assert sorted(row["utt_id"] for row in finished) == sorted(row["utt_id"] for row in rows[:5]), "each of them once"


def test_back_translations_of_speech_need_units(actor: GreedyTranslator) -> None:
    config = actor.translator.config
    actor.translator.config = replace(config, back_translate="speech")
    try:
        rows = [row | {"spoken": number == 0} for number, row in enumerate(make_rows("shipped", True, 2))]
        first, second = (row["candidates"][0] for row in translate(actor, rows))
    finally:
        actor.translator.config = config
    assert first["back_translation_finish"] is not None
    assert second["text"] and (second["back_translation"], second["back_translation_finish"]) == (None, None)


def test_a_policy_without_text_in_its_speech_writes_the_text_that_was_asked_for(actor: GreedyTranslator) -> None:
    job = actor.translator.job
    actor.translator.job = replace(job, variant=Variant.VANILLA, text_variant=Variant.COM)
    try:
        [row] = translate(actor, make_rows("shipped", False, 1))
    finally:
        actor.translator.job = job
    assert row["candidates"][0]["text"] and row["candidates"][0]["finish"] == "unspoken"


def test_each_policy_translates_its_own_rows(actor: GreedyTranslator) -> None:
    done = translate(
        actor, make_rows("shipped", False, 2) + make_rows("toy", False, 2) + make_rows("shipped", False, 2)
    )
    texts = [row["candidates"][0]["text"] for row in done]
    assert texts[:2] == texts[4:] != texts[2:4]
    assert actor.loaded == "shipped"


def test_the_recording_of_a_spoken_row_reaches_its_judge(actor: GreedyTranslator) -> None:
    audio = {"bytes": b"encoded", "path": None}
    rows = [row | {"spoken": number == 0, "audio": audio} for number, row in enumerate(make_rows("shipped", False, 2))]
    done = translate(actor, rows, "audio")
    assert [row["audio"] for row in done] == [audio, None]
    assert [row["audio"] for row in translate(actor, make_rows("shipped", True, 1))] == [None], "nothing asks for it"
