"""Texts that are sampled before their units: shared ones, and those that are worth speaking."""

from __future__ import annotations

from factory.actors.sampled_texts import SampledTexts, find_extremes
from factory.models.engine import Output

SOURCE = "the train to Lyon leaves at seven"


def test_candidates_of_a_row_with_one_text_share_a_leader() -> None:
    texts: SampledTexts[str] = SampledTexts()
    sampled = [("a", 0, "yes"), ("b", 0, "no"), ("c", 0, "yes"), ("d", 1, "yes")]
    is_first = [texts.add(row, key, Output(text, "stop", -1.0, 2)) for key, row, text in sampled]
    assert is_first == [True, True, False, True], "another row has its own first"
    assert texts.leaders == {"a": "a", "b": "b", "c": "a", "d": "d"}
    assert texts.outputs.keys() == {"a", "b", "c", "d"}


def test_a_text_and_its_units_become_one_output() -> None:
    texts: SampledTexts[str] = SampledTexts()
    texts.add(0, "a", Output("yes<|sosp|>", "stop", -1.5, 3))
    joined = texts.join("a", Output("<|u1|><|eosp|>", "length", -0.25, 2))
    assert joined == Output("yes<|sosp|><|u1|><|eosp|>", "length", -1.75, 5)
    assert texts.outputs == {"a": joined}


def test_the_best_and_the_worst_by_each_metric_are_found() -> None:
    texts = {0: "the train leaves", 1: SOURCE, 2: "where is the bank", 3: "the train to Lyon leaves at eight", 4: ""}
    assert find_extremes(texts, SOURCE, "en", ["bleu"], {}) == {1, 4}
    assert find_extremes(texts, SOURCE, "en", ["bleu", "chrf", "meteor", "wer"], {}) == {1, 4}


def test_each_metric_adds_its_own_extremes() -> None:
    texts = {0: "the train to Lyon leaves at eight", 1: "seven at leaves Lyon to train the", 2: "", 3: "at " * 20}
    by_metric = {name: find_extremes(texts, SOURCE, "en", [name], {}) for name in ("chrf", "wer")}
    assert by_metric == {"chrf": {0, 2}, "wer": {0, 3}}
    assert find_extremes(texts, SOURCE, "en", by_metric, {}) == {0, 2, 3}


def test_of_equal_texts_the_first_is_best_and_the_last_is_worst() -> None:
    assert find_extremes({0: SOURCE, 1: "no", 2: SOURCE, 3: "no"}, SOURCE, "en", ["wer"], {}) == {0, 3}
    assert find_extremes({5: SOURCE, 7: SOURCE, 9: SOURCE}, SOURCE, "en", ["bleu"], {}) == {5, 9}
    assert find_extremes({5: SOURCE}, SOURCE, "en", ["bleu"], {}) == {5}


def test_the_policys_own_score_has_extremes_too() -> None:
    texts, own = {0: SOURCE, 1: "the train", 2: "", 3: "no"}, {1: -0.5, 2: -3.0, 3: -0.25}
    assert find_extremes(texts, SOURCE, "en", ["reconstruction"], own) == {2, 3}, "0 has no score"
    assert find_extremes(texts, SOURCE, "en", ["chrf", "reconstruction"], own) == {0, 2, 3}
    assert find_extremes(texts, SOURCE, "en", ["reconstruction"], {}) == set()


def test_no_text_has_no_extreme() -> None:
    assert find_extremes({}, SOURCE, "en", ["bleu"], {}) == set()
