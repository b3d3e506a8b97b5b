"""The report: made from a run, and opened in a real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from factory.cli import main
from factory.planning.kept_recipe import keep_recipe, kept_recipe
from factory.planning.places import Round, Run
from factory.recipe.loading import load
from factory.report.pairs import MAX_PLAYERS, ShownPair
from factory.report.report import MAX_PAIRS, render_report, report_uri, spread_over_margins
from tests.browser import Page, browser
from tests.toy_run import ROOT, WRONG, toy_run

ROWS = "document.querySelectorAll('#pairs tbody tr').length"
BRIGHTNESS = (
    "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)"
    ".reduce((sum, part) => sum + Number(part), 0)"
)


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    round_ = Round(toy_run(tmp_path_factory.mktemp("run")), 1, load(ROOT / "recipes/phrasebook.yaml"))
    keep_recipe(round_)
    assert main(["report", "--run", round_.run.uri]) == 0
    return round_


@pytest.fixture(scope="module")
def html(round_: Round) -> str:
    return Path(report_uri(round_)).read_text("utf-8")


@pytest.fixture(scope="module")
def page(round_: Round, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser") / "log") as opened:
        opened.open(f"file://{report_uri(round_)}")
        yield opened


def data_of(html: str) -> dict[str, Any]:
    """Return the data of the page's table."""
    return cast(dict[str, Any], json.loads(html.split('id="data">')[1].split("</script>")[0]))


def test_one_file_holds_everything(html: str) -> None:
    assert not re.search(r'(src|href)="(?!data:|#)', html.split('id="data"')[0])
    for section in ("funnel", "margins", "audit", "scores", "training", "time", "failures", "origin"):
        assert f'<section id="{section}">' in html
    words = ("below_delta", "Spearman", "topline fr-en", "recommended", "All of 6 pairs", "DistilMOS", "max_repetition")
    assert [word for word in words if word not in html] == []
    assert html.count("<svg") >= 14
    assert "DNSMOS" not in html and "spoken translations have no" not in html, "nothing was measured"
    assert not any(wrong in html for wrong in WRONG.values())  # the text of a policy never becomes markup


def test_the_tables_have_the_numbers_of_the_round(html: str) -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    for row in (
        "bleu all 10 0.80 [0.60, 1.00] 0.594 [0.189, 0.994] none – – –",
        "S2T BLEU fr-en 10.00 12.50 [11.00, 13.00] 2.50 [1.00, 4.00] 6",
        "SLC 0.2 fr-en 10.00 12.50 [11.00, 13.00] 2.50 [1.00, 4.00] 6",
        "DistilMOS fr-en – 2.00",
        "fr: resynthesised recordings 50.0 [40.0, 60.0] 50.000 [40.000, 60.000] 50.00 [40.00, 60.00] 6",
        "produce 12.0 12 1.00",
        "utterances of this round 12",
        "pairs skipped below_delta 6 a, b",
        "0 of 6 pairs have a malformed back-translation (0 chosen, 0 rejected), scored as worst.",
    ):
        assert row in text, row


def test_round_0_has_no_pairs_in_its_report(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    first = Round(run, 0, load(ROOT / "recipes/phrasebook.yaml"))
    summary = json.loads(Path(Round(run, 1, first.recipe).uri, "summary.json").read_text("utf-8")) | {"round": 0}
    summary |= {"dnsmos": {"fr-en": {"before": None, "after": 3.25}}}
    summary |= {"unmeasured_speech": {"fr-en": {"dnsmos: too_short": 2}, "en-fr": {}}}
    Path(first.uri, "summary.json").write_text(json.dumps(summary))
    page = render_report(first)
    assert "Round 0 of phrasebook" in page and 'id="funnel"' not in page and 'id="pairs"' not in page
    assert "<tr><td>DNSMOS</td><td>fr-en</td>" in page and "speaker sim" not in page
    assert "fr-en: 2 spoken translations have no dnsmos (too_short)." in page
    assert "This round has no training log." in page and "<script></script>" in page


def test_a_round_without_references_says_so(tmp_path: Path) -> None:
    page = render_report(Round(toy_run(tmp_path, references=False), 1, load(ROOT / "recipes/phrasebook.yaml")))
    assert "<p>Labels could not be measured: no utterance of this round has a reference;" in page


def test_the_page_opens_without_errors_and_without_the_network(page: Page) -> None:
    assert page.problems == []
    assert len(page.requests) == 1
    assert page.run(ROWS) == 6


def test_a_click_on_a_column_sorts_and_a_second_one_reverses(page: Page) -> None:
    margins = "[...document.querySelectorAll('#pairs tbody tr td:first-child')].map(cell => Number(cell.textContent))"
    shown = page.run(margins)
    assert shown == sorted(shown, reverse=True) and shown[0] > shown[-1]
    page.click("th[data-key=margin] button")
    assert page.run(margins) == sorted(shown)
    assert page.run("document.querySelector('th[data-key=margin]').getAttribute('aria-sort')") == "ascending"
    page.click("th[data-key=direction] button")
    cells = "[...document.querySelectorAll('#pairs tbody tr td:nth-child(2)')].map(cell => cell.textContent)"
    directions = page.run(cells)
    assert directions == sorted(directions) and len(set(directions)) == 2
    page.click("th[data-key=margin] button")


def test_a_search_finds_the_rows_with_all_words(page: Page, html: str) -> None:
    pair = data_of(html)["pairs"][0]
    page.run(f"search.value = {json.dumps(pair['id'])}; search.dispatchEvent(new Event('input'))")
    assert page.run(ROWS) == 1
    page.run("search.value = 'nobody says this'; search.dispatchEvent(new Event('input'))")
    assert page.run(ROWS) == 0
    page.run("search.value = ''; search.dispatchEvent(new Event('input'))")


def test_a_back_translation_is_shown_and_searched(page: Page, html: str) -> None:
    words = " ".join(text for text, _ in data_of(html)["pairs"][0]["chosen"]["back_translation"])
    page.run(f"search.value = {json.dumps(words)}; search.dispatchEvent(new Event('input'))")
    assert page.run(ROWS) >= 1
    assert words in page.run("document.querySelector('td[data-label=chosen] div.back + div.back').textContent")
    page.run("search.value = ''; search.dispatchEvent(new Event('input'))")


def test_one_sound_plays_at_a_time(page: Page) -> None:
    assert page.run("document.querySelectorAll('button.play').length") == 6 * 5
    page.click("td[data-label=source] button.play")
    page.wait("window.lastAudio && lastAudio.currentTime > 0.1 && !lastAudio.paused")
    first = page.run("(window.firstAudio = lastAudio).duration")
    assert 0.5 < first < 20
    page.click("td[data-label=chosen] button.play")
    page.wait("lastAudio !== firstAudio && lastAudio.currentTime > 0")
    assert page.run("firstAudio.paused")
    assert page.run("document.querySelectorAll('button.play[aria-pressed=true]').length") == 1
    assert page.problems == []


def test_it_is_readable_in_the_dark_and_on_a_phone(page: Page) -> None:
    page.resize(390, 844)
    assert page.run("document.documentElement.scrollWidth") <= 390
    page.prefer("light")
    light, stroke = page.run(BRIGHTNESS), page.run("getComputedStyle(document.querySelector('svg text')).fill")
    page.prefer("dark")
    assert page.run(BRIGHTNESS) < 150 < 600 < light
    assert page.run("getComputedStyle(document.querySelector('svg text')).fill") != stroke
    page.resize(1200, 900)


def test_a_large_table_is_a_sample_over_all_margins() -> None:
    pairs = [cast(ShownPair, {"margin": 1 - index / 100_000}) for index in range(100_000)]
    shown = spread_over_margins(pairs)
    assert len(shown) == 500 and shown[0]["margin"] == 1 and shown[-1]["margin"] < 0.01
    assert spread_over_margins(pairs[:500]) == pairs[:500]
    assert spread_over_margins(pairs[:4], 2) == [pairs[0], pairs[2]]


def test_the_documented_limits_hold() -> None:
    text = " ".join((ROOT / "docs/report.md").read_text("utf-8").split())
    assert f"At most {MAX_PLAYERS} pairs have players" in text and f"the table shows {MAX_PAIRS} pairs" in text


def test_an_unfinished_round_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], round_: Round) -> None:
    assert main(["report", "--run", str(tmp_path)]) == 2
    assert f"python factory/run_round.py --round 1 --run {tmp_path}" in capsys.readouterr().err
    assert main(["report", "--run", round_.run.uri, "--round", "4"]) == 2
    assert "round 4" in capsys.readouterr().err


def test_the_recipe_is_kept_with_the_round(round_: Round, tmp_path: Path) -> None:
    assert kept_recipe(round_.run, 1) == load(ROOT / "recipes/phrasebook.yaml")
    assert kept_recipe(Run(str(tmp_path)), 1) is None


def test_the_audit_is_printed(round_: Round, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--run", round_.run.uri]) == 0
    output = capsys.readouterr().out
    words = ("12 utterances with references", "recommended for bleu", "bleu and chrf agree on")
    assert [word for word in words if word not in output] == []
