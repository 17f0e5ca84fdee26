"""What is wrong with a file of cluster/, in lines: by the code that will read it, and by schemas where that is kind."""

import copy
import subprocess
from typing import Any

import botocore.session
import jsonschema
import kubernetes_validate
from botocore.validate import ParamValidator
from kuberay import RayCluster, RayJob
from pydantic import ValidationError
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.kuberay.utils import parse_quantity
from ray.autoscaler._private.util import prepare_config, validate_config

KUBERNETES = "1.34"
COMMANDS = ("setup_commands", "head_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")


def launcher_problems(config: dict[str, Any]) -> list[str]:
    """Of a file for `ray up`: Ray's schema and checks, EC2's schema of a node, and the shell's of every command."""
    try:
        whole = prepare_config(copy.deepcopy(config))
        validate_config(whole)
    except (ValueError, jsonschema.ValidationError) as error:
        return [str(getattr(error, "message", error))]
    found = []
    request = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for name, kind in whole["available_node_types"].items():
        wanted = kind["node_config"] | {"MinCount": 1, "MaxCount": 1}
        report = ParamValidator().validate(wanted, request)
        found += [f"{name}: {report.generate_report()}"] if report.has_errors() else []
    for group in COMMANDS:
        for command in whole[group]:
            shell = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
            found += [f"{group}: {shell.stderr.strip()}"] if shell.returncode else []
    return found


def manifest_problems(document: dict[str, Any]) -> list[str]:
    """Of a file for Kubernetes."""
    kind = document.get("kind")
    if kind not in ("RayCluster", "RayJob"):
        return schema_problems(document) + quantity_problems(document)
    try:
        (RayCluster if kind == "RayCluster" else RayJob).model_validate(document)
    except ValidationError as error:
        return [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    found = quantity_problems(document)
    for name, pod in pods(document):
        found += [f"{name}: {p}" for p in schema_problems(pod)]
        volumes = {v.get("name") for v in pod["spec"].get("volumes", [])}
        for container in pod["spec"].get("containers", []):
            mounts = {m.get("name") for m in container.get("volumeMounts", [])}
            found += [f"{name}: no volume {mount!r} to mount" for mount in sorted(mounts - volumes)]
    return found or reader_problems(document)


def schema_problems(document: dict[str, Any]) -> list[str]:
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []


def quantity_problems(node: Any, path: str = "") -> list[str]:
    """Amounts are but strings to Kubernetes' schemas."""
    if isinstance(node, list):
        return [p for i, item in enumerate(node) for p in quantity_problems(item, f"{path}.{i}")]
    if not isinstance(node, dict):
        return []
    found = []
    amounts = [(k, v) for group in ("requests", "limits") for k, v in (node.get(group) or {}).items()]
    amounts += [("sizeLimit", node["sizeLimit"])] if "sizeLimit" in node else []
    for key, value in amounts:
        try:
            parse_quantity(value)
        except ValueError:
            found.append(f"{path}.{key}: {value!r} is no amount")
    return found + [p for key, value in node.items() for p in quantity_problems(value, f"{path}.{key}")]


def reader_problems(document: dict[str, Any]) -> list[str]:
    try:
        autoscaling(document)
    except (ValueError, KeyError, AssertionError, jsonschema.ValidationError) as error:
        return [f"Ray's autoscaler: {error}"]
    return []


def autoscaling(document: dict[str, Any]) -> dict[str, Any]:
    """What Ray's autoscaler makes of a cluster, or of the cluster of a job."""
    metadata = {"name": "cluster", "namespace": document["metadata"]["namespace"]}
    return _derive_autoscaling_config_from_ray_cr({"metadata": metadata, "spec": cluster_spec(document)})


def cluster_spec(document: dict[str, Any]) -> dict[str, Any]:
    return document["spec"].get("rayClusterSpec", document["spec"])


def pods(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(group, pod) of each group, the head's first."""
    spec = cluster_spec(document)
    groups = [("head", spec["headGroupSpec"]), *((g["groupName"], g) for g in spec["workerGroupSpecs"])]
    top = {"apiVersion": "v1", "kind": "Pod"}
    return [(name, top | {"metadata": {"name": name}, "spec": g["template"]["spec"]}) for name, g in groups]
