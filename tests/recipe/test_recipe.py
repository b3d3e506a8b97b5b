"""What a fingerprint covers, and what follows from the values of a recipe."""

from __future__ import annotations

import dataclasses

import pytest

from factory.recipe.loading import load
from factory.recipe.recipe import STAGES
from factory.recipe.typed import RecipeError
from schemas.fingerprint import json_digest
from schemas.sequences import Variant

NAMES = [
    "corpus",
    "text",
    "encoder",
    "codebook",
    "aligner",
    "units",
    "policy",
    "vocoder.fr",
    "vocoder.en",
    "recognizer",
    "scored",
    "pairs",
]
INPUTS = dict.fromkeys(NAMES, "0")
VANILLA = ["policy={variant: vanilla, tasks: {vanilla: 1.0}}", "scorer.score_text=asr"]


def test_resources_and_names_change_no_fingerprint() -> None:
    fast = ["resources.translator.actors=8", "resources.encoder.batch_size=1", "resources.dtype=float32"]
    fast += ["name=other", "corpus.mono=s3://b/mono", "encoder.model=other/name", "evaluate.resamples=10"]
    for stage in STAGES:
        assert json_digest(load(None, fast).content(stage, INPUTS)) == json_digest(load().content(stage, INPUTS))


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("encoder.layer=5", {"tokenize"}),
        ("encoder.min_s=0.2", {"tokenize", "recordings", "align"}),
        ("encoder.max_s=20", {"tokenize", "recordings", "align"}),
        ("encoder.kind=hubert", {"tokenize"}),
        ("encoder.deduplicate=false", {"tokenize"}),
        ("encoder.deduplicate=true", set()),
        ("aligner.kind=ctc", {"align"}),
        ("aligner.model=other", set()),
        ("translator.temperature=0.7", {"produce"}),
        ("translator.back_translation_temperature=0.5", {"produce"}),
        ("translator.max_tokens=9", {"produce", "evaluate"}),
        ("scorer.metrics=[bleu, mcd]", {"produce"}),
        ("select.delta=0.3", {"select"}),
        ("select.filters.max_repetition=0.1", {"select"}),
        ("preference.beta=0.2", set()),
        ("sft.lr=1e-3", set()),
        ("sft.interleave={}", {"sequences"}),
        ("sft.interleave.every=9", {"sequences"}),
        ("seed=7", {"produce"}),
        ("corpus.source=both", {"produce"}),
        ("corpus.limit=5", {"produce"}),
        ("rounds.fresh=false", {"produce"}),
        ("recognizer.beam_size=5", {"produce", "evaluate", "toplines"}),
        ("recognizer.compute_type=float32", {"produce", "evaluate", "toplines"}),
        ("evaluate.s2t_utterances=9", {"evaluate", "toplines"}),
        ("evaluate.asr_utterances=9", {"evaluate", "toplines"}),
        ("policy.variant=vanilla", {"produce", "select", "evaluate"}),
        ("policy.tasks={com: 1.0, vanilla: 0.5}", {"sequences", "spoken_sequences"}),
        ("part.tokens=9", set()),
        ("languages=[en, fr]", {"tokenize", "recordings", "align", "spoken_sequences", "produce", "select"}),
    ],
)
def test_a_key_changes_the_stages_that_it_reaches_and_no_other(change: str, stages: set[str]) -> None:
    base = ["scorer.score_text=asr", "policy.tasks={com: 1.0, vanilla: 1.0}", "aligner.kind=whisper"]
    before, after = load(None, base), load(None, [*base, change])
    contents = {stage: (before.content(stage, INPUTS), after.content(stage, INPUTS)) for stage in STAGES}
    assert {stage for stage, (one, two) in contents.items() if json_digest(one) != json_digest(two)} == stages


def test_only_where_words_are_changes_the_sequences_of_an_interleaved_training() -> None:
    changes = ("sft.interleave={}", "sft.interleave={start: 0.5, sides: source}", "sft.interleave.units=uniform")
    one, same, other = (json_digest(load(None, [change]).content("sequences", INPUTS)) for change in changes)
    assert one == same != other


def test_another_back_translation_is_another_evaluation() -> None:
    recipe = "recipes/phrasebook.yaml"
    changes = ["translator.back_translate=speech", "translator.unit_temperature=null"]
    text, speech = (load(recipe, change).content("evaluate", INPUTS) for change in ([], changes))
    assert json_digest(text) != json_digest(speech)


def test_inputs_count_and_none_can_be_forgotten() -> None:
    recipe = load()
    one, two = (recipe.content("select", {"scored": value}) for value in ("a", "b"))
    assert one["inputs"] == {"scored": "a"} and json_digest(one) != json_digest(two)
    missing = r"the fingerprint of produce needs the digests of its inputs; got none for \['policy', 'vocoder.en'"
    with pytest.raises(RecipeError, match=missing):
        recipe.content("produce", {"units": "a"})
    with pytest.raises(RecipeError, match="the stage is 'selct', which is unknown"):
        recipe.content("selct", {})


def test_an_unused_input_needs_no_digest() -> None:
    assert load().inputs("produce") == ["units", "policy", "vocoder.en", "vocoder.fr"]
    assert load(None, ["scorer.metrics=[bleu]"]).inputs("produce") == ["units", "policy"]
    asr = load(None, ["scorer.score_text=asr"]).inputs("produce")
    assert asr == ["units", "policy", "vocoder.en", "vocoder.fr", "recognizer"]
    vocoders = ["vocoder.en", "vocoder.fr"]
    cascade = load(None, ["evaluate.cascade={fr: some/voice}"])
    assert cascade.inputs("evaluate") == ["units", "policy", *vocoders, "recognizer", "cascade.fr"]
    assert cascade.cascade_weights == {"cascade.fr": "some/voice"}
    measured = load(None, ["evaluate.speech_measures=[dnsmos, speaker_similarity]"])
    names = {"measure.dnsmos": "package:dnsmos", "measure.speaker_similarity": "package:resemblyzer"}
    assert measured.measure_weights == names
    assert measured.inputs("evaluate") == ["units", "policy", *vocoders, "recognizer", *names]
    assert measured.content("evaluate", INPUTS | names)["inputs"] == INPUTS | names
    assert load().inputs("toplines") == ["units", *vocoders, "recognizer"]
    assert load().inputs("tokenize") == ["corpus", "encoder", "codebook"]
    assert load().inputs("sequences") == ["units"] and load().inputs("select") == ["scored"]


def test_no_measure_changes_the_content_of_an_evaluation() -> None:
    assert load().content("evaluate", INPUTS) == load(None, ["evaluate.speech_measures=[]"]).content("evaluate", INPUTS)
    assert not [key for key in load().content("evaluate", INPUTS) if "measure" in key]


def test_the_content_of_a_stage_is_its_settings_without_nulls() -> None:
    content = load(None, ["select.delta=0.25"]).content("select", INPUTS)
    assert content["stage"] == "select" and content["languages"] == ("fr", "en")
    assert content["policy.variant"] == "com" and "pairs" not in content["select"]
    assert content["select"]["delta"] == 0.25 and content["select"]["filters"]["max_copy"] == 0.5
    # The form of the sequences. If it changes on purpose, datasets of earlier versions do not fit any more.
    assert content["templates"] == "c3cce5241242fe20"
    assert "policy.text_variant" not in load().content("evaluate", INPUTS)


def test_only_units_that_are_not_deduplicated_are_in_the_content() -> None:
    assert "encoder.deduplicate" not in load().content("tokenize", INPUTS)
    per_frame = load(None, ["encoder.deduplicate=false"])
    assert per_frame.content("tokenize", INPUTS)["encoder.deduplicate"] is False


def test_what_follows_from_the_variants() -> None:
    com, vanilla = load(), load(None, VANILLA)
    tritask = load("recipes/phrasebook_tritask.yaml")
    assert com.writes_text and tritask.writes_text and not vanilla.writes_text
    assert com.back_translation_variants == [Variant.COM]
    assert tritask.back_translation_variants == [Variant.VANILLA, Variant.S2T]
    assert com.speaks_back_translations and vanilla.speaks_back_translations
    assert not load(None, ["scorer.metrics=[bleu]"]).speaks_back_translations
    assert com.used_directions == ("fr-en", "en-fr")
    assert com.compares_texts and not vanilla.compares_texts
    assert not load(None, ["select.metric=mcd"]).compares_texts
    own = load(None, ["scorer={metrics: [reconstruction], score_text: asr}", "select.metric=reconstruction"])
    assert own.compares_texts, "the source text is read"
    assert not own.writes_back_translations and not own.speaks_back_translations
    assert (
        com.writes_back_translations and load(None, ["scorer.metrics=[reconstruction, bleu]"]).writes_back_translations
    )
    weights = {"vocoder.fr": com.vocoder["fr"], "vocoder.en": com.vocoder["en"], "recognizer": "package:whisper-base"}
    assert com.judge_weights == weights


def test_a_policy_without_text_is_tested_on_what_is_transcribed() -> None:
    sizes = ["evaluate.s2t_utterances=9", "evaluate.asr_utterances=4"]
    assert load(None, sizes).test_utterances == 9
    assert load("recipes/phrasebook_tritask.yaml", sizes).test_utterances == 9
    assert load(None, [*VANILLA, *sizes]).test_utterances == 4
    assert load(None, [*VANILLA, "evaluate.s2t_utterances=3", "evaluate.asr_utterances=4"]).test_utterances == 3


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().seed = 3  # type: ignore[misc]
