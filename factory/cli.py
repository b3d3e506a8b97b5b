"""The command `roundtrip`: thin, it parses, calls and prints.

roundtrip run --round 1
roundtrip rows runs/phrasebook/round-1/scored --status failed
roundtrip report --run runs/phrasebook
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from factory.arguments import print_any_text, run_command
from factory.commands import add_commands, carry_out
from factory.storage.names import on_one_line


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; returns its exit code."""
    print_any_text()
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["run"]:
        from factory.run_round import main as run

        return run(argv[1:])
    if argv[:1] == ["submit"]:
        from cluster.submit import main as submit

        return submit(argv[1:])
    parser = argparse.ArgumentParser(
        prog="roundtrip", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run a round; see roundtrip run --help")
    commands.add_parser("submit", help="run a round on a Ray cluster; see roundtrip submit --help")
    rows = commands.add_parser("rows", help="look at the rows of a dataset, or of what failed in it")
    rows.add_argument("dataset", metavar="URI", help="folder of a dataset")
    rows.add_argument("--status", choices=("ok", "skipped", "failed"), help="only rows with this status")
    rows.add_argument("--limit", type=int, default=5, help="how many rows (default: %(default)s)")
    add_commands(commands)
    asked = parser.parse_args(argv)
    return run_command("roundtrip", lambda: show_rows(asked) if asked.command == "rows" else carry_out(asked))


def show_rows(asked: argparse.Namespace) -> int:
    """Print why rows are not ok, and the first rows as JSON, a line each."""
    from factory.storage.dataset import DatasetDir

    dataset = DatasetDir(asked.dataset)
    reasons, rows = dataset.failures().to_pylist(), dataset.rows(status=asked.status).slice(0, asked.limit).to_pylist()
    for reason in reasons:
        print(
            f"{reason['status']:8} {reason['reason']:20} {reason['count']:8,}  {', '.join(map(on_one_line, reason['ids']))}"
        )
    for row in rows:
        print(json.dumps(_shown(row), ensure_ascii=False))
    return 0


def _shown(value: Any) -> Any:
    """Shorten what nobody reads: long lists of numbers, and bytes."""
    if isinstance(value, dict):
        return {key: _shown(inner) for key, inner in value.items()}
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list) and len(value) > 8 and all(isinstance(inner, int) for inner in value):
        return f"{len(value)} numbers: {' '.join(map(str, value[:8]))} …"
    return [_shown(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main())
