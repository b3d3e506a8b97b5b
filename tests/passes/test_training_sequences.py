"""What round 0 is trained on: every pair for every task it can serve, parallel text for translation of text alone."""

from __future__ import annotations

import pytest

from factory.passes.sequences import sequences
from factory.recipe.loading import load

SPOKEN = {
    "pair_id": "a",
    "src_lang": "fr",
    "src_text": "bonjour",
    "src_units": [1, 2],
    "tgt_lang": "en",
    "tgt_text": "hello",
    "tgt_units": [3, 4],
}
TEXT = SPOKEN | {"src_units": None, "tgt_units": None}


def test_a_pair_is_written_for_every_task() -> None:
    written = list(sequences(SPOKEN, {"com": 1.0, "asr": 1.0, "mt": 1.0}))
    assert written == [
        {
            "sequence_id": "com-a",
            "task": "com",
            "prompt": "<|com|><|fr|><|en|><|sosp|><|u1|><|u2|><|eosp|>",
            "completion": "hello<|sosp|><|u3|><|u4|><|eosp|>",
        },
        {
            "sequence_id": "asr-a",
            "task": "asr",
            "prompt": "<|asr|><|fr|><|fr|><|sosp|><|u1|><|u2|><|eosp|>",
            "completion": "bonjour",
        },
        {"sequence_id": "mt-a", "task": "mt", "prompt": "<|mt|><|fr|><|en|>bonjour<|sep|>", "completion": "hello"},
    ]


def test_a_chain_of_thought_can_be_learned() -> None:
    _, thought = sequences(SPOKEN, load(None, ["policy.tasks={com: 1.0, cot: 1.0}"]).policy.tasks)
    assert thought["completion"] == "bonjour<|sep|>hello<|sosp|><|u3|><|u4|><|eosp|>"


def test_parallel_text_is_written_for_translation_of_text_alone() -> None:
    assert [row["task"] for row in sequences(TEXT, {"com": 1.0, "asr": 1.0, "mt": 1.0})] == ["mt"]
    assert list(sequences(TEXT, {"com": 1.0})) == []


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_is_drawn_by_the_pairs_id(share: float) -> None:
    rows = [SPOKEN | {"pair_id": str(number)} for number in range(400)]
    drawn = [row["pair_id"] for row in rows if list(sequences(row, {"com": share}))]
    assert abs(len(drawn) - 400 * share) < 60
    assert drawn == [row["pair_id"] for row in rows if list(sequences(row, {"com": share}))]
