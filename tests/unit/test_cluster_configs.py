"""The clusters that ship: files that Ray and KubeRay read, and commands that clarify-rl has."""

from __future__ import annotations

import json
import re
import shlex
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # it ships no types
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from clarify_rl.arguments import parse
from clarify_rl.config_files import load_config

FOLDER = Path(__file__).parents[2] / "configs" / "cluster"
# What KubeRay's reference (ray.io/v1, KubeRay 1.7) lists for the parts that we use; an unknown key is dropped silently.
RAY_JOB = """
    activeDeadlineSeconds backoffLimit clusterSelector deletionStrategy entrypoint entrypointNumCpus entrypointNumGpus
    entrypointResources jobId managedBy metadata rayClusterSpec runtimeEnvYAML shutdownAfterJobFinishes submissionMode
    submitterConfig submitterPodTemplate suspend ttlSecondsAfterFinished
""".split()
RAY_CLUSTER = """
    authOptions autoscalerOptions enableInTreeAutoscaling gcsFaultToleranceOptions headGroupSpec headServiceAnnotations
    managedBy rayVersion suspend workerGroupSpecs
""".split()
HEAD = "enableIngress headService rayStartParams serviceType template".split()
WORKERS = """
    groupName idleTimeoutSeconds maxReplicas minReplicas numOfHosts rayStartParams replicas scaleStrategy suspend
    template
""".split()


def read(name: str) -> Any:  # Any: YAML
    return yaml.safe_load((FOLDER / name).read_text())


def test_the_cluster_launcher_takes_the_machines() -> None:
    config = read("machines.yaml")
    schema = json.loads((resources.files(ray) / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    validate_config(prepare_config(config))


@pytest.mark.parametrize("name", ["kuberay.yaml", "kuberay_job.yaml"])
def test_kuberay_knows_every_key(name: str) -> None:
    made = read(name)
    assert made["apiVersion"] == "ray.io/v1"
    spec = made["spec"]
    if made["kind"] == "RayJob":
        assert set(spec) <= set(RAY_JOB)
        spec = spec["rayClusterSpec"]
    assert set(spec) <= set(RAY_CLUSTER)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["rayVersion"] == ray.__version__
    assert set(spec["headGroupSpec"]) <= set(HEAD)
    for group in spec["workerGroupSpecs"]:
        assert set(group) <= set(WORKERS)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_each_opens_with_commands_that_work(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert f"configs/cluster/{name}" in text.removeprefix("#!/bin/sh\n").splitlines()[0]
    commands = re.findall(r"clarify-rl ((?:submit|run) [^#\n]*)", text)
    assert commands
    for command in commands:
        words = shlex.split(command.replace("$more'", "--resume"))
        arguments = parse(words)
        load_config(arguments.config, arguments.items)
