"""Which texts of an utterance are worth speaking."""

from __future__ import annotations

from factory.actors.sampled_texts import extremes

SOURCE = "the train to Lyon leaves at seven"


def test_the_best_and_the_worst_by_each_metric_are_found() -> None:
    backs = {0: "the train leaves", 1: SOURCE, 2: "where is the bank", 3: "the train to Lyon leaves at eight", 4: ""}
    assert extremes(backs, SOURCE, "en", ["bleu"]) == {1, 4}
    assert extremes(backs, SOURCE, "en", ["bleu", "chrf", "meteor", "wer"]) == {1, 4}, (
        "of a text that never comes back all are the worst"
    )


def test_of_equals_the_first_is_best_and_the_last_is_worst() -> None:
    assert extremes({0: SOURCE, 1: "no", 2: SOURCE, 3: "no"}, SOURCE, "en", ["wer"]) == {0, 3}
    assert extremes({5: SOURCE, 7: SOURCE}, SOURCE, "en", ["bleu"]) == {5, 7}
    assert extremes({5: SOURCE}, SOURCE, "en", ["bleu"]) == {5}


def test_nothing_gives_nothing() -> None:
    assert extremes({}, SOURCE, "en", ["bleu"]) == set()
