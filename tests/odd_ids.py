"""Utterance ids that are hard to use as file names, in tables and in HTML."""

from __future__ import annotations

from tests.toy_run import BACK

ODD_IDS = [
    "fr/clips/a",
    "../../../escaped",
    "y" * 294,  # this one and the next are in the split test
    "tab\there53",
    "e\u0301te\u0301",  # NFD
    "\u00e9t\u00e9",  # the same in NFC
    "😀 smile",
    "a|b",
    "new\nline",
    "carriage\rreturn",
    "a \"quoted\" 'id'",
    "line\u2028separator",
    "A",
    "a",
    "con",
    "<!--<script>",
    "comma,semi;colon",
    " spaces ",
]


def make_ids() -> list[str]:
    """Return ids for `toy_run` with which every odd id has a pair; the utterances between them have no pair."""
    ids: list[str] = []
    for odd in ODD_IDS:
        while abs(BACK[len(ids) % len(BACK)][0] - BACK[len(ids) % len(BACK)][1]) < 0.2:
            ids.append(f"no-pair-{len(ids)}")
        ids.append(odd)
    return ids
