"""Which utterances of a corpus a round uses: chosen by id and language, before any audio is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from factory.corpora.base import Kind
from factory.corpora.corpus import Speech
from factory.passes.references import find_partner
from factory.recipe.directions import Direction
from factory.recipe.recipe import Recipe


def group_ids(utterances: Iterable[tuple[str, str]], recipe: Recipe) -> dict[str, list[str]]:
    """Return the ids of utterances that are translated, by the directions that they share.

    Args:
        utterances: id and language of each.
        recipe: the experiment.
    """
    groups: dict[str, list[str]] = {}
    for utt_id, lang in utterances:
        if directions := recipe.used_directions.of_utterance(utt_id, lang):
            groups.setdefault(" ".join(directions), []).append(utt_id)
    return groups


def choose_ids(groups: Mapping[str, Sequence[str]], number: int, recipe: Recipe, sources: int) -> Iterator[str]:
    """Yield the ids that a round makes pairs from: `corpus.limit` of each group, the same number from each source.

    With `rounds.fresh` every round takes other utterances until none are left. From ids that were chosen so for this
    round, all are taken.

    Args:
        groups: the ids of one source (`group_ids`).
        number: the number of the round.
        recipe: the experiment.
        sources: the number of sources.
    """
    limit = recipe.corpus.limit
    share = None if limit is None else max(1, limit // sources)
    for ids in groups.values():
        yield from _take_turn(sorted(ids), recipe.turn(number), share)


def _take_turn(ids: list[str], turn: int, limit: int | None) -> list[str]:
    if limit is None or limit >= len(ids):
        return ids
    start = (turn - 1) * limit % len(ids)
    return (ids + ids)[start : start + limit]


def choose_sources(speech: Speech, number: int, recipe: Recipe) -> Speech:
    """Return the utterances of `corpus.mono` that a round makes pairs from (`choose_ids`)."""
    if recipe.corpus.limit is None and set(recipe.used_directions.sources) == set(recipe.languages):
        return speech
    langs = (kind.lang for kind in speech.kinds)
    groups = group_ids(zip(speech.ids, langs, strict=True), recipe)
    return speech.take(set(choose_ids(groups, number, recipe, 2 if recipe.corpus.source == "both" else 1)))


def choose_tested(speech: Speech, recipe: Recipe) -> Speech:
    """Return the utterances of `corpus.test` that policies are evaluated on.

    They are the first `recipe.test_utterances` of each direction, by id, with the partners that their references come
    from, and `evaluate.asr_utterances` of each language that is only a target, for its toplines. Those without a
    reference are counted last: they are chosen only if there are no others, so that the round can say what is missing.
    """
    kinds = dict(zip(speech.ids, speech.kinds, strict=True))
    chosen: set[str] = set()
    for direction in recipe.used_directions:
        ranked = sorted(
            (not _has_reference(utt_id, direction, kinds, recipe), utt_id)
            for utt_id, kind in kinds.items()
            if direction in recipe.used_directions.of_utterance(utt_id, kind.lang)
        )
        first = [utt_id for _, utt_id in ranked[: recipe.test_utterances]]
        partners = (find_partner(utt_id, direction, recipe) for utt_id in first)
        chosen |= {*first, *(partner for partner in partners if partner in kinds)}
    for lang in set(recipe.used_directions.targets).difference(recipe.used_directions.sources):
        in_lang = sorted(utt_id for utt_id, kind in kinds.items() if kind.lang == lang)
        partners_first = sorted(in_lang, key=lambda utt_id: utt_id not in chosen)
        chosen |= set(partners_first[: recipe.evaluate.asr_utterances])
    return speech.take(chosen) if chosen else speech


def _has_reference(utt_id: str, direction: Direction, kinds: Mapping[str, Kind], recipe: Recipe) -> bool:
    """Return True if an utterance has a reference for a direction: its own, or the text of its partner."""
    partner = kinds.get(find_partner(utt_id, direction, recipe) or "")
    owns = recipe.used_directions.owns_reference(utt_id, direction)
    return (owns and kinds[utt_id].has_reference) or (partner is not None and partner.has_text)
