"""Progress: the time and memory of stages are kept over attempts, and lines are printed without a terminal."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from factory.passes import progress
from factory.passes.progress import Clock, Lines


def test_the_time_of_a_stage_is_the_sum_of_its_attempts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock(str(tmp_path))
    with pytest.raises(KeyboardInterrupt), clock.stage("produce"):
        time.sleep(0.2)
        raise KeyboardInterrupt
    first = clock.wall_s["produce"]
    assert first >= 0.2 and clock.peak_rss_mb > 10
    clock = Clock(str(tmp_path))
    with clock.stage("produce"):
        time.sleep(0.2)
    with clock.stage("select"):
        pass
    kept = json.loads((tmp_path / "_stages.json").read_text())
    assert kept == {"wall_s": clock.wall_s, "peak_rss_mb": clock.peak_rss_mb}
    assert kept["wall_s"]["produce"] >= first + 0.2 and list(kept["wall_s"]) == ["produce", "select"]
    assert capsys.readouterr().out == "● produce\n● produce\n● select\n"


def test_the_peak_of_the_memory_is_kept(tmp_path: Path) -> None:
    (tmp_path / "_stages.json").write_text(json.dumps({"wall_s": {"tokenize": 3.0}, "peak_rss_mb": 1e9}))
    clock = Clock(str(tmp_path))
    clock.note_memory()
    assert (clock.wall_s, clock.peak_rss_mb) == ({"tokenize": 3.0}, 1e9)


def test_progress_is_lines_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = Clock(str(tmp_path)).bar("produce", 1000, 200)
    assert isinstance(bar, Lines)
    with bar:
        bar.update(100)  # too soon for a line
        time.sleep(0.1)
        monkeypatch.setattr(progress, "LINE_EVERY_S", 0.05)
        bar.update(100)
        time.sleep(0.05)
    first, middle, last = capsys.readouterr().err.splitlines()
    assert first == "  produce: 200 of 1,000 rows"
    assert middle.startswith("  produce: 400 of 1,000 rows, ") and middle.endswith(" s to go")
    rate = float(middle.split(", ")[1].split()[0])
    assert 200 < rate <= 2000, "rows of an earlier run do not count"
    assert last.startswith("  produce: 400 of 1,000 rows, ")
