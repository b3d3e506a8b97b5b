"""Odd ids through samples and report: every id is shown as it is, and every file is in its folder."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from factory.export.layout import SOUNDS
from factory.planning.places import Round
from factory.report.report import write_report
from factory.report.samples import write_samples
from factory.storage.names import file_name
from tests.odd_ids import ODD_IDS, make_ids
from tests.toy_run import toy_recipe, toy_run


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(toy_run(tmp_path_factory.mktemp("above") / "deep/run", count=18, ids=make_ids()), 1, toy_recipe())


def test_samples_are_in_their_folder_and_their_table_parses(round_: Round) -> None:
    write_samples(round_)
    folder = Path(round_.uri, "samples")
    table = io.StringIO((folder / "texts.tsv").read_bytes().decode(), newline="")
    rows = list(csv.DictReader(table, dialect=csv.excel_tab))
    assert len(rows) == 6 and {row["pair_id"].rpartition("-")[0] for row in rows} <= set(ODD_IDS)
    assert all(row["name"] == file_name(row["pair_id"]) and row["chosen_text"] for row in rows)
    names = {f"{row['name']}.{sound}.wav" for row in rows for sound in SOUNDS}
    assert {path.name for path in folder.iterdir()} == names | {"texts.tsv"}


def test_the_report_shows_every_id_as_it_is(round_: Round) -> None:
    html = Path(write_report(round_)).read_text("utf-8")
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    assert {row["id"].rpartition("-")[0] for row in data["pairs"]} == set(ODD_IDS)
    assert "<!--" not in html  # an id must not open a comment, which would hide the script of the page


def test_nothing_is_written_outside_of_the_run(round_: Round) -> None:
    above = Path(round_.run.uri).parents[1]
    assert [path.name for path in above.iterdir()] == ["deep"]
    assert [path.name for path in (above / "deep").iterdir()] == ["run"]
    assert not list(above.parent.glob("*escaped*"))
