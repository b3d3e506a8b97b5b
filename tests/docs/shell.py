"""Split the shell blocks of the documentation into commands, without running them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator

_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_OPERATORS = {"&&", "||", ";", "|", "&"}


def has_valid_syntax(text: str) -> bool:
    """Return whether bash can parse a text."""
    return subprocess.run(["bash", "-n", "-c", text], capture_output=True).returncode == 0


def lines_of(text: str) -> Iterator[str]:
    """Yield the logical lines of a block: continued lines and quoted line ends are joined, comments are removed."""
    held = ""
    for line in text.replace("\\\n", " ").splitlines():
        held = f"{held}\n{line}" if held else line
        try:
            words = shlex.split(held, comments=True)
        except ValueError:  # an open quotation: the next line belongs to it
            continue
        if words:
            yield _without_comment(held)
        held = ""


def _without_comment(line: str) -> str:
    """Remove a comment: a `#` after a space, outside of quotations."""
    for match in re.finditer(r"(?:^|\s)#", line):
        head = line[: match.start()]
        if head.count("'") % 2 == 0 and head.count('"') % 2 == 0:
            return head
    return line


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield each command of a block as its words, those in `$(…)` too; assignments before a command are removed."""
    for line in lines_of(text):
        for inner in _SUBSTITUTION.findall(line):
            yield from commands_of(inner)
        lexer = shlex.shlex(_SUBSTITUTION.sub("VALUE", line), posix=True, punctuation_chars=";&|")
        lexer.whitespace_split, lexer.commenters = True, ""
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _OPERATORS:
                words.append(word)
                continue
            while words and _ASSIGNMENT.match(words[0]):
                words.pop(0)
            if words:
                yield words
            words = []
