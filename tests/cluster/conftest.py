"""The cluster of the tests in this folder: three Ray nodes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.nodes import NODE, nodes


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head, a second node, and a third one with a pretended GPU; `webui_url` takes jobs."""
    with nodes(NODE, NODE, NODE | {"num_gpus": 1, "resources": {"accelerator_type:T4": 1}}) as started:
        yield started
