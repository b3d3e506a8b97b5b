"""The manifests as `kubectl apply -k` sends them; kubectl itself renders them, which needs no cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
KUBERAY = ROOT / "cluster/kuberay"
ROUNDS = ("one-gpu", "many-gpus")
"""Overlays that run a round."""
OVERLAYS = (*ROUNDS, *(f"{name}-interactive" for name in ROUNDS))
Object = dict[str, Any]
"""A Kubernetes object."""


@cache
def render(folder: Path) -> list[Object]:
    """Return the objects of a folder with a kustomization."""
    kubectl = shutil.which("kubectl", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert kubectl, "kubectl comes with requirements/manifests.txt (make test)"
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def overlay(name: str) -> list[Object]:
    """Return the objects of an overlay."""
    return render(KUBERAY / "overlays" / name)


def only(objects: list[Object], kind: str) -> Object:
    """Return the only object of a kind."""
    [match] = [item for item in objects if item["kind"] == kind]
    return match


def cluster_spec(objects: list[Object]) -> Object:
    """Return the spec of the Ray cluster: that of a RayCluster, or the one inside a RayJob."""
    jobs: list[Object] = [item["spec"]["rayClusterSpec"] for item in objects if item["kind"] == "RayJob"]
    return jobs[0] if jobs else only(objects, "RayCluster")["spec"]


def pod_templates(spec: Object) -> Iterator[tuple[str, Object]]:
    """Yield the name and the pod template of the head and of every worker group."""
    yield "head", spec["headGroupSpec"]["template"]
    for group in spec["workerGroupSpecs"]:
        yield group["groupName"], group["template"]
