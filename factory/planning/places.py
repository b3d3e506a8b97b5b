"""Where everything of a run is: the datasets, policies and summaries of its rounds."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import pyarrow.fs as pafs

from factory.corpora.base import CORPUS_ROW
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import MANIFEST, DatasetDir
from factory.storage.files import exists, filesystem, look, retry
from schemas.datasets import ALIGNED, EVALUATED, PAIR, PAIRED, SCORED, SEQUENCE, TOPLINE, UNITS
from schemas.errors import RoundtripError
from schemas.spoken import SPOKEN_SEQUENCE

SUMMARY, CANDIDATES = "summary.json", f"scored/{MANIFEST}"
"""The file of a round that shows that it is finished, and the one that shows that its candidates are."""
_STATES = {
    SUMMARY: ("is finished", "is not finished"),
    CANDIDATES: ("has finished candidates", "has no finished candidates"),
}


class MissingRound(RoundtripError):
    """A round that another one needs is not finished, or has no policy."""


@dataclass(frozen=True)
class Run:
    """A folder or object-store prefix with the rounds of an experiment.

    All rounds share `units/CORPUS`, `paired`, `dev` and `toplines`. `round-N/` holds `scored`, `pairs`, `policy`,
    `evaluation` and `summary.json`.
    """

    uri: str

    def units(self, corpus: str) -> DatasetDir:
        """Return the dataset of a tokenized corpus: `mono`, `test`, `paired` ..."""
        return DatasetDir(f"{self.uri}/units/{corpus}", UNITS)

    def words(self, corpus: str) -> DatasetDir:
        """Return the aligned words of a corpus of paired speech: `paired` or `dev`."""
        return DatasetDir(f"{self.uri}/words/{corpus}", ALIGNED)

    def paired(self, corpus: str) -> DatasetDir:
        """Return the PAIRED rows of a corpus of paired speech: `paired` or `dev`."""
        return DatasetDir(f"{self.uri}/{corpus}", PAIRED, "pair_id")

    def speech(self, corpus: str) -> DatasetDir:
        """Return the utterances of a corpus of units that vocoders spoke, for a policy of continuous speech."""
        return DatasetDir(f"{self.uri}/speech/{corpus}", CORPUS_ROW)

    @property
    def toplines(self) -> DatasetDir:
        """The dataset of toplines of the test corpus."""
        return DatasetDir(f"{self.uri}/toplines", TOPLINE)


@dataclass(frozen=True)
class Round:
    """One round of a run: its number, its recipe, and the URIs of what it reads and writes."""

    run: Run
    number: int
    recipe: Recipe

    @property
    def uri(self) -> str:
        """The folder of the round."""
        return f"{self.run.uri}/round-{self.number}"

    @property
    def sequences(self) -> DatasetDir:
        """The dataset of training sequences (SEQUENCE or SPOKEN_SEQUENCE). Only round 0 has one."""
        schema = SPOKEN_SEQUENCE if self.recipe.hears_speech else SEQUENCE
        return DatasetDir(f"{self.uri}/sequences", schema, "sequence_id")

    @property
    def scored(self) -> DatasetDir:
        """The dataset of candidates and their scores (SCORED)."""
        return DatasetDir(f"{self.uri}/scored", SCORED, more=self.recipe.more_id_columns)

    @property
    def dev_scored(self) -> DatasetDir:
        """The dataset of scored candidates of corpus.dev, for `select.delta: auto`."""
        return DatasetDir(f"{self.uri}/dev", SCORED, more=self.recipe.more_id_columns)

    @property
    def pairs(self) -> DatasetDir:
        """The dataset of preference pairs (PAIR)."""
        return DatasetDir(f"{self.uri}/pairs", PAIR, more=self.recipe.more_id_columns)

    @property
    def evaluation(self) -> DatasetDir:
        """The dataset of translations of the test set (EVALUATED) by the policy of this round."""
        return DatasetDir(f"{self.uri}/evaluation", EVALUATED, more=self.recipe.more_id_columns)

    @property
    def mono_units(self) -> list[DatasetDir]:
        """The units of `corpus.mono` that this round uses, and before them those of earlier rounds.

        Only the utterances that a round uses are tokenized: `units/mono` has those of round 1, `units/mono-N` those of
        round N. If every round uses the same ones, there is only `units/mono`.
        """
        turns = range(1, self.recipe.turn(max(1, self.number)) + 1)
        return [self.run.units("mono" if turn == 1 else f"mono-{turn}") for turn in turns]

    @property
    def sources(self) -> list[DatasetDir]:
        """The units that pairs are made from, by `corpus.source`."""
        source = self.recipe.corpus.source
        units = {"mono": self.mono_units[-1], "paired": self.run.units("paired")}
        return [units[name] for name in units if source in (name, "both")]

    @property
    def policy_uri(self) -> str:
        """Where the round publishes its policy."""
        return f"{self.uri}/policy"

    @property
    def has_policy(self) -> bool:
        """True if the round has published its policy."""
        return exists(f"{self.policy_uri}/config.json")

    @property
    def policy(self) -> str:
        """The policy of the round; for round 0 the recipe's finished one if the run has none.

        Raises:
            MissingRound: the round has no policy; the message names the command that makes it.
        """
        if self.has_policy:
            return self.policy_uri
        if self.number == 0 and self.recipe.policy.start:
            return self.recipe.policy.start
        command = f"python factory/run_round.py --round {self.number} --run {self.run.uri}"
        raise MissingRound(
            f"round {self.number} has no policy at {self.policy_uri}: run it first with {command} "
            "(and its --recipe and --set)"
        )

    @property
    def previous(self) -> Round | None:
        """The round before, whose policy makes the candidates of this one; None for round 0."""
        return replace(self, number=self.number - 1) if self.number else None

    @property
    def compared(self) -> list[Round]:
        """The rounds whose policies this round evaluates: the one before, and itself."""
        return [*([self.previous] if self.previous else []), self]


def rounds_from(arguments: argparse.Namespace) -> list[Round]:
    """Return the rounds that a command line names (`factory.arguments.round_parser`).

    Raises RecipeError; or MissingRound for round 0 of an audio LLM, which is not trained.
    """
    recipe = load(arguments.recipe, arguments.set)
    if recipe.chats and 0 in arguments.round:
        raise MissingRound(
            f"policy.kind: audio_llm has no round 0, because {recipe.policy.start} is finished: begin with --round 1"
        )
    run = Run(arguments.run or f"runs/{recipe.name}")
    return [Round(run, number, recipe) for number in arguments.round]


def finished_rounds(run: Run, mark: str = SUMMARY) -> list[int]:
    """Return the numbers of the rounds that have a summary, or another file (CANDIDATES), in order."""
    fs, path = filesystem(run.uri)
    selector = pafs.FileSelector(path, allow_not_found=True)
    names = [info.base_name for info in retry(fs, path, "listed", lambda: fs.get_file_info(selector))]
    numbers = sorted(int(name[6:]) for name in names if name.startswith("round-") and name[6:].isdigit())
    return [number for number in numbers if look(fs, f"{path}/round-{number}/{mark}").is_file]


def choose_round(run: Run, number: int | None, mark: str = SUMMARY) -> int:
    """Return `number`, or the last finished round for None.

    Args:
        run: the run.
        number: the number of a round, or None.
        mark: SUMMARY, or CANDIDATES if the round only needs its scored candidates.

    Raises:
        MissingRound: that round is not finished; the message names the command that finishes it.
    """
    finished = finished_rounds(run, mark)
    if number is None and finished:
        return finished[-1]
    if number in finished:
        return int(number)
    if number is not None and number < 0:
        raise MissingRound(f"there is no round {number}: --round is 0 (supervised training), 1, 2 ...")
    if number == 0 and mark == CANDIDATES:
        raise MissingRound("round 0 makes no candidates: name a round from 1 on with --round")
    done = ", ".join(map(str, finished)) or "none"
    missing = 1 if number is None else number
    command = f"python factory/run_round.py --round {missing} --run {run.uri} (and its --recipe and --set)"
    name = "no round" if number is None else f"round {number}"
    state = _STATES[mark][number is not None]
    raise MissingRound(f"{name} of {run.uri} {state} (finished: {done}): finish it first with {command}")
