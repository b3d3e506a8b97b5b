"""The subcommands that look at a finished round: audit, report, listen, export."""

from __future__ import annotations

import argparse
import os
from typing import Any

FORMATS = ("parquet", "trl", "slamkit", "fairseq", "audiofolder")


def add_commands(commands: Any) -> None:
    """Add the subcommands to a parser's."""
    audit = _round_command(
        commands, "audit", "how often the labels are right, by gap, metric and δ, where references are known"
    )
    audit.add_argument(
        "--asr", type=int, default=0, metavar="N", help="also judge by ASR-BLEU, on N utterances of each direction"
    )
    audit.add_argument(
        "--human", action="store_true", help="agreement of each metric with the judgements of roundtrip listen"
    )
    _round_command(commands, "report", "write report/index.html of a round again")
    listen = _round_command(commands, "listen", "serve a page for blind A/B judgements on this machine only")
    listen.add_argument(
        "--choose", choices=("random", "near", "disagree"), default="disagree", help="which rows (default: %(default)s)"
    )
    listen.add_argument("--rows", type=int, default=50, metavar="N", help="how many rows (default: %(default)s)")
    listen.add_argument("--rater", default=os.environ.get("USER", "someone"), help="who judges (default: %(default)s)")
    listen.add_argument("--port", type=int, default=8765, help="0 takes a free one (default: %(default)s)")
    export = _round_command(commands, "export", "write a round's pairs, or its policy, for others to use")
    export.add_argument(
        "--to",
        required=True,
        metavar="DIR|URI|hf://datasets/NAME",
        help="a folder, here or in a store, or a repository",
    )
    export.add_argument(
        "--format",
        choices=FORMATS,
        default="parquet",
        help="parquet: what load_dataset reads, with audio (the default)",
    )
    export.add_argument("--policy", action="store_true", help="export the policy of the round instead of its pairs")
    export.add_argument(
        "--license", metavar="ID", help="licence of the speech (default: the embedded world's, else unknown)"
    )
    export.add_argument("--public", action="store_true", help="make a new repository public (the default is private)")


def _round_command(commands: Any, name: str, told: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=told, description=told)
    parser.add_argument("--run", required=True, metavar="URI", help="folder or object-store prefix of the run")
    parser.add_argument("--round", type=int, metavar="N", help="which round (default: the last finished one)")
    parser.add_argument(
        "--recipe",
        default="recipes/phrasebook.yaml",
        help="for a round that kept none of its own (default: %(default)s)",
    )
    return parser


def carry_out(asked: argparse.Namespace) -> int:
    """Do what was asked of a round, and print what came of it; returns 0."""
    from factory.planning.kept_recipe import kept_recipe
    from factory.planning.places import Run, asked_round
    from factory.recipe.loading import load

    run = Run(asked.run)
    number = asked_round(run, asked.round)
    print(_DO[asked.command](run, number, kept_recipe(run, number) or load(asked.recipe), asked))
    return 0


def _audit(run: Any, number: int, recipe: Any, asked: argparse.Namespace) -> str:
    if asked.human:
        from factory.listen.agreement import human_audit, render_human

        return render_human(human_audit(run, number, recipe))
    from factory.audit.audit import audit_round
    from factory.audit.text import render_audit
    from factory.planning.places import Round

    return render_audit(audit_round(Round(run, number, recipe), asked.asr))


def _report(run: Any, number: int, recipe: Any, asked: argparse.Namespace) -> str:
    from factory.planning.places import Round
    from factory.report.report import write_report

    return write_report(Round(run, number, recipe))


def _listen(run: Any, number: int, recipe: Any, asked: argparse.Namespace) -> str:
    from factory.listen.server import serve

    return serve(run, number, recipe, choose=asked.choose, rows=asked.rows, rater=asked.rater, port=asked.port)


def _export(run: Any, number: int, recipe: Any, asked: argparse.Namespace) -> str:
    from factory.export.export import export_pairs, export_policy

    if asked.policy:
        return export_policy(run, number, recipe, asked.to, license=asked.license, private=not asked.public)
    return export_pairs(
        run, number, recipe, asked.to, format=asked.format, license=asked.license, private=not asked.public
    )


_DO = {"audit": _audit, "report": _report, "listen": _listen, "export": _export}
