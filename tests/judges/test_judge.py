"""A judge in an environment of its own: another sacrebleu scores candidates, and a failure is never a score."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import sacrebleu

from factory.audit.audit import audit_round
from factory.cli import main
from factory.judges.dataset import judged_dataset, read_judge, read_judges
from factory.judges.environment import JudgeError, find_script, make_environment, read_dependencies
from factory.judges.judge import Judge, judge_round
from factory.judges.runner import split_result
from factory.passes.progress import Clock
from factory.passes.select import make_pairs, select_pairs
from factory.planning.places import Round
from factory.storage.dataset import DatasetDir
from schemas.datasets import PAIR
from tests.toy_run import toy_recipe, toy_run

HEAD = '# /// script\n# dependencies = ["sacrebleu==2.4.3"]\n# ///\n'


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of the environment of the judge chrf, made as a user's is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        made = make_environment(find_script("chrf"))
        assert make_environment(find_script("chrf")) == made
    return made


@pytest.fixture
def round_(tmp_path: Path) -> Round:
    """A finished round whose first utterance has no reference, and whose second one has a candidate without text."""
    return Round(toy_run(tmp_path / "run"), 1, toy_recipe())


def write(path: Path, body: str) -> str:
    """Write the script of a judge; return its path."""
    path.write_text(HEAD + body)
    return str(path)


def test_another_version_of_sacrebleu_judges(python: Path, round_: Round) -> None:
    version = subprocess.run([python, "-c", "import sacrebleu; print(sacrebleu.__version__)"], capture_output=True)
    assert version.stdout.decode().strip() == "2.4.3" != sacrebleu.__version__
    judge = Judge("chrf", compare="reference")
    out = judge_round(round_, judge, python)
    rows, judged = round_.scored.rows().to_pylist(), {row["utt_id"]: row for row in out.rows().to_pylist()}
    for row in rows:
        expected = [sacrebleu.sentence_chrf(one["text"], [row["reference"]]).score / 100 for one in row["candidates"]]
        assert judged[row["utt_id"]]["scores"] == pytest.approx(expected)
        assert judged[row["utt_id"]]["reasons"] == [None, None]
    assert judge_round(round_, judge, Path("/no/python")).manifest() == out.manifest(), "finished scores are kept"


def test_the_command_says_what_could_not_be_judged(
    python: Path, round_: Round, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", "--run", round_.run.uri, "--judge", "chrf", "--python", str(python)]) == 2
    printed = capsys.readouterr()
    assert "has no score of any of 24 candidates (24 times no_reference: chrF compares with a ref" in printed.err
    lines = printed.out.splitlines()
    assert lines[:2] == ["0 of 24 candidates have a score: metric judge:chrf", "  24 have none: no_reference"]
    assert judged_dataset(round_.scored, "chrf").manifest().by_reason == {"no_reference": 12}
    assert read_judges(round_.scored) == []


LENGTH = """
def load(model):
    sign = int(model or 1)
    return lambda rows: [
        "odd: no score" if "</script>" in row["source"] else sign * len(row["candidate"]) / 100 for row in rows
    ]
"""


def test_pairs_and_audit_use_the_scores(python: Path, round_: Round, local_ray: None, tmp_path: Path) -> None:
    judge = Judge(write(tmp_path / "length.py", LENGTH), model="-1")
    judge_round(round_, judge, python)
    assert judge.name == "length--1"
    metric = f"judge:{judge.name}"
    recipe = replace(round_.recipe, select=replace(round_.recipe.select, metric=metric, delta=0.01))
    pairs = DatasetDir(str(tmp_path / "pairs"), PAIR)
    select_pairs(round_.scored, recipe, pairs, Clock(str(tmp_path)))
    made = pairs.rows(status="ok").to_pylist()
    assert made
    for pair in made:
        lengths = [len(pair[f"{side}_text"]) for side in ("chosen", "rejected")]
        assert lengths[0] < lengths[1] and pair["metric"] == metric
        assert pair["margin"] == pytest.approx((lengths[1] - lengths[0]) / 100)
    assert pairs.manifest().inputs["judge"] == judged_dataset(round_.scored, judge.name).manifest().fingerprint
    judge_round(round_, Judge("chrf", compare="reference"), python)
    audit = audit_round(round_)
    assert audit["judges"] == ["bleu", "chrf", "judge:chrf-reference"] and metric in audit["recommended"]
    with pytest.raises(JudgeError, match="read references, which serve measurement alone"):
        by_reference = replace(recipe.select, metric="judge:chrf-reference")
        select_pairs(round_.scored, replace(recipe, select=by_reference), pairs, Clock(str(tmp_path)))


def test_a_candidate_without_text_or_score_is_counted_and_not_compared(
    python: Path, round_: Round, tmp_path: Path
) -> None:
    judge = Judge(write(tmp_path / "length.py", LENGTH), compare="back_translation")
    out = judge_round(round_, judge, python)
    rows = out.rows().to_pylist()
    assert all(row["status"] == "ok" and row["scores"][0] is not None for row in rows)
    assert all((row["scores"][1], row["reasons"][1]) == (None, "odd: no score") for row in rows)
    metric = f"judge:{judge.name}"
    recipe = replace(round_.recipe, select=replace(round_.recipe.select, metric=metric, delta=0.01))
    pairs = make_pairs(round_.scored.rows(), recipe, read_judge(round_.scored, metric).scores).to_pylist()
    assert {pair["reason"] for pair in pairs} == {f"unscored: fewer than two candidates have a {metric}"}


FAILS = """
import pathlib
def load(model):
    seen = pathlib.Path(model)
    def score(rows):
        if seen.exists():
            seen.unlink()
            print("downloading ...")
            raise RuntimeError("the model is broken")
        return [0.5 for row in rows]
    return score
"""


def test_a_failed_judge_gives_its_last_lines_and_goes_on_where_it_stopped(
    python: Path, round_: Round, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("factory.judges.judge.PART_ROWS", 5)
    flag = tmp_path / "broken"
    body = FAILS.replace(
        "if seen.exists():",
        "score.calls = getattr(score, 'calls', 0) + 1\n        if score.calls == 2 and seen.exists():",
    )
    judge = Judge(write(tmp_path / "fails.py", body), model=str(flag))
    flag.touch()
    with pytest.raises(JudgeError, match=r"(?s)ended with exit code 1 before.*downloading.*the model is broken"):
        judge_round(round_, judge, python)
    out = judged_dataset(round_.scored, judge.name)
    assert not out.is_finished() and len(out.done_ids()) == 5
    part = {path: path.stat().st_mtime_ns for path in Path(out.uri).glob("part-*")}
    judge_round(round_, judge, python)
    assert out.is_finished() and len(out.done_ids()) == 12
    assert all(path.stat().st_mtime_ns == at for path, at in part.items())
    assert len(list(Path(out.uri).glob("part-*"))) == 3


@pytest.mark.parametrize(
    "body, message",
    [
        ("def load(model):\n    import os\n    os.kill(os.getpid(), 9)\n", "was killed by signal 9"),
        ("def load(model):\n    return lambda rows: [1.0]\n", "returned 1 results for 24 rows"),
        ("def load(model):\n    import factory\n", "No module named 'factory'"),
    ],
)
def test_a_judge_that_is_wrong_is_an_error(
    python: Path, round_: Round, tmp_path: Path, body: str, message: str
) -> None:
    with pytest.raises(JudgeError, match=message):
        judge_round(round_, Judge(write(tmp_path / "wrong.py", body)), python)
    assert not judged_dataset(round_.scored, "wrong").is_finished()


def test_comet_without_a_model_is_refused_before_anything_is_installed(
    round_: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(JudgeError, match=r"^the judge comet needs a model: --model Unbabel/"):
        judge_round(round_, Judge("comet"))


def test_a_result_is_a_score_or_a_reason() -> None:
    assert split_result(0) == (0.0, None) and split_result("slug: why") == (None, "slug: why")
    assert split_result(" ") == (None, "unjudged: the judge gave an empty text as its reason")
    assert split_result(None) == (None, "unjudged: the judge gave no score")
    assert split_result(float("nan")) == (None, "not_finite: the judge gave nan")


def test_a_script_names_its_packages(tmp_path: Path) -> None:
    assert read_dependencies(find_script("comet")) == ["unbabel-comet==2.2.7", "setuptools<81"]
    (tmp_path / "none.py").write_text("def load(model): ...\n")
    with pytest.raises(JudgeError, match="does not name its packages"):
        read_dependencies(tmp_path / "none.py")
    (tmp_path / "wrong.py").write_text("# /// script\n# dependencies = [\n# ///\n")
    with pytest.raises(JudgeError, match="cannot be read"):
        read_dependencies(tmp_path / "wrong.py")
    with pytest.raises(JudgeError, match="is no file, and none of comet, chrf"):
        find_script("commet")


def test_packages_that_cannot_be_installed_are_an_error_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr("venv.create", lambda folder, with_pip: Path(folder, "bin").mkdir(parents=True))
    script = Path(write(tmp_path / "own.py", ""))
    for _ in range(2):
        monkeypatch.setattr("factory.judges.environment._install", refuse)
        with pytest.raises(JudgeError, match="no network"):
            make_environment(script)
    assert not list(tmp_path.rglob("installed"))


def refuse(*_: object) -> None:
    """Fail as pip does."""
    raise JudgeError("no network")


def test_scores_of_other_candidates_are_refused(round_: Round, python: Path, tmp_path: Path) -> None:
    judge = Judge(write(tmp_path / "length.py", LENGTH))
    out = judge_round(round_, judge, python)
    manifest = Path(out.uri, "_manifest.json")
    found = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(found | {"inputs": {"scored": "other"}}))
    with pytest.raises(JudgeError, match="has no finished scores of"):
        read_judge(round_.scored, f"judge:{judge.name}")
