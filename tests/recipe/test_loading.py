"""Recipes: what is read, what is refused (in a sentence), and what a fingerprint covers."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.reproduce import Sizes, command, grid
from factory.recipe.loading import load
from factory.recipe.paths import locate
from factory.recipe.recipe import STAGES, Recipe
from factory.recipe.training import SCHEDULES
from factory.recipe.typed import RecipeError, parse_override
from schemas.fingerprint import json_digest
from schemas.sequences import Variant

ROOT = Path(__file__).resolve().parents[2]
INPUTS = dict.fromkeys(
    ["corpus", "encoder", "codebook", "units", "policy", "vocoder.fr", "vocoder.en", "recognizer", "scored", "pairs"],
    "0",
)


def test_defaults_make_a_whole_recipe():
    recipe = load()
    assert recipe == Recipe()
    assert (
        recipe.languages == ("fr", "en")
        and recipe.policy.variant is Variant.COM
        and recipe.preference == {"loss": "dpo"}
    )


def test_a_file_is_read_and_overrides_are_laid_over_it(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\ntranslator: {n: 4, temperature: 1}\nscorer: {metrics: [bleu, wer]}\nsft: {lr: 1e-4}\nselect:\n"
    )
    recipe = load(
        path, ["translator.n=3", "select.filters.max_repetition=0.2", "preference.beta=2e-1", "corpus.limit=null"]
    )
    assert (recipe.name, recipe.translator.n, recipe.translator.temperature) == ("mine", 3, 1.0)
    assert isinstance(recipe.translator.temperature, float)
    assert recipe.scorer.metrics == ("bleu", "wer")
    assert recipe.sft == {"lr": 1e-4} and recipe.preference == {"loss": "dpo", "beta": 0.2}
    assert recipe.select.filters.max_repetition == 0.2


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("select.detla=1", "select.detla is no key of select: did you mean delta?"),
        ("selct.delta=1", "selct is no key of a recipe: did you mean select"),
        ("translator.zzz=1", "translator.zzz is no key of translator: expected one of n, temperature"),
        (
            "select.filters.max_repet=1",
            "select.filters.max_repet is no key of select.filters: did you mean max_repetition",
        ),
        ("select.delta=high", "select.delta must be a number; got 'high' (str)"),
        ("select=3", "select must be a section of keys; got 3 (int)"),
        ("translator.n=1.5", "translator.n must be a whole number; got 1.5 (float)"),
        ("translator.n=true", "translator.n must be a whole number; got True (bool)"),
        ("translator.n=0", "translator.n must be 1 or more; got 0"),
        ("translator.top_p=0", "translator.top_p must lie in (0, 1]; got 0.0"),
        ("name=", "name must be a text; got nothing"),
        ("scorer.metrics=bleu", "scorer.metrics must be a list of which every item is a text; got 'bleu'"),
        ("scorer.metrics=[bleu, mteor]", "scorer.metrics is 'mteor', which is not known: did you mean meteor?"),
        ("scorer.metrics=[wer]", "select.metric must be among scorer.metrics (wer); got bleu"),
        (
            "select.metric=comet",
            "select.metric is 'comet', which is not known: expected one of bleu, chrf, meteor, wer, mcd",
        ),
        ("policy.variant=cmo", "policy.variant is 'cmo', which is not known"),
        ("policy.variant=asr", "policy.variant must be a way to translate speech; got asr"),
        (
            "policy.variant=cot",
            "policy.variant cot is for policy.tasks alone: a candidate keeps no source text, which its",
        ),
        ("translator.unit_temperature=-1", "translator.unit_temperature must not be negative; got -1.0"),
        (
            "translator.back_translate=text",
            "translator.back_translate: text needs a policy that learns the task mt, so policy.tasks with mt; got {",
        ),
        ("policy.tasks.mt=1", "policy.tasks has mt, which needs corpus.text; got None"),
        ("encoder.kind=wave", "encoder.kind is 'wave', which is not known"),
        (
            "resources.trainer.max_actors=2",
            "sft.batches must be resources.trainer.max_actors or more, so that a step learns the same",
        ),
        ("preference.loss=ipo", "preference.loss is 'ipo', which is not known"),
        ("languages=[fr, no]", "languages[1] must be a text; got False"),
        ("languages=[fr, english]", "languages must hold ISO 639 codes such as fr or deu; got 'english'"),
        ("languages=[fr, fr]", "languages must hold two different codes"),
        ("vocoder.de=x", "a language of vocoder is 'de', which is not known"),
        ("name.x=1", "name must be a text"),
        ("delta", "--set takes section.key=value, as in select.delta=0.2; got 'delta'"),
        ("select.delta=[", "--set select.delta=[ is no YAML"),
    ],
)
def test_what_is_wrong_is_said(override: str, sentence: str):
    with pytest.raises(RecipeError) as error:
        load(None, [override])
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("preference.rank=0", "preference.rank must be 1 or more; got 0"),
        ("preference.batch=0", "preference.batch must be 1 or more; got 0"),
        ("preference.epochs=0", "preference.epochs must be above 0; got 0.0"),
        ("preference.lr=0", "preference.lr must be above 0; got 0.0"),
        ("preference.schedule=foo", "preference.schedule is 'foo', which is not known: expected one of linear, cosine"),
        ("preference.schedule=warmup_stable_decay", "preference.schedule is 'warmup_stable_decay', which is not known"),
        ("sft.weights={mt: 1.0}", "sft.weights must name tasks that policy.tasks writes, of com, asr; got mt"),
        ("sft.rank=0", "sft.rank must be 1 or more, or null to train all weights; got 0"),
        ("sft.epochs=0", "sft.epochs must be 1 or more; got 0"),
        ("sft.lr=-1e-3", "sft.lr must be above 0; got -0.001"),
        ("sft.lr=.nan", "sft.lr must be above 0; got nan"),
        ("sft.log_every=0", "sft.log_every must be 1 or more; got 0"),
        ("resources.dtype=float16", "resources.dtype is 'float16', which is not known: did you mean bfloat16"),
        (
            "preference.precision=half",
            "preference.precision is 'half', which is not known: expected one of auto, bf16, fp32",
        ),
        ("resources.vocoder.actors=0", "resources.vocoder.actors must be 1 or more; got 0"),
        ("resources.trainer.actors=0", "resources.trainer.actors must be 1 or more; got 0"),
        (
            "resources.trainer.actors=3",
            "preference.batch must be a multiple of resources.trainer.actors, so that each worker has as many",
        ),
        ("corpus.limit=0", "corpus.limit must be 1 or more, or null for all; got 0"),
        ("preference.beta=0", "preference.beta must be above 0; got 0.0"),
        ("preference.sft_weight=-3", "preference.sft_weight must not be negative; got -3.0"),
        ("preference.micro_batch=0", "preference.micro_batch must be 1 or more, or null; got 0"),
        ("evaluate.asr_utterances=0", "evaluate.asr_utterances must be 1 or more; got 0"),
        ("evaluate.resamples=0", "evaluate.resamples must be 1 or more; got 0"),
        ("policy.tasks.s2t=1", "policy.tasks must have com, the policy.variant, with a share above 0"),
        ("policy.text_variant=s2t", "policy.text_variant is for a policy.variant without text"),
        (
            "policy={variant: s2t, tasks: {s2t: 1.0}}",
            "translator.back_translate: speech needs a policy.variant that speaks; got s2t",
        ),
    ],
)
def test_what_would_fail_hours_later_is_refused_at_load(override: str, sentence: str):
    with pytest.raises(RecipeError) as error:
        load(None, [override])
    assert sentence in str(error.value)


def test_workers_that_share_out_the_weights_need_equal_shares_of_a_step():
    shares = ["sft={sharded: true, batches: 8}", "preference.batch=24"]
    assert load(None, [*shares, "resources.trainer.actors=4"])
    with pytest.raises(
        RecipeError, match="sft.batches must be a multiple of how many workers there are .*; got 8 and 3"
    ):
        load(None, [*shares, "resources.trainer.actors=3"])


def test_a_policy_that_writes_speech_alone_learns_from_its_units():
    changes = ["policy={variant: vanilla, tasks: {vanilla: 1.0}}", "scorer.score_text=asr", "preference.unit_weight=0"]
    with pytest.raises(
        RecipeError,
        match="preference.unit_weight must be above 0 for policy.variant vanilla, which writes speech alone",
    ):
        load(None, changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["scorer.score_text=asr"], "give resources.scorer.num_gpus a share of one (scorer.score_text: asr hears"),
        (["resources.recognizer.num_gpus=0"], "give resources.recognizer.num_gpus a share of one, or take int8"),
    ],
)
def test_a_recognizer_in_half_precision_needs_a_gpu(changes: list[str], sentence: str):
    with pytest.raises(RecipeError) as error:
        load("recipes/prost_llm_3b.yaml", changes)
    assert f"recognizer.compute_type: float16 runs on GPUs alone: {sentence}" in str(error.value)
    load("recipes/prost_llm_3b.yaml", [*changes, "recognizer.compute_type=int8"])
    load("recipes/prost_llm_3b.yaml", ["scorer.score_text=asr", "resources.scorer.num_gpus=0.1"])


def test_what_rounds_ask_for_must_be_learned():
    with pytest.raises(
        RecipeError,
        match="policy.tasks must have s2t, the policy.text_variant, with a share above 0, or round 0 does not",
    ):
        load("recipes/phrasebook_tritask.yaml", ["policy.tasks={vanilla: 1.0, s2t: 0.0}", "sft.weights={}"])


def test_the_schedules_are_those_of_transformers_that_need_no_numbers():
    import torch
    from transformers import get_scheduler
    from transformers.trainer_utils import SchedulerType

    for name in SCHEDULES:
        get_scheduler(
            name,
            torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3),
            num_warmup_steps=1,
            num_training_steps=9,
        )
    assert {one.value for one in SchedulerType} > set(SCHEDULES)


def test_every_recipe_that_ships_and_every_cell_of_the_tables_is_valid():
    recipes = sorted((ROOT / "recipes").glob("*.yaml"))
    assert ROOT / "recipes/phrasebook.yaml" in recipes
    for path in recipes:
        load(path)
    for cell in grid(Sizes()):
        words = command(cell, Sizes(), Path("runs"), [], 100)
        load(words[words.index("--recipe") + 1], [word for before, word in pairwise(words) if before == "--set"])


def test_a_text_that_goes_back_brings_no_speech_that_could_be_measured():
    with pytest.raises(
        RecipeError, match="translator.back_translate: text brings no speech back, so scorer.metrics without mcd; got"
    ):
        load(ROOT / "recipes/phrasebook.yaml", ["scorer.metrics=[bleu, mcd]"])


def test_a_policy_that_writes_no_text_is_tested_on_what_is_heard():
    sizes = ["evaluate.s2t_utterances=9", "evaluate.asr_utterances=4"]
    silent = load("recipes/phrasebook_vanilla.yaml", sizes)
    assert (load(None, sizes).tested, load("recipes/phrasebook_tritask.yaml", sizes).tested, silent.tested) == (9, 9, 4)


def test_an_override_cannot_go_below_a_value(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("name: mine")
    with pytest.raises(RecipeError, match="--set name.x=1: name is 'mine', not a section of keys"):
        load(tmp_path / "a.yaml", ["name.x=1"])


def test_a_missing_file_names_its_neighbours(tmp_path: Path):
    (tmp_path / "there.yaml").touch()
    with pytest.raises(RecipeError, match=r"there is no recipe .*here\.yaml; recipes beside it: .*there\.yaml"):
        load(tmp_path / "here.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("a: [", "is no YAML"), ("- 1", "must hold sections"), ("seed: 1\nseed: 2", "seed stands more than once")],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, sentence: str):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(RecipeError, match=sentence):
        load(tmp_path / "a.yaml")


def test_parse_override():
    assert parse_override("a.b=[x, 1]") == (["a", "b"], ["x", 1])
    assert parse_override("a=b=c") == (["a"], "b=c")


def test_resources_and_names_leave_every_fingerprint_alone():
    fast = ["resources.translator.actors=8", "resources.encoder.batch_size=1", "resources.dtype=float32"]
    fast += ["name=other", "corpus.mono=s3://b/mono", "encoder.model=other/name"]
    for stage in STAGES:
        assert json_digest(load(None, fast).content(stage, INPUTS)) == json_digest(load().content(stage, INPUTS))


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("encoder.layer=5", {"tokenize"}),
        ("translator.temperature=0.7", {"produce"}),
        ("select.delta=0.3", {"select"}),
        ("select.filters.max_repetition=0.1", {"select"}),
        ("preference.beta=0.2", set()),
        ("seed=7", {"produce"}),
        ("sft.lr=1e-3", set()),
        ("evaluate.resamples=10", {"evaluate"}),
        ("policy.variant=vanilla", {"produce", "select", "evaluate"}),
        ("policy.tasks={com: 1.0, vanilla: 0.5}", {"sequences"}),
        ("translator.max_tokens=9", {"produce", "evaluate"}),
        ("translator.back_translation_temperature=0.5", {"produce"}),
    ],
)
def test_a_key_changes_the_stages_it_reaches_and_no_other(override: str, stages: set[str]):
    heard = ["scorer.score_text=asr", "policy.tasks={com: 1.0, vanilla: 1.0}"]
    before, after = load(None, heard), load(None, [*heard, override])
    changed = {
        stage
        for stage in STAGES
        if json_digest(after.content(stage, INPUTS)) != json_digest(before.content(stage, INPUTS))
    }
    assert changed == stages


def test_another_way_back_is_another_evaluation():
    recipe = "recipes/phrasebook.yaml"
    changes = ["translator.back_translate=speech", "translator.unit_temperature=null"]
    assert json_digest(load(recipe).content("evaluate", INPUTS)) != json_digest(
        load(recipe, changes).content("evaluate", INPUTS)
    )


def test_inputs_count_and_none_may_be_forgotten():
    recipe = load()
    assert json_digest(recipe.content("select", {"scored": "a"})) != json_digest(
        recipe.content("select", {"scored": "b"})
    )
    assert len(json_digest(recipe.content("select", {"scored": "a"}))) == 16
    with pytest.raises(
        RecipeError, match="the fingerprint of produce needs the digests of its inputs; got none for policy, vocoder.en"
    ):
        recipe.content("produce", {"units": "a"})
    with pytest.raises(RecipeError, match="the stage is 'selct'"):
        recipe.content("selct", {})


def test_what_is_not_used_needs_no_digest():
    assert "vocoder.fr" in load().inputs("produce")
    assert load(None, ["scorer.metrics=[bleu]"]).inputs("produce") == ["units", "policy"]
    assert "recognizer" in load(None, ["scorer.score_text=asr"]).inputs("produce")


def test_every_stage_names_existing_keys():
    for stage in STAGES:
        assert load().content(stage, INPUTS)["stage"] == stage


def test_paths_count_from_here_or_from_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert locate("s3://bucket/x") == "s3://bucket/x" and locate("package:whisper-base") == "package:whisper-base"
    assert Path(locate("pyproject.toml")).is_absolute()
    (tmp_path / "pyproject.toml").touch()
    assert locate("pyproject.toml") == "pyproject.toml"
    assert locate("openai/whisper-base") == "openai/whisper-base"


def test_missing_files_are_told(tmp_path: Path):
    recipe = load(None, [f"corpus.mono={tmp_path}/nothing", "corpus.test=s3://bucket/test", f"corpus.dev={tmp_path}"])
    told = [
        sentence for sentence in recipe.missing_files() if sentence.startswith("corpus.") and "paired" not in sentence
    ]
    assert told == [
        f"corpus.mono is {tmp_path}/nothing, and nothing is there: put it there, or say where it is with --set corpus.mono=…"
    ]
    assert recipe.missing_files(["corpus.test", "corpus.dev"]) == []


def test_a_name_on_the_hub_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    named = [
        "vocoder.fr=owner/voice@main",
        "vocoder.en=./voice",
        "policy.base=owner/model",
        "policy.start=runs/a/policy",
    ]
    told = load(None, named).local_paths()
    assert told["vocoder.en"] == "./voice" and told["policy.start"] == "runs/a/policy"
    assert not {"vocoder.fr", "policy.base", "encoder.model", "recognizer.model"} & set(told)
    (tmp_path / "owner/model").mkdir(parents=True)
    assert load(None, named).local_paths()["policy.base"] == "owner/model"


def test_a_recipe_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().seed = 3  # type: ignore[misc]
