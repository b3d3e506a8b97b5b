"""Is the best of several renditions of a text clearer than the greedy one? Preference training could teach only that.

    python benchmarks/renditions.py --lang en --temperatures 0.5 0.3 1.0 0.7 --n 8 16 --bound 0.5

The policy translates test utterances into the language greedily. For each text it writes units greedily, and n times
at each temperature. The vocoder speaks units, and the recognizer transcribes the speech: the score is the word error
rate against the text. It is shown for the greedy rendition, the first sampled one (random), and the best of n by two
scores that need no recognizer: how well the policy reads the text from the units (`asr`: the log-probability of the
text in the task asr), and how likely the units are (`own`: the mean log-probability of a token). At the temperatures of
`--bound` and with the first `--n` also for the rendition with the lowest word error rate (`recognizer`), which is a
bound for any choice. It is the better because the recognizer that chooses is also the one that judges.

Differences to greedy are of corpus WER, with 95 % bootstrap intervals over texts; below 0 is better than greedy. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.actors.encoder import Encoder  # noqa: E402
from factory.actors.recognition import load_recognizer  # noqa: E402
from factory.metrics import bootstrap, wer  # noqa: E402
from factory.models.engine import Engine, Output, Request, Sampling  # noqa: E402
from factory.models.voice import Voice  # noqa: E402
from factory.passes.produce import build_engine_config  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from schemas.datasets import OK  # noqa: E402
from schemas.sequences import EOS, SOSP, Variant, parse, prompt  # noqa: E402

Units = tuple[int, ...]


class Rendition(NamedTuple):
    """The units of a text, the mean log-probability of their tokens, and that of the text given the units (nats)."""

    units: Units
    own: float
    asr: float


class Text(NamedTuple):
    """A text to speak: the prompt of its translation, the words, the greedy units, and the reference."""

    prompt: str
    words: str
    greedy: Units
    reference: str


class Speaker:
    """The policy, which writes texts and their units."""

    def __init__(self, recipe: Recipe, lang: str) -> None:
        """Load the policy of a recipe; `lang` is the language of the texts."""
        self.recipe, self.lang = recipe, lang
        self.source = next(other for other in recipe.languages if other != lang)
        self.engine = Engine(recipe.policy.start or "", build_engine_config(recipe))

    def write_texts(self, limit: int, corpus: str | None = None) -> list[Text]:
        """Translate the first utterances of a corpus (the test set) greedily; a malformed translation is left out."""
        recipe = self.recipe
        rows = pq.read_table(f"{corpus or recipe.corpus.test}/{self.source}.parquet").slice(0, limit).to_pylist()
        encoded = Encoder(recipe.encoder, recipe.languages, 1).process([{**row, "lang": self.source} for row in rows])
        variant = recipe.policy.variant
        asked = {prompt(variant, self.source, self.lang, row["units"]): row for row in encoded if row["status"] == OK}
        outputs = self.engine.generate({text: Request(text, self._sampling(0.0)) for text in asked}, recipe.seed)
        parsed = {text: parse(variant, output.text) for text, output in outputs.items() if output.finish == "stop"}
        return [
            Text(text, one.text or "", tuple(one.units or ()), asked[text]["reference"] or "")
            for text, one in parsed.items()
            if one.reason == OK
        ]

    def render(self, texts: Sequence[Text], n: int, temperature: float) -> list[list[Rendition]]:
        """Return the well-formed renditions of each text, of n that are sampled."""
        requests = {
            (index, sample): Request(f"{text.prompt}{text.words}{SOSP}", self._sampling(temperature))
            for index, text in enumerate(texts)
            for sample in range(n)
        }
        outputs = self.engine.generate(requests, self.recipe.seed)
        units = {key: self._read(output) for key, output in outputs.items()}
        likelihoods = self._read_back({key: one for key, one in units.items() if one}, texts)
        renditions: list[list[Rendition]] = [[] for _ in texts]
        for (index, sample), likelihood in likelihoods.items():
            output = outputs[index, sample]
            rendition = Rendition(units[index, sample], output.logprob / output.num_tokens, likelihood)
            renditions[index].append(rendition)
        return renditions

    def _read(self, output: Output) -> Units:
        """Return the units of an output; none if it is malformed."""
        parsed = parse(Variant.VANILLA, SOSP + output.text)
        return tuple(parsed.units or ()) if output.finish == "stop" and parsed.reason == OK else ()

    def _read_back(self, units: Mapping[tuple[int, int], Units], texts: Sequence[Text]) -> dict[tuple[int, int], float]:
        requests = {
            key: Request(prompt(Variant.ASR, self.lang, self.lang, one), None, texts[key[0]].words + EOS)
            for key, one in units.items()
        }
        outputs = self.engine.generate(requests, self.recipe.seed)
        return {key: outputs[key].logprob for key in units}

    def _sampling(self, temperature: float) -> Sampling:
        translator = self.recipe.translator
        return Sampling(temperature, translator.top_p, translator.top_k, translator.max_tokens)


class Listener:
    """The vocoder and the recognizer; units that were transcribed before are not transcribed again."""

    def __init__(self, recipe: Recipe, lang: str) -> None:
        """Load the models of a language."""
        self.voice, self.recognizer = Voice(recipe.vocoder[lang]), load_recognizer(recipe.recognizer, 1)
        self.lang, self.known = lang, dict[Units, str]()

    def transcribe(self, units: Sequence[Units]) -> list[str]:
        """Return the transcript of the speech of each list of units."""
        new = [one for one in dict.fromkeys(units) if one not in self.known]
        self.known |= zip(new, self.recognizer.transcribe(self.voice.speak(new), self.lang), strict=True)
        return [self.known[one] for one in units]


def choose(
    renditions: Sequence[Sequence[Rendition]], greedy: Sequence[Units], score: Callable[[int, Rendition], float]
) -> list[Units]:
    """Return the best rendition of each text, the first of equal ones; the greedy one where none is well-formed."""
    return [
        max(ones, key=lambda one: score(index, one)).units if ones else greedy[index]
        for index, ones in enumerate(renditions)
    ]


def compare_choices(
    texts: Sequence[Text], renditions: Sequence[Sequence[Rendition]], listener: Listener, transcribe_all: bool
) -> dict[str, list[float]]:
    """Return the WER of each choice, and its difference to greedy with the ends of the interval.

    Args:
        texts: the texts.
        renditions: the well-formed renditions of each text.
        listener: transcribes speech.
        transcribe_all: also choose by the transcript of every rendition.
    """
    greedy, lang = [text.greedy for text in texts], listener.lang
    choices = {
        "random": choose(renditions, greedy, lambda index, one: 0.0),
        "asr": choose(renditions, greedy, lambda index, one: one.asr),
        "own": choose(renditions, greedy, lambda index, one: one.own),
    }
    if transcribe_all:
        listener.transcribe([one.units for ones in renditions for one in ones])
        choices["recognizer"] = choose(
            renditions, greedy, lambda index, one: -wer.score(listener.known[one.units], texts[index].words, lang)
        )
    words = [text.words for text in texts]
    baseline = bootstrap.corpus("wer", listener.transcribe(greedy), words, lang)
    found = {"greedy": [baseline.point()]}
    for name, units in choices.items():
        sample = bootstrap.corpus("wer", listener.transcribe(units), words, lang)
        found[name] = [sample.point(), *bootstrap.compare(sample, baseline).difference]
    return {name: [round(value, 3) for value in values] for name, values in found.items()}


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="renditions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default=str(ROOT / "recipes/station.yaml"), help="the recipe (default: station)")
    parser.add_argument("--lang", default="en", help="the language of the texts (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=60, help="texts (default: %(default)s)")
    parser.add_argument("--n", type=int, nargs="+", default=[8, 16], help="renditions (default: 8 16)")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.3, 0.5, 0.7, 1.0])
    parser.add_argument("--bound", type=float, nargs="+", default=[0.5], help="where every rendition is transcribed")
    return parser.parse_args()


def main() -> None:
    """Measure, and print the summary as the last line."""
    options = parse_options()
    recipe = load(options.recipe)
    speaker = Speaker(recipe, options.lang)
    texts = speaker.write_texts(options.limit)
    listener, lines = Listener(recipe, options.lang), []
    for temperature in options.temperatures:
        renditions = speaker.render(texts, max(options.n), temperature)
        share = sum(map(len, renditions)) / max(options.n) / len(texts)
        for n in options.n:
            transcribe_all = temperature in options.bound and n == options.n[0]
            found = compare_choices(texts, [ones[:n] for ones in renditions], listener, transcribe_all)
            lines.append({"temperature": temperature, "n": n, "well_formed": round(share, 3), **found})
            print(json.dumps(lines[-1] | {"cpu_s": round(time.process_time())}), flush=True)
    print(json.dumps({"lang": options.lang, "texts": len(texts), "top_p": recipe.translator.top_p, "found": lines}))


if __name__ == "__main__":
    main()
