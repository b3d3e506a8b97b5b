"""Spanish in the text world: its agreement, its verbs, and what it contracts."""

import re

import pytest

from assets.build.grammar import sentences
from assets.build.people import CLOCK
from assets.build.spanish import spanish, spanish_plural
from assets.build.words import adjectives, person, verb

WORLD = sentences()
SPANISH = [s.es for s in WORLD]


def test_a_spanish_sentence_has_3_to_13_words() -> None:
    """French and English decide which sentences the world has, and Spanish leaves out pronouns."""
    assert {len(text.split(" ")) for text in SPANISH} == set(range(3, 14))


def test_spanish_contracts_and_its_articles_agree() -> None:
    masculine = "museo|hotel|banco|mercado|aeropuerto|parque|castillo|teatro|puerto|estadio|tren|bolso|reloj|paraguas"
    feminine = "estación|farmacia|iglesia|playa|biblioteca|piscina|maleta|llave|bufanda|habitación|torre|clase"
    wrong = re.compile(
        rf"\b(de|a) el\b|\by h?i[^e]|\bo h?o|  |\b(la|una|esta) ({masculine})\b|\b(el|un|este) ({feminine})\b"
        rf"|\b(las|estas|nuestras) ({masculine})\w*\b|\b(los|estos|nuestros) ({feminine})\w*\b"
    )
    assert [text for text in SPANISH if wrong.search(text)] == []


def test_spanish_adjectives_agree_with_their_nouns() -> None:
    stems = "roj|negr|blanc|amarill|pequeñ|viej|nuev|bonit"
    nouns = "abrigo|sombrero|vestido|bolso|libro|anillo|billete|camisa|falda|chaqueta|bufanda|maleta|toalla"
    found = {m.groups() for text in SPANISH for m in re.finditer(rf"\b({nouns})(s?) (?:{stems})([ao])(s?)\b", text)}
    assert len(found) >= 20
    assert [one for one in found if one[1] != one[3] or one[2] != {"e": "o"}.get(one[0][-1], one[0][-1])] == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("cerca de el museo", "cerca del museo"),
        ("voy a el puerto", "voy al puerto"),
        ("francés y italiano", "francés e italiano"),
        ("siete o ocho", "siete u ocho"),
        ("agua y hielo", "agua y hielo"),
        ("al lado de  la iglesia ", "al lado de la iglesia"),
    ],
)
def test_spanish_contraction(said: str, expected: str) -> None:
    assert spanish(said) == expected


def test_spanish_plurals() -> None:
    words = "falda avión feliz paraguas autobús café inglés azul jardín"
    expected = "faldas aviones felices paraguas autobuses cafés ingleses azules jardines"
    assert [spanish_plural(word) for word in words.split()] == expected.split()


def test_spanish_states_take_estar_and_qualities_ser() -> None:
    [open_, modern] = adjectives("ouvert ouverte open | abierto//estar\nmoderne moderne modern | moderno")
    assert (open_.es.es, open_.es.son, open_.es.era) == ("está", "están", "estaba")
    assert (modern.es.es, modern.es.son, modern.es.era) == ("es", "son", "era")


def test_a_spanish_subject_is_named_only_where_it_is_no_pronoun() -> None:
    we, parents = (person("nous", "nous", "mp", "we", "").es, person("x", "ils", "mp", "x", "mis padres").es)
    assert (f"{we}", we.le, we.se, f"{parents}", parents.le) == ("", "nos", "nos", "mis padres", "a mis padres les")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ("nadar", "nadar nado nadamos nadé nadaron nadaba nadábamos"),
        ("comer", "comer como comemos comí comieron comía comíamos"),
        ("vivir", "vivir vivo vivimos viví vivieron vivía vivíamos"),
        ("llegar", "llegar llego llegamos llegué llegaron llegaba llegábamos"),
        ("buscar", "buscar busco buscamos busqué buscaron buscaba buscábamos"),
        ("ver veo ve vemos ven vi vio vimos vieron visto", "ver veo vemos vi vieron veía veíamos"),
    ],
)
def test_spanish_verbs_conjugate(parts: str, expected: str) -> None:
    do = verb("nager", "swim swam swum swimming", parts).es
    forms = ("", "yo", "nosotros", "did yo", "did ellos", "was yo", "was nosotros")
    assert [format(do, form) for form in forms] == expected.split()


def test_a_reflexive_verb_takes_the_pronoun_of_its_subject() -> None:
    stay = verb("rester", "stay stayed stayed staying", "quedarse").es
    assert [f"{stay:{spec}}" for spec in ("yo", "did ellos", "to nosotros")] == ["me quedo", "se quedaron", "quedarnos"]


def test_the_hours_are_the_same_in_spanish() -> None:
    hours = {"dos": "two", "tres": "three", "siete": "seven", "doce": "twelve", "una": "one"}
    found = [s for s in WORLD if re.search(r"\bit is (half past|a quarter (past|to)) ", s.en)]
    spoken = {" y media": "half past", " y cuarto": "a quarter past", " menos cuarto": "a quarter to"}
    for s in found:
        match = re.fullmatch(r"(es|son) (la|las) (\w+)( y media| y cuarto| menos cuarto) en (.+)", s.es)
        assert match and (match[1] == "es") == (match[2] == "la") == (match[3] == "una"), s.es
        if match[3] in hours:
            assert s.en.startswith(f"it is {spoken[match[4]]} {hours[match[3]]} in ")
    assert len(found) >= 100


def test_noon_is_said_without_its_article() -> None:
    noon = next(hour for hour in CLOCK if hour.en == "noon").es
    assert (noon.es, spanish(f"sale a {noon}"), spanish(f"el tren de {noon}")) == (
        "es mediodía",
        "sale al mediodía",
        "el tren del mediodía",
    )
