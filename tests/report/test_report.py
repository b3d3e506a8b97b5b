"""The report, made of a run and opened in a real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from factory.audit.delta import audit
from factory.audit.labels import judged
from factory.audit.text import render_audit
from factory.cli import main
from factory.planning.kept_recipe import keep_recipe, kept_recipe
from factory.planning.places import Run
from factory.recipe.loading import load
from factory.recipe.sections import FiltersConfig
from factory.report import sections
from factory.report.collect import signatures
from factory.report.pairs import marked, shown_pairs, to_speak
from factory.report.plots import draw, estimates, heatmap, histograms
from factory.report.report import spread
from factory.report.samples import speak_samples
from factory.report.summary import _production, _scores, evaluated
from factory.storage.dataset import DatasetDir
from factory.storage.names import file_name
from schemas.datasets import EVALUATED
from tests.browser import Page, browser
from tests.toy_run import ROOT, WRONG, toy_recipe, toy_run


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = toy_run(tmp_path_factory.mktemp("run"))
    keep_recipe(run, 1, load(ROOT / "recipes/phrasebook.yaml"))
    assert main(["report", "--run", run.uri]) == 0
    return run


@pytest.fixture(scope="module")
def page(reported: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser") / "log") as opened:
        opened.open(f"file://{reported.place(1)}/report/index.html")
        yield opened


def test_one_file_holds_everything(reported: Run) -> None:
    html = Path(reported.place(1), "report/index.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', html.split('id="data"')[0])
    for section in ("funnel", "margins", "audit", "scores", "training", "time", "failures", "origin"):
        assert f'<section id="{section}">' in html
    for word in (
        "below_delta",
        "Spearman",
        "topline fr-en",
        "recommended",
        "All of 6 pairs",
        "DistilMOS",
        "max_repetition",
    ):
        assert word in html
    assert html.count("<svg") >= 14
    assert not any(wrong in html for wrong in WRONG.values())  # what a policy writes never becomes part of the page


def test_the_page_opens_without_errors_and_asks_nothing_of_the_network(page: Page) -> None:
    assert page.problems == []
    assert len(page.requests) == 1
    assert page.run("document.querySelectorAll('#pairs tbody tr').length") == 6


def test_sorting_by_a_click_turns_the_order_round(page: Page) -> None:
    margins = "[...document.querySelectorAll('#pairs tbody tr td:first-child')].map(cell => Number(cell.textContent))"
    shown = page.run(margins)
    assert shown == sorted(shown, reverse=True) and shown[0] > shown[-1]
    page.click("th[data-key=margin] button")
    assert page.run(margins) == sorted(shown)
    assert page.run("document.querySelector('th[data-key=margin]').getAttribute('aria-sort')") == "ascending"
    page.click("th[data-key=direction] button")
    directions = page.run(
        "[...document.querySelectorAll('#pairs tbody tr td:nth-child(2)')].map(cell => cell.textContent)"
    )
    assert directions == sorted(directions) and len(set(directions)) == 2
    page.click("th[data-key=margin] button")


def test_searching_leaves_only_rows_with_all_words(page: Page, reported: Run) -> None:
    pair = json.loads(
        Path(reported.place(1), "report/index.html").read_text().split('id="data">')[1].split("</script>")[0]
    )["pairs"][0]
    page.run(f"search.value = {json.dumps(pair['id'])}; search.dispatchEvent(new Event('input'))")
    assert page.run("document.querySelectorAll('#pairs tbody tr').length") == 1
    page.run("search.value = 'nobody says this'; search.dispatchEvent(new Event('input'))")
    assert page.run("document.querySelectorAll('#pairs tbody tr').length") == 0
    page.run("search.value = ''; search.dispatchEvent(new Event('input'))")


def test_a_player_plays_and_another_one_stops_it(page: Page) -> None:
    assert page.run("document.querySelectorAll('button.play').length") == 6 * 5
    page.click("td[data-label=source] button.play")
    page.wait("window.lastAudio && lastAudio.currentTime > 0.1 && !lastAudio.paused")
    first = page.run("(window.firstAudio = lastAudio).duration")
    assert 0.5 < first < 20
    page.click("td[data-label=chosen] button.play")
    page.wait("lastAudio !== firstAudio && lastAudio.currentTime > 0")
    assert (
        page.run("firstAudio.paused")
        and page.run("document.querySelectorAll('button.play[aria-pressed=true]').length") == 1
    )
    assert page.problems == []


def test_it_is_readable_in_the_dark_and_on_a_phone(page: Page) -> None:
    page.resize(390, 844)
    assert page.run("document.documentElement.scrollWidth") <= 390
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0)"
    page.prefer("light")
    light, stroke = page.run(brightness), page.run("getComputedStyle(document.querySelector('svg text')).fill")
    page.prefer("dark")
    assert page.run(brightness) < 150 < 600 < light
    assert page.run("getComputedStyle(document.querySelector('svg text')).fill") != stroke
    page.resize(1200, 900)


def test_samples_are_the_pairs_with_the_widest_margins_of_each_direction(tmp_path: Path) -> None:
    run = toy_run(tmp_path, count=12)
    speak_samples(run, 1, toy_recipe())
    folder = Path(run.place(1), "samples")
    told = [line.split("\t")[1:] for line in (folder / "texts.tsv").read_text().splitlines()[1:]]
    rows = run.dataset(1, "pairs").rows(status="ok").to_pylist()
    for lang in ("fr", "en"):
        margins = sorted((row["margin"] for row in rows if row["src_lang"] == lang), reverse=True)[:3]
        ours = [row for row in rows if row["src_lang"] == lang and row["pair_id"] in {line[0] for line in told}]
        assert sorted((row["margin"] for row in ours), reverse=True) == margins
    sounds = ("source", "chosen", "rejected")
    assert {wave.name for wave in folder.glob("*.wav")} == {
        f"{file_name(line[0])}.{name}.wav" for line in told for name in sounds
    }


def test_the_summary_judges_the_labels_that_the_recipes_guards_let_pass(tmp_path: Path) -> None:
    run, recipe = toy_run(tmp_path), toy_recipe()
    select = recipe.select
    strict = replace(
        recipe, select=replace(select, filters=replace(select.filters, max_length_ratio=0.9))
    )  # every candidate is longer
    counts = [
        sum(found["n"] for found in _production(run, 1, one)["label_accuracy"]["bleu"]) for one in (recipe, strict)
    ]
    assert counts == [10, 0]  # of 12 utterances two have ways back that are equally good


def test_what_was_heard_is_signed_with_the_recognizers_protocol(tmp_path: Path) -> None:
    run, recipe = toy_run(tmp_path), toy_recipe()
    rows = run.dataset(1, "evaluation").rows().to_pylist()
    told = _scores(rows, rows, recipe)
    assert "asr:package:whisper-base|lang:en" in told["asr_bleu"]["fr-en"]["signature"]
    assert "asr:" not in told["s2t_bleu"]["fr-en"]["signature"]
    told = signatures(replace(recipe, scorer=replace(recipe.scorer, score_text="asr")))
    assert (
        "asr:package:whisper-base|lang:fr" in told["bleu (fr)"]
        and "asr:" not in told["mcd (fr)"] + signatures(recipe)["bleu (fr)"]
    )


def test_a_translation_that_was_lost_counts_as_nothing_said(tmp_path: Path) -> None:
    run, recipe = toy_run(tmp_path), toy_recipe()
    rows = run.dataset(1, "evaluation").rows().to_pylist()
    lost = next(place for place, row in enumerate(rows) if row["src_lang"] == "fr")
    rows[lost] |= {
        "status": "failed",
        "reason": "killed",
        "text": "la source",
        "units": [1],
        "asr_text": None,
        "mos": None,
    }
    torn = DatasetDir(str(tmp_path / "torn"), EVALUATED)
    torn.start({"stage": "evaluation"})
    torn.append(pa.Table.from_pylist(rows, schema=EVALUATED))
    torn.publish()
    asked = {row["utt_id"]: {"text": "la source", "spoken": True} for row in rows}
    after, before = evaluated(torn, asked, recipe), evaluated(run.dataset(1, "evaluation"), asked, recipe)
    told = _scores(after, before, recipe)
    for score in ("s2t_bleu", "asr_bleu"):
        assert (
            told[score]["fr-en"]["utterances"] == 6
            and told[score]["fr-en"]["after"] < 100 == told[score]["en-fr"]["after"]
        )
    assert told["well_formed"]["fr-en"]["after"] == round(5 / 6, 4)
    alone = _scores([row for row in after if row["src_lang"] == "fr"], None, recipe)
    assert (
        alone["s2t_bleu"]["en-fr"] is None and alone["s2t_bleu"]["fr-en"]["after"] < 100
    )  # a test set of one direction


def test_a_round_without_references_says_so() -> None:
    assert render_audit(audit([], ["bleu"])) == (
        "labels could not be measured: no utterance of this round has a reference; add a column reference to the speech, with the "
        "translation of each utterance, or judge by ear with `roundtrip listen`"
    )


def test_a_policy_without_text_is_audited_by_what_is_heard() -> None:
    candidates = [
        {"finish": "ok", "text": None, "units": [7, 8, 9], "back_translation": None, "scores": {"bleu": s}}
        for s in (0.9, 0.2)
    ]
    row = {
        "status": "ok",
        "src_lang": "fr",
        "tgt_lang": "en",
        "text": "oui",
        "units": [1, 2, 3],
        "reference": "yes, the red boat",
    }
    rows = [row | {"utt_id": f"u{n}", "candidates": candidates} for n in range(3)]
    chosen = {"chosen": {"metric": "bleu", "delta": 0.1}}
    assert "roundtrip audit --asr" in render_audit(audit(judged(rows, FiltersConfig()), ["bleu"]) | chosen)
    heard = {(f"u{n}", place): text for n in range(3) for place, text in enumerate(("Yes, the red boat.", "no"))}
    found = audit(judged(rows, FiltersConfig(), heard), ["bleu"]) | chosen
    assert found["judges"] == ["asr_bleu"] and "asr_bleu" in render_audit(found) and len(sections.audit(found)) == 2
    assert [
        (told["direction"], told["open"]["n"], told["open"]["accuracy"]) for told in sections.audit_rows(found)
    ] == [
        ("all", 3, 1.0),
        ("fr-en", 3, 1.0),
    ]


def test_what_differs_is_marked() -> None:
    assert marked("the red car is here", "the blue car") == [
        ("the", False),
        ("red", True),
        ("car", False),
        ("is here", True),
    ]
    assert marked(None, "anything") == []


def test_a_large_set_is_sampled_over_all_margins() -> None:
    pairs = [{"margin": 1 - place / 100_000} for place in range(100_000)]
    shown = spread(pairs)
    assert len(shown) == 500 and shown[0]["margin"] == 1 and shown[-1]["margin"] < 0.01
    assert spread(pairs[:5]) == pairs[:5]


def test_players_go_to_both_directions_and_to_both_ends(reported: Run) -> None:
    rows = shown_pairs(reported.dataset(1, "pairs"), reported.dataset(1, "scored"), 100)
    assert [row["margin"] for row in rows] == sorted((row["margin"] for row in rows), reverse=True)
    assert all(row["chosen"]["back_translation"] for row in rows)
    some = to_speak(rows, 6)
    assert {row["src_lang"] for row in some} == {"fr", "en"} and len(some) == 6
    assert rows[0] in some and rows[-1] in some


def test_plots_take_the_pages_colours_and_survive_nothing_to_show() -> None:
    svg = draw("margins", histograms({"fr-en": np.array([0.1, 0.2]), "en-fr": np.array([])}, "gap", 0.1))
    assert svg.startswith("<svg") and "var(--one)" in svg and "#030303" not in svg and "δ = 0.1" in svg
    assert "nothing to show" in draw("none", histograms({"fr-en": np.array([])}, "gap"))
    assert "0.50" in draw("square", heatmap(np.array([[1.0, 0.5], [0.5, np.nan]]), ["a", "b"]))
    assert "topline (50.0)" in draw(
        "points", estimates({"a": [{"x": 1, "y": 2, "low": 1, "high": 3}]}, "score", {"topline": 50.0})
    )


def test_an_unfinished_round_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], reported: Run) -> None:
    assert main(["report", "--run", str(tmp_path)]) == 2
    assert f"python factory/run_round.py --round 1 --run {tmp_path}" in capsys.readouterr().err
    assert main(["report", "--run", reported.uri, "--round", "4"]) == 2
    assert "round 4" in capsys.readouterr().err


def test_the_recipe_is_kept_with_the_round(reported: Run, tmp_path: Path) -> None:
    assert kept_recipe(reported, 1) == load(ROOT / "recipes/phrasebook.yaml")
    assert kept_recipe(Run(str(tmp_path)), 1) is None


def test_the_audit_is_printed(reported: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--run", reported.uri]) == 0
    told = capsys.readouterr().out
    assert (
        "12 utterances with references" in told and "recommended for bleu" in told and "bleu and wer agree on" in told
    )
