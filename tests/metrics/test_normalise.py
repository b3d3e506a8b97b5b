"""Spellings that sound the same become the same text."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.metrics import normalise
from tests.limits import HANG_S

FRENCH = [
    ("L'hôtel est à 17h30.", "l hôtel est à dix sept heures trente"),
    ("l’hôtel est à dix-sept heures trente", "l hôtel est à dix sept heures trente"),
    ("à 2 heures", "à deux heures"),
    ("à 8 h", "à huit heures"),
    ("à 8h", "à huit heures"),
    ("8heures", "huit heures"),
    ("à 8:30", "à huit heures trente"),
    ("8 h 30", "huit heures trente"),
    ("6h15", "six heures quinze"),
    ("08h05", "huit heures cinq"),
    ("17h00", "dix sept heures"),
    ("0h10", "zéro heure dix"),
    ("12h59", "douze heures cinquante neuf"),
    ("25h61", "vingt cinq h soixante et un"),
    ("8 hommes", "huit hommes"),
    ("il est 1h", "il est une heure"),
    ("11 heures", "onze heures"),
    ("21 h", "vingt et une heures"),
    ("une heure et demie", "une heure trente"),
    ("sept heures et demi", "sept heures trente"),
    ("huit heures et quart", "huit heures quinze"),
    ("une pomme et demie", "une pomme et demie"),
    ("81 places", "quatre vingt une places"),
    ("71 places", "soixante et onze places"),
    ("91 années", "quatre vingt onze années"),
    ("101 personnes", "cent une personnes"),
    ("111 nuits", "cent onze nuits"),
    ("211 nuits", "deux cent onze nuits"),
    ("1 minute", "une minute"),
    ("51 secondes", "cinquante et une secondes"),
    ("1 fois", "une fois"),
    ("61 chambres", "soixante et une chambres"),
    ("1 nuit", "une nuit"),
    ("41 semaines", "quarante et une semaines"),
    ("31 journées", "trente et une journées"),
    ("1 chat", "un chat"),
    ("21 chats", "vingt et un chats"),
    ("1 placement", "un placement"),
    ("75 €", "soixante quinze euros"),
    ("2€", "deux euros"),
    ("1 €", "un euro"),
    ("12,50 €", "douze euros cinquante"),
    ("3.50€", "trois euros cinquante"),
    ("1 $", "un dollar"),
    ("20$", "vingt dollars"),
    ("20 %", "vingt pour cent"),
    ("20%", "vingt pour cent"),
    ("2 000 personnes", "deux mille personnes"),
    ("2\u202f000 personnes", "deux mille personnes"),
    ("1\u00a0000 000", "un million"),
    ("1 00", "un zéro zéro"),
    ("1 0000", "un zéro zéro zéro zéro"),
    ("le 1er janvier", "le premier janvier"),
    ("la 1re fois", "la première fois"),
    ("la 1ère", "la première"),
    ("la 1ere", "la première"),
    ("la 2ème rue", "la deuxième rue"),
    ("les 2es", "les deuxièmes"),
    ("le 3e", "le troisième"),
    ("le 20è", "le vingtième"),
    ("le 5eme", "le cinquième"),
    ("le 9ième", "le neuvième"),
    ("le 100000e", "le cent millième"),
    ("le 2000000e", "le deux millions e"),
    ("3,5", "trois virgule cinq"),
    ("3, 5", "trois cinq"),
    ("06 12", "zéro six douze"),
    ("0", "zéro"),
    ("100000000001", "cent milliards un"),
    ("1000000000012", "un zéro zéro zéro zéro zéro zéro zéro zéro zéro zéro un deux"),
    ("Ma sœur", "ma soeur"),
    ("ex æquo", "ex aequo"),
    ("S'il vous plaît, aujourd’hui", "s il vous plaît aujourd hui"),
    ("aujourdʼhui", "aujourd hui"),
    ("Été [rire] (oui)", "été"),
]
ENGLISH = [
    ("at 7:30", "at 730"),
    ("At 7.30", "at 730"),
    ("at seven thirty", "at 730"),
    ("at 12:05", "at 1205"),
    ("at 12.05", "at 1205"),
    ("at twelve oh five", "at 1205"),
    ("about 7.60", "about 7.60"),
    ("7.30 kg", "7.30 kg"),
    ("at 123.15", "at 123.15"),
    ("12:60", "12 60"),
    ("at 2 o'clock", "at 2 oclock"),
    ("at two O' clock", "at 2 oclock"),
    ("at 2 o’clock", "at 2 oclock"),
    ("at 2:00", "at 2 oclock"),
    ("at 12:00", "at 12 oclock"),
    ("at 2:00 pm", "at 200 pm"),
    ("2:00 a.m.", "200 a m"),
    ("the second light", "the 2nd light"),
    ("the 2nd light", "the 2nd light"),
    ("Our neighbour’s colours", "our neighbor is colors"),
    ("twenty dollars", "$20"),
    ("$20", "$20"),
    ("ninety-nine chairs", "99 chairs"),
    ("99 chairs", "99 chairs"),
    ("one sister", "one sister"),
    ("1 sister", "one sister"),
    ("It’s 3.14", "it is 3.14"),
    ("it is three point one four", "it is 3.14"),
    ("twenty percent", "20%"),
    ("20%", "20%"),
    ("one thousand", "1000"),
    ("1,000", "1000"),
    ("uh, I won't", "i will not"),
]
BRITISH = (
    "behaviour colour favour flavour harbour honour humour labour neighbour rumour catalogue centre cheque defence "
    "dialogue fibre grey kilometre licence litre metre programme pyjama theatre traveller tyre apologise organise "
    "realise recognise apologised organised realised recognised apologises organises realises recognises apologising "
    "organising realising recognising cancelled cancelling jewellery travelled travelling"
)
AMERICAN = (
    "behavior color favor flavor harbor honor humor labor neighbor rumor catalog center check defense "
    "dialog fiber gray kilometer license liter meter program pajama theater traveler tire apologize organize "
    "realize recognize apologized organized realized recognized apologizes organizes realizes recognizes apologizing "
    "organizing realizing recognizing canceled canceling jewelry traveled traveling"
)


SPANISH = [
    ("¿A qué hora sale el tren?", "a qué hora sale el tren"),
    ("El autobús número 2.", "el autobús número dos"),
    ("a las 7:30", "a las siete treinta"),
    ("a las 7.30", "a las siete treinta"),
    ("a las siete y media", "a las siete treinta"),
    ("a las 7 y media", "a las siete treinta"),
    ("a las dos y cuarto", "a las dos quince"),
    ("a la 1:15", "a la una quince"),
    ("a la 1 y cuarto", "a la una quince"),
    ("a las 08:05", "a las ocho cinco"),
    ("a las 9:00", "a las nueve"),
    ("25:61", "veinticinco sesenta y uno"),
    ("un kilo y media hora", "un kilo y media hora"),
    ("1 semana", "una semana"),
    ("1 vez", "una vez"),
    ("1 habitación", "una habitación"),
    ("21 horas", "veintiuna horas"),
    ("31 personas", "treinta y una personas"),
    ("11 noches", "once noches"),
    ("111 plazas", "ciento once plazas"),
    ("1 euro", "un euro"),
    ("21 minutos", "veintiún minutos"),
    ("31 meses", "treinta y un meses"),
    ("11 años", "once años"),
    ("1 mesita", "uno mesita"),
    ("15 €", "quince euros"),
    ("1€", "un euro"),
    ("12,50 €", "doce euros cincuenta"),
    ("3.50€", "tres euros cincuenta"),
    ("20 %", "veinte por ciento"),
    ("1.000 personas", "mil personas"),
    ("2\u202f000", "dos mil"),
    ("2,5", "dos coma cinco"),
    ("007", "cero cero siete"),
    ("la 12", "la doce"),
]


@pytest.mark.parametrize(("raw", "normalised"), SPANISH)
def test_spanish(raw: str, normalised: str) -> None:
    assert normalise.text(raw, "es") == normalised


@pytest.mark.parametrize(("raw", "normalised"), FRENCH)
def test_french(raw: str, normalised: str) -> None:
    assert normalise.text(raw, "fr") == normalised


@pytest.mark.parametrize(("raw", "normalised"), ENGLISH)
def test_english(raw: str, normalised: str) -> None:
    assert normalise.text(raw, "en") == normalised


@pytest.mark.parametrize("word", ["at", "by", "until", "till", "from", "before", "after", "around", "about", "past"])
def test_a_point_after_a_preposition_is_a_time(word: str) -> None:
    assert normalise.text(f"{word} 9.15", "en") == normalise.text(f"{word} nine fifteen", "en") == f"{word} 915"


def test_british_spellings_become_american() -> None:
    assert normalise.text(BRITISH, "en") == AMERICAN
    assert normalise.text(BRITISH, "fr") == BRITISH
    for ending in ("s", "ed", "ing", "hood", "hoods", "ite", "ites", "able"):
        words = [
            f"{stem}our{ending}"
            for stem in ["behavi", "col", "fav", "flav", "harb", "hon", "hum", "lab", "neighb", "rum"]
        ]
        assert normalise.text(" ".join(words), "en") == " ".join(words).replace("our", "or")
    for british, american in zip(BRITISH.split()[10:26], AMERICAN.split()[10:26], strict=True):
        assert normalise.text(f"{british}s", "en") == f"{american}s"


def test_different_words_stay_different() -> None:
    for one, two in (("une", "un"), ("élève", "élevé"), ("2 heures", "3 heures"), ("1er", "1ère")):
        assert normalise.text(one, "fr") != normalise.text(two, "fr")


def test_other_languages_have_whispers_basic_normaliser() -> None:
    assert normalise.text("Hallo, Welt! [Lachen] 3", "de") == "hallo welt 3"
    assert normalise.text("8h30 L’été œ", "de") == "8h30 l été œ"


def test_transformers_are_not_imported_for_one_file() -> None:
    code = "import sys; from factory.metrics import normalise; print(normalise.text('Hi!', 'en'), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG_S)
    assert done.stdout.startswith("hi ") and "transformers" not in done.stdout.split()


def test_the_signatures() -> None:
    assert normalise.signature("en") == "norm:whisper-english|num:digits|times|spellings:143|v1"
    assert normalise.signature("fr") == "norm:whisper-basic|num:words|times|oe,ae|v1"
    assert normalise.signature("es") == "norm:whisper-basic|num:words|times|v1"
    assert normalise.signature("de") == "norm:whisper-basic|v1"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_any_text_becomes_words_with_single_spaces(raw: str) -> None:
    for lang in ("fr", "es", "xx"):
        normalised = normalise.text(raw, lang)
        assert normalised == " ".join(normalised.split())
        assert normalised == normalise.text(f"  {raw} ", lang)
