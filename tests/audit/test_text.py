"""The audit as text."""

from __future__ import annotations

from factory.audit.audit import audit
from factory.audit.labels import MAX_UTTERANCES, explain_unmeasured
from factory.audit.result import RoundAudit
from factory.audit.text import render_audit
from schemas.datasets import Row
from tests.audit.rows import judge, rows


def audit_of(found: list[Row], metrics: list[str], transcripts: dict[tuple[str, int], str] | None = None) -> RoundAudit:
    return RoundAudit(**audit(judge(found, transcripts), metrics), select={"metric": metrics[0], "delta": 0.1})


def test_the_text_has_every_part_of_the_audit() -> None:
    found = rows(20, 0)
    found[0]["utt_id"] = "line\nbreak"
    found[0]["candidates"][0]["scores"]["wer"] = 0.9
    lines = render_audit(audit_of(found, ["bleu", "wer"])).splitlines()
    assert lines[0] == "20 utterances with references; labels by bleu, 95 % intervals in brackets"
    assert lines[1] == "  all    by bleu      0.2-0.35: 1.00 [1.00, 1.00] n=20"
    assert lines[2] == "  fr-en  by bleu      0.2-0.35: 1.00 [1.00, 1.00] n=20"
    assert lines[3:5] == [line.replace("bleu", "chrf") for line in lines[1:3]]
    assert lines[5:7] == ["", "  δ         kept   right by bleu, chrf; gain and worth by bleu"]
    gain = "+0.764 [+0.764, +0.764]"
    assert lines[7] == f"  0           20   1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] | {gain} | 20"
    assert lines[15] == "  0.5          0   - | - | - | 0"
    assert lines[16] == ""
    reason = "above 0, 1.00 [1.00, 1.00] of 20 labels are right by the reference, worth 20 error-free labels"
    neighbour = "(at 0.05: 20 labels, 1.00 right, worth 20)"
    assert lines[17] == f"  recommended for bleu: δ = 0: {reason} {neighbour}"
    assert lines[18].startswith("  recommended for wer: no δ: ") or lines[18].startswith(
        "  recommended for wer: δ = 0: "
    )
    assert lines[19:] == ["", "  bleu and wer agree on 19 of 20; they differ on line\\nbreak"]


def test_only_the_rule_of_select_is_shown_by_gap() -> None:
    result = audit_of(rows(1, 0, 0.05), ["bleu"])
    assert sum("0-0.1" in line for line in render_audit(result).splitlines()) == 4
    assert "nothing to compare" in render_audit(audit_of(rows(1, 0, 0.0), ["bleu"]))
    agreeing = render_audit(audit_of(rows(2, 0), ["bleu", "wer"]))
    assert agreeing.endswith("  bleu and wer agree on 2 of 2")
    assert "recommended for bleu: no δ: 2 labels can be checked" in agreeing


def test_a_limited_audit_says_so() -> None:
    result = audit_of(rows(1, 0), ["bleu"])
    result["utterances"] = MAX_UTTERANCES
    assert render_audit(result).startswith("3,000 utterances with references (the most that an audit reads); labels")


def test_an_audit_that_measured_nothing_says_why() -> None:
    assert render_audit(audit_of([], ["bleu"])) == explain_unmeasured(0, False)
    silent = [found | {"candidates": [c | {"text": None} for c in found["candidates"]]} for found in rows(3, 0)]
    assert render_audit(audit_of(silent, ["bleu"])) == explain_unmeasured(3, False)
    transcripts = {(f"right{number}", "en", index): "nine" for number in range(3) for index in (0, 1)}
    assert "by asr_bleu" in render_audit(audit_of(silent, ["bleu"], transcripts))
