"""The table that a round prints at its end."""

from __future__ import annotations

from factory.report.summary_types import LabelBin, Score, Summary, Topline
from factory.report.table import render_summary, scores_by_direction

SCORE = Score(
    signature="sig",
    utterances=6,
    before=10.0,
    after=12.5,
    ci=[11.0, 13.0],
    difference=2.5,
    difference_ci=[-1.0, 4.0],
    p=0.01,
)
FIRST = Score(signature="sig", utterances=6, before=None, after=12.5, ci=[11.0, 13.0])
TOPLINE = Topline(asr_bleu={"score": 50.126, "ci": [40.0, 60.0]}, wer={"score": 0.1234, "ci": [0.0, 1.0]}, mos=None)


def label_bin(gap: list[float | None], n: int) -> LabelBin:
    accuracy = {"accuracy": 0.75 if n else None, "ci": None, "gain": None, "gain_ci": None}
    return LabelBin(metric="bleu", judge="chrf", gap=gap, n=n, ties=0, **accuracy)  # type: ignore[typeddict-item]


def summary() -> Summary:
    return {
        "verdict": "The round gained +2.50 BLEU in fr-en.",
        "round": 2,
        "recipe": "phrasebook",
        "rows": {"ok": 1200, "skipped": 3, "failed": 0},
        "pairs": {"fr-en": 400, "en-fr": 500},
        "label_accuracy": {"bleu": [], "chrf": [label_bin([0.0, 0.1], 0), label_bin([0.75, None], 9)]},
        "unmeasured": None,
        "s2t_bleu": {"fr-en": SCORE, "en-fr": None},
        "s2t_chrf": {"fr-en": None, "en-fr": None},
        "asr_bleu": {"fr-en": FIRST, "en-fr": None},
        "cascade_bleu": {"fr-en": SCORE, "en-fr": None},
        "round_trip": {"fr-en": None, "en-fr": SCORE},
        "mos": {"fr-en": {"before": None, "after": 2.0}, "en-fr": {"before": None, "after": None}},
        "well_formed": {"fr-en": {"before": 1.0, "after": 0.5}, "en-fr": {"before": 0.25, "after": None}},
        "tripwire": ["it looks like reward hacking"],
        "toplines": {"fr": {"utterances": 6, "audio": TOPLINE, "resynthesised": TOPLINE}, "en": {"utterances": 2}},
        "untested": ["en-fr has no score"],
        "failures": {"pairs": [{"status": "skipped", "reason": "tie", "count": 1234, "ids": list("abcde\nf")}]},
        "wall_s": {"produce": 12.0, "train": 1234.5},
        "peak_rss_mb": 1000,
    }


EXPECTED = """
Round 2 of phrasebook

  The round gained +2.50 BLEU in fr-en.

  utterances   ok 1,200, skipped 3, failed 0
  pairs        fr-en 400, en-fr 500
  label right  by chrf against the reference, by gap in bleu: 0.75 and more: 0.75 (n=9)

                       before   after   95 % interval     difference (95 % interval)
  S2T BLEU    fr-en     10.00   12.50   [11.00, 13.00]    +2.50 [-1.00, +4.00]  n=6
  ASR-BLEU    fr-en         -   12.50   [11.00, 13.00]      n=6
  cascade     fr-en     10.00   12.50   [11.00, 13.00]    +2.50 [-1.00, +4.00]  n=6
  round trip  en-fr     10.00   12.50   [11.00, 13.00]    +2.50 [-1.00, +4.00]  n=6
  DistilMOS   fr-en         -    2.00
  well-formed fr-en      1.00    0.50
  well-formed en-fr      0.25       -
  note         en-fr has no score

  topline     lang   ASR-BLEU      WER      MOS
  audio         fr     50.13    0.123        -   n=6
  resynthesised fr     50.13    0.123        -   n=6
  pairs        skipped tie: 1,234 (first: a, b, c, d, e)
  show them    roundtrip rows uri/pairs --status skipped (or failed; or another dataset of the round)

  !!! TRIPWIRE !!! it looks like reward hacking

  seconds      produce 12.0, train 1,234.5; peak memory 1,000 MB
  summary      uri/summary.json
  samples      uri/samples/*.wav (described in texts.tsv)"""


def test_the_table_has_every_part_of_the_summary() -> None:
    assert render_summary(summary(), "uri") == EXPECTED


def test_labels_that_could_not_be_measured_have_a_note() -> None:
    unmeasured = summary()
    unmeasured["unmeasured"] = "labels could not be measured"
    assert "  note         labels could not be measured\n" in render_summary(unmeasured, "uri")


def test_shares_of_the_speech_follow_the_scores() -> None:
    spoken = summary()
    spoken["slc_02"], spoken["spoken_language"] = {"fr-en": SCORE, "en-fr": None}, {"en-fr": FIRST}
    lines = render_summary(spoken, "uri").splitlines()
    assert lines[14:16] == [
        "  SLC 0.2     fr-en     10.00   12.50   [11.00, 13.00]    +2.50 [-1.00, +4.00]  n=6",
        "  spoken lang en-fr         -   12.50   [11.00, 13.00]      n=6",
    ]


def test_measures_of_the_speech_are_shown_where_they_were_made() -> None:
    measured = summary()
    measured["dnsmos"] = {"fr-en": {"before": 3.25, "after": 3.5}, "en-fr": {"before": None, "after": None}}
    measured["speaker_similarity"] = {"fr-en": {"before": None, "after": 0.824}}
    measured["unmeasured_speech"] = {"fr-en": {"speaker_similarity: not_recorded": 1200}, "en-fr": {}}
    lines = render_summary(measured, "uri").splitlines()
    shown = [line for line in lines if line not in EXPECTED.splitlines()]
    assert shown == [
        "  DNSMOS      fr-en      3.25    3.50",
        "  speaker sim fr-en         -    0.82",
        "  note         fr-en: 1,200 spoken translations have no speaker_similarity (not_recorded)",
    ]


def test_pairs_with_a_malformed_back_translation_follow_the_pairs() -> None:
    counted = summary()
    counted["malformed"] = {"pairs": 2, "chosen": 0, "rejected": 2, "of": 900}
    line = "  malformed    2 of 900 pairs have a malformed back-translation (0 chosen, 2 rejected), scored as worst\n"
    assert f"en-fr 500\n{line}" in render_summary(counted, "uri")


def test_round_0_has_no_rows_and_no_pairs() -> None:
    first = summary()
    for key in ("rows", "pairs", "label_accuracy", "unmeasured"):
        del first[key]  # type: ignore[misc]
    first["failures"] = {"evaluation": []}
    text = render_summary(first, "uri")
    assert "utterances " not in text and "label right" not in text and "show them" not in text


def test_a_direction_without_a_score_is_left_out() -> None:
    assert scores_by_direction(summary(), "s2t_bleu") == {"fr-en": SCORE}
    assert scores_by_direction(summary(), "s2t_chrf") == {}
