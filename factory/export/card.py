"""The cards: what a dataset or a policy is, how it was made, how far it can be trusted; with metadata that the Hub reads."""

from __future__ import annotations

import json
from importlib.resources import files

from factory.audit.audit import explain_unmeasured_audit, find_table, read_audit
from factory.audit.result import RoundAudit
from factory.export.layout import HELD_OUT, features
from factory.planning.kept_recipe import as_yaml
from factory.planning.places import Round, Run
from factory.recipe.recipe import Recipe
from factory.report import collect
from factory.report.summary import read_summary
from factory.report.table import LABELS, scores_by_direction
from factory.storage.files import filesystem, get_json
from schemas.datasets import Row
from schemas.sequences import prompt

SHIPPED = "assets/phrasebook/"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def licence(recipe: Recipe, given: str | None) -> tuple[str, str]:
    """Return the licence's name on the Hub and a sentence: the given one, or the embedded speech's; else it is unknown, and said so."""
    if given:
        return (
            given,
            "as stated by who exported it, for the speech that went in; texts, units and sounds derive from that speech.",
        )
    if recipe.corpus.mono.startswith(SHIPPED):
        return (
            "apache-2.0",
            "the speech is synthetic, by voices under Apache-2.0 and CC0; texts, units and sounds derive from it.",
        )
    return (
        "unknown",
        f"the licence of the speech in {recipe.corpus.mono} was not stated; ask its owner before you use this.",
    )


def round_section(run: Run, number: int, recipe: Recipe, judgements: int) -> str:
    """Return what the card says of one round."""
    audit = read_audit(Round(run, number, recipe))
    select = run.dataset(number, "pairs").manifest().content.get("select") or {
        "metric": recipe.select.metric,
        "delta": recipe.select.delta,
    }
    counts = _directions(run, number, recipe)
    metric = select["metric"]
    told = {
        "config": f"round-{number}",
        "pairs": sum(counts.values()),
        "directions": counts,
        "metric": metric,
        "delta": select["delta"],
        "policy": policy_name(run, number, recipe),
        "tables": [
            found
            for judge in (audit["judges"] if audit else [])
            if audit and (found := find_table(audit, metric, judge))
        ],
        "recommended": _recommended(audit, metric),
        "judgements": judgements,
    }
    told |= {"audit": audit, "unmeasured": audit and explain_unmeasured_audit(audit)}
    return _render("round_section.md.j2", told | _origin(run, number, recipe)).strip()


def _directions(run: Run, number: int, recipe: Recipe) -> dict[str, int]:
    rows = run.dataset(number, "pairs").rows(["src_lang", "tgt_lang"], "ok").to_pylist()
    return {name: sum(f"{row['src_lang']}-{row['tgt_lang']}" == name for row in rows) for name in recipe.directions}


def _recommended(audit: RoundAudit | None, metric: str) -> str:
    found = audit["recommended"].get(metric) if audit else None
    if not found:
        return "none"
    return f"{found['delta']:g} ({found['reason']})" if found["delta"] is not None else f"none ({found['reason']})"


def _origin(run: Run, number: int, recipe: Recipe) -> Row:
    """How a round was made: command, recipe, fingerprints, versions, signatures, funnel."""
    round_ = Round(run, number, recipe)
    fingerprints = collect.list_origins(round_)
    return {
        "command": f"python factory/run_round.py --round {number} --recipe recipe.yaml",
        "recipe": recipe,
        "recipe_text": as_yaml(recipe),
        "fingerprints": fingerprints,
        "versions": fingerprints[-1]["versions"] if fingerprints else {},
        "signatures": collect.list_signatures(recipe),
        "funnel": collect.make_funnel(round_) if number else [],
    }


def policy_name(run: Run, number: int, recipe: Recipe) -> str:
    """Name the policy that made a round's candidates, with the digest of its weights: `round-0@a40f16…`."""
    digest = run.dataset(number, "scored").manifest().inputs.get("policy", "")
    name = (recipe.policy.start or "round-0") if number == 1 and not run.has_policy(0) else f"round-{number - 1}"
    return f"{name}@{digest[:12]}" if digest else name


def dataset_card(recipe: Recipe, rounds: dict[str, Row], repository: str, given: str | None) -> str:
    """Return the README of a dataset with these rounds (`{number: {splits, section, format, judgements}}`)."""
    from huggingface_hub import DatasetCardData

    license, note = licence(recipe, given)
    ordered = [rounds[key] | {"config": f"round-{key}"} for key in sorted(rounds, key=int)]
    pairs = sum(split["num_examples"] for told in ordered for split in told["splits"].values())
    data = DatasetCardData(
        language=list(recipe.languages),
        license=license,
        pretty_name=f"{recipe.name}: round-trip preference pairs",
        size_categories=next((name for limit, name in _SIZES if pairs < limit), "n>1M"),
        task_categories=["translation", "audio-to-audio"],
        tags=["preference", "dpo", "speech-to-speech-translation", "speech-units", "audio", "roundtrip"],
        annotations_creators=["machine-generated"],
        **_contents([told for told in ordered if told["format"] == "parquet"]),
    )
    body = _render(
        "dataset_card.md.j2",
        {**_head(recipe, repository, license, note), "rounds": ordered, "held_out": round(100 * HELD_OUT)},
    )
    return f"---\n{data.to_yaml()}\n---\n\n{body}"


def _head(recipe: Recipe, repository: str, license: str, note: str) -> Row:
    return {
        "name": recipe.name,
        "languages": recipe.languages,
        "repository": repository,
        "license": license,
        "license_note": note,
    }


def _contents(rounds: list[Row]) -> Row:
    """Return the metadata that tells `load_dataset` and the Hub's viewer what is where: only Parquet needs it."""
    return {"configs": _configs(rounds), "dataset_info": [_info(told) for told in rounds]} if rounds else {}


def _configs(rounds: list[Row]) -> list[Row]:
    """Return a config for each round, the last one the default, and one for the judgements of each round that has some."""
    told: list[Row] = []
    for found in rounds:
        paths = [{"split": split, "path": f"data/{found['config']}/{split}-*.parquet"} for split in found["splits"]]
        told.append(
            {"config_name": found["config"], "data_files": paths} | ({"default": True} if found is rounds[-1] else {})
        )
        if found["judgements"]:
            judged = [{"split": "train", "path": f"data/{found['config']}-judgements/*.parquet"}]
            told.append({"config_name": f"{found['config']}-judgements", "data_files": judged})
    return told


def _info(told: Row) -> Row:
    from datasets import DatasetInfo, SplitDict, SplitInfo

    splits = SplitDict({name: SplitInfo(name, **counts) for name, counts in told["splits"].items()})
    info = DatasetInfo(
        features=features(audio=True), splits=splits, config_name=told["config"], download_size=told["bytes"]
    )
    info.dataset_size = sum(counts["num_bytes"] for counts in told["splits"].values())
    return {"config_name": told["config"], **info._to_yaml_dict()}


def model_card(run: Run, number: int, recipe: Recipe, repository: str, given: str | None, adapter: bool) -> str:
    """Return the README of a round's policy."""
    from huggingface_hub import EvalResult, ModelCardData

    license, note = licence(recipe, given)
    fs, path = filesystem(run.place(number))
    summary, training = read_summary(run, number), get_json(fs, f"{path}/policy/training.json") or {}
    tested = recipe.corpus.test.rsplit("/", 1)[-1]
    results = [
        EvalResult("translation", tested, f"{recipe.name} ({direction})", "bleu", told["after"], metric_name=label)
        for score, label in LABELS.items()
        for direction, told in scores_by_direction(summary, score).items()
    ]
    data = ModelCardData(
        language=list(recipe.languages),
        license=license,
        library_name="transformers",
        tags=["speech-to-speech-translation", "speech-units", "dpo", "roundtrip"],
        model_name=f"{recipe.name}-round-{number}",
        eval_results=results,
    )
    told = _head(recipe, repository, license, note) | {
        "number": number,
        "recipe": recipe,
        "summary": summary,
        "labels": LABELS,
    }
    told |= {"training": training, "settings": json.dumps(training.get("settings", {})), "adapter": adapter}
    told |= {"policy": policy_name(run, number, recipe) if number else "", **_origin(run, number, recipe)}
    told["prompt"] = prompt(recipe.policy.variant, recipe.languages[0], recipe.languages[1], [5, 21, 7])
    return f"---\n{data.to_yaml()}\n---\n\n{_render('model_card.md.j2', told)}"


def _render(template: str, told: Row) -> str:
    from jinja2 import Environment, StrictUndefined

    source = (files("factory.export") / template).read_text("utf-8")
    return Environment(undefined=StrictUndefined, trim_blocks=False).from_string(source).render(**told) + "\n"
