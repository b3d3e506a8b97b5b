"""The manifests fit KubeRay's and Kubernetes' schemas, the command line, the recipes and the image."""

from __future__ import annotations

import copy
import os
import re
import shlex
import tomllib
from argparse import Namespace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from factory.arguments import run_parser
from factory.passes.execute import list_demands
from factory.planning.disks import PARAMETER_BYTES
from factory.planning.estimate import GIB, costs, count_parameters
from factory.planning.places import Round, Run
from factory.planning.plan import amounts_of, stages
from factory.planning.preflight import small_gpus, unplaced_actors
from factory.recipe.loading import load
from factory.recipe.paths import local_paths
from factory.recipe.recipe import Recipe
from tests.cluster.manifests import (
    KUBERAY,
    OVERLAYS,
    ROOT,
    ROUNDS,
    Object,
    cluster_spec,
    only,
    overlay,
    pod_templates,
    render,
)

SCHEMAS = Path(os.environ.get("KUBERAY_SCHEMAS", ROOT.parent / "shared/kuberay"))
KUBERAY_KINDS = ("RayJob", "RayCluster")
RAY_MEMORY = 0.7
"""The share of a pod's memory that Ray offers to actors; the rest is its object store."""


@cache
def crd(kind: str) -> Object:
    """Return KubeRay's schema of a kind; unknown fields are errors, which an API server would drop silently."""
    file = SCHEMAS / f"ray.io_{kind.lower()}s.yaml"
    if not file.is_file():
        pytest.skip(f"KubeRay's schemas are missing: {file} (or the folder that KUBERAY_SCHEMAS names)")
    versions = yaml.load(file.read_text(), yaml.CSafeLoader)["spec"]["versions"]
    return close(next(version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1"))


def close(schema: Any) -> Any:
    """Return a schema that allows no unknown field where it names the fields of an object."""
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items()}
    names_fields = isinstance(schema.get("properties"), dict) and "type" in schema
    return closed | {"additionalProperties": False} if names_fields else closed


def validate(item: Object) -> None:
    """Raise the error that an API server would report for an object."""
    if item["kind"] in KUBERAY_KINDS:
        jsonschema.Draft202012Validator(crd(item["kind"])).validate(item)
    else:
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_fits_its_schema(name: str) -> None:
    objects = overlay(name)
    kind = "RayJob" if name in ROUNDS else "RayCluster"
    assert {item["kind"] for item in objects} == {"Namespace", "ServiceAccount", kind}
    for item in objects:
        validate(item)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_is_valid_and_allowed_by_the_restricted_profile(name: str) -> None:
    for group, template in pod_templates(cluster_spec(overlay(name))):
        metadata = {"name": group, **template["metadata"]}
        validate({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
        security = template["spec"]["securityContext"]
        assert security["runAsNonRoot"] and security["runAsUser"] > 0
        assert security["seccompProfile"]["type"] == "RuntimeDefault"
        locked = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert all(container["securityContext"] == locked for container in template["spec"]["containers"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("backofLimit", 3),
        ("backoffLimit", "three"),
        ("deletionStrategy.deletionRules", [{"condition": {"jobStatus": "SUCCEEDED"}, "policy": "DeleteAll"}]),
        ("rayClusterSpec.headGroupSpec.template.spec.serviceAccount_name", "roundtrip"),
    ],
    ids=["a misspelt field", "a wrong type", "an unknown policy", "a misspelt field of a pod"],
)
def test_a_mistake_is_found(path: str, value: object) -> None:
    broken = copy.deepcopy(only(overlay("one-gpu"), "RayJob"))
    *sections, last = path.split(".")
    inner = broken["spec"]
    for key in sections:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(broken)


@cache
def entrypoint(name: str) -> Namespace:
    """Return the entrypoint of a round, parsed by the command line."""
    python, script, *words = shlex.split(only(overlay(name), "RayJob")["spec"]["entrypoint"])
    assert python == "python" and script.endswith("/factory/run_round.py")
    return run_parser("run_round.py", None).parse_args(words)


def recipe_of(name: str) -> Recipe:
    """Return the recipe of a round with its own corpora, because those of the overlay are in a bucket."""
    return load(entrypoint(name).recipe)


def rounds_of(name: str) -> list[Round]:
    """Return round 0 and round 1 with the recipe of an overlay."""
    return [Round(Run("runs/any"), number, recipe_of(name)) for number in (0, 1)]


@pytest.mark.parametrize("name", ROUNDS)
def test_the_entrypoint_is_a_command_and_the_job_is_named_after_its_round(name: str) -> None:
    job = only(overlay(name), "RayJob")
    rounds = shlex.split(job["spec"]["entrypoint"])[3]
    assert job["metadata"]["name"] == f"roundtrip-round-{rounds}"
    assert len(job["metadata"]["name"]) <= 47  # KubeRay's limit
    assert entrypoint(name).run.startswith("s3://")


@pytest.mark.parametrize("name", ROUNDS)
def test_the_files_of_the_recipe_are_in_the_bucket(name: str) -> None:
    local = local_paths(recipe_of(name))
    changed = dict(change.split("=", 1) for change in entrypoint(name).set)
    assert {"corpus.paired", "encoder.codebook"} <= set(local) == set(changed)
    assert all(path.startswith("s3://") for path in changed.values())
    assert local_paths(load(entrypoint(name).recipe, entrypoint(name).set)) == {}
    command = (ROOT / "docs/kubernetes.md").read_text().partition("roundtrip submit")[2].partition("kubectl delete")[0]
    assert all(f"--set {change}" in command for change in entrypoint(name).set)


def gib(quantity: str) -> float:
    """Return a quantity of Kubernetes that is written in GiB."""
    assert quantity.endswith("Gi"), quantity
    return float(quantity.removesuffix("Gi"))


def largest_nodes(spec: Object) -> list[dict[str, float]]:
    """Return the resources of each node of the cluster at its largest; the head offers none."""
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    nodes = []
    for group in spec["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        cpus, gpus = float(limits["cpu"]), float(limits.get("nvidia.com/gpu", 0))
        memory = RAY_MEMORY * GIB * gib(limits["memory"])
        nodes += [{"CPU": cpus, "GPU": gpus, "memory": memory}] * group["maxReplicas"]
    return nodes


@pytest.mark.parametrize("name", ROUNDS)
def test_the_largest_cluster_passes_preflight_and_every_gpu_is_used(name: str) -> None:
    resources, largest = recipe_of(name).resources, largest_nodes(cluster_spec(overlay(name)))
    staged = [stage for round_ in rounds_of(name) for stage in stages(round_)]
    demands = {stage.name: list_demands(resources, stage.actors) for stage in staged}
    sentences = [sentence for stage in demands for sentence in unplaced_actors(stage, demands[stage], largest)]
    sentences += [sentence for round_ in rounds_of(name) for sentence in small_gpus(round_, largest)]
    assert sentences == [], f"overlays/{name} and {entrypoint(name).recipe}"
    gpus = [sum(number * needs.get("GPU", 0) for number, needs in wanted.values()) for wanted in demands.values()]
    assert sum(node["GPU"] for node in largest) == max(gpus)


@pytest.mark.parametrize("name", ROUNDS)
def test_a_gpu_node_has_room_for_two_checkpoints_and_a_pod_for_its_volumes(name: str) -> None:
    for group, template in pod_templates(cluster_spec(overlay(name))):
        sizes = {volume["name"]: gib(volume["emptyDir"]["sizeLimit"]) for volume in template["spec"]["volumes"]}
        assert sum(sizes.values()) < gib(template["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"])
        if group == "gpu":
            assert sizes["cache"] > 2 * PARAMETER_BYTES["sft"] * count_parameters(recipe_of(name)) / GIB


@pytest.mark.parametrize("name", ROUNDS)
def test_the_deadline_is_twice_the_estimated_time(name: str) -> None:
    recipe, spec = recipe_of(name), only(overlay(name), "RayJob")["spec"]
    gpus = sum(node["GPU"] for node in largest_nodes(cluster_spec(overlay(name))))
    hours = [sum(cost.hours for cost in costs(recipe, round_.number, amounts_of(round_))) for round_ in rounds_of(name)]
    assert min(hours) > 0
    assert spec["activeDeadlineSeconds"] >= 2 * 3600 * max(hours) / gpus + spec["preRunningDeadlineSeconds"]


@pytest.mark.parametrize("name", ROUNDS)
def test_the_round_and_the_interactive_cluster_are_the_same_cluster(name: str) -> None:
    assert cluster_spec(overlay(name)) == cluster_spec(overlay(f"{name}-interactive"))


@pytest.mark.parametrize("name", ROUNDS)
def test_a_round_is_tried_again_ends_and_is_removed_as_kuberay_allows_it(name: str) -> None:
    spec = only(overlay(name), "RayJob")["spec"]
    rules = [(rule["condition"], rule["policy"]) for rule in spec["deletionStrategy"]["deletionRules"]]
    assert spec["backoffLimit"] >= 1
    assert "shutdownAfterJobFinishes" not in spec and "ttlSecondsAfterFinished" not in spec  # the rules exclude both
    assert not any(policy == "DeleteWorkers" for _, policy in rules)  # KubeRay refuses it next to an autoscaler
    assert "submitterConfig" not in spec and "submitterPodTemplate" not in spec  # refused next to a sidecar
    for end in ({"jobStatus": "SUCCEEDED"}, {"jobStatus": "FAILED"}, {"jobDeploymentStatus": "Failed"}):
        ages = {policy: condition["ttlSeconds"] for condition, policy in rules if end.items() <= condition.items()}
        assert "DeleteCluster" in ages and ages["DeleteCluster"] <= ages.get("DeleteSelf", ages["DeleteCluster"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_versions_and_user_are_those_of_the_lock_the_package_and_the_image(name: str) -> None:
    spec, dockerfile = cluster_spec(overlay(name)), (ROOT / "cluster/Dockerfile").read_text()
    assert f"ray=={spec['rayVersion']}\n" in (ROOT / "requirements/gpu.txt").read_text()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for _, template in pod_templates(spec):
        assert template["spec"]["containers"][0]["image"].endswith(f"/roundtrip:{version}")
        security = template["spec"]["securityContext"]
        assert f"\nUSER {security['runAsUser']}:{security['runAsGroup']}\n" in dockerfile
    scripts = {shlex.split(only(overlay(round_), "RayJob")["spec"]["entrypoint"])[1] for round_ in ROUNDS}
    home = re.findall(r"^WORKDIR (\S+)$", dockerfile, re.MULTILINE)[-1]
    assert all((ROOT / Path(script).relative_to(home)).is_file() for script in scripts)


@pytest.mark.parametrize("name", OVERLAYS)
def test_ray_never_kills_the_guard_of_a_model(name: str) -> None:
    for _, template in pod_templates(cluster_spec(overlay(name))):
        assert {"name": "RAY_memory_monitor_refresh_ms", "value": "0"} in template["spec"]["containers"][0]["env"]


def test_secrets_come_by_reference_and_the_guide_says_how_to_make_them() -> None:
    guide = (ROOT / "docs/kubernetes.md").read_text()
    for _, template in pod_templates(cluster_spec(overlay("one-gpu"))):
        for variable in template["spec"]["containers"][0]["env"]:
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                assert reference["optional"] and f"secret generic {reference['name']}" in guide
                assert f"--from-literal={reference['key']}=" in guide
            assert "value" not in variable or not re.search("TOKEN|KEY|SECRET|PASSWORD", variable["name"])


def test_the_shared_volume_reaches_every_pod(tmp_path: Path) -> None:
    kuberay = Path(os.path.relpath(KUBERAY, tmp_path))
    components = [str(kuberay / "components" / part) for part in ("many-gpus", "shared-volume", "round")]
    resources = [str(kuberay / "base"), "round.yaml"]
    (tmp_path / "round.yaml").write_text((KUBERAY / "overlays/many-gpus/round.yaml").read_text())
    kustomization = yaml.safe_dump({"resources": resources, "components": components})
    (tmp_path / "kustomization.yaml").write_text(kustomization)
    objects = render(tmp_path)
    for item in objects:
        validate(item)
    claim = {"claimName": only(objects, "PersistentVolumeClaim")["metadata"]["name"]}
    for _, template in pod_templates(cluster_spec(objects)):
        volumes = template["spec"]["volumes"]
        [volume] = [volume["name"] for volume in volumes if volume.get("persistentVolumeClaim") == claim]
        assert {"name": volume, "mountPath": "/shared"} in template["spec"]["containers"][0]["volumeMounts"]
