"""produce: which utterances a round translates, what its actors are given, and how its plan runs."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pyarrow as pa
import pytest

from factory.actors.base import RowActor
from factory.actors.scorer import Scorer
from factory.actors.translator import Translator
from factory.actors.vocoder import Vocoder
from factory.passes.errors import PassError
from factory.passes.produce import (
    add_targets,
    build_engine_config,
    build_job,
    build_plan,
    build_pools,
    choose_utterances,
)
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import SCORED, UNITS, Row
from schemas.sequences import Variant

RECIPE = "recipes/phrasebook.yaml"
THREE = ["languages=[fr, en, de]", "vocoder.de=any"]
PAPER = ["translator.back_translate=speech", "translator.unit_temperature=null"]


def write_units(folder: Path, prefix: str, count: int) -> DatasetDir:
    """Write `count` utterances of each language, PREFIX-LANG-N."""
    rows = [
        {"utt_id": f"{prefix}-{lang}-{n}", "lang": lang, "units": [1], "status": "ok"}
        for lang in ("fr", "en")
        for n in range(count)
    ]
    out = DatasetDir(str(folder), UNITS)
    out.start({"stage": "toy"})
    out.append(pa.Table.from_pylist(rows, schema=UNITS))
    out.publish()
    return out


def limited(limit: int | str, *changes: str) -> Recipe:
    return load(RECIPE, [f"corpus.limit={limit}", *changes])


def choose(sources: list[DatasetDir], number: int, recipe: Recipe) -> list[str]:
    ids = choose_utterances(sources, number, recipe)
    assert ids.type == pa.string()
    return ids.to_pylist()


def test_every_round_takes_other_utterances_until_none_are_left(tmp_path: Path) -> None:
    mono = [write_units(tmp_path / "mono", "m", 7)]
    rounds = [
        [utt_id for utt_id in choose(mono, number, limited(3)) if utt_id.startswith("m-fr")] for number in (1, 2, 3)
    ]
    assert rounds == [["m-fr-0", "m-fr-1", "m-fr-2"], ["m-fr-3", "m-fr-4", "m-fr-5"], ["m-fr-0", "m-fr-1", "m-fr-6"]]
    assert len(choose(mono, 1, limited(3))) == 6, "of each language"


def test_rounds_may_take_the_same_utterances(tmp_path: Path) -> None:
    mono, recipe = [write_units(tmp_path / "mono", "m", 6)], limited(3, "rounds.fresh=false")
    assert choose(mono, 2, recipe) == choose(mono, 1, recipe)


@pytest.mark.parametrize("limit", [6, 7, "null"])
def test_a_limit_that_is_not_reached_takes_all(limit: int | str, tmp_path: Path) -> None:
    assert len(choose([write_units(tmp_path / "mono", "m", 6)], 2, limited(limit))) == 12


def test_two_sources_share_the_limit(tmp_path: Path) -> None:
    both = [write_units(tmp_path / "mono", "m", 6), write_units(tmp_path / "paired", "p", 6)]
    ids = choose(both, 1, limited(4))
    assert ids == [f"{prefix}-{lang}-{number}" for prefix in "mp" for lang in ("en", "fr") for number in (0, 1)]
    assert len(choose(both, 1, limited(1))) == 4, "each source gives one"


def test_an_id_in_two_sources_is_refused(tmp_path: Path) -> None:
    twice = [write_units(tmp_path / "mono", "m", 3), write_units(tmp_path / "paired", "m", 3)]
    with pytest.raises(PassError, match=r"6 ids occur in two sources of pairs \(m-en-0\)"):
        choose(twice, 1, limited("null"))


def test_rows_go_to_the_other_language() -> None:
    rows = [{"utt_id": f"{n}", "lang": lang, "units": [n]} for n, lang in enumerate(("fr", "en", "fr"))]
    table = add_targets(pa.Table.from_pylist(rows), pa.array(["0", "1"]), load(RECIPE))
    assert table.select(["utt_id", "src_lang", "tgt_lang"]).to_pylist() == [
        {"utt_id": "0", "src_lang": "fr", "tgt_lang": "en"},
        {"utt_id": "1", "src_lang": "en", "tgt_lang": "fr"},
    ]


def test_an_utterance_has_a_row_for_each_direction_from_its_language() -> None:
    recipe = load(RECIPE, [*THREE, "directions=[fr-en, fr-de, de-en]"])
    rows = [
        {"utt_id": "a", "lang": "fr", "reference": "in English or German"},
        {"utt_id": "b/fr-de", "lang": "fr", "reference": "in German"},
        {"utt_id": "c", "lang": "de", "reference": "in English"},
        {"utt_id": "d", "lang": "en", "reference": "not translated"},
    ]
    ids = pa.array([row["utt_id"] for row in rows])
    table = add_targets(pa.Table.from_pylist(rows), ids, recipe)
    assert [tuple(row.values()) for row in table.select(["utt_id", "tgt_lang", "reference"]).to_pylist()] == [
        ("a", "en", None),
        ("a", "de", None),
        ("b/fr-de", "de", "in German"),
        ("c", "en", "in English"),
    ]
    assert add_targets(pa.Table.from_pylist(rows[3:]), ids, recipe).num_rows == 0


def test_a_limit_counts_for_each_direction(tmp_path: Path) -> None:
    mono = [write_units(tmp_path / "mono", "m", 3)]
    into_english = load(RECIPE, [*THREE, "directions=[fr-en, de-en]", "corpus.limit=2"])
    assert choose(mono, 1, into_english) == ["m-fr-0", "m-fr-1"], "English is not translated"
    assert len(choose(mono, 1, load(RECIPE, [*THREE, "corpus.limit=2"]))) == 4


def test_the_pools_have_the_sections_of_the_recipe(tmp_path: Path) -> None:
    recipe = load(RECIPE, [*PAPER, "seed=7", "resources.scorer.threads=3", "scorer.metrics=[bleu, mcd]"])
    pools = build_pools(recipe, str(tmp_path))
    assert list(pools) == ["translator", "vocoder", "scorer"]
    translator, vocoder, scorer = pools.values()
    assert (translator.func, vocoder.func, scorer.func) == (Translator, Vocoder, Scorer)
    assert translator.args == (str(tmp_path), recipe.translator, build_job(recipe), build_engine_config(recipe))
    assert vocoder.args[1] == 1 and vocoder.args[0].keys() == {"fr", "en"}
    assert all(Path(path).is_absolute() for path in vocoder.args[0].values()), "actors run in other folders"
    assert scorer.args == (recipe.scorer, recipe.recognizer, 3)


def test_nothing_is_resynthesised_if_nothing_listens() -> None:
    assert list(build_pools(load(RECIPE), "policy")) == ["translator", "scorer"]
    assert list(build_pools(load(RECIPE, [*PAPER, "scorer.score_text=asr"]), "policy")) == [
        "translator",
        "vocoder",
        "scorer",
    ]


def test_the_job_is_that_of_the_policy_and_the_seed() -> None:
    assert asdict(build_job(load(RECIPE, ["seed=7", "scorer.metrics=[bleu, wer]"]))) == {
        "variant": Variant.COM,
        "back_variants": (Variant.COM,),
        "text_variant": None,
        "speak_by": ("bleu", "wer"),
        "seed": 7,
        "writes_back": True,
        "reconstructs": False,
        "recordings": None,
        "chats": False,
    }
    hearing = load("recipes/phrasebook_part.yaml")
    assert build_job(hearing).recordings == hearing.encoder and build_job(hearing).variant is Variant.S2T
    assert build_job(load("recipes/audio_llm.yaml")).chats and not build_job(hearing).chats
    both = build_job(load(RECIPE, ["scorer.metrics=[bleu, reconstruction]"]))
    assert (both.writes_back, both.reconstructs) == (True, True)
    alone = build_job(load(RECIPE, ["scorer.metrics=[reconstruction]", "select.metric=reconstruction"]))
    assert (alone.writes_back, alone.reconstructs, alone.speak_by) == (False, True, ("reconstruction",))
    changes = ["policy.variant=vanilla", "policy.text_variant=s2t", "policy.tasks={vanilla: 1.0, s2t: 1.0}"]
    changes += ["sft.weights={}", "preference.unit_weight=1.0", "preference.unit_kl=0"]
    job = build_job(load(RECIPE, [*PAPER, *changes]))
    assert (job.variant, job.back_variants) == (Variant.VANILLA, (Variant.VANILLA, Variant.S2T))
    assert job.text_variant is None, "candidates of produce keep the text that they were written with"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], {"gpu_memory_utilization": 0.9, "max_model_len": None, "threads": 1, "dtype": "auto"}),
        (["resources.translator.num_gpus=2"], {"gpu_memory_utilization": 0.9}),
        (["resources.translator.num_gpus=0.5"], {"gpu_memory_utilization": 0.45}),
        (["resources.translator.threads=4", "resources.dtype=float32"], {"threads": 4, "dtype": "float32"}),
        (["resources.kv_cache_gib=3"], {"kv_cache_gib": 3}),
        (["policy.base=some/model", "policy.max_length=400"], {"max_model_len": 400}),
        (["policy.max_length=400"], {"max_model_len": None}),
    ],
)
def test_the_engine_computes_with_the_resources_of_the_recipe(changes: list[str], expected: dict[str, Any]) -> None:
    config = asdict(build_engine_config(load(RECIPE, changes)))
    assert {key: config[key] for key in expected} == expected


class Marker(RowActor):
    """Adds its name to the text of each row."""

    schema = SCORED

    def __init__(self, name: str) -> None:
        self.name = name

    def process(self, rows: list[Row]) -> list[Row]:
        return [row | {"text": f"{row['text'] or ''}{self.name}"} for row in rows]


def test_the_plan_takes_unfinished_rows_through_the_pools_in_their_order(local_ray: None, tmp_path: Path) -> None:
    import sys

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the actors' processes cannot import the tests
    sources = [write_units(tmp_path / "mono", "m", 4), write_units(tmp_path / "paired", "p", 4)]
    recipe, out = load(RECIPE), DatasetDir(str(tmp_path / "scored"), SCORED)
    ids = choose_utterances(sources, 1, limited(4))
    out.start({"stage": "toy"})
    done = [{"utt_id": "m-fr-0", "src_lang": "fr", "tgt_lang": "en", "text": "done", "status": "ok"}]
    out.append(pa.Table.from_pylist(done, schema=SCORED))
    pools = {"translator": partial(Marker, "a"), "scorer": partial(Marker, "b")}
    reports = list(out.write(build_plan(sources, ids, recipe, out, pools)))
    assert sum(report.rows for report in reports) == 7
    rows = {row["utt_id"]: row for row in out.rows().to_pylist()}
    assert sorted(rows) == ids.to_pylist()
    assert {utt_id: row["text"] for utt_id, row in rows.items()} == dict.fromkeys(rows, "ab") | {"m-fr-0": "done"}
    assert (rows["p-en-1"]["src_lang"], rows["p-en-1"]["tgt_lang"]) == ("en", "fr")
