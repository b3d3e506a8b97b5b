"""Words of three languages side by side: nouns, adjectives, verbs and persons with their agreement.

Every entry of the lexicon has a French, an English and perhaps a Spanish side. A clause has a template for each, and
each is filled from its own side: "{n.le}" is the French noun with its article, "{n.a}" the English one, "{n.el}" the
Spanish one. Format specifications make words agree: "{adj:{n.gender}}" is the form of an adjective for a noun,
"{do:{who.key}}" the form of a verb for a person.
"""

import re
from typing import Any, NamedTuple

from .spanish import describe_spanish, spanish_adjective, spanish_noun, spanish_person, spanish_verb

VOWELS = "aeiouyàâéèêëîïôùû"
MUTE_H = ("habit", "heure", "hier", "hiver", "homme", "hôpital", "hôtel", "huile")


class Entry(NamedTuple):
    """One entry in all languages; a side is a plain string, or one of the classes below and in `spanish`."""

    fr: Any
    en: Any
    es: Any = None  # None: no Spanish sentence uses it


def elides(word: str) -> bool:
    """Return whether le, de, je ... lose their vowel before a French word (not before onze or huit)."""
    return word.startswith(MUTE_H) or (word[:1] in VOWELS and not word.startswith("onze"))


def french(text: str) -> str:
    """Return the text with elision (je ai -> j'ai), then contraction (de le -> du), and single spaces."""
    words = text.split()
    for i, (word, after) in enumerate(zip(words, words[1:])):
        if word in ("le", "la", "de", "je", "ne", "que") and elides(after):
            words[i] = word[:-1] + "'"
    text = " ".join(words).replace("' ", "'")
    for apart, joined in (("de le", "du"), ("de les", "des"), ("à le", "au"), ("à les", "aux")):
        text = re.sub(rf"\b{apart}\b(?!')", joined, text)
    return text


def english(text: str) -> str:
    """Return the text with an before a vowel (but a one-way ticket), and with single spaces."""
    return re.sub(r"\ba (?=[aeiou](?!ne-))", "an ", " ".join(text.split()))


def french_plural(word: str) -> str:
    """Return the regular plural: gâteau -> gâteaux, bus -> bus, gare -> gares."""
    if word.endswith(("s", "x")):
        return word
    return word + ("x" if word.endswith("eau") else "s")


def english_s(word: str) -> str:
    """Return the regular -s form of a noun or verb: watch -> watches, study -> studies."""
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh", "go")) else "s")


class FrenchNoun(NamedTuple):
    """A noun, perhaps with an adjective. Its attributes add a determiner; as text it has none."""

    one: str
    many: str
    gender: str  # "m" or "f"

    def _chosen(self, masculine: str, feminine: str, before_vowel: str) -> str:
        if elides(self.one):
            return f"{before_vowel} {self.one}"
        return f"{masculine if self.gender == 'm' else feminine} {self.one}"

    def __format__(self, spec: str) -> str:
        return self.one

    @property
    def le(self) -> str:
        return ("le " if self.gender == "m" else "la ") + self.one

    @property
    def un(self) -> str:
        return ("un " if self.gender == "m" else "une ") + self.one

    @property
    def du(self) -> str:
        return "de " + self.le

    @property
    def ce(self) -> str:
        return self._chosen("ce", "cette", "cet" if self.gender == "m" else "cette")

    @property
    def mon(self) -> str:
        return self._chosen("mon", "ma", "mon")


class EnglishNoun(NamedTuple):
    """A noun, perhaps with an adjective; as text it has no determiner."""

    one: str
    many: str

    def __format__(self, spec: str) -> str:
        return self.one

    @property
    def a(self) -> str:
        return "a " + self.one  # or an: see english()


class FrenchAdjective(NamedTuple):
    """An adjective. The format specification is the gender, with a p for the plural: m, f, mp, fp."""

    m: str
    f: str
    before_vowel: str  # bel, nouvel, vieil
    comes_first: bool

    def __format__(self, spec: str) -> str:
        form = self.f if spec.startswith("f") else self.m
        return french_plural(form) if spec.endswith("p") else form


class FrenchVerb(NamedTuple):
    """A verb and its complement. The format specification is the person: je, il, nous, vous, ils.

    "was je" gives the imperfect; no specification gives the infinitive.
    """

    base: str
    present: dict[str, str]
    done: FrenchAdjective  # the past participle agrees like an adjective
    what: str

    def __format__(self, spec: str) -> str:
        if spec.startswith("was "):
            return self._imperfect(spec.removeprefix("was "))
        return self.present[spec] if spec else self.base

    def _imperfect(self, key: str) -> str:
        ending = IMPERFECT[key]
        stem = self.present["nous"].removesuffix("ons")
        return (stem.removesuffix("e") if ending[0] == "i" else stem) + ending


class EnglishVerb(NamedTuple):
    """A verb and its complement. The format specification is s for the third person singular."""

    base: str
    did: str
    done: str
    doing: str
    what: str

    def __format__(self, spec: str) -> str:
        return english_s(self.base) if spec == "s" else self.base


class FrenchPerson(NamedTuple):
    """A subject with the auxiliaries that agree with it."""

    name: str
    key: str  # je, il, nous, vous, ils: the column of a conjugation
    gender: str  # m, f, mp, fp: for participles and adjectives
    est: str
    a: str
    va: str
    voudrait: str
    peut: str
    doit: str
    etait: str

    def __format__(self, spec: str) -> str:
        return self.name


class EnglishPerson(NamedTuple):
    """A subject with the auxiliaries that agree with it."""

    name: str
    key: str  # s for the third person singular
    be: str
    was: str
    do: str
    have: str
    need: str

    def __format__(self, spec: str) -> str:
        return self.name


IMPERFECT = {"je": "ais", "il": "ait", "nous": "ions", "vous": "iez", "ils": "aient"}
AUXILIARIES = {  # être, avoir, aller; vouloir (conditional), pouvoir, devoir; être (imperfect)
    "je": ("suis", "ai", "vais", "voudrais", "peux", "dois", "étais"),
    "il": ("est", "a", "va", "voudrait", "peut", "doit", "était"),
    "nous": ("sommes", "avons", "allons", "voudrions", "pouvons", "devons", "étions"),
    "vous": ("êtes", "avez", "allez", "voudriez", "pouvez", "devez", "étiez"),
    "ils": ("sont", "ont", "vont", "voudraient", "peuvent", "doivent", "étaient"),
}


def person(fr: str, key: str, gender: str, en: str, es: str) -> Entry:
    """Return a subject, as person("ma mère", "il", "f", "my mother", "mi madre"); Spanish leaves out a pronoun."""
    be, was = {"je": ("am", "was"), "il": ("is", "was")}.get(key, ("are", "were"))
    s, *verbs = ("s", "does", "has", "needs") if key == "il" else ("", "do", "have", "need")
    french_side, english_side = FrenchPerson(fr, key, gender, *AUXILIARIES[key]), EnglishPerson(en, s, be, was, *verbs)
    return Entry(french_side, english_side, spanish_person(es, key, gender))


def rows(table: str) -> list[tuple[list[str], list[str]]]:
    """Return the lines of a table as cells before and after "|", where Spanish begins; an underscore becomes a space."""
    sides = [line.partition("|")[::2] for line in table.strip().splitlines()]
    return [(_cells(before), _cells(after)) for before, after in sides]


def _cells(text: str) -> list[str]:
    return [cell.replace("_", " ") for cell in text.split()]


def nouns(table: str) -> list[Entry]:
    """Return nouns from lines with French, gender, English, both plurals if one is irregular | Spanish, gender."""
    found = []
    for (fr, gender, en, *plurals), es in rows(table):
        fr_many, en_many = plurals or (french_plural(fr), english_s(en))
        found.append(Entry(FrenchNoun(fr, fr_many, gender), EnglishNoun(en, en_many), spanish_noun(*es)))
    return found


def only(entries: list[Entry], names: str) -> list[Entry]:
    """Return the nouns with these English names, separated by spaces."""
    return [entry for entry in entries if entry.en.one in names.split()]


def adjectives(table: str) -> list[Entry]:
    """Return adjectives from lines of a table.

    A line has masculine[/before a vowel], feminine, English, and "first" if the French adjective precedes | Spanish in
    the words of `spanish_adjective`, with / between them.
    """
    found = []
    for (masculine, f, en, *first), [es] in rows(table):
        m, _, before_vowel = masculine.partition("/")
        adjective = FrenchAdjective(m, f, before_vowel or m, bool(first))
        found.append(Entry(adjective, en, spanish_adjective(*es.split("/"))))
    return found


def verb(fr: str, en: str, es: str, *, what: tuple[str, str, str] = ("", "", "")) -> Entry:
    """Return a verb from its principal parts and its complement.

    Args:
        fr: an infinitive in -er, or an infinitive with its five present forms and its participle.
        en: the base, the past, the past participle and the -ing form.
        es: the parts of `spanish_verb`.
        what: the complement in French, English and Spanish.
    """
    base, *forms = fr.split()
    if not forms:
        stem = base[:-2]
        soft = stem + "e" if stem.endswith("g") else stem  # nous mangeons
        forms = [stem + "e", stem + "e", soft + "ons", stem + "ez", stem + "ent", stem + "é"]
    *present, done = forms
    participle = FrenchAdjective(done, done + "e", done, comes_first=False)
    conjugated = dict(zip(AUXILIARIES, present))
    to_do, did, done_en, doing = en.split()
    return Entry(
        FrenchVerb(base, conjugated, participle, what[0]),
        EnglishVerb(to_do, did, done_en, doing, what[1]),
        spanish_verb(es, what[2]),
    )


def described(things: list[Entry], qualities: list[Entry]) -> list[Entry]:
    """Return every noun with every adjective as a noun: valise, petit -> petite valise, small suitcase."""
    return [
        Entry(_described_french(n.fr, a.fr), _described_english(n.en, a.en), describe_spanish(n.es, a.es))
        for n in things
        for a in qualities
    ]


def _described_french(noun: FrenchNoun, adjective: FrenchAdjective) -> FrenchNoun:
    one, many = format(adjective, noun.gender), format(adjective, noun.gender + "p")
    if not adjective.comes_first:
        return FrenchNoun(f"{noun.one} {one}", f"{noun.many} {many}", noun.gender)
    if noun.gender == "m" and elides(noun.one):
        one = adjective.before_vowel
    return FrenchNoun(f"{one} {noun.one}", f"{many} {noun.many}", noun.gender)


def _described_english(noun: EnglishNoun, adjective: str) -> EnglishNoun:
    return EnglishNoun(f"{adjective} {noun.one}", f"{adjective} {noun.many}")


def phrases(table: str) -> list[Entry]:
    """Return fixed phrases from lines with French = English, or French = English = Spanish."""
    return [Entry(*(side.strip() for side in line.split("="))) for line in table.strip().splitlines()]
