"""The manifests as `kubectl apply -k` sends them: rendered by kubectl itself, which needs no cluster for that."""

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
OVERLAYS = (*ROUNDS, *(f"{name}-interactive" for name in ROUNDS))
Object = dict[str, Any]


@cache
def rendered(folder: Path) -> list[Object]:
    """Return the objects of a folder with a kustomization."""
    kubectl = shutil.which("kubectl", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert kubectl, "kubectl comes with requirements/manifests.txt (make test)"
    told = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return list(yaml.safe_load_all(told.stdout))


def overlay(name: str) -> list[Object]:
    """Return the objects of an overlay."""
    return rendered(KUBERAY / "overlays" / name)


def one(objects: list[Object], kind: str) -> Object:
    """Return the only object of a kind."""
    [found] = [each for each in objects if each["kind"] == kind]
    return found


def cluster_spec(objects: list[Object]) -> Object:
    """Return the spec of the Ray cluster, a RayCluster's own or the one inside a RayJob."""
    jobs = [each["spec"]["rayClusterSpec"] for each in objects if each["kind"] == "RayJob"]
    return jobs[0] if jobs else one(objects, "RayCluster")["spec"]


def pod_templates(spec: Object) -> Iterator[tuple[str, Object]]:
    """Yield the name and the pod template of the head and of every worker group."""
    yield "head", spec["headGroupSpec"]["template"]
    for group in spec["workerGroupSpecs"]:
        yield group["groupName"], group["template"]
