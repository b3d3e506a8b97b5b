"""The text world: its size, its one-to-one translation, its agreement, and its reproducible split."""

import hashlib
import re
from collections import Counter

import pytest

from assets.build.clause import Sentence
from assets.build.grammar import families, sentences, split, split_station
from assets.build.words import adjectives, described, english, french, nouns, verb

WORLD = sentences()
FRENCH = [s.fr for s in WORLD]
ENGLISH = [s.en for s in WORLD]
SPANISH = [s.es for s in WORLD]
STATION_SIZES = {"test": 500, "mono_fr": 700, "mono_en": 700, "dev": 100, "text": 2_200}
STATION = [sentence for part in split_station(STATION_SIZES, seed=1).values() for sentence in part]
WORLD_HASH = "cedaf61607cec34c0797bd7ee559e9560af91e68ed5a61ef255d90738e9d40de"
STATION_HASH = "d24e31c07dd21b0e58d2b718fbd0d076f338f12b7711cc21bde26c3251908c80"
FIRST_SPLIT = "a8cca0bba7eee54e3a06d1f21b5ee00616cd5c0785484efb7b3528c0c323a808"


def forms(texts: list[str]) -> Counter[str]:
    """How often each word form occurs; words also end at apostrophes."""
    return Counter(word for text in texts for word in re.findall(r"[^\s']+'?", text))


def digest(sets: dict[str, list[Sentence]]) -> str:
    """The sha256 of the French and English sentences of sets: what ships was made from them."""
    texts = {name: [(s.fr, s.en, s.mark) for s in chosen] for name, chosen in sets.items()}
    return hashlib.sha256(repr(texts).encode()).hexdigest()


def test_there_are_enough_distinct_sentences() -> None:
    assert len(WORLD) == len(set(WORLD)) >= 30_000


@pytest.mark.parametrize("texts", [FRENCH, ENGLISH], ids=["fr", "en"])
def test_every_sentence_has_4_to_12_words(texts: list[str]) -> None:
    assert all(4 <= len(text.split(" ")) <= 12 for text in texts)


@pytest.mark.parametrize("texts", [FRENCH, ENGLISH, SPANISH], ids=["fr", "en", "es"])
def test_the_vocabulary_is_rich_and_no_form_is_rare(texts: list[str]) -> None:
    counts = forms(texts)
    assert len(counts) >= 350
    assert min(counts.values()) >= 5


def test_translation_is_one_to_one() -> None:
    assert len(set(FRENCH)) == len(set(ENGLISH)) == len(set(SPANISH)) == len(WORLD)


def test_only_the_agreed_characters_occur() -> None:
    assert all(re.fullmatch(r"[a-zàâçéèêëîïôùû' -]+", s.fr) for s in WORLD)
    assert all(re.fullmatch(r"[a-z' -]+", s.en) for s in WORLD)
    assert all(re.fullmatch(r"[a-zñáéíóú ]+", s.es) for s in WORLD)
    assert {s.mark for s in WORLD} == {".", "?"}


def test_french_elides_and_contracts() -> None:
    vowel = "[aeiouyàâéèêîôh]"
    wrong = re.compile(
        rf"\b(de|à) les?\b(?! {vowel})|(?<!-)\b(le|la|je|ne|de|que) (?!(huit|onze)\b){vowel}"
        rf"|\b(ce|ma|beau|nouveau|vieux) (hôtel|appartement|avion|écharpe|ordinateur)\b|  |' "
    )
    assert [text for text in FRENCH if wrong.search(text)] == []


def test_french_never_elides_before_a_consonant() -> None:
    assert [text for text in FRENCH if re.search(r"\b[ldjnq]u?'[^aeiouyàâéèêîôh]", text)] == []


def test_english_article_agrees_with_the_next_sound() -> None:
    wrong = re.compile(r"\ba (?!one-way)[aeiou]|\ban [^aeiouh]|\ban one-way")
    assert [text for text in ENGLISH if wrong.search(text)] == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("je ai", "j'ai"),
        ("près de le musée", "près du musée"),
        ("près de le hôtel", "près de l'hôtel"),
        ("aller à le port", "aller au port"),
        ("aller à les ports", "aller aux ports"),
        ("à côté de la église", "à côté de l'église"),
        ("le train de onze heures", "le train de onze heures"),
        ("que à rome", "qu'à rome"),
    ],
)
def test_elision_and_contraction(said: str, expected: str) -> None:
    assert french(said) == expected


def test_adjectives_agree_and_take_their_place() -> None:
    [hotel, suitcase] = nouns("hôtel m hotel | hotel m\nvalise f suitcase | maleta f")
    [old, black] = adjectives("vieux/vieil vieille old first | viejo\nnoir noire black | negro")
    old_hotel, black_hotel, old_suitcase, black_suitcase = described([hotel, suitcase], [old, black])
    assert (old_hotel.fr.ce, old_hotel.fr.many, old_hotel.en.one) == ("ce vieil hôtel", "vieux hôtels", "old hotel")
    assert (black_hotel.fr.ce, old_suitcase.fr.mon) == ("cet hôtel noir", "ma vieille valise")
    assert (black_suitcase.fr.many, black_suitcase.en.many) == ("valises noires", "black suitcases")
    assert (old_hotel.es.este, black_suitcase.es.estos) == ("este hotel viejo", "estas maletas negras")


def test_verbs_conjugate() -> None:
    swim = verb("nager", "swim swam swum swimming", "nadar")
    assert [format(swim.fr, key) for key in ("je", "nous", "vous", "ils")] == ["nage", "nageons", "nagez", "nagent"]
    assert [format(swim.fr, f"was {key}") for key in ("je", "nous")] == ["nageais", "nagions"]
    assert format(swim.en, "s") == "swims"


def test_english_articles() -> None:
    assert english("a old map  and a hat") == "an old map and a hat"


@pytest.mark.parametrize(
    ("fr", "en", "es"),
    [
        (
            r"^ma mère est (allée|arrivée|partie|restée)",
            r"^my mother (went|arrived|left|stayed)",
            r"^mi madre (fue|llegó|salió|se quedó)",
        ),
        (
            r"^nous sommes (allés|arrivés|partis|restés)",
            r"^we (went|arrived|left|stayed)",
            r"^(fuimos|llegamos|salimos|nos quedamos)",
        ),
        (r"^mes parents n'ont pas ", r"^my parents did not ", r"^mis padres no \w+(a|ie)ron "),
        (r"^ma tante va (?!à|au)", r"^my aunt is going to ", r"^mi tía va a "),
        (r"^mon père ne \w+ jamais ", r"^my father never \w+s ", r"^mi padre nunca \w+[ae] "),
        (r"^je voudrais ", r"^i would like ", r"^quisiera "),
        (r"^il y a \w+ ans je ", r"^\w+ years ago i ", r"^hace \w+ años \w+(aba|ía) "),
        (r"^ma mère aime ", r"^my mother likes ", r"^a mi madre le gusta "),
    ],
)
def test_tenses_translate_alike(fr: str, en: str, es: str) -> None:
    found = [s for s in WORLD if re.search(fr, s.fr)]
    assert found
    assert [s for s in found if not re.search(en, s.en) or not re.search(es, s.es)] == []


def test_a_split_is_disjoint_in_both_languages() -> None:
    sets = list(split({"train": 5_000, "valid": 500, "test": 500, "more": 10_000}, seed=1).values())
    assert [len(chosen) for chosen in sets] == [5_000, 500, 500, 10_000]
    for side in ("fr", "en", "es"):
        texts = [getattr(s, side) for chosen in sets for s in chosen]
        assert len(texts) == len(set(texts))


def test_a_split_is_reproducible() -> None:
    first = split({"train": 200, "test": 100}, seed=0)
    assert digest(first) == FIRST_SPLIT
    assert split({"train": 200, "test": 100}, seed=1) != first


def test_no_language_changes_the_sentences_that_the_shipped_files_were_made_from() -> None:
    assert digest({"world": WORLD}) == WORLD_HASH
    assert digest(split_station(STATION_SIZES, seed=1)) == STATION_HASH


def test_a_split_is_balanced_over_the_families() -> None:
    family = {s: name for name, found in families().items() for s in found}
    chosen = split({"train": 2_000, "test": 300}, seed=3)
    for found in chosen.values():
        counts = Counter(family[s] for s in found)
        assert len(counts) == len(families())
        assert max(counts.values()) - min(counts.values()) <= 1


def test_a_split_of_more_sentences_than_the_grammar_has_is_refused() -> None:
    with pytest.raises(ValueError, match=f"need {len(WORLD) + 1} sentences, but the grammar has only {len(WORLD)}"):
        split({"train": len(WORLD), "test": 1}, seed=0)


def test_the_station_has_few_words_that_come_often() -> None:
    assert len(STATION) == len({s.fr for s in STATION}) == len({s.en for s in STATION}) == 4_200
    for texts in ([s.fr for s in STATION], [s.en for s in STATION]):
        counts = forms([text.replace("-", " ") for text in texts])
        assert 80 <= len(counts) <= 100 and min(counts.values()) >= 25


def test_the_station_s_numbers_are_the_same_in_both_languages() -> None:
    french_words = "deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize"
    english_words = (
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen"
    )
    tens = {"vingt": 20, "trente": 30, "quarante": 40, "cinquante": 50, "soixante": 60}
    tens |= {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60}
    values = {
        word: value for words in (french_words, english_words) for value, word in enumerate(words.split(), 2)
    } | tens

    def read_numbers(text: str) -> list[int]:
        parts = [word.split("-") for word in text.split()]
        return sorted(sum(values[part] for part in word) for word in parts if set(word) <= values.keys())

    assert read_numbers("dix-sept heures vingt-trois") == read_numbers("seventeen twenty-three") == [17, 23]
    assert [s for s in STATION if not read_numbers(s.fr) or read_numbers(s.fr) != read_numbers(s.en)] == []
