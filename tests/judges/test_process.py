"""What a judge can do wrong: each is a sentence that says what is expected, and a corrected judge begins anew."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

import pytest

from factory.judges.dataset import judged_dataset, read_judge_for_pairs
from factory.judges.environment import JudgeError, find_model
from factory.judges.judge import Judge, judge_round
from factory.planning.places import Round
from tests.toy_run import toy_recipe, toy_run

PYTHON = Path(sys.executable)
HEAD = "# /// script\n# dependencies = []\n# ///\n"
HALF = "def load(model):\n    return lambda rows: [0.5 for row in rows]\n"


@pytest.fixture
def round_(tmp_path: Path) -> Round:
    """A finished round with 24 candidates."""
    return Round(toy_run(tmp_path / "run"), 1, toy_recipe())


def write(folder: Path, body: str) -> Judge:
    """Write the script of the judge `own`."""
    (folder / "own.py").write_text(HEAD + body)
    return Judge(str(folder / "own.py"))


def test_a_model_in_a_relative_folder_is_found(round_: Round, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models/kiwi").mkdir(parents=True)
    (tmp_path / "models/kiwi/score").write_text("0.25")
    monkeypatch.chdir(tmp_path)
    body = "def load(model):\n    score = float(open(model + '/score').read())\n"
    body += "    return lambda rows: [score] * len(rows)\n"
    judge = write(tmp_path, body)._replace(model="models/kiwi")
    assert judge_round(round_, judge, PYTHON).rows(["scores"]).to_pylist()[0] == {"scores": [0.25, 0.25]}
    assert judge.name == "own-kiwi" and find_model("") == "" and find_model("Unbabel/kiwi") == "Unbabel/kiwi"


def test_a_python_that_cannot_be_used_is_one_sentence(round_: Round, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare")
    wrong = {"none": "No such file", ".": "Permission denied", "bare/bin/python": "has no pyarrow"}
    for python, sentence in wrong.items():
        with pytest.raises(JudgeError, match=sentence) as raised:
            judge_round(round_, write(tmp_path, HALF), tmp_path / python)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "body, sentence",
    [
        ("", "has no function load: expected def load"),
        ("load = 1\n", "has no function load: expected def load"),
        ("def load(model): ...\n", "returned NoneType: expected a function that gets rows"),
        ("def load(model):\n    return lambda rows: {'scores': 1}\n", "returned dict: expected a list with a number"),
        ("def load(model):\n    return lambda rows: 'no'\n", "returned str: expected a list with a number"),
        ("def load(model):\n    return lambda rows: 0.5\n", "returned float: expected a list with a number"),
        (
            "def load(model):\n    return lambda rows: [[1]] * len(rows)\n",
            r"\[1\] for a row: expected a number",
        ),
    ],
)
def test_results_that_mean_nothing_are_one_sentence(round_: Round, tmp_path: Path, body: str, sentence: str) -> None:
    with pytest.raises(JudgeError, match=sentence) as raised:
        judge_round(round_, write(tmp_path, body), PYTHON)
    assert "\n" not in str(raised.value) and not judged_dataset(round_.scored, "own").parts()


def test_no_pair_is_made_by_a_judge_without_scores(round_: Round, tmp_path: Path) -> None:
    body = "def load(model):\n    return lambda rows: [float('nan')] * (len(rows) - 1) + ['slug: why']\n"
    out = judge_round(round_, write(tmp_path, body), PYTHON)
    with pytest.raises(JudgeError, match=r"any of 24 candidates \(23 times not_finite: the judge gave nan\): delete"):
        read_judge_for_pairs(round_.scored, "judge:own")
    assert out.rows().num_rows == 12, "rows and reasons are kept"


def test_a_corrected_script_begins_anew_and_another_one_does_not_mix(round_: Round, tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="ended with exit code 1"):
        judge_round(round_, write(tmp_path, "def load(model):\n    raise ValueError\n"), PYTHON)
    assert judge_round(round_, write(tmp_path, HALF), PYTHON).manifest().attempts == 1
    changed = write(tmp_path, HALF + "# changed\n")
    folder = judged_dataset(round_.scored, "own").uri
    with pytest.raises(JudgeError, match=f"changed: the script. Delete {folder} to .* the script another name$"):
        judge_round(round_, changed, PYTHON)
