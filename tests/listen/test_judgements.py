"""A judgement is saved at once, and of several on one utterance the last one counts."""

from __future__ import annotations

from pathlib import Path

from factory.listen.judgements import (
    JUDGEMENT,
    Judgement,
    Verdict,
    read_judgement_table,
    read_judgements,
    save_judgement,
)
from factory.planning.places import Round, Run
from tests.toy_run import toy_recipe


def judge(rater: str, utt_id: str, verdict: Verdict, tgt_lang: str = "en") -> Judgement:
    """Return a judgement of two candidates."""
    return {
        "rater": rater,
        "utt_id": utt_id,
        "src_lang": "fr",
        "tgt_lang": tgt_lang,
        "verdict": verdict,
        "a_index": 3,
        "b_index": 0,
        "a_text": "yes",
        "b_text": None,
        "a_scores": {"bleu": 0.5, "mcd": None},
        "b_scores": {"bleu": 0.25, "mcd": None},
        "chosen_by": "random",
        "seconds": 1.5,
    }


def test_a_judgement_is_read_as_it_was_saved(tmp_path: Path) -> None:
    round_ = Round(Run(str(tmp_path)), 1, toy_recipe())
    assert read_judgements(round_) == [] and read_judgement_table(round_).schema == JUDGEMENT
    save_judgement(round_, judge("r", "u", "a"))
    [saved] = read_judgement_table(round_).to_pylist()
    assert saved.pop("at").endswith("+00:00")
    expected = judge("r", "u", "a")
    for side in ("a_scores", "b_scores"):
        assert {name: score for name, score in saved.pop(side).items() if score is not None} == {
            "bleu": expected.pop(side)["bleu"]  # type: ignore[misc]
        }
    assert saved == expected


def test_the_last_judgement_of_a_rater_on_an_utterance_counts(tmp_path: Path) -> None:
    round_ = Round(Run(str(tmp_path)), 1, toy_recipe())
    for judgement in (
        judge("r", "u", "a"),
        judge("other", "u", "same"),
        judge("r", "u", "b"),
        judge("r", "u", "same", tgt_lang="fr"),
    ):
        save_judgement(round_, judgement)
    verdicts = {(row["rater"], row["tgt_lang"]): row["verdict"] for row in read_judgements(round_)}
    assert verdicts == {("r", "en"): "b", ("other", "en"): "same", ("r", "fr"): "same"}
    assert len(list((tmp_path / "round-1/judgements").iterdir())) == 4
