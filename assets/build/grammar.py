"""The grammar of the text world: aligned French and English sentences of travel and everyday talk.

A family is a list of clauses about one topic. Sentences are taken from the families in turns, so that no family
dominates a sample.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain, zip_longest

from .clause import Clause, Sentence
from .doings import COURTESY, HABITS, MEMORIES, PAST, PLANS
from .everyday import HEALTH, PEOPLE_TALK, WEATHER
from .station import STATION
from .town import HOURS, LUGGAGE, SHOPPING
from .travel import DIRECTIONS, HOTEL, RESTAURANT, TRANSPORT

FAMILIES: dict[str, list[Clause]] = {
    "hotel": HOTEL,
    "restaurant": RESTAURANT,
    "directions": DIRECTIONS,
    "transport": TRANSPORT,
    "shopping": SHOPPING,
    "luggage": LUGGAGE,
    "hours": HOURS,
    "weather": WEATHER,
    "health": HEALTH,
    "people": PEOPLE_TALK,
    "past": PAST,
    "plans": PLANS,
    "memories": MEMORIES,
    "habits": HABITS,
    "courtesy": COURTESY,
}


@cache
def families() -> dict[str, tuple[Sentence, ...]]:
    """Return the sentences of each family; each French sentence has one English translation, and vice versa."""
    made = {name: dict.fromkeys(chain.from_iterable(c.sentences() for c in cs)) for name, cs in FAMILIES.items()}
    every = set(chain.from_iterable(made.values()))
    fr, en = Counter(s.fr for s in every), Counter(s.en for s in every)
    return {name: tuple(s for s in found if fr[s.fr] == en[s.en] == 1) for name, found in made.items()}


def sentences() -> list[Sentence]:
    """Return all distinct sentences of the world, in the same order on every machine."""
    return list(chain.from_iterable(families().values()))


def split(sizes: dict[str, int], seed: int) -> dict[str, list[Sentence]]:
    """Return disjoint sets of sentences of the phrasebook, sampled evenly over its families; see `deal`."""
    return deal(families().values(), sizes, seed)


def split_station(sizes: dict[str, int], seed: int) -> dict[str, list[Sentence]]:
    """Return disjoint sets of sentences of the station, sampled evenly over its clauses; see `deal`."""
    return deal([clause.sentences() for clause in STATION], sizes, seed)


def deal(groups: Iterable[Sequence[Sentence]], sizes: dict[str, int], seed: int) -> dict[str, list[Sentence]]:
    """Return disjoint sets of sentences, sampled evenly over groups and uniformly within each group.

    The first sentences of a set are balanced too, until a group has no sentences left.

    Args:
        groups: sentences that belong together.
        sizes: sentences of each set.
        seed: of the sampling.

    Raises:
        ValueError: the groups have fewer sentences than the sets need.
    """
    rng = random.Random(seed)
    piles = [rng.sample(group, len(group)) for group in groups]
    dealt = [s for round_ in zip_longest(*piles) for s in round_ if s is not None]
    if sum(sizes.values()) > len(dealt):
        raise ValueError(f"the sets need {sum(sizes.values())} sentences, but the grammar has only {len(dealt)}")
    cards = iter(dealt)
    return {name: [next(cards) for _ in range(size)] for name, size in sizes.items()}
