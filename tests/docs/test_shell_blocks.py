"""Every command in README and docs works: the real parsers read its options, and its files and targets exist."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from factory.recipe.loading import load
from tests.docs.blocks import PAGES, ROOT, SHELL, Block, all_blocks, blocks_of, is_executed
from tests.docs.shell import commands_of, has_valid_syntax
from tests.limits import HANG_S

FOLDERS = "factory|trainers|cluster|schemas|recipes|tests|benchmarks|docs|examples"
VARIABLES = re.compile(r"RAY_|ROUNDTRIP_|HF_|AWS_|CUDA_VISIBLE_DEVICES=")
WRITTEN_BY_THE_PAGE = {block.title for page in PAGES if page.is_file() for block in blocks_of(page) if block.title}


KUBECTL = {"apply", "create", "delete", "get", "kustomize", "logs", "port-forward", "namespace", "secret", "generic"}


class Parsed(BaseException):
    """Ends a program after it has parsed its arguments."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.options = options


@contextlib.contextmanager
def only_parsing() -> Iterator[None]:
    """Let every argparse parser raise Parsed with what it has read."""
    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, *arguments: object, **named: object) -> None:
        raise Parsed(parse(parser, *arguments, **named))

    argparse.ArgumentParser.parse_args = stop
    try:
        yield
    finally:
        argparse.ArgumentParser.parse_args = parse


def parsed(words: list[str], work: Callable[[], object]) -> argparse.Namespace:
    """Run a Python program up to its parser; fail with argparse's message if it refuses the arguments."""
    arguments, sys.argv, errors = sys.argv, words, io.StringIO()
    try:
        with only_parsing(), contextlib.redirect_stderr(errors):
            work()
    except Parsed as end:
        return end.options
    except SystemExit:
        pytest.fail(errors.getvalue())
    finally:
        sys.argv = arguments
    raise AssertionError(f"{words} parses no arguments")


def check_recipe(options: argparse.Namespace) -> None:
    """Load the recipe that a command names, with its `--set`: an unknown key or value is an error."""
    if hasattr(options, "recipe") and hasattr(options, "set"):
        load(options.recipe, options.set)


def check_roundtrip(words: list[str]) -> None:
    """Parse `roundtrip …`."""
    from factory.cli import main

    check_recipe(parsed(words, lambda: main(words[1:])))


def check_python(words: list[str]) -> None:
    """Parse `python FILE`, `python -m MODULE` or `python -c CODE`."""
    if words[1] == "-c":
        compile(words[2], "-c", "exec")
    elif words[1:3] == ["-m", "pytest"]:
        check_pytest(words[2:])
    elif words[1] == "-m" and words[2] in OTHERS:
        OTHERS[words[2]](words[2:])
    elif words[1] == "-m":
        check_recipe(parsed(words[2:], lambda: runpy.run_module(words[2], run_name="__main__")))
    elif words[1] in WRITTEN_BY_THE_PAGE:
        pass  # a script that the page shows; test_python_blocks.py reads it
    elif words[1].startswith("examples/"):
        inspect.signature(runpy.run_path(str(ROOT / words[1]), run_name="example")["main"]).bind(*words[2:])
    else:
        assert (ROOT / words[1]).is_file(), f"there is no {words[1]}"
        check_recipe(parsed(words[1:], lambda: runpy.run_path(str(ROOT / words[1]), run_name="__main__")))


def check_pytest(words: list[str]) -> None:
    """Look for the files that a pytest command names; a page may bring its own."""
    for path in (word for word in words[1:] if word.startswith("tests/")):
        assert (ROOT / path.partition("::")[0]).exists() or path in WRITTEN_BY_THE_PAGE, f"there is no {path}"


@cache
def make_targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check_make(words: list[str]) -> None:
    """Look for the target and the variables in the Makefile; `make bench NAME=x` needs benchmarks/x.py."""
    makefile = (ROOT / "Makefile").read_text()
    for word in words[1:]:
        name, assigned, value = word.partition("=")
        if assigned:
            assert re.search(rf"^{name} \?=", makefile, re.MULTILINE), f"the Makefile has no variable {name}"
            assert name != "NAME" or (ROOT / f"benchmarks/{value}.py").is_file(), f"there is no benchmark {value}"
            assert name != "LOCK" or (ROOT / value).is_file(), f"there is no {value}"
        else:
            assert word in make_targets(), f"the Makefile has no target {word}"


def check_ray(words: list[str]) -> None:
    """Parse `ray …` with Ray's own command line, and the command that a job runs."""
    from ray.scripts.scripts import cli

    command, arguments = cli, words[1:]
    context = cli.make_context("ray", [*arguments])
    while isinstance(command, click.Group):
        rest = [*context.protected_args, *context.args] if hasattr(context, "protected_args") else context.args
        name, command, arguments = command.resolve_command(context, [*rest])
        context = command.make_context(name, [*arguments], parent=context)
    if "--" in words:
        check_command(words[words.index("--") + 1 :])


def check_kubectl(words: list[str]) -> None:
    """Ask kubectl for the help of the command, look up each option in it, and render what `-k` names."""
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    assert kubectl, "kubectl comes with requirements/manifests.txt (make test)"
    words = without_namespace(words)
    names = [word for word in words[1:4] if word in KUBECTL]
    told = help_of(kubectl, *names)
    for option in (word.partition("=")[0] for word in words if word.startswith("-")):
        assert re.search(rf"(^|\s|,){re.escape(option)}(=|,|\s)", told), f"{names} has no option {option}"
    if "-k" in words:
        folder = words[words.index("-k") + 1]
        done = subprocess.run([kubectl, "kustomize", folder], cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
        assert done.returncode == 0, done.stderr


def without_namespace(words: list[str]) -> list[str]:
    """Remove `-n NAMESPACE`, an option of all commands."""
    return words[:1] + words[3:] if words[1] == "-n" else words


@cache
def help_of(kubectl: str, *names: str) -> str:
    """Return the help of a kubectl command with all its options."""
    done = subprocess.run([kubectl, *names, "--help"], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0 and "Usage:" in done.stdout, f"kubectl has no command {' '.join(names)}"
    return done.stdout


def check_pip(words: list[str]) -> None:
    """Parse `pip …` with pip's own parser, and look for requirement files."""
    from pip._internal.commands import create_command

    options, _ = create_command(words[1]).parser.parse_args(words[2:])
    for path in getattr(options, "requirements", []):
        assert (ROOT / path).is_file(), f"there is no {path}"


def check_docker(words: list[str]) -> None:
    """Accept `docker build -f FILE -t TAG .` and `docker push TAG`."""
    assert words[1] in ("build", "push"), f"docker {words[1]} is not checked here"
    assert words[1] == "push" or (ROOT / words[words.index("-f") + 1]).is_file()


def check_script(words: list[str]) -> None:
    """Check that a tool of the environment is there, and let it explain its subcommand if it has one."""
    tool = shutil.which(words[0], path=str(Path(sys.executable).parent))
    assert tool, f"there is no {words[0]} in the environment"
    subcommand = [word for word in words[1:2] if not word.startswith("-") and words[0] != "mypy"]
    done = subprocess.run([tool, *subcommand, "--help"], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr


def check_export(words: list[str]) -> None:
    """Accept variables of Ray, Hugging Face and cloud stores, and those of ours that the code reads."""
    for word in words[1:]:
        assert VARIABLES.match(word), f"{word} is a variable that nothing here reads"
        if word.startswith("ROUNDTRIP_"):
            name = word.partition("=")[0]
            assert any(name in path.read_text("utf-8") for path in (ROOT / "factory").rglob("*.py")), (
                f"no code reads {name}"
            )


def check_source(words: list[str]) -> None:
    """Accept the activation of the environment."""
    assert words[1:] == [".venv/bin/activate"]


def check_git(words: list[str]) -> None:
    """Accept git's everyday commands."""
    assert words[1] in ("clone", "switch", "checkout", "commit", "add", "push", "status", "diff", "log"), words


def accept(words: list[str]) -> None:
    """Accept a tool of every shell."""


OTHERS: dict[str, Callable[[list[str]], None]] = {
    "pip": check_pip,
    "venv": accept,
    "http.server": accept,
    "mkdocs": check_script,
}
CHECKS: dict[str, Callable[[list[str]], None]] = {
    "roundtrip": check_roundtrip,
    "python": check_python,
    "python3.11": check_python,
    "make": check_make,
    "ray": check_ray,
    "kubectl": check_kubectl,
    "pip": check_pip,
    "pytest": check_pytest,
    "docker": check_docker,
    "pre-commit": check_script,
    "ruff": check_script,
    "mypy": check_script,
    "mkdocs": check_script,
    "export": check_export,
    ".": check_source,
    "git": check_git,
    **dict.fromkeys(("cd", "ls", "mkdir", "cp", "cat", "head", "base64", "tar", "unzip", "curl"), accept),
}


def check_command(words: list[str]) -> None:
    """Check one command; a command that this file does not know is an error."""
    assert words[0] in CHECKS, f"{words[0]} is not a known command: check it in {Path(__file__).name}"
    CHECKS[words[0]](words)


def is_shell(block: Block) -> bool:
    """Return whether a block holds commands: it says so, or it says nothing and a line begins with a known command."""
    if block.lang in SHELL or block.lang:
        return block.lang in SHELL
    return any(line.split(" ")[0] in CHECKS for line in block.text.splitlines())


BLOCKS = [block for block in all_blocks() if is_shell(block)]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_command_of_a_block_works(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_valid_syntax(block.text), "bash cannot parse the block"
    monkeypatch.chdir(workspace(block.page, tmp_path))
    for words in commands_of(block.text):
        if is_executed(block.page):
            assert words[0] in CHECKS  # test_how_to.py runs the commands of this page
        else:
            check_command(words)


def workspace(page: Path, folder: Path) -> Path:
    """Return a folder with the shipped recipes, and those that the page shows."""
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    for block in blocks_of(page):
        if block.lang == "yaml" and block.title:
            (folder / block.title).write_text(block.text, "utf-8")
            load(folder / block.title)
    return folder


def test_the_pages_have_commands() -> None:
    pages = {block.page.name for block in BLOCKS}
    assert pages >= {"README.md", "quickstart.md", "cluster.md", "kubernetes.md", "export.md", "paper.md"}


@pytest.mark.parametrize("page", filter(Path.is_file, PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_targets_in_running_text_exist(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for span in (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)):
        if found := re.match(r"make ([a-z]+)", span):
            assert found[1] in make_targets(), f"`{span}`: the Makefile has no such target"
        if found := re.match(r"python -m ((?:factory|trainers|cluster|assets|benchmarks)[\w.]*)", span):
            path = ROOT / found[1].replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"`{span}`: no such module"
        for path in re.findall(
            r"(?:^|\s)((?:factory|trainers|cluster|schemas|recipes|tests|benchmarks|docs)/[\w./-]+\.\w+)", span
        ):
            assert (ROOT / path).exists() or path in WRITTEN_BY_THE_PAGE, f"`{span}`: there is no {path}"


@pytest.mark.parametrize(
    "command",
    [
        "frobnicate --now",
        "make no-such-target",
        "make bench NAME=none",
        "roundtrip rows",
        "roundtrip run --round 1 --set select.detla=0.1",
        "python factory/run_round.py --round 1 --no-such-option",
        "python factory/no_such_file.py",
        "ray job submit -- python factory/run_round.py --round x",
        "kubectl apply -k cluster/kuberay/overlays/none",
        "pip wheel . --no-such-option",
        "export ROUNDTRIP_NOTHING=1",
    ],
)
def test_a_wrong_command_is_an_error(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(BaseException) as error:
        check_command(next(commands_of(command)))
    assert not isinstance(error.value, KeyboardInterrupt)


def test_a_block_is_split_into_its_commands() -> None:
    block = "A=1 make demo  # a comment\ncd x && ls | head &\nexport B=$(kubectl get x | base64) C='a b'\n"
    block += 'python -c "a\nb"\nray a \\\n b\n'
    assert list(commands_of(block)) == [
        ["make", "demo"], ["cd", "x"], ["ls"], ["head"], ["kubectl", "get", "x"], ["base64"],
        ["export", "B=VALUE", "C=a b"], ["python", "-c", "a\nb"], ["ray", "a", "b"],
    ]  # fmt: skip
