"""What a cluster would be asked for: it fits KubeRay's and Kubernetes' schemas, the command line, the recipes and the image."""

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
from manifests import KUBERAY, OVERLAYS, ROOT, ROUNDS, Object, cluster_spec, one, overlay, pod_templates, rendered

from factory.passes.execute import list_demands
from factory.planning.estimate import GIB, costs, parameters
from factory.planning.places import Run
from factory.planning.plan import produced_rows, stages
from factory.planning.preflight import PARAMETER_BYTES, cramped, unplaced
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.run_round import arguments

SCHEMAS = Path(os.environ.get("KUBERAY_SCHEMAS", ROOT.parent / "shared/kuberay"))
OURS = ("RayJob", "RayCluster")


@cache
def crd(kind: str) -> Object:
    """Return KubeRay's schema of a kind, in which a field that it does not name is an error (an API server drops it silently)."""
    file = SCHEMAS / f"ray.io_{kind.lower()}s.yaml"
    if not file.is_file():
        pytest.skip(f"KubeRay's schemas are not here: {file} (or the folder that KUBERAY_SCHEMAS names)")
    versions = yaml.load(file.read_text(), yaml.CSafeLoader)["spec"]["versions"]
    return strict(next(version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1"))


def strict(schema: Any) -> Any:
    """Close every object whose fields are named."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    return (
        closed | {"additionalProperties": False}
        if isinstance(schema.get("properties"), dict) and "type" in schema
        else closed
    )


def checked(thing: Object) -> None:
    """Raise what the API server would say of an object."""
    if thing["kind"] in OURS:
        jsonschema.Draft202012Validator(crd(thing["kind"])).validate(thing)
    else:
        kubernetes_validate.validate(thing, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_fits_its_schema(name: str) -> None:
    objects = overlay(name)
    assert {each["kind"] for each in objects} == {
        "Namespace",
        "ServiceAccount",
        "RayJob" if name in ROUNDS else "RayCluster",
    }
    for thing in objects:
        checked(thing)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_is_one_that_kubernetes_takes_and_the_restricted_profile_allows(name: str) -> None:
    for group, template in pod_templates(cluster_spec(overlay(name))):
        checked(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": group, **template["metadata"]},
                "spec": template["spec"],
            }
        )
        pod = template["spec"]["securityContext"]
        assert pod["runAsNonRoot"] and pod["runAsUser"] > 0 and pod["seccompProfile"]["type"] == "RuntimeDefault"
        for container in template["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


def test_a_misspelt_field_a_wrong_type_and_an_unknown_policy_are_found() -> None:
    job = one(overlay("one-gpu"), "RayJob")
    for path, value in (
        ("backofLimit", 3),
        ("backoffLimit", "three"),
        ("deletionStrategy.deletionRules", [{"condition": {"jobStatus": "SUCCEEDED"}, "policy": "DeleteAll"}]),
        ("rayClusterSpec.headGroupSpec.template.spec.serviceAccount_name", "roundtrip"),
    ):
        broken = copy.deepcopy(job)
        *above, last = path.split(".")
        inner = broken["spec"]
        for key in above:
            inner = inner[key]
        inner[last] = value
        with pytest.raises(jsonschema.ValidationError):
            checked(broken)


@cache
def told(name: str) -> Namespace:
    """Parse the entrypoint of a round as the command line does."""
    python, script, *rest = shlex.split(one(overlay(name), "RayJob")["spec"]["entrypoint"])
    assert python == "python" and script.endswith("/factory/run_round.py")
    return arguments(rest)


def recipe_of(name: str) -> Recipe:
    """Return the recipe that a round runs, with its own corpora: those of the overlay are in a bucket that is not there."""
    return load(told(name).recipe)


@pytest.mark.parametrize("name", ROUNDS)
def test_the_entrypoint_is_a_command_of_ours_and_the_job_is_named_after_its_round(name: str) -> None:
    job = one(overlay(name), "RayJob")
    rounds = shlex.split(job["spec"]["entrypoint"])[3]
    assert job["metadata"]["name"] == f"roundtrip-round-{rounds}"
    assert len(job["metadata"]["name"]) <= 47  # KubeRay's limit
    assert told(name).run.startswith("s3://")


@pytest.mark.parametrize("name", ROUNDS)
def test_what_the_recipe_has_on_a_disk_is_in_the_bucket(name: str) -> None:
    local, changed = recipe_of(name).local_paths(), dict(change.split("=", 1) for change in told(name).set)
    assert {"corpus.paired", "encoder.codebook"} <= set(local) == set(changed)
    assert all(place.startswith("s3://") for place in changed.values())
    assert load(told(name).recipe, told(name).set).local_paths() == {}
    submit = (ROOT / "docs/kubernetes.md").read_text().partition("roundtrip submit")[2].partition("kubectl delete")[0]
    assert all(f"--set {change}" in submit for change in told(name).set)


def gib(quantity: str) -> float:
    """Return a quantity of Kubernetes that is written in GiB."""
    assert quantity.endswith("Gi"), quantity
    return float(quantity.removesuffix("Gi"))


def nodes(spec: Object) -> list[dict[str, float]]:
    """Return what each node of the cluster at its largest offers Ray; the head offers nothing."""
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    every = []
    for group in spec["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        offers = {
            "CPU": float(limits["cpu"]),
            "GPU": float(limits.get("nvidia.com/gpu", 0)),
            "memory": 0.7 * GIB * gib(limits["memory"]),
        }
        every += [offers] * group["maxReplicas"]  # 0.7: Ray keeps 30 % for its object store
    return every


@pytest.mark.parametrize("name", ROUNDS)
def test_the_largest_cluster_passes_preflight_and_no_gpu_is_for_nothing(name: str) -> None:
    recipe, largest = recipe_of(name), nodes(cluster_spec(overlay(name)))
    asked = {
        stage: list_demands(recipe.resources, stage.actors)
        for number in (0, 1)
        for stage in stages(Run("runs/any"), number, recipe)
    }
    found = [sentence for stage, wanted in asked.items() for sentence in unplaced(stage.name, wanted, largest)]
    found += [sentence for number in (0, 1) for sentence in cramped(number, recipe, largest)]
    assert found == [], f"overlays/{name} and {told(name).recipe}"
    gpus = max(sum(number * each.get("GPU", 0) for number, each in wanted.values()) for wanted in asked.values())
    assert sum(node["GPU"] for node in largest) == gpus


@pytest.mark.parametrize("name", ROUNDS)
def test_a_gpu_node_has_room_for_two_checkpoints_and_a_pod_for_its_volumes(name: str) -> None:
    for group, template in pod_templates(cluster_spec(overlay(name))):
        sizes = {volume["name"]: gib(volume["emptyDir"]["sizeLimit"]) for volume in template["spec"]["volumes"]}
        assert sum(sizes.values()) < gib(template["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"])
        if group == "gpu":
            assert sizes["cache"] > 2 * PARAMETER_BYTES["sft"] * parameters(recipe_of(name)) / GIB


@pytest.mark.parametrize("name", ROUNDS)
def test_the_deadline_leaves_twice_the_estimated_time(name: str) -> None:
    recipe, spec = recipe_of(name), one(overlay(name), "RayJob")["spec"]
    work = ((0, recipe.expected.paired, recipe.expected.paired), (1, produced_rows(recipe), recipe.expected.mono))
    gpus = sum(node["GPU"] for node in nodes(cluster_spec(overlay(name))))
    longest = max(
        sum(cost.hours for cost in costs(recipe, number, rows or 0, spoken or 0)) for number, rows, spoken in work
    )
    assert spec["activeDeadlineSeconds"] >= 2 * 3600 * longest / gpus + spec["preRunningDeadlineSeconds"]


@pytest.mark.parametrize("name", ROUNDS)
def test_the_round_and_the_interactive_cluster_are_the_same_cluster(name: str) -> None:
    assert cluster_spec(overlay(name)) == cluster_spec(overlay(f"{name}-interactive"))


@pytest.mark.parametrize("name", ROUNDS)
def test_a_round_tries_again_ends_and_cleans_up_as_kuberay_allows_it(name: str) -> None:
    spec = one(overlay(name), "RayJob")["spec"]
    rules = [(rule["condition"], rule["policy"]) for rule in spec["deletionStrategy"]["deletionRules"]]
    assert spec["backoffLimit"] >= 1
    assert "shutdownAfterJobFinishes" not in spec and "ttlSecondsAfterFinished" not in spec  # the rules exclude both
    assert not any(policy == "DeleteWorkers" for _, policy in rules)  # refused beside an autoscaler
    assert "submitterConfig" not in spec and "submitterPodTemplate" not in spec  # refused beside a sidecar
    for end in ({"jobStatus": "SUCCEEDED"}, {"jobStatus": "FAILED"}, {"jobDeploymentStatus": "Failed"}):
        ages = {policy: condition["ttlSeconds"] for condition, policy in rules if end.items() <= condition.items()}
        assert ages["DeleteCluster"] <= ages.get("DeleteSelf", ages["DeleteCluster"]) and "DeleteCluster" in ages


@pytest.mark.parametrize("name", OVERLAYS)
def test_versions_and_user_are_those_of_the_lock_the_package_and_the_image(name: str) -> None:
    spec, dockerfile = cluster_spec(overlay(name)), (ROOT / "cluster/Dockerfile").read_text()
    assert f"ray=={spec['rayVersion']}\n" in (ROOT / "requirements/gpu.txt").read_text()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for _, template in pod_templates(spec):
        assert template["spec"]["containers"][0]["image"].endswith(f"/roundtrip:{version}")
        person = template["spec"]["securityContext"]
        assert f"\nUSER {person['runAsUser']}:{person['runAsGroup']}\n" in dockerfile
    for script in {shlex.split(one(overlay(each), "RayJob")["spec"]["entrypoint"])[1] for each in ROUNDS}:
        home = re.findall(r"^WORKDIR (\S+)$", dockerfile, re.MULTILINE)[-1]
        assert (ROOT / Path(script).relative_to(home)).is_file()


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_pods_ray_ends_the_guard_of_a_model(name: str) -> None:
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
    near = Path(os.path.relpath(KUBERAY, tmp_path))
    parts = [str(near / "components" / part) for part in ("many-gpus", "shared-volume", "round")]
    resources = [str(near / "base"), "round.yaml"]
    (tmp_path / "round.yaml").write_text((KUBERAY / "overlays/many-gpus/round.yaml").read_text())
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": resources, "components": parts}))
    objects = rendered(tmp_path)
    for thing in objects:
        checked(thing)
    claim = one(objects, "PersistentVolumeClaim")["metadata"]["name"]
    for _, template in pod_templates(cluster_spec(objects)):
        [volume] = [
            each["name"]
            for each in template["spec"]["volumes"]
            if each.get("persistentVolumeClaim") == {"claimName": claim}
        ]
        assert {"name": volume, "mountPath": "/shared"} in template["spec"]["containers"][0]["volumeMounts"]
