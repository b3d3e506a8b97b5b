"""Exports the pairs or the policy of a round: makes all files in a temporary folder, then publishes them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from factory.export.base import MARK, ExportedRound, ExportError, Mark, Target
from factory.export.card import choose_licence, render_dataset_card, render_model_card, render_round_section
from factory.export.croissant import CROISSANT, render_croissant
from factory.export.formats import FORMATS, NEEDS_AUDIO, WORDS, write_words
from factory.export.layout import make_rows, write_parquet
from factory.export.sounds import make_sounds
from factory.export.targets import parse_base, parse_target, read_mark
from factory.export.versa import list_names, load_scores
from factory.listen.judgements import read_judgement_table
from factory.planning.places import Round
from factory.report.pairs import ShownPair, read_shown_pairs
from factory.storage.transfer import download
from schemas.datasets import Row


def export_pairs(
    round_: Round, to: str, *, format: str = "parquet", license: str | None = None, private: bool = True
) -> str:
    """Export the pairs of a finished round and return where they are; other rounds of the same export stay.

    Args:
        round_: a finished round.
        to: a folder, a URI of an object store, or `hf://datasets/OWNER/NAME`.
        format: `parquet`, or one of `factory.export.formats.FORMATS`. `slamkit` takes round 0 too: the aligned words of
            its paired speech.
        license: the licence of the speech; None: the one of the embedded speech, else `unknown`.
        private: True to make a new repository private.

    Raises:
        ExportError: the export cannot be made or published; then nothing was published.
        StoreError: the object store fails.
    """
    if round_.number == 0 and format == "slamkit":
        return _export_words(round_, to, private)
    if round_.number == 0:
        raise ExportError(
            "round 0 makes no pairs: export a later round, the policy of round 0 with --policy, or the words of its "
            "paired speech with --format slamkit"
        )
    target, name = parse_target(to, "dataset"), round_.recipe.name
    mark = read_mark(target)
    _check_mark(mark, target, {"kind": "pairs", "recipe": name, "format": format})
    rows = _make_rows(round_, audio=format in NEEDS_AUDIO)
    with _make_stage() as stage:
        with _convert_disk_errors():
            exported = _stage_round(round_, rows, format, stage)
            rounds = {**(mark.get("rounds", {}) if mark else {}), str(round_.number): exported}
            card = render_dataset_card(round_.recipe, rounds, target.name, license)
            _stage_card(stage, card, {"kind": "pairs", "recipe": name, "format": format, "rounds": rounds})
            url = f"https://huggingface.co/datasets/{target.name}" if to.startswith("hf://") else target.name
            metadata = render_croissant(round_.recipe, rounds, url, choose_licence(round_.recipe, license).id)
            (stage / CROISSANT).write_text(metadata, "utf-8")
        message = f"Round {round_.number} of {name}"
        return target.publish(stage, replaces=f"data/round-{round_.number}", private=private, message=message)


def export_policy(
    round_: Round, to: str, *, license: str | None = None, private: bool = True, base: str | None = None
) -> str:
    """Export the policy of a round with a model card and return where it is.

    Args:
        round_: a round with a policy.
        to: a folder, a URI of an object store, or `hf://OWNER/NAME`.
        license: the licence of the speech; None: the one of the embedded speech, else `unknown`.
        private: True to make a new repository private.
        base: the published model that the adapter belongs to, `hf://OWNER/NAME` or a folder, so that peft finds it;
            None: the adapter names the round whose policy it was trained on, which nobody else can load.

    Raises:
        ExportError: the export cannot be made or published; then nothing was published.
        StoreError: the object store fails.
    """
    target, name = parse_target(to, "model"), round_.recipe.name
    base_name = parse_base(base) if base else f"{name}-round-{round_.number - 1}"
    if not round_.has_policy:
        raise ExportError(f"round {round_.number} of {round_.run.uri} has no policy at {round_.policy_uri}")
    _check_mark(read_mark(target), target, {"kind": "policy", "recipe": name})
    with _make_stage() as stage:
        with _convert_disk_errors():
            download(round_.policy_uri, stage)
            has_adapter = _rename_base(stage / "adapter/adapter_config.json", base_name)
            if base and not has_adapter:
                raise ExportError(f"{round_.policy_uri} has no adapter, so it has no base model: leave out --base")
            card = render_model_card(round_, target.name, license, has_adapter, base and base_name)
            _stage_card(stage, card, {"kind": "policy", "recipe": name, "round": round_.number})
        message = f"Policy of round {round_.number} of {name}"
        return target.publish(stage, replaces="adapter", private=private, message=message)


def _export_words(round_: Round, to: str, private: bool) -> str:
    """Export the paired speech of round 0 with its aligned words and return where it is."""
    target, name, paired = parse_target(to, "dataset"), round_.recipe.name, round_.run.paired("paired")
    rows = paired.rows().to_pylist() if paired.is_finished() else []
    if not any(row.get("src_words") for row in rows):
        raise ExportError(
            f"{round_.run.uri} has no aligned words: run round 0 with paired speech (corpus.paired with audio and "
            "texts) and a section aligner in the recipe"
        )
    mark: Mark = {"kind": "words", "recipe": name, "format": "slamkit"}
    _check_mark(read_mark(target), target, {"kind": "words", "recipe": name, "format": "slamkit"})
    with _make_stage() as stage:
        with _convert_disk_errors():
            count = write_words(rows, stage / WORDS)
            card = f"# Words of {name}\n\n{count:,} utterances as units with aligned words, for SlamKit: `{WORDS}`.\n"
            _stage_card(stage, card, mark)
        return target.publish(stage, replaces=WORDS, private=private, message=f"Words of {name}")


@contextmanager
def _make_stage() -> Iterator[Path]:
    """Yield an empty temporary folder."""
    with _convert_disk_errors():
        scratch = tempfile.TemporaryDirectory()
    with scratch as folder:
        stage = Path(folder) / "stage"  # a copy of it gets usual permissions
        stage.mkdir()
        yield stage


@contextmanager
def _convert_disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(f"the temporary files cannot be written ({error}): free space, or set TMPDIR") from error


def _check_mark(mark: Mark | None, target: Target, expected: Mapping[str, str]) -> None:
    """Raise ExportError if the target holds an export of another kind, recipe or format."""
    found: Mapping[str, object] = {**mark} if mark else expected
    differences = [
        f"its {key} is {found.get(key)!r}, this one has {value!r}"
        for key, value in expected.items()
        if found.get(key) != value
    ]
    if differences:
        raise ExportError(
            f"{target} holds another export ({'; '.join(differences)}): choose another name; nothing was changed"
        )


def _make_rows(round_: Round, audio: bool) -> list[Row]:
    """Return the rows of an export. Raises ExportError if there are no pairs, or if they cannot have audio."""
    manifest = round_.pairs.manifest()
    pairs = read_shown_pairs(round_.pairs, round_.scored, manifest.rows)
    if not pairs:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in list(manifest.by_reason.items())[:5])
        raise ExportError(f"round {round_.number} of {round_.run.uri} has no pairs ({reasons or 'no utterances'})")
    if audio:
        _check_audio(pairs, round_)
    rows, versa = make_rows(round_.pairs, pairs, make_sounds(round_, pairs) if audio else None), load_scores(round_)
    return [row | versa.get(row["pair_id"], {}) for row in rows]


def _check_audio(pairs: list[ShownPair], round_: Round) -> None:
    """Raise ExportError if a target language has no vocoder, or if no translation has units.

    A policy of continuous speech has neither: its exports hold the recordings of the sources.
    """
    if round_.recipe.hears_speech:
        return
    missing = sorted({pair["tgt_lang"] for pair in pairs} - set(round_.recipe.vocoder))
    if missing or not any(pair["chosen"]["units"] for pair in pairs):
        reason = f"the recipe has no vocoder for {', '.join(missing)}" if missing else "its translations have no units"
        raise ExportError(f"{round_.run.uri} has no audio to export: {reason}; export without audio by --format trl")


def _stage_round(round_: Round, rows: list[Row], format: str, stage: Path) -> ExportedRound:
    folder = stage / f"data/round-{round_.number}"
    judgements, versa = 0, list_names(load_scores(round_))
    if format == "parquet":
        splits = write_parquet(rows, folder, audio=True, versa=versa)
        judgements = _stage_judgements(round_, stage)
    else:
        folder.mkdir(parents=True)
        splits = {split: {"num_examples": count} for split, count in FORMATS[format](rows, folder).items()}
    return {
        "splits": splits,
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "format": format,
        "judgements": judgements,
        "versa": versa,
        "section": render_round_section(round_, judgements),
    }


def _stage_judgements(round_: Round, stage: Path) -> int:
    table = read_judgement_table(round_)
    if table.num_rows:
        folder = stage / f"data/round-{round_.number}-judgements"
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "judgements.parquet")
    return int(table.num_rows)


def _stage_card(stage: Path, card: str, mark: Mark) -> None:
    (stage / "README.md").write_text(card, "utf-8")
    (stage / MARK).write_text(json.dumps(mark, indent=1, ensure_ascii=False), "utf-8")


def _rename_base(config: Path, base: str) -> bool:
    """Name the base of an adapter by its round and not by a local path; return whether there is an adapter."""
    if not config.is_file():
        return False
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": base}, indent=2))
    return True
