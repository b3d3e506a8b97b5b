"""`roundtrip translate` on recordings that ship: with the real encoder, vLLM and voice of the station."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.cli import main
from factory.corpora.audio import read
from factory.listen.translate import TranslateError, Translation, choose_direction, describe, translate_files
from factory.recipe.directions import Direction
from factory.recipe.loading import load

ROOT = Path(__file__).resolve().parent.parent.parent
STATION = str(ROOT / "recipes/station.yaml")


def test_a_direction_is_chosen_by_its_target() -> None:
    recipe = load(STATION)
    assert choose_direction(recipe, "en", None) == "fr-en"
    assert choose_direction(recipe, "fr", "en") == "en-fr"
    with pytest.raises(TranslateError, match=r"station has 0 directions to de \(fr-en, en-fr\): choose one of them"):
        choose_direction(recipe, "de", None)
    with pytest.raises(TranslateError, match=r"0 directions from en to en"):
        choose_direction(recipe, "en", "en")


def test_a_source_must_be_named_where_several_are_possible() -> None:
    recipe = load(str(ROOT / "recipes/phrasebook_es.yaml"))
    with pytest.raises(TranslateError, match="2 directions to en .*: name the language of the recordings with --from"):
        choose_direction(recipe, "en", None)
    assert choose_direction(recipe, "en", "es") == "es-en"


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        ("station", ["vocoder={fr: assets/phrasebook/vocoder-fr}", "directions=[en-fr]"], "has no voice in en"),
        ("phrasebook_part", [], "translate needs a policy of units; policy.kind of the recipe is continuous"),
    ],
)
def test_a_recipe_that_cannot_speak_is_refused(recipe: str, changes: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match=message):
        translate_files(
            ["a.wav"], "policy", Direction("fr-en"), load(ROOT / f"recipes/{recipe}.yaml", changes), tmp_path
        )


def test_an_output_that_cannot_be_a_folder_is_refused_before_models_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = "file cannot be a folder for the translations .*: give another --out"
    with pytest.raises(TranslateError, match=message):
        translate_files(["a.wav"], "no/policy", Direction("fr-en"), load(STATION), tmp_path / "file")


def test_a_long_translation_is_shown_whole_and_on_one_line() -> None:
    text = "the train leaves " * 20 + "\nat noon"
    found: Translation = {
        "file": "/" + "folder/" * 30 + "a.wav",
        "text": text,
        "back_translation": None,
        "speech": "out/a.en.wav",
        "reason": None,
    }
    file, translation, speech = describe(found, Direction("fr-en"))
    assert file == found["file"] and speech == "  speech       out/a.en.wav"
    assert translation == "  en           " + text.replace("\n", "\\n")


@pytest.mark.service
def test_recordings_become_text_speech_and_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROUNDTRIP_TRACEBACK", "1")
    rows = pq.read_table(ROOT / "assets/station/test/fr.parquet").slice(0, 2).to_pylist()
    for name, row in zip(("a", "b"), rows, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "say.opus").write_bytes(row["audio"]["bytes"])
    (tmp_path / "broken.wav").write_text("no audio")
    files = [str(tmp_path / name) for name in ("a/say.opus", "broken.wav", "b/say.opus")]

    out = tmp_path / "out"
    code = main(["translate", *files, "--to", "en", "--recipe", STATION, "--out", str(out)])

    assert code == 1, "one file is not audio"
    said = capsys.readouterr().out
    first, broken, second = (said.partition(file)[2].partition(str(tmp_path) + "/")[0] for file in files)
    assert "geneva" in first and "marseille" in second, "each file has its own translation"
    assert re.search(r"back to fr +le train de", first) and "missing" not in first
    assert "not_audio" in said and "back to" not in broken
    assert {path.name for path in out.iterdir()} == {"say-1.en.wav", "say-2.en.wav", "index.html", "log.txt"}
    assert all(len(read({"path": str(out / f"say-{n}.en.wav"), "bytes": None})) > 8_000 for n in (1, 2))
    page = (out / "index.html").read_text("utf-8")
    assert page.count("<audio") == page.count("data:audio/ogg") == 4, "two recordings and two translations"
    assert page.index("geneva") < page.index("not_audio") < page.index("marseille")
