"""The cards of datasets and policies: what they are, how they were made, and metadata for the Hub."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from typing import NamedTuple, cast

from factory.audit.audit import explain_unmeasured_audit, find_table, read_audit
from factory.audit.result import RoundAudit
from factory.export.base import ExportedRound
from factory.export.layout import TEST_SHARE, make_features
from factory.planning.kept_recipe import as_yaml
from factory.planning.places import Round
from factory.recipe.directions import Direction
from factory.recipe.paths import portable_paths
from factory.recipe.recipe import Recipe
from factory.report import collect
from factory.report.malformed import count_malformed, describe_malformed
from factory.report.summary import read_summary
from factory.report.table import LABELS, scores_by_direction
from factory.runtime.redact import redact
from factory.storage.files import filesystem, get_json
from schemas.datasets import OK, Row
from schemas.sequences import prompt

EMBEDDED = "assets/phrasebook/"
"""The folder of the speech that Roundtrip contains."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_EXAMPLE_UNITS = [5, 21, 7]
Values = dict[str, object]
"""The variables of a template."""


class Licence(NamedTuple):
    """The id of a licence on the Hub, and a sentence about it."""

    id: str
    note: str


def choose_licence(recipe: Recipe, stated: str | None) -> Licence:
    """Return the stated licence, or that of the embedded speech, or `unknown`: a licence is never guessed."""
    mono = portable_paths(recipe).corpus.mono
    if stated:
        note = "as stated by the exporter for the source speech; texts, units and audio derive from that speech."
        return Licence(stated, note)
    if mono.startswith(EMBEDDED):
        note = (
            "the source speech is synthetic, by voices under Apache-2.0 and CC0; texts, units and audio derive from it."
        )
        return Licence("apache-2.0", note)
    return Licence("unknown", f"the licence of the speech in {mono} was not stated; ask its owner before you use this.")


def render_round_section(round_: Round, judgements: int) -> str:
    """Return the section of a round in the dataset card; `judgements` is how many the export holds."""
    audit, recipe = read_audit(round_), round_.recipe
    select = round_.pairs.manifest().content.get("select") or {}
    metric = select.get("metric", recipe.select.metric)
    counts = _count_directions(round_)
    tables = [find_table(audit, metric, judge) for judge in audit["judges"]] if audit else []
    values: Values = {
        "config": f"round-{round_.number}",
        "pairs": sum(counts.values()),
        "directions": counts,
        "metric": metric,
        "delta": select.get("delta", recipe.select.delta),
        "policy": name_policy(round_),
        "audit": audit,
        "tables": [table for table in tables if table],
        "recommended": _describe_recommendation(audit, metric),
        "unmeasured": explain_unmeasured_audit(audit) if audit else None,
        "judgements": judgements,
    }
    return _render("round_section.md.j2", values | _origin(round_)).strip()


def _count_directions(round_: Round) -> dict[str, int]:
    rows = round_.pairs.rows(["src_lang", "tgt_lang"], OK).to_pylist()
    counts = Counter(map(Direction.of_row, rows))
    return {direction: counts[direction] for direction in round_.recipe.used_directions}


def _describe_recommendation(audit: RoundAudit | None, metric: str) -> str:
    recommendation = audit["recommended"].get(metric) if audit else None
    if not recommendation:
        return "none"
    delta = "none" if recommendation["delta"] is None else f"{recommendation['delta']:g}"
    return f"{delta} ({recommendation['reason']})"


def _origin(round_: Round) -> Values:
    """Return how a round was made: command, recipe, fingerprints, versions, signatures, funnel."""
    origins = collect.list_origins(round_)
    return {
        "command": f"python factory/run_round.py --round {round_.number} --recipe recipe.yaml",
        "recipe": portable_paths(round_.recipe),
        "recipe_text": as_yaml(round_.recipe),
        "origins": origins,
        "versions": origins[-1]["versions"] if origins else {},
        "signatures": collect.list_signatures(round_.recipe),
        "funnel": collect.make_funnel(round_) if round_.number else [],
        "malformed": describe_malformed(count_malformed(round_.pairs)) if round_.number else None,
    }


def name_policy(round_: Round) -> str:
    """Return the name of the policy that made a round's candidates, with a digest of its weights: `round-0@a40f16…`."""
    digest, start = round_.scored.manifest().inputs.get("policy", ""), portable_paths(round_.recipe).policy.start
    previous = round_.previous
    uses_start = start and round_.number == 1 and previous and not previous.has_policy
    name = start if uses_start else f"round-{round_.number - 1}"
    return f"{name}@{digest[:12]}" if digest else f"{name}"


def render_dataset_card(
    recipe: Recipe, rounds: dict[str, ExportedRound], repository: str, stated_licence: str | None
) -> str:
    """Return the README of a dataset.

    Args:
        recipe: the recipe of the rounds.
        rounds: what the export holds of each round, by number.
        repository: the name of the repository, or the folder.
        stated_licence: the licence of the speech; None if nobody stated it.
    """
    from huggingface_hub import DatasetCardData

    licence = choose_licence(recipe, stated_licence)
    ordered = {f"round-{number}": rounds[number] for number in sorted(rounds, key=int)}
    pairs = sum(split["num_examples"] for exported in ordered.values() for split in exported["splits"].values())
    data = DatasetCardData(
        language=list(recipe.languages),
        license=licence.id,
        pretty_name=f"{recipe.name}: round-trip preference pairs",
        size_categories=next((name for limit, name in _SIZES if pairs < limit), "n>1M"),
        task_categories=["translation", "audio-to-audio"],
        tags=["preference", "dpo", "speech-to-speech-translation", "speech-units", "audio", "roundtrip"],
        annotations_creators=["machine-generated"],
        **_describe_files({name: exported for name, exported in ordered.items() if exported["format"] == "parquet"}),
    )
    values: Values = {**_head(recipe, repository, licence), "rounds": ordered, "pairs": pairs}
    values |= {"last": list(ordered)[-1], "test_percent": round(100 * TEST_SHARE)}
    return f"---\n{data.to_yaml()}\n---\n\n{_render('dataset_card.md.j2', values)}"


def _head(recipe: Recipe, repository: str, licence: Licence) -> Values:
    return {"name": recipe.name, "languages": recipe.languages, "repository": repository, "licence": licence}


def _describe_files(rounds: dict[str, ExportedRound]) -> Row:
    """Return the metadata by which `load_dataset` and the Hub's viewer find the files; only Parquet needs it."""
    if not rounds:
        return {}
    return {"configs": _list_configs(rounds), "dataset_info": [_describe(*item) for item in rounds.items()]}


def _list_configs(rounds: dict[str, ExportedRound]) -> list[Values]:
    """Return a config for each round (the last one is the default), and one for the judgements of each round."""
    configs: list[Values] = []
    for name, exported in rounds.items():
        paths = [{"split": split, "path": f"data/{name}/{split}-*.parquet"} for split in exported["splits"]]
        default: Values = {"default": True} if name == list(rounds)[-1] else {}
        configs.append({"config_name": name, "data_files": paths, **default})
        if exported["judgements"]:
            judgements = f"{name}-judgements"
            configs.append({"config_name": judgements, "data_files": f"data/{judgements}/judgements.parquet"})
    return configs


def _describe(name: str, exported: ExportedRound) -> Values:
    from datasets import DatasetInfo, SplitDict, SplitInfo

    splits = SplitDict({split: SplitInfo(split, **size) for split, size in exported["splits"].items()})
    features = make_features(audio=True, versa=exported.get("versa", ()))
    info = DatasetInfo(features=features, splits=splits, config_name=name, download_size=exported["bytes"])
    info.dataset_size = sum(size.get("num_bytes", 0) for size in exported["splits"].values())
    return {"config_name": name, **info._to_yaml_dict()}


def render_model_card(
    round_: Round, repository: str, stated_licence: str | None, has_adapter: bool, base: str | None = None
) -> str:
    """Return the README of a round's policy.

    Args:
        round_: the finished round.
        repository: the name of the repository, or the folder.
        stated_licence: the licence of the speech; None if nobody stated it.
        has_adapter: whether the export holds a LoRA adapter.
        base: the published base model of the adapter; None if nobody named it.
    """
    from huggingface_hub import EvalResult, ModelCardData

    recipe = round_.recipe
    licence, summary = choose_licence(recipe, stated_licence), read_summary(round_.run, round_.number)
    fs, path = filesystem(f"{round_.policy_uri}/training.json")
    training = cast(Values, get_json(fs, path) or {})
    test_set = portable_paths(recipe).corpus.test.rsplit("/", 1)[-1]
    scores = {label: scores_by_direction(summary, name) for name, label in LABELS.items()}
    results = [
        EvalResult(
            "translation",
            test_set,
            f"{recipe.name} ({lang})",
            "chrf" if label.endswith("chrF") else "bleu",
            score["after"],
            metric_name=label,
        )
        for label, by_direction in scores.items()
        for lang, score in by_direction.items()
    ]
    data = ModelCardData(
        language=list(recipe.languages),
        license=licence.id,
        library_name="transformers",
        tags=["speech-to-speech-translation", "speech-units", "dpo", "roundtrip"],
        model_name=f"{recipe.name}-round-{round_.number}",
        eval_results=results,
    )
    values = _head(recipe, repository, licence) | _origin(round_)
    values |= {"number": round_.number, "scores": scores, "well_formed": summary["well_formed"]}
    values |= {"training": training, "settings": json.dumps(training.get("settings", {})), "has_adapter": has_adapter}
    values["base"] = base
    values["policy"] = name_policy(round_) if round_.number else ""
    example = recipe.used_directions[0]
    values["prompt"] = prompt(recipe.policy.variant, example.source, example.target, _EXAMPLE_UNITS)
    return f"---\n{data.to_yaml()}\n---\n\n{_render('model_card.md.j2', values)}"


def _render(template: str, values: Values) -> str:
    from jinja2 import Environment, StrictUndefined

    source = (files("factory.export") / template).read_text("utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return redact(environment.from_string(source).render(**values)).strip() + "\n"
