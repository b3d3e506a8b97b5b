"""The Spanish side of the lexicon: nouns, adjectives, verbs and persons with their agreement.

The classes are used in templates as the French ones of `words` are: "{n.el}" is a noun with its article, "{adj:fp}" the
feminine plural of an adjective, "{do:yo}" a form of a verb. The subjects yo and nosotros are left out, as Spanish does.
"""

from __future__ import annotations

import re
from typing import NamedTuple

UNACCENTED = str.maketrans("áéíóú", "aeiou")
CONTRACTIONS = ((r"\bde el\b", "del"), (r"\ba el\b", "al"), (r"\by (?=h?i(?!e))", "e "), (r"\bo (?=h?o)", "u "))
KEYS = {"je": "yo", "il": "él", "nous": "nosotros", "vous": "él", "ils": "ellos"}
"""French person: the Spanish one. The polite usted has the verb forms of él."""

PRESENT = {"a": ("o", "a", "amos", "an"), "e": ("o", "e", "emos", "en"), "i": ("o", "e", "imos", "en")}
PAST = {"a": ("é", "ó", "amos", "aron"), "e": ("í", "ió", "imos", "ieron"), "i": ("í", "ió", "imos", "ieron")}
IMPERFECT = {"a": ("aba", "aba", "ábamos", "aban"), "e": ("ía", "ía", "íamos", "ían"), "i": ("ía", "ía", "íamos", "ían")}
BEFORE_E = {"g": "gu", "c": "qu", "z": "c"}  # llegar: llegué
CLITICS = {"yo": "me", "él": "se", "nosotros": "nos", "ellos": "se"}
AUXILIARIES = {  # ser, estar, haber, ir, querer (imperfect subjunctive), poder, deber, tener, necesitar; estar (imperfect)
    "yo": ("soy", "estoy", "he", "voy", "quisiera", "puedo", "debo", "tengo", "necesito", "estaba"),
    "él": ("es", "está", "ha", "va", "quisiera", "puede", "debe", "tiene", "necesita", "estaba"),
    "nosotros": ("somos", "estamos", "hemos", "vamos", "quisiéramos", "podemos", "debemos", "tenemos", "necesitamos", "estábamos"),
    "ellos": ("son", "están", "han", "van", "quisieran", "pueden", "deben", "tienen", "necesitan", "estaban"),
}


def spanish(text: str) -> str:
    """Return the text with contractions (de el -> del), e for y and u for o before their sound, and single spaces."""
    text = " ".join(text.split())
    for apart, joined in CONTRACTIONS:
        text = re.sub(apart, joined, text)
    return text


def spanish_plural(word: str) -> str:
    """Return the regular plural: falda -> faldas, avión -> aviones, feliz -> felices, paraguas -> paraguas."""
    if word.endswith(tuple("aeiouáéó")):
        return word + "s"
    if word.endswith("z"):
        return word[:-1] + "ces"
    if word.endswith("s") and word[-2] in "aeiou" and len(word) > 4:
        return word  # the stress is not on the last syllable
    return word[:-2] + word[-2:].translate(UNACCENTED) + "es"


class SpanishNoun(NamedTuple):
    """A noun, perhaps with an adjective. Its attributes add a determiner; as text it has none."""

    one: str
    many: str
    gender: str  # "m" or "f"

    def _chosen(self, masculine: str, feminine: str) -> str:
        return masculine if self.gender == "m" else feminine

    def __format__(self, spec: str) -> str:
        return self.one

    @property
    def el(self) -> str:
        return f"{self._chosen('el', 'la')} {self.one}"

    @property
    def un(self) -> str:
        return f"{self._chosen('un', 'una')} {self.one}"

    @property
    def pronoun(self) -> str:
        return self._chosen("este", "esta")

    @property
    def este(self) -> str:
        return f"{self.pronoun} {self.one}"

    @property
    def estos(self) -> str:
        return f"{self._chosen('estos', 'estas')} {self.many}"

    @property
    def nuestros(self) -> str:
        return f"{self._chosen('nuestros', 'nuestras')} {self.many}"


class SpanishAdjective(NamedTuple):
    """An adjective, which follows its noun. The format specification is the gender, with a p for the plural: m, f, mp, fp."""

    m: str
    f: str
    passing: bool  # a state that estar says; a quality takes ser

    def __format__(self, spec: str) -> str:
        form = self.f if spec.startswith("f") else self.m
        return spanish_plural(form) if spec.endswith("p") else form

    @property
    def es(self) -> str:
        return "está" if self.passing else "es"

    @property
    def son(self) -> str:
        return "están" if self.passing else "son"

    @property
    def era(self) -> str:
        return "estaba" if self.passing else "era"


class SpanishVerb(NamedTuple):
    """A verb and its complement. The format specification is the person: yo, él, nosotros, ellos.

    "did yo" gives the preterite, "was yo" the imperfect, "to yo" the infinitive with the pronoun of a reflexive verb;
    no specification gives the infinitive.
    """

    base: str
    present: dict[str, str]
    past: dict[str, str]
    imperfect: dict[str, str]
    done: str
    reflexive: bool
    what: str

    def __format__(self, spec: str) -> str:
        tense, _, key = spec.rpartition(" ")
        if not spec:
            return self.base
        if tense == "to":
            return self.base + (CLITICS[key] if self.reflexive else "")
        form = {"": self.present, "did": self.past, "was": self.imperfect}[tense][key]
        return f"{CLITICS[key]} {form}" if self.reflexive else form


class SpanishPerson(NamedTuple):
    """A subject with the auxiliaries that agree with it."""

    name: str
    key: str  # yo, él, nosotros, ellos: the column of a conjugation
    gender: str  # m, f, mp, fp: for participles and adjectives
    es: str
    esta: str
    ha: str
    va: str
    quisiera: str
    puede: str
    debe: str
    tiene: str
    necesita: str
    estaba: str

    def __format__(self, spec: str) -> str:
        return self.name

    @property
    def se(self) -> str:
        return CLITICS[self.key]

    @property
    def le(self) -> str:
        """The person whom something pleases: me, a mi padre le, a mis padres les."""
        if not self.name:
            return self.se
        return f"a {self.name} {'le' if self.key == 'él' else 'les'}"


class SpanishHour(NamedTuple):
    """A time of day with its article, as las dos y media."""

    name: str

    def __format__(self, spec: str) -> str:
        return self.name

    @property
    def es(self) -> str:
        """The sentence that says the time: son las dos, es mediodía."""
        return f"{'son' if self.name.startswith('las') else 'es'} {self.name.removeprefix('el ')}"


def spanish_person(name: str, french_key: str, gender: str) -> SpanishPerson:
    """Return a subject; an empty name is left out of the sentence."""
    key = KEYS[french_key]
    return SpanishPerson(name, key, gender, *AUXILIARIES[key])


def spanish_noun(one: str, gender: str) -> SpanishNoun:
    """Return a noun with its regular plural; that of its first word, if it has several."""
    first, space, rest = one.partition(" ")
    many = spanish_plural(first) + (f" {spanish_plural(rest)}" if space else "")
    return SpanishNoun(one, many, gender)


def spanish_adjective(m: str, f: str = "", kind: str = "ser") -> SpanishAdjective:
    """Return an adjective: in -o with its feminine in -a, any other with the same feminine unless one is given.

    Args:
        m: the masculine.
        f: the feminine; "" for the regular one.
        kind: "ser" for a quality, "estar" for a passing state.
    """
    return SpanishAdjective(m, f or (m[:-1] + "a" if m.endswith("o") else m), kind == "estar")


def spanish_verb(parts: str, what: str = "") -> SpanishVerb:
    """Return a verb from its infinitive, and if it is irregular the forms of yo, él, nosotros and ellos.

    Args:
        parts: the infinitive, with -se if the verb is reflexive; irregular: then the four forms of the present, the
            four of the preterite and the participle.
        what: the complement.
    """
    infinitive, *forms = parts.split()
    base = infinitive.removesuffix("se")
    stem, vowel = base[:-2], base[-2]
    if not forms:
        soft = stem[:-1] + BEFORE_E.get(stem[-1], stem[-1]) if vowel == "a" else stem
        past = [soft + PAST[vowel][0], *(stem + ending for ending in PAST[vowel][1:])]
        forms = [*(stem + ending for ending in PRESENT[vowel]), *past, stem + ("ado" if vowel == "a" else "ido")]
    lasting = IRREGULAR_IMPERFECTS.get(base) or [stem + ending for ending in IMPERFECT[vowel]]
    tenses = [dict(zip(CLITICS, part, strict=True)) for part in (forms[:4], forms[4:8], lasting)]
    return SpanishVerb(base, *tenses, done=forms[8], reflexive=infinitive.endswith("se"), what=what)


IRREGULAR_IMPERFECTS = {"ver": ["veía", "veía", "veíamos", "veían"], "ir": ["iba", "iba", "íbamos", "iban"]}


def describe_spanish(noun: SpanishNoun, adjective: SpanishAdjective) -> SpanishNoun:
    """Return a noun with an adjective as a noun: maleta, pequeño -> maleta pequeña."""
    one, many = format(adjective, noun.gender), format(adjective, noun.gender + "p")
    return SpanishNoun(f"{noun.one} {one}", f"{noun.many} {many}", noun.gender)
