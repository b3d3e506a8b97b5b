"""Libraries are imported without what nothing here uses."""

from __future__ import annotations

import subprocess
import sys

from tests.limits import HANG_S

IMPORT = "import transformers.generation.candidate_generator, sys; print('sklearn' in sys.modules)"
SKIP = "from factory.models.imports import skip_scikit_learn; skip_scikit_learn(); "


def test_transformers_does_not_import_scikit_learn() -> None:
    done = subprocess.run([sys.executable, "-c", SKIP + IMPORT], capture_output=True, text=True, timeout=HANG_S)
    assert done.stdout == "False\n", done.stderr
