"""The translator and its round trips on a real vLLM, with a toy policy that was taught four sentences."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from factory.actors.round_trip import TranslationJob
from factory.actors.translator import Translator
from factory.metrics import METRICS
from factory.models.engine import EngineConfig
from factory.models.weights import WeightsError
from factory.recipe.sections import TranslatorConfig
from schemas.datasets import SCORED, UNITS, UNSPOKEN, Candidate, Row
from schemas.sequences import EOS, SOSP, Variant, completion, find_banned, prompt, speech, tag, text_prompt
from tests.toys import tiny_policy, tiny_tokenizer

pytestmark = pytest.mark.service

CONTEXT = 256
TEXTS = {
    "fr": ["où se trouve la gare", "combien cela coûte-t-il", "le train part à neuf heures", "une tasse de café"],
    "en": ["where is the station", "how much does this cost", "the train leaves at nine", "a cup of coffee"],
}
UNITS_OF = {lang: [random.Random(f"{lang}{i}").choices(range(50), k=8 + i) for i in range(4)] for lang in TEXTS}
OTHER = {"fr": "en", "en": "fr"}
CONFIG = TranslatorConfig(n=2, temperature=1.0, top_p=1.0, max_tokens=60)
JOB = TranslationJob(
    variant=Variant.COM, back_variants=(Variant.COM,), text_variant=None, speak_by=("bleu", "wer"), seed=3
)
ENGINE = EngineConfig(dtype="auto", threads=1, kv_cache_gib=1, gpu_memory_utilization=0.3, max_model_len=None)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that knows the four sentences in both directions, as three variants and as texts."""
    path = tiny_policy(tmp_path_factory.mktemp("policy"), context=CONTEXT)
    teach(path)
    return path


@pytest.fixture(scope="module")
def actor(policy: Path) -> Iterator[Translator]:
    actor = Translator(str(policy), CONFIG, JOB, ENGINE)
    yield actor
    actor.release()


@contextmanager
def changed(actor: Translator, *, job: TranslationJob = JOB, **config: Any) -> Iterator[None]:
    """Give the actor another job, and other values of its config."""
    actor.config, actor.job = replace(CONFIG, **config), job
    try:
        yield
    finally:
        actor.config, actor.job = CONFIG, JOB


def teach(path: Path, steps: int = 220) -> None:
    """Train the policy in `path` until it knows all sentences by heart (a few seconds)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    lessons = list(write_lessons())
    batch = tokenizer(list(map("".join, lessons)), padding=True, return_tensors="pt", add_special_tokens=False)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    for row, (question, _) in enumerate(lessons):
        labels[row, : len(tokenizer(question, add_special_tokens=False)["input_ids"])] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(steps):
        loss = model(**inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05, f"the toy did not learn: loss {loss.item():.3f}"
    model.save_pretrained(path)


def write_lessons() -> Iterator[tuple[str, str]]:
    """Yield the prompts and completions to learn."""
    for src, tgt in OTHER.items():
        for i in range(4):
            for variant in (Variant.COM, Variant.VANILLA, Variant.S2T, Variant.COT):
                answer = completion(variant, TEXTS[tgt][i], UNITS_OF[tgt][i], TEXTS[src][i])
                yield prompt(variant, src, tgt, UNITS_OF[src][i]), answer + EOS
            yield text_prompt(src, tgt, TEXTS[src][i]), completion(Variant.MT, TEXTS[tgt][i]) + EOS


def row(utt_id: str = "a", lang: str = "fr", units: list[int] | None = None, **others: object) -> Row:
    fixed = {"utt_id": utt_id, "lang": lang, "tgt_lang": OTHER.get(lang), "units": units}
    return fixed | {"status": "ok", "reason": None} | others


def table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=UNITS.append(pa.field("tgt_lang", pa.string())))


def known(langs: str = "fr en", count: int = 4) -> list[Row]:
    """Return rows that the policy can translate."""
    return [
        row(f"{lang}{i}", lang, UNITS_OF[lang][i], text=TEXTS[lang][i], reference=TEXTS[OTHER[lang]][i])
        for lang in langs.split()
        for i in range(count)
    ]


def translate_greedily(actor: Translator, job: TranslationJob = JOB, **config: Any) -> list[tuple[Row, Candidate]]:
    """Return each known row with its only candidate."""
    greedy = {"n": 1, "temperature": 0.0, "back_translation_temperature": 0.0}
    with changed(actor, job=job, **greedy | config):
        rows = actor(table(known())).to_pylist()
    assert all(len(one["candidates"]) == 1 for one in rows)
    return [(one, one["candidates"][0]) for one in rows]


def test_a_taught_policy_translates_there_and_back(actor: Translator) -> None:
    done = actor(table(known()))
    assert done.schema.equals(SCORED)
    rows = done.to_pylist()
    kept = ("utt_id", "tgt_lang", "text", "reference", "units")
    assert [[one[key] for key in kept] for one in rows] == [[one[key] for key in kept] for one in known()]
    assert [one["src_lang"] for one in rows] == ["fr"] * 4 + ["en"] * 4
    valid = [(one, candidate) for one in rows for candidate in one["candidates"] if candidate["finish"] == "ok"]
    assert len(valid) >= 12, "most candidates are translations"
    back = [(c["back_translation"], c["back_translation_units"]) == (one["text"], one["units"]) for one, c in valid]
    assert sum(back) >= 0.8 * len(back), "a greedy back-translation is the source"
    assert all(candidate["scores"] is None for one in rows for candidate in one["candidates"])


def test_candidates_with_one_text_are_spoken_once(actor: Translator) -> None:
    before = actor.engine.generated
    with changed(actor, n=6, unit_temperature=0.0):
        rows = actor(table(known())).to_pylist()
    generated, tokens = actor.engine.generated - before, 0
    for one in rows:
        candidates = one["candidates"]
        assert len(candidates) == 6
        by_text = {c["text"]: c for c in reversed(candidates) if c["finish"] == "ok"}
        assert all(c == by_text[c["text"]] for c in candidates if c["finish"] == "ok")
        number = int(one["utt_id"][-1])
        right = by_text[TEXTS[one["tgt_lang"]][number]]
        assert speech(right["units"]) == speech(UNITS_OF[one["tgt_lang"]][number])
        assert (right["back_translation"], right["back_translation_units"]) == (one["text"], one["units"])
        assert right["back_translation_finish"] == "ok"
        tokens += sum(len(c["units"] or ()) + len(c["back_translation_units"] or ()) for c in candidates)
    assert generated < tokens, "a text is spoken once for all its candidates"


def test_the_logprob_of_text_and_units_is_that_of_the_whole_output(actor: Translator) -> None:
    whole = translate_greedily(actor)
    parts = translate_greedily(actor, unit_temperature=0.0)
    assert [c["units"] for _, c in parts] == [c["units"] for _, c in whole]
    assert [c["logprob"] for _, c in parts] == pytest.approx([c["logprob"] for _, c in whole], abs=0.1)


def test_only_texts_at_an_end_of_a_ranking_are_spoken(actor: Translator) -> None:
    with changed(actor, n=12, temperature=1.6, unit_temperature=0.0, back_translate="text"):
        rows = actor(table(known())).to_pylist()
    unspoken = 0
    for one in rows:
        back = [c for c in one["candidates"] if c["back_translation"]]
        assert all(c["units"] is None for c in back if c["finish"] == UNSPOKEN)
        for metric in (METRICS[name] for name in JOB.speak_by):
            scores = [metric.score(c["back_translation"], one["text"], one["src_lang"]) for c in back]
            spoken = [score for score, c in zip(scores, back, strict=True) if c["finish"] != UNSPOKEN]
            assert {min(scores), max(scores)} <= set(spoken), "the best and the worst are spoken"
        unspoken += sum(c["finish"] == UNSPOKEN for c in back)
    assert unspoken > 0, "texts between the ends are not spoken"


@pytest.mark.parametrize(
    ("changes", "texts"),
    [({"job": replace(JOB, speak_by=())}, True), ({"back_translate": "speech"}, True), ({}, False)],
)
def test_all_texts_are_spoken_where_no_ranking_is_known(
    actor: Translator, changes: dict[str, Any], texts: bool
) -> None:
    rows = known("fr", 2)
    with changed(actor, **{"n": 8, "temperature": 1.6, "unit_temperature": 0.0, "back_translate": "text"} | changes):
        done = actor(table(rows if texts else [one | {"text": None} for one in rows])).to_pylist()
    assert UNSPOKEN not in {c["finish"] for one in done for c in one["candidates"]}


def test_a_candidate_that_is_no_translation_has_a_reason_and_no_back_translation(actor: Translator) -> None:
    with changed(actor, max_tokens=len(UNITS_OF["en"][0])):  # enough for the text, not for all units
        [done] = actor(table(known("fr", 1))).to_pylist()
    assert len(done["candidates"]) == 2
    for candidate in done["candidates"]:
        assert candidate["finish"] == "length"
        assert candidate["text"] == TEXTS["en"][0], "the readable part is kept"
        back = ("back_translation", "back_translation_units", "back_translation_finish")
        assert all(candidate[key] is None for key in back)


def reconstruct(policy: Path, actor: Translator, question: str, answer: str) -> float:
    """Return the mean log-probability of a token of the answer, by a plain forward pass in the engine's numbers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, dtype = AutoTokenizer.from_pretrained(policy), actor.engine.llm.model_config.dtype
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=dtype)
    start = len(tokenizer(question, add_special_tokens=False)["input_ids"])
    ids = tokenizer(question + answer, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = model(ids).logits[0, start - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, ids[0, start:, None]).mean().item()


TRI_TASK = TranslationJob(Variant.VANILLA, (Variant.VANILLA, Variant.S2T), None, (), seed=3)


@pytest.mark.parametrize(
    ("job", "changes", "reader", "end"),
    [
        (JOB, {}, Variant.COM, SOSP),
        (JOB, {"unit_temperature": 0.0}, Variant.COM, SOSP),
        (JOB, {"back_translate": "text"}, Variant.MT, EOS),
        (JOB, {"back_translate": "text", "unit_temperature": 0.0}, Variant.MT, EOS),
        (TRI_TASK, {}, Variant.S2T, EOS),
    ],
)
@pytest.mark.parametrize("writes_back", [True, False])
def test_a_candidate_is_scored_by_the_likelihood_of_the_source_text(
    actor: Translator,
    policy: Path,
    job: TranslationJob,
    changes: dict[str, Any],
    reader: Variant,
    end: str,
    writes_back: bool,
) -> None:
    before = actor.engine.generated
    with changed(actor, job=replace(job, reconstructs=True, writes_back=writes_back), n=3, temperature=1.1, **changes):
        rows = actor(table(known("fr", 3))).to_pylist()
    scored = 0
    for one in rows:
        for candidate in one["candidates"]:
            source = candidate["text"] if reader is Variant.MT else candidate["units"]
            own = candidate["scores"]["reconstruction"] if candidate["scores"] else None
            if candidate["finish"] not in ("ok", UNSPOKEN) or not source:
                assert own is None, "it is no translation"
                continue
            question = text_prompt("en", "fr", source) if reader is Variant.MT else prompt(reader, "en", "fr", source)
            expected = reconstruct(policy, actor, question, one["text"] + end)
            assert own == pytest.approx(expected, rel=0.05, abs=0.1)
            assert (candidate["back_translation_finish"] is not None) == writes_back
            scored += 1
    assert scored >= 4
    if not writes_back:
        units = sum(len(c["units"] or ()) for one in rows for c in one["candidates"])
        texts = sum(len(c["text"] or "") for one in rows for c in one["candidates"])
        assert actor.engine.generated - before <= units + texts + 9 * 4, "candidates alone are written"


def test_a_right_candidate_makes_the_source_likelier_than_a_wrong_one(actor: Translator) -> None:
    job = replace(JOB, reconstructs=True)
    right = [c["scores"]["reconstruction"] for _, c in translate_greedily(actor, job)]
    rows = [one | {"text": TEXTS[one["lang"]][(i + 1) % 4]} for i, one in enumerate(known())]
    with changed(actor, job=job, n=1, temperature=0.0):
        wrong = [one["candidates"][0]["scores"]["reconstruction"] for one in actor(table(rows)).to_pylist()]
    assert max(wrong) < -1 < -0.3 < min(right) <= 0


def test_a_malformed_candidate_or_a_source_without_text_has_no_likelihood(actor: Translator) -> None:
    job = replace(JOB, reconstructs=True)
    with changed(actor, job=job, max_tokens=len(UNITS_OF["en"][0])):
        [malformed] = actor(table(known("fr", 1))).to_pylist()
    with changed(actor, job=job):
        [silent] = actor(table([one | {"text": None} for one in known("fr", 1)])).to_pylist()
    for candidate in malformed["candidates"] + silent["candidates"]:
        assert candidate["scores"] is None or candidate["scores"]["reconstruction"] is None
    assert {candidate["finish"] for candidate in malformed["candidates"]} == {"length"}


def test_the_likelihood_alone_chooses_the_texts_to_speak(actor: Translator) -> None:
    job = replace(JOB, reconstructs=True, writes_back=False, speak_by=("reconstruction",))
    with changed(actor, job=job, n=12, temperature=1.6, unit_temperature=0.0, back_translate="text"):
        rows = actor(table(known())).to_pylist()
    unspoken = 0
    for one in rows:
        scored = [c for c in one["candidates"] if c["scores"] and c["scores"]["reconstruction"] is not None]
        values = [c["scores"]["reconstruction"] for c in scored]
        spoken = {value for value, c in zip(values, scored, strict=True) if c["finish"] != UNSPOKEN}
        assert {min(values), max(values)} == spoken, "the best and the worst, and no others"
        assert all(c["back_translation"] is None for c in one["candidates"])
        unspoken += sum(c["finish"] == UNSPOKEN for c in scored)
    assert unspoken > 0


@pytest.mark.parametrize(
    ("bad", "slug"),
    [
        (row(units=[]), "no_units"),
        (row(units=None), "no_units"),
        (row(units=[1, 50]), "unknown_unit"),
        (row(units=[-1]), "unknown_unit"),
        (row(units=[1], lang="de"), "unknown_lang"),
        (row(units=[1], tgt_lang="fr"), "same_lang"),
        (row(units=[1], tgt_lang=None), "unknown_lang"),
        (row(units=[1, 2] * 200), "too_long"),
    ],
)
def test_a_bad_row_is_skipped_and_the_others_are_kept(actor: Translator, bad: Row, slug: str) -> None:
    skipped, kept = actor(table([bad, *known("fr", 1)])).to_pylist()
    assert (skipped["status"], skipped["reason"].split(":")[0]) == ("skipped", slug)
    assert skipped["candidates"] is None
    assert (kept["status"], kept["reason"], len(kept["candidates"])) == ("ok", None, 2)


@pytest.mark.parametrize("unit_temperature", [None, 0.0])
def test_each_row_is_reported_once_when_all_its_sequences_are_finished(
    actor: Translator, unit_temperature: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, finished = known(), []
    monkeypatch.setattr(actor, "on_finished", finished.append)
    with changed(actor, unit_temperature=unit_temperature):
        actor.process([*rows, row(units=[])])
    assert sorted(one["utt_id"] for one in finished) == sorted(one["utt_id"] for one in rows)
    assert all(any(one is own for own in rows) for one in finished), "the guard's child counts the rows that it gave"


def test_rows_of_an_earlier_pass_that_are_not_ok_pass_through(actor: Translator) -> None:
    [done] = actor(table([row() | {"status": "skipped", "reason": "silent: all zeros"}])).to_pylist()
    assert (done["status"], done["reason"], done["candidates"]) == ("skipped", "silent: all zeros", None)


def test_an_empty_table_gives_an_empty_table(actor: Translator) -> None:
    assert actor(table([])).num_rows == 0


def test_the_same_batch_gives_the_same_candidates_and_another_seed_or_batch_does_not(actor: Translator) -> None:
    with changed(actor, temperature=2.0):
        first = actor(table(known()))
        actor(table(known("en", 2)))
        assert actor(table(known())).equals(first)
    with changed(actor, temperature=2.0, job=replace(JOB, seed=4)):
        assert not actor(table(known())).equals(first)
    with changed(actor, temperature=2.0):
        renamed = [one | {"utt_id": f"{one['utt_id']}x"} for one in known()]
        assert actor(table(renamed))["candidates"] != first["candidates"], "the ids are part of the seed"


def test_a_back_translation_takes_its_text_from_the_variant_that_writes_one(actor: Translator) -> None:
    tri_task = TranslationJob(Variant.VANILLA, (Variant.VANILLA, Variant.S2T), Variant.S2T, (), seed=3)
    for one, candidate in translate_greedily(actor, tri_task):
        assert (candidate["finish"], candidate["back_translation_finish"]) == ("ok", "ok")
        assert candidate["text"] == one["reference"], "the text is requested apart"
        assert speech(candidate["back_translation_units"]) == speech(one["units"])
        assert candidate["back_translation"] == one["text"]
    for _, candidate in translate_greedily(actor, replace(tri_task, text_variant=None)):
        assert candidate["text"] is None


def test_a_back_translated_text_has_no_speech(actor: Translator) -> None:
    for one, candidate in translate_greedily(actor, back_translate="text"):
        assert (candidate["finish"], candidate["back_translation_finish"]) == ("ok", "ok")
        assert candidate["back_translation"] == one["text"] and candidate["back_translation_units"] is None


def test_a_policy_that_writes_text_only_is_translated_back(actor: Translator) -> None:
    for one, candidate in translate_greedily(actor, replace(JOB, variant=Variant.S2T), back_translate="text"):
        assert (candidate["finish"], candidate["units"]) == ("ok", None)
        assert (candidate["text"], candidate["back_translation"]) == (one["reference"], one["text"])


@pytest.mark.parametrize(
    "config", [{}, {"back_translate": "text"}, {"back_translate": "text", "unit_temperature": 0.0}]
)
def test_a_chain_of_thought_keeps_its_source_text(actor: Translator, config: dict[str, Any]) -> None:
    job, banned = replace(JOB, variant=Variant.COT, back_variants=(Variant.COT,)), actor.engine.banned
    actor.engine.banned = find_banned(actor.engine.tokenizer.get_added_vocab(), [tag(Variant.COT)])
    try:
        found = translate_greedily(actor, job, **config)
    finally:
        actor.engine.banned = banned
    for one, candidate in found:
        assert (candidate["finish"], candidate["back_translation_finish"]) == ("ok", "ok")
        assert (candidate["source_text"], candidate["text"]) == (one["text"], one["reference"])
        assert speech(candidate["units"]) == speech(UNITS_OF[one["tgt_lang"]][int(one["utt_id"][-1])])
        assert candidate["back_translation"] == one["text"]
    for _, candidate in translate_greedily(actor):
        assert candidate["source_text"] is None


def test_a_policy_that_was_not_trained_for_a_variant_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text(file.read_text().replace("<|s2t|>", "<|sung|>"))
    job = replace(JOB, text_variant=Variant.S2T)
    with pytest.raises(WeightsError, match=r"has no token <\|s2t\|>: use a policy that was trained for this task"):
        Translator(str(tmp_path), CONFIG, job, ENGINE)
