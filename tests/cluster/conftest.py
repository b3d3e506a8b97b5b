"""What the tests on a cluster share: three Ray nodes on this machine, each with resources of its own, and the dashboard that takes jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.nodes import NODE, nodes


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head, a second node, and a third one with a make-believe GPU; `webui_url` is where jobs are submitted."""
    with nodes(NODE, NODE, NODE | {"num_gpus": 1, "resources": {"accelerator_type:T4": 1}}) as started:
        yield started
