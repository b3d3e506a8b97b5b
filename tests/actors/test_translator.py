"""The translator on a real vLLM: a toy policy that was taught four sentences, and untaught ones for everything that goes wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from factory.actors.translator import Translator
from factory.metrics import METRICS
from factory.models.device import resolve_dtype, select_device
from factory.models.engine import Ask, Output, Sampling
from schemas.datasets import SCORED, UNITS
from schemas.sequences import EOS, EOSP, SOSP, Variant, completion, prompt, speech, text_prompt
from tests.toys import tiny_policy

CONTEXT = 256
TEXTS = {
    "fr": ["où se trouve la gare", "combien cela coûte-t-il", "le train part à neuf heures", "une tasse de café"],
    "en": ["where is the station", "how much does this cost", "the train leaves at nine", "a cup of coffee"],
}
SPOKEN = {lang: [random.Random(f"{lang}{i}").choices(range(50), k=8 + i) for i in range(4)] for lang in TEXTS}
OTHER = {"fr": "en", "en": "fr"}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a policy that knows the four sentences in both directions, three variants and as texts."""
    path = tiny_policy(tmp_path_factory.mktemp("policy"), context=CONTEXT)
    teach(path)
    return path


@pytest.fixture(scope="module")
def actor(policy: Path) -> Iterator[Translator]:
    actor = Translator(policy=str(policy), variant="com", n=2, temperature=1.0, max_tokens=60, kv_cache_gib=1, seed=3)
    yield actor
    actor.release()


def teach(path: Path, steps: int = 220) -> None:
    """Teach the policy in `path` all sentences by heart (a few seconds)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer, model = (
        AutoTokenizer.from_pretrained(path),
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
    )
    lessons = [
        (
            prompt(variant, src, OTHER[src], SPOKEN[src][i]),
            completion(variant, TEXTS[OTHER[src]][i], SPOKEN[OTHER[src]][i]) + EOS,
        )
        for variant in (Variant.COM, Variant.VANILLA, Variant.S2T)
        for src in TEXTS
        for i in range(4)
    ]
    lessons += [
        (text_prompt(src, OTHER[src], TEXTS[src][i]), completion(Variant.MT, TEXTS[OTHER[src]][i]) + EOS)
        for src in TEXTS
        for i in range(4)
    ]
    batch = tokenizer(
        [question + answer for question, answer in lessons], padding=True, return_tensors="pt", add_special_tokens=False
    )
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


def row(utt_id: str = "a", lang: str = "fr", units: list[int] | None = None, **other: Any) -> dict[str, Any]:
    return {
        "utt_id": utt_id,
        "lang": lang,
        "tgt_lang": OTHER.get(lang),
        "units": units,
        "status": "ok",
        "reason": None,
        **other,
    }


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=UNITS.append(pa.field("tgt_lang", pa.string())))


def known(langs: str = "fr en", count: int = 4) -> list[dict[str, Any]]:
    return [
        row(f"{lang}{i}", lang, SPOKEN[lang][i], text=TEXTS[lang][i]) for lang in langs.split() for i in range(count)
    ]


def translated_once(policy: Path, **asked: Any) -> list[dict[str, Any]]:
    """Return the known rows as another actor translates them greedily; the one before it must have been released."""
    other = Translator(policy=str(policy), n=1, temperature=0.0, kv_cache_gib=1, **asked)
    try:
        return other(table(known())).to_pylist()
    finally:
        other.release()


def test_a_taught_policy_goes_out_and_comes_home(actor: Translator) -> None:
    done = actor(table(known()))
    assert done.schema.equals(SCORED)
    rows = done.to_pylist()
    assert [one["utt_id"] for one in rows] == [one["utt_id"] for one in known()]
    home = [
        (candidate["back_translation"], candidate["back_translation_units"]) == (one["text"], one["units"])
        for one in rows
        for candidate in one["candidates"]
        if candidate["finish"] == "ok"
    ]
    assert len(home) >= 12, "most candidates are translations"
    assert sum(home) >= 0.8 * len(home), "and their way back, greedy, ends where it started"
    assert {candidate["scores"] for one in rows for candidate in one["candidates"]} == {None}


def test_candidates_with_one_text_are_spoken_once(actor: Translator) -> None:
    before = actor.engine.generated
    actor.n, actor.speaking = 6, Sampling(max_tokens=60)
    try:
        rows = actor(table(known())).to_pylist()
    finally:
        actor.n, actor.speaking = 2, None
    made, kept = actor.engine.generated - before, 0
    for one in rows:
        assert len(one["candidates"]) == 6
        said = {
            candidate["text"]: candidate for candidate in reversed(one["candidates"]) if candidate["finish"] == "ok"
        }
        for candidate in one["candidates"]:
            assert candidate["finish"] != "ok" or candidate == said[candidate["text"]]
        right = said[TEXTS[one["tgt_lang"]][int(one["utt_id"][-1])]]
        assert speech(right["units"]) == speech(SPOKEN[one["tgt_lang"]][int(one["utt_id"][-1])])
        assert (right["back_translation"], right["back_translation_units"], right["back_translation_finish"]) == (
            one["text"],
            one["units"],
            "ok",
        )
        kept += sum(
            len(candidate["units"] or ()) + len(candidate["back_translation_units"] or ())
            for candidate in one["candidates"]
        )
    assert made < kept, "what is the same is generated once"


def test_only_texts_at_an_end_of_a_ranking_are_spoken(actor: Translator) -> None:
    actor.n, actor.speaking, actor.speak_by = 12, Sampling(max_tokens=60), ["bleu", "wer"]
    actor.sampling, actor.back_variants, before = actor.sampling._replace(temperature=1.6), [Variant.MT], actor.sampling
    try:
        rows = actor(table(known())).to_pylist()
    finally:
        actor.n, actor.speaking, actor.speak_by = 2, None, None
        actor.sampling, actor.back_variants = before, [Variant.COM]
    silent = 0
    for one in rows:
        translated = [candidate for candidate in one["candidates"] if candidate["back_translation_finish"] is not None]
        ends: set[int] = set()
        for metric in (METRICS["bleu"], METRICS["wer"]):
            texts = [candidate["back_translation"] or "" for candidate in translated]
            scores = [metric.score(text, one["text"], one["src_lang"]) for text in texts]
            for end in (min(scores), max(scores)):
                indices = {index for index, score in enumerate(scores) if score == end}
                assert any(translated[index]["finish"] != "unspoken" for index in indices)
                ends |= indices
        for index, candidate in enumerate(translated):
            assert candidate["units"] is None if candidate["finish"] == "unspoken" else index in ends
        silent += sum(candidate["finish"] == "unspoken" for candidate in translated)
    assert silent > 0, "texts in the middle are not spoken"


def test_candidates_without_a_translation_have_a_reason_and_no_way_back(actor: Translator) -> None:
    actor.sampling = actor.sampling._replace(max_tokens=len(SPOKEN["en"][0]))  # enough for the text, not for all units
    try:
        [done] = actor(table(known("fr", 1))).to_pylist()
    finally:
        actor.sampling = actor.sampling._replace(max_tokens=60)
    assert len(done["candidates"]) == 2
    for candidate in done["candidates"]:
        assert candidate["finish"] == "length"
        assert candidate["text"] == TEXTS["en"][0], "what could be read is kept"
        assert (
            candidate["back_translation"]
            is candidate["back_translation_units"]
            is candidate["back_translation_finish"]
            is None
        )


@pytest.mark.parametrize(
    ("bad", "slug"),
    [
        (row(units=[]), "no_units"),
        (row(units=None), "no_units"),
        (row(units=[1, 50]), "unknown_unit"),
        (row(units=[-1]), "unknown_unit"),
        (row(units=[1], lang="de"), "unknown_lang"),
        (row(units=[1]) | {"tgt_lang": "fr"}, "same_lang"),
        (row(units=[1]) | {"tgt_lang": None}, "unknown_lang"),
        (row(units=[1, 2] * 200), "too_long"),
    ],
)
def test_a_bad_row_is_skipped_and_its_batch_mates_are_not(actor: Translator, bad: dict[str, Any], slug: str) -> None:
    skipped, kept = actor(table([bad, *known("fr", 1)])).to_pylist()
    assert (skipped["status"], skipped["reason"].split(":")[0]) == ("skipped", slug)
    assert skipped["candidates"] is None
    assert kept["status"] == "ok"
    assert len(kept["candidates"]) == 2


def test_rows_of_an_earlier_pass_that_are_not_ok_travel_through(actor: Translator) -> None:
    [done] = actor(table([row() | {"status": "skipped", "reason": "silent: all zeros"}])).to_pylist()
    assert (done["status"], done["reason"], done["candidates"]) == ("skipped", "silent: all zeros", None)


def test_an_empty_table_is_no_trouble(actor: Translator) -> None:
    assert actor(table([])).num_rows == 0


def test_the_same_batch_gives_the_same_and_another_seed_does_not(actor: Translator) -> None:
    actor.sampling = actor.sampling._replace(temperature=2.0)
    try:
        first = actor(table(known()))
        actor(table(known("en", 2)))
        assert actor(table(known())).equals(first)
        actor.seed += 1
        assert not actor(table(known())).equals(first)
    finally:
        actor.seed -= 1
        actor.sampling = actor.sampling._replace(temperature=1.0)


def test_translate_is_greedy_and_never_raises(actor: Translator) -> None:
    prompts = [prompt(Variant.COM, "fr", "en", SPOKEN["fr"][i]) for i in range(4)]
    outputs = actor.translate([*prompts, prompt(Variant.COM, "fr", "en", [1] * 400)])
    assert [one.text for [one] in outputs[:4]] == [
        completion(Variant.COM, TEXTS["en"][i], SPOKEN["en"][i]) for i in range(4)
    ]
    assert {one.finish for [one] in outputs[:4]} == {"stop"}
    assert outputs[4] == [Output("", "too_long", 0.0, 0)]


def test_the_logprob_is_the_policys_own(actor: Translator, policy: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    question = prompt(Variant.COM, "en", "fr", SPOKEN["en"][2])
    [[output]] = actor.translate([question], sampling=Sampling(temperature=1.5, top_p=0.9, max_tokens=60))
    dtype = actor.engine.llm.model_config.dtype
    tokenizer, model = AutoTokenizer.from_pretrained(policy), AutoModelForCausalLM.from_pretrained(policy, dtype=dtype)
    asked = len(tokenizer(question, add_special_tokens=False)["input_ids"])
    ids = tokenizer(
        question + output.text + EOS * (output.finish == "stop"), add_special_tokens=False, return_tensors="pt"
    )["input_ids"]
    with torch.no_grad():
        logits = model(ids).logits[0, asked - 1 : -1].float()
    expected = logits.log_softmax(-1).gather(1, ids[0, asked:, None]).sum().item()
    assert output.num_tokens == ids.shape[1] - asked
    assert output.logprob == pytest.approx(expected, rel=0.05, abs=0.3), "of the same numbers on both sides"


def test_it_computes_in_what_the_cpu_is_fast_at_and_candidates_share_their_prompts_blocks(actor: Translator) -> None:
    config = actor.engine.llm.llm_engine.vllm_config
    assert str(config.model_config.dtype) == f"torch.{resolve_dtype('auto', on_gpu=select_device().type == 'cuda')}"
    assert config.cache_config.enable_prefix_caching
    if select_device().type == "cpu":
        assert config.cache_config.block_size == 32


def test_tags_padding_and_unknown_words_are_never_drawn(actor: Translator) -> None:
    never = {"<|pad|>", "<|unk|>", "<|sep|>", "<|fr|>", "<|en|>", *(f"<|{variant}|>" for variant in Variant)}
    assert set(actor.engine.tokenizer.convert_ids_to_tokens(sorted(actor.engine.banned))) == never
    hot = Sampling(temperature=2.0, max_tokens=200)
    text = "".join(one.text for [one] in actor.translate([prompt(Variant.COM, "fr", "en", [1, 2])] * 8, sampling=hot))
    assert not any(tag in text for tag in never)
    assert SOSP in text
    assert EOSP in text


def test_an_output_that_goes_round_in_circles_is_stopped(actor: Translator) -> None:
    token = actor.engine.vocabulary["<|u7|>"]
    banned, actor.engine.banned = actor.engine.banned, set(actor.engine.vocabulary.values()) - {token}
    try:
        [[output]] = actor.translate([prompt(Variant.COM, "fr", "en", [1, 2])], sampling=Sampling(max_tokens=100))
    finally:
        actor.engine.banned = banned
    assert (output.finish, output.num_tokens) == ("repetition", 8)
    assert actor.read(Variant.COM, output).reason == "repetition"


def test_an_error_in_the_middle_of_a_batch_leaves_no_request_behind(actor: Translator) -> None:
    def then(key: int, output: Output) -> dict[int, Ask]:
        raise RuntimeError("broken")

    sampling = Sampling(max_tokens=5)
    with pytest.raises(RuntimeError, match="broken"):
        actor.engine.generate({i: Ask(prompt(Variant.COM, "fr", "en", [i]), sampling) for i in range(5)}, 0, then)
    [[output]] = actor.translate([prompt(Variant.COM, "fr", "en", SPOKEN["fr"][0])])
    assert output.finish == "stop"


def test_variants_that_cannot_work_are_refused_before_the_engine_starts() -> None:
    with pytest.raises(ValueError, match="s2t gives no units"):
        Translator(policy="nowhere", variant="s2t")
    with pytest.raises(ValueError, match="variant vanilla writes no text that could be translated back"):
        Translator(policy="nowhere", variant="vanilla", back_translate="text")
    with pytest.raises(ValueError, match="variant vanilla does not write a text before its units"):
        Translator(policy="nowhere", variant="vanilla", unit_temperature=0.0)
    with pytest.raises(ValueError, match="'sung' is not a valid Variant"):
        Translator(policy="nowhere", variant="sung")


def test_after_release_another_actor_asks_for_the_text_and_the_way_back_in_two_variants(
    actor: Translator, policy: Path
) -> None:
    actor.release()
    asked: dict[str, Any] = {"variant": "vanilla", "back_variant": ["vanilla", "s2t"], "text_variant": "s2t"}
    for one in translated_once(policy, **asked):
        [candidate] = one["candidates"]
        assert (candidate["finish"], candidate["back_translation_finish"]) == ("ok", "ok")
        assert candidate["text"] == TEXTS[one["tgt_lang"]][int(one["utt_id"][-1])]
        assert speech(candidate["back_translation_units"]) == speech(one["units"])
        assert candidate["back_translation"] == one["text"]


def test_a_text_that_goes_back_brings_no_speech(actor: Translator, policy: Path) -> None:
    actor.release()
    for one in translated_once(policy, back_translate="text"):
        [candidate] = one["candidates"]
        assert (candidate["finish"], candidate["back_translation_finish"]) == ("ok", "ok")
        assert candidate["back_translation"] == one["text"] and candidate["back_translation_units"] is None
    for one in translated_once(
        policy, variant="s2t", back_translate="text"
    ):  # a policy that speaks nothing comes back too
        [candidate] = one["candidates"]
        assert (candidate["finish"], candidate["units"], candidate["back_translation"]) == ("ok", None, one["text"])
