"""Translate one's own recordings with a policy: text and speech, and a page to listen to them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path, PurePath
from typing import TypedDict

import numpy as np

from factory.actors.encoder import Encoder
from factory.actors.greedy import POLICY, SPOKEN, GreedyTranslator
from factory.corpora.audio import encode, read
from factory.passes.produce import build_engine_config, build_job
from factory.passes.weights import actor_encoder, actor_weights
from factory.recipe.directions import Direction
from factory.recipe.recipe import Recipe
from factory.report.players import embed_waves
from factory.storage.names import escape
from schemas.datasets import OK, Row
from schemas.errors import RoundtripError

PAGE, LOG = "index.html", "log.txt"
"""The files of a folder with translations: the page, and what vLLM prints."""

STDOUT, STDERR = 1, 2
"""The file descriptors."""


class TranslateError(RoundtripError):
    """Recordings that cannot be translated as asked."""


class Translation(TypedDict):
    """The translation of one recording.

    Attributes:
        file: the recording, as it was named.
        text: the translation; None where the policy writes none.
        back_translation: the translation, translated back; None where there is none.
        speech: the path of the spoken translation, a WAV at 16 kHz; None where the policy wrote no speech.
        reason: why a part is missing, as a slug and a sentence; None if nothing is.
    """

    file: str
    text: str | None
    back_translation: str | None
    speech: str | None
    reason: str | None


def choose_direction(recipe: Recipe, target: str, source: str | None) -> Direction:
    """Return the direction into a language; raise TranslateError where the recipe has none, or several.

    Args:
        recipe: the experiment.
        target: the language of the translation.
        source: the language of the recordings; None: the only one that is translated into the target.
    """
    known = [one for one in recipe.used_directions if one.target == target and source in (None, one.source)]
    if len(known) != 1:
        wanted = f"from {source} to {target}" if source else f"to {target}"
        listed = ", ".join(recipe.used_directions)
        advice = "name the language of the recordings with --from" if known else "choose one of them"
        raise TranslateError(f"the recipe {recipe.name} has {len(known)} directions {wanted} ({listed}): {advice}")
    return known[0]


def translate_files(
    recordings: Sequence[str], policy: str, direction: Direction, recipe: Recipe, out: Path
) -> list[Translation]:
    """Translate recordings greedily. Write the speech of each one as `NAME.LANG.wav`, and a page with all of them.

    Args:
        recordings: paths or URIs of files with speech, in any format.
        policy: the policy that translates.
        direction: what is translated into what.
        recipe: the experiment; encoder, vocoders and the limits of an output are read.
        out: the folder to write.

    Returns:
        A translation for each recording, in their order. One that cannot be read has its reason.

    Raises:
        TranslateError: the recipe has no vocoder of the target language, its policy has no units, or `out` cannot be
            a folder.
        WeightsError: models of the recipe cannot be used.
    """
    if recipe.policy.kind != "units":
        raise TranslateError(f"translate needs a policy of units; policy.kind of the recipe is {recipe.policy.kind}")
    if direction.target not in recipe.vocoder:
        raise TranslateError(f"vocoder of the recipe {recipe.name} has no voice in {direction.target}: add one")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TranslateError(
            f"{out} cannot be a folder for the translations ({error.strerror}): give another --out"
        ) from error
    rows = _encode(recordings, direction, recipe)
    usable = [row for row in rows if row["status"] == OK]
    translated = {row["utt_id"]: row for row in (_translate(usable, policy, recipe, out / LOG) if usable else [])}
    speech = _speak(list(translated.values()), direction.target, recipe, out / LOG)
    names = _name_outputs(recordings, direction.target)
    for utt_id, wave in speech.items():
        (out / names[int(utt_id)]).write_bytes(encode(wave, "WAV"))
    found = [
        _make_translation(file, translated.get(row["utt_id"], row), out / name if row["utt_id"] in speech else None)
        for file, row, name in zip(recordings, rows, names, strict=True)
    ]
    sources = {row["utt_id"]: read(row["audio"], recipe.encoder.min_s, recipe.encoder.max_s) for row in usable}
    (out / PAGE).write_text(_render(found, direction, sources, speech), "utf-8")
    return found


def describe(translation: Translation, direction: Direction) -> Iterator[str]:
    """Yield the lines that a terminal shows for a translation."""
    yield escape(translation["file"])
    parts = {direction.target: translation["text"], f"back to {direction.source}": translation["back_translation"]}
    parts |= {"speech": translation["speech"], "missing": translation["reason"]}
    for label, value in parts.items():
        if value is not None:
            yield f"  {label:12} {escape(value)}"


def _encode(recordings: Sequence[str], direction: Direction, recipe: Recipe) -> list[Row]:
    """Return a row of UNITS with `tgt_lang` for each recording; its id is its index."""
    print("encoding", flush=True)
    encoder = Encoder(actor_encoder(recipe), recipe.languages, recipe.resources.encoder.threads)
    audio = [{"bytes": None, "path": file} for file in recordings]
    asked = [{"utt_id": str(index), "lang": direction.source, "audio": one} for index, one in enumerate(audio)]
    return [row | {"tgt_lang": direction.target, "text": None} for row in encoder.process(asked)]


def _translate(rows: list[Row], policy: str, recipe: Recipe, log: Path) -> list[Row]:
    """Return the rows with one candidate each; all of them are spoken."""
    print("translating; loading vLLM takes about 20 s", flush=True)
    policies = {POLICY: actor_weights(policy)}
    with _output_to(log):
        translator = GreedyTranslator(policies, recipe.translator, build_job(recipe), build_engine_config(recipe))
        try:
            return translator.process([row | {POLICY: POLICY, SPOKEN: True, "reference": None} for row in rows])
        finally:
            translator.release()


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Append what this process and its libraries write to stdout and stderr to a file."""
    streams = {STDOUT: sys.stdout, STDERR: sys.stderr}
    for stream in streams.values():
        stream.flush()
    kept = {number: os.dup(number) for number in streams}
    try:
        with log.open("ab") as file:
            for number in streams:
                os.dup2(file.fileno(), number)
        yield
    finally:
        for number, stream in streams.items():
            stream.flush()
            os.dup2(kept[number], number)
            os.close(kept[number])


def _speak(rows: list[Row], lang: str, recipe: Recipe, log: Path) -> dict[str, np.ndarray]:
    """Return the waves (samples,) at 16 kHz of the candidates that have units, by id."""
    from factory.models.voice import Voice

    units = {row["utt_id"]: row["candidates"][0]["units"] for row in rows if row["candidates"]}
    spoken = {utt_id: some for utt_id, some in units.items() if some}
    if not spoken:
        return {}
    print("speaking", flush=True)
    with _output_to(log):
        voice = Voice(actor_weights(recipe.vocoder[lang]), recipe.resources.vocoder.threads)
        return dict(zip(spoken, voice.speak(list(spoken.values())), strict=True))


def _name_outputs(recordings: Sequence[str], lang: str) -> list[str]:
    """Return the file name of each spoken translation; recordings of the same name get a number."""
    stems = [PurePath(file).stem for file in recordings]
    counts, seen = Counter(stems), Counter[str]()
    names = []
    for stem in stems:
        seen[stem] += 1
        number = f"-{seen[stem]}" if counts[stem] > 1 else ""
        names.append(f"{stem}{number}.{lang}.wav")
    return names


def _make_translation(file: str, row: Row, speech: Path | None) -> Translation:
    candidates = row.get("candidates") or []
    candidate = candidates[0] if candidates else None
    problem = candidate["finish"] if candidate and candidate["finish"] != OK else None
    return {
        "file": file,
        "text": candidate["text"] if candidate else None,
        "back_translation": candidate["back_translation"] if candidate else None,
        "speech": str(speech) if speech else None,
        "reason": row["reason"] if row["status"] != OK else problem,
    }


def _render(
    found: list[Translation],
    direction: Direction,
    sources: Mapping[str, np.ndarray],
    speech: Mapping[str, np.ndarray],
) -> str:
    """Return the page: each recording and its translation, to read and to listen to."""
    from jinja2 import Environment

    template = (files("factory.listen") / "translations.html.j2").read_text("utf-8")
    values = {"found": found, "direction": direction, "sources": embed_waves(sources), "speech": embed_waves(speech)}
    return Environment(autoescape=True, trim_blocks=True).from_string(template).render(**values)
