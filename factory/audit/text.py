"""The audit as text for a terminal, and `roundtrip audit`."""

from __future__ import annotations

from collections.abc import Iterator

from factory.audit.delta import audit
from factory.audit.heard import hear, kept
from factory.audit.labels import ALL, LIMIT, bin_name, judged, referenced, unmeasured
from factory.planning.places import Run
from factory.recipe.recipe import Recipe
from factory.storage.files import filesystem, get_json, put_json
from factory.storage.names import on_one_line
from schemas.datasets import Row


def audit_round(run: Run, number: int, recipe: Recipe, asr: int = 0) -> Row:
    """Audit a round's candidates and keep what was found as `audit/audit.json`.

    `asr`: hear the candidates of so many utterances of each direction, for ASR-BLEU; what was heard before counts too.
    """
    scored, place = run.dataset(number, "scored"), f"{run.place(number)}/audit"
    heard = hear(scored, recipe, place, asr) if asr else kept(scored, place)
    rows = judged(referenced(scored), recipe.select.filters, heard)
    found = audit(rows, recipe.scorer.metrics) | {
        "chosen": {"metric": recipe.select.metric, "delta": recipe.select.delta}
    }
    fs, path = filesystem(f"{place}/audit.json")
    put_json(fs, path, found)
    return found


def kept_audit(run: Run, number: int) -> Row | None:
    """Return the audit that was kept, None where there is none."""
    fs, path = filesystem(f"{run.place(number)}/audit/audit.json")
    return get_json(fs, path)


def table(audit: Row, metric: str, judge: str, direction: str = ALL, policy: str = "best_worst") -> Row | None:
    """Return one table of an audit."""
    keys = ("metric", "judge", "direction", "policy")
    return next(
        (found for found in audit["tables"] if tuple(found[key] for key in keys) == (metric, judge, direction, policy)),
        None,
    )


def why_unmeasured(audit: Row) -> str | None:
    """Say why an audit could measure nothing, and what would let it; None where it could."""
    return unmeasured(audit["utterances"], bool(audit["judges"]))


def render_audit(audit: Row) -> str:
    """Return the audit as text: accuracy by gap, what each δ is worth, the recommendation, and where metrics disagree."""
    if reason := why_unmeasured(audit):
        return reason
    metric = audit["chosen"]["metric"]
    some = f" (the {LIMIT:,} that are looked at)" if audit["utterances"] == LIMIT else ""
    lines = [
        f"{audit['utterances']:,} utterances with references{some}; labels by {metric}, 95 % intervals in brackets"
    ]
    judges = audit["judges"]
    lines += [
        *_by_gap(audit, metric),
        "",
        f"  δ         kept   right by {', '.join(judges)}; gain and worth by {judges[0]}",
    ]
    lines += _by_delta(audit, metric)
    lines += ["", *(f"  recommended for {name}: {_recommended(found)}" for name, found in audit["recommended"].items())]
    lines += ["", *(f"  {' and '.join(found['metrics'])} agree on {_share(found)}" for found in audit["agreement"])]
    return "\n".join(lines)


def _by_gap(audit: Row, metric: str) -> Iterator[str]:
    for found in audit["tables"]:
        if found["metric"] == metric and found["policy"] == "best_worst":
            cells = [f"{bin_name(b['gap'])}: {_accuracy(b)} n={b['n']}" for b in found["by_gap"] if b["n"]]
            yield f"  {found['direction']:6} by {found['judge']:9} {'; '.join(cells) or 'nothing to compare'}"


def _by_delta(audit: Row, metric: str) -> Iterator[str]:
    columns = [table(audit, metric, judge) for judge in audit["judges"]]
    for rows in zip(*(found["by_delta"] for found in columns if found), strict=True):
        first = rows[0]
        gain = (
            f"{first['gain']:+.3f} [{first['gain_ci'][0]:+.3f}, {first['gain_ci'][1]:+.3f}]"
            if first["gain"] is not None
            else "-"
        )
        yield f"  {first['delta']:<6g}{first['kept']:>8,}   {' | '.join(map(_accuracy, rows))} | {gain} | {first['worth']:.0f}"


def _accuracy(found: Row) -> str:
    return f"{found['accuracy']:.2f} [{found['ci'][0]:.2f}, {found['ci'][1]:.2f}]" if found["n"] else "-"


def _recommended(found: Row) -> str:
    return f"δ = {found['delta']:g}: {found['reason']}" if found["delta"] is not None else f"no δ: {found['reason']}"


def _share(found: Row) -> str:
    first = f"; they differ on {', '.join(map(on_one_line, found['differ'][:3]))}" if found["differ"] else ""
    return f"{found['agree']:,} of {found['n']:,}{first}"
