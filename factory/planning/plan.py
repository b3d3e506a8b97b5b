"""What a round will do: `run_round.py --dry-run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

from factory.corpora.base import MissingCorpus
from factory.corpora.opening import open_corpus
from factory.judges.dataset import explain_missing_scores
from factory.metrics.judge import is_judge
from factory.planning.estimate import Amounts, render
from factory.planning.places import MissingRound, Round
from factory.recipe.paths import list_missing_files, local_paths
from factory.recipe.recipe import Recipe
from factory.runtime.redact import redact
from factory.storage.dataset import DatasetDir
from schemas.sequences import Variant


class Stage(NamedTuple):
    """One stage: the dataset it writes (None: a policy), its actors, and its number of rows where that is known."""

    name: str
    out: DatasetDir | None
    actors: tuple[str, ...] = ()
    rows: int | None = None

    def is_done(self, round_: Round) -> bool:
        """Return True if the stage of this round has published its result."""
        return round_.has_policy if self.out is None else self.out.is_finished()


def stages(round_: Round) -> list[Stage]:
    """Return the stages of a round in order."""
    return [*_tokenize(round_), *_make_policy(round_), *_measure(round_)]


def _tokenize(round_: Round) -> list[Stage]:
    """Return the stages that turn speech into units."""
    run, corpus = round_.run, round_.recipe.corpus
    title = "read" if round_.recipe.hears_speech else "tokenize"
    speech = {name: getattr(corpus, name) for name in paired_corpora(round_)}
    found = [
        Stage(f"tokenize {name}", run.paired(name), ("encoder",), count_rows(uri))
        for name, uri in speech.items()
        if _reading_actors(uri)
    ]
    if round_.recipe.aligner:
        found += [
            Stage(f"align {name}", run.words(name), ("aligner",), count_rows(uri))
            for name, uri in speech.items()
            if _reading_actors(uri)
        ]
    if round_.number and corpus.source != "paired":
        found.append(
            Stage(f"{title} mono", round_.mono_units[-1], _reading_actors(corpus.mono), _used_mono_rows(round_.recipe))
        )
    if round_.number and corpus.source != "mono":
        found.append(Stage("utterances of paired", run.units("paired"), (), _paired_rows(round_.recipe)))
    tested = count_rows(corpus.test)
    if tested is not None and _reading_actors(corpus.test):
        tested = min(tested, len(round_.recipe.used_directions) * round_.recipe.test_utterances)
    return [*found, Stage(f"{title} test", run.units("test"), _reading_actors(corpus.test), tested)]


def _make_policy(round_: Round) -> list[Stage]:
    """Return the stages that lead to the policy of the round."""
    train = Stage("train", None, ("trainer",))
    if round_.number == 0 and round_.recipe.hears_speech:
        return [*_speak(round_), Stage("sequences", round_.sequences, (), _paired_rows(round_.recipe)), train]
    if round_.number == 0:
        return [Stage("sequences", round_.sequences, (), _paired_rows(round_.recipe)), train]
    rows = produced_rows(round_.recipe)
    vocoder = ["vocoder"] if round_.recipe.speaks_back_translations else []
    produce = Stage("produce", round_.scored, ("translator", *vocoder, "scorer"), rows)
    return [produce, Stage("select", round_.pairs, (), rows), train]


def _speak(round_: Round) -> list[Stage]:
    """Return the stage that speaks a corpus of units; none if it holds recordings, or is not here."""
    corpus = round_.recipe.corpus.paired
    rows, tasks = count_rows(corpus), round_.recipe.policy.tasks.items()
    share = min(1.0, sum(share for task, share in tasks if not Variant(task).reads_text))
    if rows is None or _reading_actors(corpus):
        return []
    return [Stage("speak paired", round_.run.speech("paired"), ("vocoder",), round(rows * share))]


def _measure(round_: Round) -> list[Stage]:
    """Return the stages that evaluate policies."""
    recipe: Recipe = round_.recipe
    actors = ("translator", "recognizer") if recipe.writes_speech else ("translator",)
    rows, judged = len(recipe.used_directions) * recipe.test_utterances, len(recipe.used_directions.targets)
    toplines = Stage("toplines", round_.run.toplines, ("recognizer",), judged * recipe.evaluate.asr_utterances)
    policies = [Stage(f"evaluate round {one.number}", one.evaluation, actors, rows) for one in round_.compared]
    return [toplines, *policies] if recipe.writes_speech else policies


def paired_corpora(round_: Round) -> list[str]:
    """Return the names of the paired corpora that a round reads.

    Round 0 trains on one and evaluates its loss on the other. A later round may make pairs from the first, and needs
    the other for `select.delta: auto`. They are read as units, which a policy of continuous speech does not have.
    """
    recipe = round_.recipe
    if recipe.hears_speech:
        return []
    if round_.number == 0:
        return ["paired", "dev"]
    paired = ["paired"] if recipe.corpus.source != "mono" else []
    return [*paired, *(["dev"] if recipe.select.delta == "auto" else [])]


def _reading_actors(corpus: str) -> tuple[str, ...]:
    """Return the actors that read a corpus: none if it is here and holds units."""
    try:
        return () if open_corpus(corpus).holds_units else ("encoder",)
    except (OSError, MissingCorpus):
        return ("encoder",)


def count_rows(corpus: str) -> int | None:
    """Return the number of rows of a corpus; None if it is not here or does not say."""
    try:
        return open_corpus(corpus).size
    except (OSError, MissingCorpus):
        return None


def _paired_rows(recipe: Recipe) -> int | None:
    """Return the number of rows that round 0 learns from; the recipe's expectation if the corpus is not here."""
    return count_rows(recipe.corpus.paired) or recipe.expected.paired


def _mono_rows(recipe: Recipe) -> int | None:
    """Return the number of untranslated utterances: those that are here, or else those that the recipe expects."""
    return count_rows(recipe.corpus.mono) or recipe.expected.mono


def _used_mono_rows(recipe: Recipe) -> int | None:
    """Return the number of untranslated utterances that one round tokenizes."""
    rows, limit = _mono_rows(recipe), recipe.corpus.limit
    if limit is None or rows is None or not _reading_actors(recipe.corpus.mono):
        return rows
    sources = len(recipe.used_directions.sources)
    return min(rows, sources * (limit // 2 if recipe.corpus.source == "both" else limit))


def produced_rows(recipe: Recipe) -> int | None:
    """Return the number of rows that a preference round translates; None if it is unknown.

    An untranslated utterance is a row for each direction from its language; the mean over languages is assumed.
    """
    directions, mono = recipe.used_directions, _mono_rows(recipe)
    each = None if mono is None else mono * len(directions) // len(directions.sources)
    sizes = {"mono": each, "paired": _paired_rows(recipe)}
    used = [rows for name, rows in sizes.items() if recipe.corpus.source in (name, "both")]
    total = None if None in used else sum(rows for rows in used if rows is not None)
    limit = None if recipe.corpus.limit is None else len(directions) * recipe.corpus.limit
    return total if limit is None else min(limit, total or limit)


def amounts_of(round_: Round) -> Amounts:
    """Return the amounts of data that the estimate of a round assumes."""
    recipe, number = round_.recipe, round_.number
    rows = produced_rows(recipe) if number else _paired_rows(recipe)
    spoken = _used_mono_rows(recipe) if number and recipe.corpus.source != "paired" else _paired_rows(recipe)
    return Amounts(rows or 0, spoken or 0)


def list_missing_inputs(rounds: Sequence[Round]) -> list[str]:
    """Return a sentence for each missing file that rounds of a run read from a disk.

    What the run has made already, or makes before it is read, is not missing.
    """
    if not rounds:
        return []
    keys = set().union(*map(_read_keys, rounds))
    first = Round(rounds[0].run, 0, rounds[0].recipe)
    has_start = first.has_policy or any(round_.number == 0 for round_ in rounds)
    return list_missing_files(rounds[0].recipe, keys - ({"policy.start"} if has_start else set()))


def _read_keys(round_: Round) -> set[str]:
    """Return the keys of the recipe whose files a round reads."""
    recipe, number = round_.recipe, round_.number
    mono = [] if number == 0 or recipe.corpus.source == "paired" else ["mono"]
    corpora = [*paired_corpora(round_), "test", *mono]
    keys = {f"corpus.{name}" for name in corpora}
    if recipe.hears_speech:
        speaks = number == 0 and bool(_speak(round_))
        keys |= {"corpus.paired", "encoder.model"} if number == 0 else set()
    else:
        speaks = True
        keys |= {"encoder.codebook", "recognizer.model"}
    keys |= {f"vocoder.{lang}" for lang in recipe.vocoder} if speaks else set()
    keys |= {f"evaluate.{name}" for name in recipe.cascade_weights}
    keys |= {"corpus.text", "policy.base"} if number == 0 else set()
    if recipe.aligner and any(_reading_actors(getattr(recipe.corpus, name)) for name in paired_corpora(round_)):
        keys.add("aligner.model")
    keys |= {"policy.start"} if number == 1 else set()
    if (
        not recipe.hears_speech
        and "encoder.model" in local_paths(recipe)
        and any(_reading_actors(getattr(recipe.corpus, name)) for name in corpora)
    ):
        keys.add("encoder.model")
    return keys


def describe(rounds: Sequence[Round]) -> str:
    """Return the plan of rounds: missing files, and a line per stage with its state, rows and actors."""
    numbers = [round_.number for round_ in rounds]
    missing = "\n".join(f"missing: {sentence}" for sentence in list_missing_inputs(rounds))
    plans = [_describe(round_, round_.number - 1 in numbers) for round_ in rounds]
    return "\n\n".join(filter(None, [missing, *plans]))


def _describe(round_: Round, follows: bool) -> str:
    """Return the plan of one round; `follows` says that the round before it is planned too."""
    recipe = round_.recipe
    directions = ", ".join(recipe.used_directions)
    lines = [f"round {round_.number} of {round_.run.uri}; recipe {recipe.name}; directions {directions}"]
    if round_.previous is not None:
        lines.append(f"policy: {round_.previous.policy_uri if follows else _policy(round_.previous)}")
    lines += [_line(stage, round_) for stage in stages(round_)]
    lines += [f"  note: {note}" for note in list_notes(round_)]
    if any(pool["num_gpus"] for pool in asdict(recipe.resources).values() if isinstance(pool, dict)):
        lines.append(render(recipe, round_.number, amounts_of(round_)))
    return "\n".join(lines)


def list_notes(round_: Round) -> list[str]:
    """Return a sentence if a round will end at select, because its judge can only score candidates that are there."""
    metric = round_.recipe.select.metric
    if round_.number == 0 or not is_judge(metric) or round_.pairs.is_finished():
        return []
    missing = explain_missing_scores(round_.scored, metric)
    return [f"this command will end at select: {missing}"] if missing else []


def _line(stage: Stage, round_: Round) -> str:
    state = "done" if stage.is_done(round_) else "to do"
    rows = f", {stage.rows:,} rows" if stage.rows is not None else ""
    return f"  {state:7}{stage.name}{rows}{''.join(_pool(round_.recipe, actor) for actor in stage.actors)}"


def _policy(round_: Round) -> str:
    """Return the URI of a round's policy, or that it is missing."""
    try:
        return redact(round_.policy)
    except MissingRound as error:
        return f"missing: {error}"


def _pool(recipe: Recipe, actor: str) -> str:
    pool = getattr(recipe.resources, actor)
    return f"; {pool.actors} {actor} ({pool.num_cpus:g} CPU, {pool.num_gpus:g} GPU, batches of {pool.batch_size})"
