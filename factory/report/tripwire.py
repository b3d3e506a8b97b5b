"""The tripwire against reward hacking: translations that come back better and better while the reference says they get worse."""

from __future__ import annotations

from schemas.datasets import Row

REFERENCES = {"s2t_bleu": "S2T BLEU", "asr_bleu": "ASR-BLEU"}


def tripped(scores: Row) -> list[str]:
    """Return a sentence for each direction in which the round-trip score rises and a score against references falls.

    At least one of the two changes has to be certain (its 95 % interval leaves 0 out): two small changes of opposite sign are chance.
    """
    told = []
    for direction, trip in scores["round_trip"].items():
        for name, label in REFERENCES.items():
            reference = scores[name][direction]
            if _against(trip, reference):
                told.append(
                    f"{direction}: the round trip rises by {trip['difference']:.2f} BLEU while {label} falls by "
                    f"{-reference['difference']:.2f}: the policy learns to come back, not to translate"
                )
    return told


def _against(trip: Row | None, reference: Row | None) -> bool:
    if not trip or not reference or "difference" not in trip or "difference" not in reference:
        return False
    certain = trip["difference_ci"][0] > 0 or reference["difference_ci"][1] < 0
    return trip["difference"] > 0 > reference["difference"] and certain
