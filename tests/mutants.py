"""Mutation tests: change the code in one small way at a time, and count the changes that the fast tests notice.

    make mutants                                 # continue where the last run stopped
    make mutants ARGS="'factory.metrics.wer*'"   # test the mutants of one module, again if they were tested before
    rm -r mutants                                # forget all results

mutmut makes the mutants and runs the tests; `[tool.mutmut]` in pyproject.toml names the files and the tests. This
script adds what mutmut lacks. It does not change texts for people, it tests a mutant with the tests of its own folder
and the quickest first, it tests survivors again when a test has changed, it estimates the time that is left, it prints
the score of each module, and it fails if the score is low or if docs/testing.md gives no reason for a survivor.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import mangled_name_from_mutant_name, orig_function_and_class_names_from_key

WORK = Path("mutants")
DOCS = Path("docs/testing.md")
MINIMUM = 90.0  # percent of the mutants that the tests have to kill
KILLED = {"killed", "timeout", "segfault"}  # a test fails, never ends, or its process dies
SURVIVE = 0.1  # share of the mutants that survive, for the estimate
REFRESH_S = 5.0
HANG_S = "180"  # seconds; a fast test takes seconds, on a busy machine a minute
CONTEXT = 4  # words and signs around a change that name it in the documentation
MESSAGE_WORDS = 3  # a string literal of this many words is a text for people

Json = dict[str, dict[str, Any]]


def main() -> None:
    """Run mutmut and report its results; exit with 1 if they are not good enough."""
    arguments = parse_arguments()
    if arguments.worker:
        run_mutmut(arguments.mutants, arguments.processes)
        return
    prepare()
    finished = watch(arguments.mutants, arguments.processes)
    modules = read_modules()
    print_scores(modules)
    sys.exit(0 if finished and is_good(modules) else 1)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mutants", nargs="*", help="patterns of the mutants to test; default: all without a result")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="number of processes that run tests")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def run_mutmut(mutants: list[str], processes: int) -> None:
    """Run mutmut in this process; it leaves texts for people as they are, and runs the tests of `choose_tests`."""
    os.environ["HANG_S"] = HANG_S  # a mutant may wait forever
    from mutmut import __main__ as mutmut
    from mutmut.mutation import mutators
    from mutmut.state import state

    def mutate_string(node: Any) -> Iterable[Any]:
        words = len(getattr(node, "value", "").split())
        return () if words >= MESSAGE_WORDS else mutators.operator_string(node)

    operators = [
        (kind, mutate_string if operator is mutators.operator_string else operator)
        for kind, operator in mutators.mutation_operators
    ]
    cast(list[Any], mutators.mutation_operators)[:] = operators
    find_tests = mutmut.collect_or_load_stats

    def find_and_choose_tests(*arguments: Any, **options: Any) -> None:
        find_tests(*arguments, **options)
        os.environ["PYTEST_TIMEOUT"] = HANG_S  # not before: a test that notes each call takes ten times as long
        tests = cast(Json, state().tests_by_mangled_function_name)
        for function in tests:
            tests[function] = choose_tests(function, tests[function], state().duration_by_test)

    mutmut.collect_or_load_stats = find_and_choose_tests
    mutmut._run(mutants, processes)


def choose_tests(function: str, tests: Iterable[str], durations: Mapping[str, float]) -> KeysView[str]:
    """Return the tests that must notice the mutants of a function, the quickest first.

    They are in the folder that mirrors the function's, or anywhere if that has none: `factory.audit.delta.x_choose` is
    tested in `tests/audit`. Nearly every test loads a recipe, so that a survivor would take minutes otherwise.
    """
    folder = function.removeprefix("factory.").partition(".")[0]
    own = [test for test in tests if test.startswith(f"tests/{folder}/")]
    return dict.fromkeys(sorted(own or tests, key=lambda test: durations[test])).keys()


# Results of an earlier run


def prepare() -> None:
    """Remove what an earlier run left and does not hold any more."""
    settings = repr((tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"], MESSAGE_WORDS))
    tests = "".join(path.read_text() for path in sorted(Path("tests").rglob("*.py")) if path.name != "mutants.py")
    if has_changed("settings", settings):
        shutil.rmtree(WORK)
        has_changed("settings", settings)
    shutil.rmtree(WORK / "tests", ignore_errors=True)  # mutmut copies tests, but does not remove them
    if has_changed("tests", tests):
        (WORK / "mutmut-stats.json").unlink(missing_ok=True)  # which tests call which functions
        for path in WORK.rglob("*.meta"):
            forget_survivors(path)


def has_changed(name: str, value: str) -> bool:
    """Return True if a value differs from that of the last call, and remember it."""
    WORK.mkdir(exist_ok=True)
    note, digest = WORK / f"{name}.sha256", hashlib.sha256(value.encode()).hexdigest()
    is_same = note.exists() and note.read_text() == digest
    note.write_text(digest)
    return not is_same


def forget_survivors(path: Path) -> None:
    """Make mutmut test the survivors of a module again."""
    meta = json.loads(path.read_text())
    codes = meta["exit_code_by_key"]
    meta["exit_code_by_key"] = {
        name: code if status_by_exit_code[code] in KILLED else None for name, code in codes.items()
    }
    path.write_text(json.dumps(meta, indent=4))


@dataclass(frozen=True)
class Module:
    """A source file and the results of its mutants by name: killed, survived, no tests, not checked, ..."""

    path: Path
    statuses: dict[str, str]

    def count(self, *statuses: str) -> int:
        return sum(status in statuses for status in self.statuses.values())

    @property
    def waiting(self) -> int:
        return self.count("not checked")

    @property
    def survivors(self) -> list[str]:
        return [name for name, status in self.statuses.items() if status not in KILLED | {"not checked"}]


def read_modules() -> list[Module]:
    """Read the results of all modules that have mutants."""
    modules = []
    for meta in sorted(WORK.rglob("*.meta")):
        path = meta.relative_to(WORK).with_suffix("")
        codes = read_json(meta).get("exit_code_by_key", {})
        if codes and path.exists():
            modules.append(Module(path, {name: status_by_exit_code[code] for name, code in codes.items()}))
    return modules


def read_json(path: Path) -> Json:
    """Read a file of mutmut, or return {} if it does not exist or is not complete at this moment."""
    try:
        return cast(Json, json.loads(path.read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


# Progress


def watch(mutants: list[str], processes: int) -> bool:
    """Run mutmut in a process of its own, print its progress, and return True if it ends well."""
    command = [sys.executable, __file__, "--worker", f"--processes={processes}", *mutants]
    log = WORK / "mutmut.log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    try:
        print("making mutants, and running the tests once to see which functions they call")
        for line in list_progress(process, processes):
            print(f"\r{line:<78}", end="" if sys.stdout.isatty() else "\n", flush=True)
    except KeyboardInterrupt:
        print("\nstopped: the same command continues here")
        process.wait()
        return False
    if process.wait() > 0:
        print(f"\nmutmut failed; the end of {log}:\n" + log.read_text().replace("\r", "\n")[-3000:])
    return process.returncode == 0


def list_progress(process: subprocess.Popen[bytes], processes: int) -> Iterator[str]:
    """Yield a line whenever mutmut has results, until it ends."""
    begin = (0.0, 0, 0.0)  # when the first mutant was tested: the time, and the results that existed
    while process.poll() is None:
        time.sleep(REFRESH_S)
        stats, modules = read_json(WORK / "mutmut-stats.json"), read_modules()
        if not stats or not modules:
            continue
        costs = estimate(modules, stats)
        tested, total = len(costs["tested"]), len(costs["tested"]) + len(costs["waiting"])
        now = (time.monotonic(), tested, sum(costs["tested"]))
        if not begin[0] or tested == begin[1]:
            begin = now
            continue
        seconds, count, cost = (after - before for after, before in zip(now, begin))
        overhead = max(seconds * processes - cost, 0.0) / count
        left = (overhead * (total - tested) + sum(costs["waiting"])) / processes
        survivors = sum(len(module.survivors) for module in modules)
        yield f"{tested} of {total} mutants, {survivors} survive, about {left / 60:.0f} min left"


def estimate(modules: list[Module], stats: Json) -> dict[str, list[float]]:
    """Return for each mutant how many seconds its tests run, by a rough guess: the quickest one kills most mutants."""
    tests, durations = stats["tests_by_mangled_function_name"], stats["duration_by_test"]
    costs: dict[str, list[float]] = {"tested": [], "waiting": []}
    for module in modules:
        for name, status in module.statuses.items():
            function = mangled_name_from_mutant_name(name)
            times = [durations[test] for test in choose_tests(function, tests.get(function, ()), durations)]
            costs["waiting" if status == "not checked" else "tested"].append(
                min(times, default=0.0) + SURVIVE * sum(times)
            )
    return costs


# Report


def print_scores(modules: list[Module]) -> None:
    """Print a Markdown table with the score of each module."""
    print("\n| module | mutants | killed | survived | no test calls it | score |\n|---|--:|--:|--:|--:|--:|")
    everything = Module(Path("all"), {name: status for module in modules for name, status in module.statuses.items()})
    for module in filter(score, [*modules, everything]):
        counts = [module.count(*KILLED), len(module.survivors) - module.count("no tests"), module.count("no tests")]
        cells = [f"`{module.path}`", len(module.statuses), *counts, f"{score(module):.1f} %"]
        print("| " + " | ".join(map(str, cells)) + " |")
    if left := everything.waiting:
        print(f"\n{left} mutants have no result yet")


def score(module: Module) -> float:
    """Return the percentage of tested mutants that the tests kill."""
    return 100 * module.count(*KILLED) / max(len(module.statuses) - module.waiting, 1)


def is_good(modules: list[Module]) -> bool:
    """Print the survivors that the documentation does not explain, and return True if the result is good enough."""
    lines = [line for module in modules for line in map(describe, module.survivors)]
    reasons = {line.strip() for line in DOCS.read_text().splitlines() if " → " in line}
    tested = not any(module.waiting for module in modules)
    unexplained = [line for line in lines if line not in reasons]
    for title, found in (
        (f"survivors without a reason in {DOCS}", unexplained),
        (f"lines of {DOCS} without a survivor", sorted(reasons - set(lines)) if tested else []),
    ):
        if found:
            print(f"\n{len(found)} {title}:\n" + "\n".join(found))
    killed, total = (sum(counts) for counts in zip(*((m.count(*KILLED), len(m.statuses)) for m in modules)))
    return not unexplained and 100 * killed >= MINIMUM * total


def describe(mutant: str) -> str:
    """Return the line of docs/testing.md about a mutant: its function, and the code before and after the change."""
    function, kind = orig_function_and_class_names_from_key(mutant)
    module = mangled_name_from_mutant_name(mutant).rpartition(".")[0]
    name = ".".join(filter(None, [module, kind, function]))
    changes = [line for line in get_diff_for_mutant(mutant).splitlines() if not line.startswith(("---", "+++", "@@"))]
    before, after = (" ".join(line[1:].strip() for line in changes if line.startswith(sign)) for sign in "-+")
    before, after = cut_common_words(before, after)
    return f"- `{name}`: `{before}` → {f'`{after}`' if after else 'nothing'}"


def cut_common_words(before: str, after: str) -> tuple[str, str]:
    """Remove the words with which both lines begin and end, but keep a few around the difference."""
    words = [re.findall(r"\w+|\s+|[^\w\s]", line) for line in (before, after)]
    head = len(os.path.commonprefix(words))
    tail = len(os.path.commonprefix([line[head:][::-1] for line in words]))
    first = max(head - CONTEXT, 0)
    before, after = ("".join(line[first : len(line) - tail + CONTEXT]).strip() for line in words)
    return before, after


if __name__ == "__main__":
    main()
