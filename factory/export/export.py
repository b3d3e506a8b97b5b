"""export: a round's pairs or its policy, staged whole and then published to a folder or to the Hub."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from factory.export import layout
from factory.export.card import dataset_card, model_card, round_section
from factory.export.formats import FORMATS, NEEDS_AUDIO
from factory.export.hub import MARK, ExportError, Target, earlier, publish, target
from factory.export.speak import speak_pairs
from factory.listen.judgements import judgements_of
from factory.planning.places import Run
from factory.recipe.recipe import Recipe
from factory.report.pairs import ShownPair, read_shown_pairs
from factory.runtime.local_ray import start_ray
from factory.storage.transfer import download
from schemas.datasets import Row


def export_pairs(
    run: Run,
    number: int,
    recipe: Recipe,
    to: str,
    *,
    format: str = "parquet",
    license: str | None = None,
    private: bool = True,
) -> str:
    """Export the pairs of a finished round; an export that holds other rounds already gets this one besides. Returns where it is.

    Raises ExportError with the reason; then nothing was published.
    """
    if number == 0:
        raise ExportError("round 0 makes no pairs; export those of a later round, or its policy with --policy")
    place = target(to, "dataset")
    before = _compatible(earlier(place), place, {"kind": "pairs", "recipe": recipe.name, "format": format})
    rows = _rows(run, number, recipe, audio=format in NEEDS_AUDIO)
    with tempfile.TemporaryDirectory() as scratch:
        stage = Path(scratch) / "stage"
        stage.mkdir()
        told = _stage(rows, stage, number, format)
        judged = _stage_judgements(run, number, stage) if format == "parquet" else 0
        told |= {"format": format, "judgements": judged, "section": round_section(run, number, recipe, judged)}
        rounds = {**(before or {}).get("rounds", {}), str(number): told}
        mark = {"kind": "pairs", "recipe": recipe.name, "format": format, "rounds": rounds}
        (stage / "README.md").write_text(dataset_card(recipe, rounds, place.name, license), "utf-8")
        (stage / MARK).write_text(json.dumps(mark, indent=1, ensure_ascii=False), "utf-8")
        return publish(
            stage, place, replaces=f"data/round-{number}", private=private, message=f"Round {number} of {recipe.name}"
        )


def _compatible(before: Row | None, place: Target, asked: Row) -> Row | None:
    differing = [
        f"{key} {before.get(key)!r} there, {value!r} asked"
        for key, value in asked.items()
        if before and before.get(key) != value
    ]
    if differing:
        raise ExportError(
            f"{place} holds another export ({'; '.join(differing)}): choose another name; nothing was changed"
        )
    return before


def _rows(run: Run, number: int, recipe: Recipe, audio: bool) -> list[Row]:
    """Return the rows of an export. Raises ExportError for a round without pairs and, where sounds are asked for, without any."""
    pairs = run.dataset(number, "pairs")
    shown = read_shown_pairs(pairs, run.dataset(number, "scored"), pairs.manifest().rows)
    if not shown:
        raise ExportError(
            f"round {number} of {run.uri} has no pairs: {dict(list(pairs.manifest().by_reason.items())[:5])}"
        )
    sounds = None
    if audio:
        _audible(shown, recipe, run)
        start_ray()
        sounds = speak_pairs(run, number, recipe, shown)
    return list(layout.export_rows(pairs, shown, sounds))


def _audible(shown: list[ShownPair], recipe: Recipe, run: Run) -> None:
    """Raise ExportError where neither units nor a voice could give a sound."""
    lacking = sorted({row["tgt_lang"] for row in shown} - set(recipe.vocoder))
    if lacking or not any(row["chosen"]["units"] for row in shown):
        why = f"the recipe has no vocoder for {', '.join(lacking)}" if lacking else "its translations have no units"
        raise ExportError(f"{run.uri} has no audio to export: {why}; --format trl exports it without")


def _stage(rows: list[Row], stage: Path, number: int, format: str) -> Row:
    folder = stage / "data" / f"round-{number}"
    if format == "parquet":
        splits = layout.write_parquet(rows, folder, audio=True)
    else:
        folder.mkdir(parents=True)
        splits = {split: {"num_examples": count} for split, count in FORMATS[format](rows, folder).items()}
    return {"splits": splits, "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}


def _stage_judgements(run: Run, number: int, stage: Path) -> int:
    table = judgements_of(run, number)
    if table.num_rows:
        folder = stage / "data" / f"round-{number}-judgements"
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "judgements.parquet")
    return int(table.num_rows)


def export_policy(
    run: Run, number: int, recipe: Recipe, to: str, *, license: str | None = None, private: bool = True
) -> str:
    """Export the policy that a round made, merged and, where the round kept one, as adapter; with a model card. Returns where it is."""
    place = target(to, "model")
    if not run.has_policy(number):
        raise ExportError(f"round {number} of {run.uri} has made no policy at {run.made_policy(number)}")
    _compatible(earlier(place), place, {"kind": "policy", "recipe": recipe.name})
    with tempfile.TemporaryDirectory() as scratch:
        stage = Path(scratch) / "stage"
        stage.mkdir()
        download(run.made_policy(number), stage)
        adapter = _name_base(stage / "adapter/adapter_config.json", f"{recipe.name}-round-{number - 1}")
        (stage / "README.md").write_text(model_card(run, number, recipe, place.name, license, adapter), "utf-8")
        (stage / MARK).write_text(json.dumps({"kind": "policy", "recipe": recipe.name, "round": number}), "utf-8")
        return publish(
            stage, place, replaces="adapter", private=private, message=f"Policy of round {number} of {recipe.name}"
        )


def _name_base(config: Path, base: str) -> bool:
    """Name an adapter's base by its round instead of a place on this machine; returns whether there is an adapter."""
    if not config.is_file():
        return False
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": base}, indent=2))
    return True
