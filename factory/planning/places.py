"""Where everything of a run lies: the datasets, policies and summaries of its rounds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow.fs as pafs

from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from factory.storage.files import exists, filesystem, look, retry
from schemas.datasets import EVALUATED, PAIR, PAIRED, SCORED, SEQUENCE, TOPLINE, UNITS
from schemas.errors import RoundtripError

SCHEMAS = {"sequences": SEQUENCE, "scored": SCORED, "pairs": PAIR, "evaluation": EVALUATED}


class MissingRound(RoundtripError):
    """The round before the one asked for has left no policy."""


@dataclass(frozen=True)
class Run:
    """The places of a run.

    `units/<corpus>`, `paired` and `toplines` are shared by all rounds; `round-N/` holds `scored`, `pairs`, `policy`, `evaluation`,
    `summary.json`.
    """

    uri: str

    def units(self, corpus: str) -> DatasetDir:
        """Return the dataset of a tokenised corpus: `mono`, `test`, `paired` ..."""
        return DatasetDir(f"{self.uri}/units/{corpus}", UNITS)

    def paired(self, corpus: str) -> DatasetDir:
        """Return the PAIRED rows of a corpus of paired speech: `paired` or `dev`."""
        return DatasetDir(f"{self.uri}/{corpus}", PAIRED, "pair_id")

    def sources(self, recipe: Recipe) -> list[DatasetDir]:
        """Return the units that pairs are made of, by `corpus.source`."""
        return [self.units(name) for name in ("mono", "paired") if recipe.corpus.source in (name, "both")]

    @property
    def toplines(self) -> DatasetDir:
        """Return the dataset of toplines of the test corpus."""
        return DatasetDir(f"{self.uri}/toplines", TOPLINE)

    def dataset(self, number: int, name: str) -> DatasetDir:
        """Return a dataset of a round: `sequences`, `scored`, `pairs` or `evaluation`."""
        key = "sequence_id" if name == "sequences" else "utt_id"
        return DatasetDir(f"{self.place(number)}/{name}", SCHEMAS[name], key)

    def place(self, number: int) -> str:
        """Return the folder of a round."""
        return f"{self.uri}/round-{number}"

    def made_policy(self, number: int) -> str:
        """Return where round `number` publishes its policy."""
        return f"{self.place(number)}/policy"

    def has_policy(self, number: int) -> bool:
        """Whether the round has published its policy."""
        return exists(f"{self.made_policy(number)}/config.json")

    def policy(self, number: int, recipe: Recipe) -> str:
        """Return the policy of round `number`; for round 0 the recipe's ready-made one where the run has none of its own.

        Raises MissingRound with the command that makes it.
        """
        made = self.made_policy(number)
        if self.has_policy(number):
            return made
        if number == 0 and recipe.policy.start:
            return locate(recipe.policy.start)
        command = f"python factory/run_round.py --round {number} --run {self.uri}"
        raise MissingRound(
            f"round {number} has made no policy at {made}; make it first: {command} (and its --recipe and --set)"
        )


@dataclass(frozen=True)
class Round:
    """One round of a run: its number, its recipe, and the URIs of what it reads and writes."""

    run: Run
    number: int
    recipe: Recipe

    @property
    def uri(self) -> str:
        """The folder of the round."""
        return self.run.place(self.number)

    @property
    def scored(self) -> DatasetDir:
        """The dataset of candidates and their scores (SCORED)."""
        return self.run.dataset(self.number, "scored")

    @property
    def pairs(self) -> DatasetDir:
        """The dataset of preference pairs (PAIR)."""
        return self.run.dataset(self.number, "pairs")

    @property
    def evaluation(self) -> DatasetDir:
        """The dataset of translations of the test set (EVALUATED) by the policy of this round."""
        return self.run.dataset(self.number, "evaluation")

    @property
    def sequences(self) -> DatasetDir:
        """The dataset of training sequences (SEQUENCE); round 0 alone has one."""
        return self.run.dataset(self.number, "sequences")

    @property
    def sources(self) -> list[DatasetDir]:
        """The units that pairs are made of, by `corpus.source`."""
        return self.run.sources(self.recipe)

    @property
    def policy_uri(self) -> str:
        """Where the round publishes its policy."""
        return self.run.made_policy(self.number)

    @property
    def policy(self) -> str:
        """The policy of the round; for round 0 the recipe's ready-made one where the run has none. Raises MissingRound."""
        return self.run.policy(self.number, self.recipe)

    @property
    def previous(self) -> Round | None:
        """The round before, whose policy makes the candidates of this one; None for round 0."""
        return replace(self, number=self.number - 1) if self.number else None


def finished_rounds(run: Run) -> list[int]:
    """Return the numbers of the rounds that have a summary, in their order."""
    fs, path = filesystem(run.uri)
    selector = pafs.FileSelector(path, allow_not_found=True)
    names = [info.base_name for info in retry(fs, path, "listed", lambda: fs.get_file_info(selector))]
    numbers = sorted(int(name[6:]) for name in names if name.startswith("round-") and name[6:].isdigit())
    return [number for number in numbers if look(fs, f"{path}/round-{number}/summary.json").is_file]


def asked_round(run: Run, number: int | None) -> int:
    """Return the round that is meant: `number`, or the last finished one. Raises FileNotFoundError where that is not finished."""
    finished = finished_rounds(run)
    if number is None and finished:
        return finished[-1]
    if number in finished:
        return int(number)
    found = ", ".join(map(str, finished)) or "none"
    command = f"python factory/run_round.py --round {number or 1} --run {run.uri} (and its --recipe and --set)"
    asked = "a round" if number is None else f"round {number}"
    raise FileNotFoundError(
        f"{asked} of {run.uri} is asked for, and it is not finished (finished: {found}); finish it first: {command}"
    )
