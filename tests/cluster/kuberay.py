"""RayCluster and RayJob as KubeRay 1.6 reads them, and strictly: a field that it would silently drop is an error here.

Pods are Kubernetes' own; manifests.py has them checked against its schemas."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=0)]
# What is not a label of Kubernetes is refused: at most 63 letters, digits, '-', '_', '.', with a prefix before a '/'.
LabelKey = Annotated[str, Field(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?$")]
# Names become parts of the names of services, which may have 63 letters.
Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=53)]
Prefix = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=41)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: Name | None = None
    generateName: Prefix | None = None
    namespace: Name
    labels: dict[LabelKey, LabelValue] = {}
    annotations: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_name(self):
        if (self.name is None) == (self.generateName is None):
            raise ValueError("one of name and generateName")
        return self


class Template(Strict):
    metadata: dict[str, Any] = {}
    spec: dict[str, Any]


class Group(Strict):
    rayStartParams: dict[str, str]  # strings, numbers too
    template: Template
    resources: dict[str, str] = {}
    labels: dict[LabelKey, LabelValue] = {}

    @model_validator(mode="after")
    def _said_once(self):
        if "labels" in self.rayStartParams:
            raise ValueError("labels belong into `labels`, where the autoscaler reads them")
        if self.resources and {"num-cpus", "num-gpus", "memory", "resources"} & set(self.rayStartParams):
            raise ValueError("resources in both `resources` and `rayStartParams`")
        if self.template.spec.get("restartPolicy", "Never") != "Never":
            raise ValueError("the autoscaler wants restartPolicy Never")
        return self


class Head(Group):
    headService: dict[str, Any] | None = None
    serviceType: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    enableIngress: bool = False


class Workers(Group):
    groupName: Name
    replicas: Count
    minReplicas: Count
    maxReplicas: Count
    idleTimeoutSeconds: Count | None = None
    numOfHosts: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _ordered(self):
        if not self.minReplicas <= self.replicas <= self.maxReplicas:
            raise ValueError("expected minReplicas <= replicas <= maxReplicas")
        return self


class Auth(Strict):
    mode: Literal["disabled", "token"]
    secretName: str | None = None


class Autoscaler(Strict):
    version: Literal["v1", "v2"] | None = None
    upscalingMode: Literal["Conservative", "Default", "Aggressive"] = "Default"
    idleTimeoutSeconds: Count = 60
    image: str | None = None
    imagePullPolicy: Literal["Always", "IfNotPresent", "Never"] | None = None
    resources: dict[Literal["requests", "limits"], dict[str, str]] = {}
    env: list[dict[str, Any]] = []


class ClusterSpec(Strict):
    rayVersion: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    authOptions: Auth
    enableInTreeAutoscaling: bool = False
    autoscalerOptions: Autoscaler = Autoscaler()
    headGroupSpec: Head
    workerGroupSpecs: list[Workers]
    suspend: bool = False


class RayCluster(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: ClusterSpec


class JobSpec(Strict):
    entrypoint: Annotated[str, Field(min_length=1)]
    runtimeEnvYAML: str = ""
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"] = "K8sJobMode"
    backoffLimit: Count = 0
    activeDeadlineSeconds: Annotated[int, Field(ge=1)] | None = None
    shutdownAfterJobFinishes: bool = False
    ttlSecondsAfterFinished: Count = 0
    rayClusterSpec: ClusterSpec

    @model_validator(mode="after")
    def _ends(self):
        if self.ttlSecondsAfterFinished and not self.shutdownAfterJobFinishes:
            raise ValueError("ttlSecondsAfterFinished does nothing without shutdownAfterJobFinishes")
        return self


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: JobSpec
