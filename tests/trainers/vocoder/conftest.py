"""Speech whose units are tones, and a network that learns it in seconds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.trainers.vocoder.toys import buzz


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two Parquet files with 12 utterances, 8 of them French and 4 English."""
    folder, rng, rows = tmp_path_factory.mktemp("data"), np.random.default_rng(0), []
    for number in range(12):
        units = [int(unit) for unit in rng.permutation(4)]
        durations = [5 + 3 * unit for unit in units]
        sink = io.BytesIO()
        soundfile.write(sink, buzz(units, durations), 16_000, format="FLAC")
        row = {"utt_id": f"u{number}", "lang": "fr" if number < 8 else "en", "units": units, "durations": durations}
        rows.append(row | {"audio": {"bytes": sink.getvalue(), "path": None}})
    for part in range(2):
        pq.write_table(pa.Table.from_pylist(rows[6 * part : 6 * part + 6]), folder / f"part-{part}.parquet")
    return folder
