"""The command `roundtrip`: parses, calls and prints.

roundtrip run --round 1
roundtrip rows runs/station/round-1/scored --status failed
roundtrip report --run runs/station
roundtrip translate hello.wav --to fr
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factory.arguments import RECIPE, parse_count, parse_name, print_any_text, run_command

if TYPE_CHECKING:
    from factory.planning.places import Round
    from factory.recipe.recipe import Recipe

FORMATS = ("parquet", "trl", "slamkit", "fairseq", "audiofolder", "llamafactory", "ms-swift", "nemo", "versa")


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; return its exit code."""
    print_any_text()
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["run"]:
        from factory.run_round import main as run

        return run(argv[1:])
    if argv[:1] == ["submit"]:
        from cluster.submit import main as submit

        return submit(argv[1:])
    arguments = _parser().parse_args(argv)
    return run_command("roundtrip", lambda: arguments.run_subcommand(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="roundtrip", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run rounds; see roundtrip run --help")
    commands.add_parser("submit", help="run rounds on a Ray cluster; see roundtrip submit --help")
    _add_rows(commands)
    _add_audit(commands)
    _add_judge(commands)
    _add_round_command(commands, "report", "write report/index.html of a round again", _report)
    _add_listen(commands)
    _add_export(commands)
    _add_read_versa(commands)
    _add_translate(commands)
    _add_serve_rewards(commands)
    return parser


def _add_rows(commands: Any) -> None:
    rows = commands.add_parser("rows", help="show the rows of a dataset, and why rows failed")
    rows.add_argument("dataset", metavar="URI", help="folder of a dataset")
    rows.add_argument("--status", choices=("ok", "skipped", "failed"), help="only rows with this status")
    rows.add_argument("--limit", type=parse_count, default=5, metavar="N", help="number of rows (default: %(default)s)")
    rows.set_defaults(run_subcommand=_rows)


def _add_audit(commands: Any) -> None:
    summary = "how often the labels are right, by gap, metric and δ, where references are known"
    audit = _add_round_command(commands, "audit", summary, _audit)
    audit.add_argument(
        "--asr", type=int, default=0, metavar="N", help="also judge by ASR-BLEU, on N utterances per direction"
    )
    audit.add_argument(
        "--human", action="store_true", help="agreement of each metric with the judgements of roundtrip listen"
    )


def _add_judge(commands: Any) -> None:
    summary = "score a round's candidates by COMET or another judge, in an environment of its own"
    judge = _add_round_command(commands, "judge", summary, _judge)
    judge.add_argument("--judge", required=True, metavar="NAME|FILE", help="comet, chrf, or a script of your own")
    judge.add_argument(
        "--model", default="", metavar="MODEL", help="for comet: Unbabel/wmt22-cometkiwi-da, or a folder"
    )
    compare = "candidates with their source (the default), back-translations with it, or candidates with references"
    judge.add_argument("--compare", choices=("source", "back_translation", "reference"), default="source", help=compare)
    judge.add_argument("--python", metavar="PATH", help="of an environment with its packages (default: one is made)")


def _add_listen(commands: Any) -> None:
    listen = _add_round_command(
        commands, "listen", "serve a page for blind A/B judgements on this machine only", _listen
    )
    choices = ("random", "near", "disagree")
    listen.add_argument("--choose", choices=choices, default="disagree", help="which rows (default: %(default)s)")
    rows = "number of rows (default: %(default)s)"
    listen.add_argument("--rows", type=parse_count, default=50, metavar="N", help=rows)
    user = os.environ.get("USER", "someone")
    who = "who judges (default: %(default)s)"
    listen.add_argument("--rater", type=parse_name, default=user, metavar="NAME", help=who)
    listen.add_argument("--port", type=int, default=8765, metavar="N", help="0 takes a free one (default: %(default)s)")


def _add_export(commands: Any) -> None:
    export = _add_round_command(commands, "export", "write a round's pairs, or its policy, for other tools", _export)
    targets = "DIR|URI|hf://datasets/NAME"
    export.add_argument("--to", required=True, metavar=targets, help="a folder, here or in a store, or a repository")
    formats = "parquet: for load_dataset, with audio (the default)"
    export.add_argument("--format", choices=FORMATS, default="parquet", help=formats)
    export.add_argument("--policy", action="store_true", help="export the policy of the round instead of its pairs")
    base = "with --policy: the published model that the adapter belongs to (hf://OWNER/NAME), so that peft loads it"
    export.add_argument("--base", type=parse_name, metavar="MODEL", help=base)
    license = "licence of the speech (default: the embedded world's, else unknown)"
    export.add_argument("--license", metavar="ID", help=license)
    export.add_argument("--public", action="store_true", help="make a new repository public (default: private)")


def _add_read_versa(commands: Any) -> None:
    summary = "keep VERSA's scores of a round's pairs, which export --format versa wrote, for later exports"
    versa = _add_round_command(commands, "read-versa", summary, _read_versa)
    versa.add_argument("--chosen", required=True, metavar="FILE", help="VERSA's output for chosen.scp")
    versa.add_argument("--rejected", required=True, metavar="FILE", help="VERSA's output for rejected.scp")


def _add_translate(commands: Any) -> None:
    summary = "translate recordings: text and speech"
    translate = commands.add_parser("translate", help=summary, description=summary)
    translate.add_argument("files", nargs="+", metavar="FILE", help="recordings, in any format")
    translate.add_argument("--to", required=True, metavar="LANG", help="language of the translation, as en")
    translate.add_argument("--from", dest="source", metavar="LANG", help="language of the recordings")
    translate.add_argument(
        "--policy", metavar="PATH", help="who translates, as runs/NAME/round-1/policy (default: the recipe's start)"
    )
    models = "the recipe with encoder and voices (default: %(default)s)"
    translate.add_argument("--recipe", default=RECIPE, metavar="PATH", help=models)
    out = "folder of the speech and of a page to listen to (default: %(default)s)"
    translate.add_argument("--out", default="translations", metavar="DIR", help=out)
    translate.set_defaults(run_subcommand=_translate)


def _add_serve_rewards(commands: Any) -> None:
    summary = "score candidates by the round trip over HTTP, on this machine only"
    serve = commands.add_parser("serve-rewards", help=summary, description=summary)
    recipe = "what is translated back, and the metrics (default: %(default)s)"
    serve.add_argument("--recipe", default=RECIPE, metavar="PATH", help=recipe)
    serve.add_argument("--policy", metavar="PATH", help="who translates back (default: the recipe's start)")
    serve.add_argument("--metrics", nargs="+", default=[], metavar="NAME", help="default: those of the recipe")
    serve.add_argument("--port", type=int, default=8766, metavar="N", help="0 takes a free one (default: %(default)s)")
    serve.set_defaults(run_subcommand=_serve_rewards)


def _add_round_command(commands: Any, name: str, summary: str, run_subcommand: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.add_argument("--run", required=True, metavar="URI", help="folder or object-store prefix of the run")
    parser.add_argument("--round", type=int, metavar="N", help="number of the round (default: the last finished one)")
    recipe = "for a round that kept no recipe (default: %(default)s)"
    parser.add_argument("--recipe", default=RECIPE, metavar="PATH", help=recipe)
    parser.set_defaults(run_subcommand=run_subcommand)
    return parser


def _finished_round(arguments: argparse.Namespace, *mark: str) -> Round:
    """Return the finished round that the command line names, with the recipe that it was run with."""
    from factory.planning.kept_recipe import finished_round

    return finished_round(arguments, *mark)


def _rows(arguments: argparse.Namespace) -> int:
    from factory.storage.shown_rows import describe_rows

    for line in describe_rows(arguments.dataset, arguments.status, arguments.limit):
        print(line)
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    round_ = _finished_round(arguments)
    if arguments.human:
        from factory.listen.agreement import audit_judgements, render_human_audit

        print(render_human_audit(audit_judgements(round_)))
        return 0
    from factory.audit.audit import audit_round
    from factory.audit.text import render_audit

    print(render_audit(audit_round(round_, arguments.asr)))
    return 0


def _judge(arguments: argparse.Namespace) -> int:
    from factory.judges.dataset import check_any_score
    from factory.judges.judge import Judge, describe, judge_round
    from factory.planning.places import CANDIDATES

    judge = Judge(arguments.judge, arguments.model, arguments.compare)
    python = Path(arguments.python).absolute() if arguments.python else None
    judged = judge_round(_finished_round(arguments, CANDIDATES), judge, python)
    print(describe(judged, judge))
    check_any_score(judged)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from factory.report.report import write_report

    print(write_report(_finished_round(arguments)))
    return 0


def _listen(arguments: argparse.Namespace) -> int:
    from factory.listen.server import serve

    options = {name: getattr(arguments, name) for name in ("choose", "rows", "rater", "port")}
    print(serve(_finished_round(arguments), **options))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from factory.export.base import ExportError
    from factory.export.export import export_pairs, export_policy

    if arguments.base and not arguments.policy:
        raise ExportError("--base names the base model of an adapter: give --policy too")
    round_ = _finished_round(arguments)
    options = {"license": arguments.license, "private": not arguments.public}
    if arguments.policy:
        print(export_policy(round_, arguments.to, base=arguments.base, **options))
    else:
        print(export_pairs(round_, arguments.to, format=arguments.format, **options))
    return 0


def _read_versa(arguments: argparse.Namespace) -> int:
    from factory.export.versa import keep_scores

    print(keep_scores(_finished_round(arguments), Path(arguments.chosen), Path(arguments.rejected)))
    return 0


def _translate(arguments: argparse.Namespace) -> int:
    """Translate the files; the exit code is 1 if one of them could not be read or translated."""
    from factory.listen.translate import PAGE, choose_direction, describe, translate_files
    from factory.recipe.loading import load

    recipe, out = load(arguments.recipe), Path(arguments.out)
    direction = choose_direction(recipe, arguments.to, arguments.source)
    translations = translate_files(arguments.files, _choose_policy(arguments, recipe), direction, recipe, out)
    for translation in translations:
        print("\n".join(describe(translation, direction)))
    print(f"to listen: {out / PAGE}")
    return 1 if any(translation["reason"] for translation in translations) else 0


def _choose_policy(arguments: argparse.Namespace, recipe: Recipe) -> str:
    """Return the policy that the command line names, else the start of the recipe."""
    policy: str | None = arguments.policy or recipe.policy.start
    if policy is None:
        from factory.recipe.typed import RecipeError

        raise RecipeError(f"the recipe {recipe.name} has no policy.start: name a policy with --policy")
    return policy


def _serve_rewards(arguments: argparse.Namespace) -> int:
    from factory.recipe.loading import load
    from factory.rewards.round_trip import RoundTripRewards
    from factory.rewards.server import serve
    from factory.runtime.loopback import LOOPBACK, open_port

    recipe = load(arguments.recipe)
    policy = _choose_policy(arguments, recipe)
    with open_port(arguments.port) as listener:
        print("loading the policy; this takes about 20 s", flush=True)
        rewards = RoundTripRewards(recipe, policy, arguments.metrics)
        print(f"rewards at http://{LOOPBACK}:{listener.getsockname()[1]}/, until Ctrl-C", flush=True)
        serve(rewards, listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
