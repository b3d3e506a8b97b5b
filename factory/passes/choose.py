"""Which utterances of a corpus a round uses: chosen by id and language, before any audio is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from factory.corpora.corpus import Speech
from factory.recipe.recipe import Recipe


def choose_ids(ids: Mapping[str, Sequence[str]], number: int, recipe: Recipe, sources: int) -> Iterator[str]:
    """Yield the ids that a round makes pairs from: `corpus.limit` of each language, the same number from each source.

    With `rounds.fresh` every round takes other utterances until none are left. From ids that were chosen so for this
    round, all are taken.

    Args:
        ids: the ids of one source by language.
        number: the number of the round.
        recipe: the experiment.
        sources: the number of sources.
    """
    limit = recipe.corpus.limit
    share = None if limit is None else max(1, limit // sources)
    for lang in recipe.languages:
        yield from _take_turn(sorted(ids.get(lang, [])), recipe.turn(number), share)


def _take_turn(ids: list[str], turn: int, limit: int | None) -> list[str]:
    if limit is None or limit >= len(ids):
        return ids
    start = (turn - 1) * limit % len(ids)
    return (ids + ids)[start : start + limit]


def choose_sources(speech: Speech, number: int, recipe: Recipe) -> Speech:
    """Return the utterances of `corpus.mono` that a round makes pairs from (`choose_ids`)."""
    if recipe.corpus.limit is None:
        return speech
    by_language: dict[str, list[str]] = {}
    for utt_id, kind in zip(speech.ids, speech.kinds, strict=True):
        by_language.setdefault(kind.lang, []).append(utt_id)
    return speech.take(set(choose_ids(by_language, number, recipe, 2 if recipe.corpus.source == "both" else 1)))


def choose_tested(speech: Speech, recipe: Recipe) -> Speech:
    """Return the utterances of `corpus.test` that policies are evaluated on.

    They are the first `recipe.test_utterances` of each language, by id. Those without a reference are counted last:
    they are chosen only if there are no others, so that the round can say what is missing.
    """
    chosen: set[str] = set()
    for lang in recipe.languages:
        ranked = sorted(
            (not kind.has_reference, utt_id)
            for utt_id, kind in zip(speech.ids, speech.kinds, strict=True)
            if kind.lang == lang
        )
        chosen |= {utt_id for _, utt_id in ranked[: recipe.test_utterances]}
    return speech.take(chosen) if chosen else speech
