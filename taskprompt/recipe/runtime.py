"""Runtime: resources, precision and parallelism of a recipe's jobs."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from taskprompt.core.errors import SpecError
from taskprompt.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Runtime(Spec):
    """Resources, precision and parallelism; affects speed, and the result only by rounding."""

    workers: int | tuple[int, int] = 1  # training processes; two numbers: fewest and most, for elastic training
    parallel: Literal["ddp", "fsdp"] = "ddp"  # a worker trains with all weights, or a shard; it measures with all
    gpu: bool | float = Field(default=False, ge=0, le=1)  # GPUs per worker; 0.25: four trials share one
    cpus_per_worker: float = Field(default=1.0, gt=0)  # CPUs per training process
    data_workers: int | dict[str, int] = 1  # decoding processes per worker and source; or by source (else 1)
    data_cpus: float = Field(default=1.0, gt=0)  # CPUs per decoding process
    worker_labels: dict[str, str] = {}  # labels of the nodes to train on, as in `ray start --labels`
    data_labels: dict[str, str] = {}  # labels of the nodes to decode on
    autoscale: bool = False  # request missing nodes from the cluster's autoscaler, and wait for them
    block: int | None = Field(default=None, ge=1)  # clips per data task; null: about 64 MB, 4 to 128
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 if the hardware supports it
    compile: bool = False  # torch.compile the encoder: takes minutes at first; needs a C++ compiler
    checkpointing: bool = False  # recompute the encoder's blocks in the backward pass: less memory, more time
    max_failures: int = Field(default=3, ge=0)  # automatic restarts of a job after a worker or a node was lost
    wait: float = Field(default=300, ge=0)  # seconds to wait for nodes that are lost, busy or starting
    threads: int | None = Field(default=None, ge=1)  # torch threads; null: cpus_per_worker for a worker on a CPU

    @field_validator("workers")
    @classmethod
    def _some(cls, value: int | tuple[int, int]) -> int | tuple[int, int]:
        least, most = value if isinstance(value, tuple) else (value, value)
        if not 1 <= least <= most:
            raise SpecError(f"found {value}, expected a number from 1, or two with 1 <= least <= most.")
        return value

    @field_validator("data_workers")
    @classmethod
    def _one_at_least(cls, value: int | dict[str, int]) -> int | dict[str, int]:
        if min(value.values() if isinstance(value, dict) else [value], default=1) < 1:
            raise SpecError(f"found {value}, expected 1 or more.")
        return value

    @property
    def gpu_share(self) -> float:
        """GPUs per worker: 0, 1, or 1/n, so that no worker spans two GPUs."""
        return 1 / int(1 / self.gpu + 1e-9) if self.gpu else 0.0

    @property
    def torch_threads(self) -> int | None:
        """torch threads in a worker of a cluster; None: torch's default."""
        return self.threads or (None if self.gpu else max(1, int(self.cpus_per_worker)))

    def worker_resources(self) -> dict[str, float]:
        """Ray resources of a training process."""
        return {"CPU": self.cpus_per_worker} | ({"GPU": self.gpu_share} if self.gpu else {})

    def device(self, fallback: bool = False) -> "torch.device":
        """The device of models in this process. fallback: the CPU if there is no GPU, instead of a SpecError."""
        import torch  # lazy: takes seconds, and is not needed to read recipes

        if self.gpu and not torch.cuda.is_available() and not fallback:
            raise SpecError(f"runtime.gpu is {self.gpu}, but torch sees no GPU here. Set runtime.gpu=false.")
        return torch.device("cuda" if self.gpu and torch.cuda.is_available() else "cpu")

    @model_validator(mode="after")
    def _whole_gpus(self) -> "Runtime":
        if self.workers != 1 and 0 < self.gpu_share < 1:  # NCCL refuses two of its workers on one GPU
            raise SpecError(
                f"gpu is {self.gpu} and workers {self.workers}: a fraction of a GPU needs workers: 1. Set either to 1."
            )
        return self

    def worker_counts(self, quotas: Mapping[str, int]) -> list[int]:
        """The allowed numbers of workers that divide all quotas, largest first.

        Raises SpecError if there is none."""
        least, most = self.workers if isinstance(self.workers, tuple) else (self.workers, self.workers)
        found = range(min(most, *quotas.values()), least - 1, -1)
        if numbers := [n for n in found if all(q % n == 0 for q in quotas.values())]:
            return numbers
        if least == most:
            name = next(n for n, q in quotas.items() if q % most)
            raise SpecError(
                f"sources.{name}.quota: {quotas[name]} clips cannot be divided among {most} workers. "
                f"Set a multiple of {most}, or runtime.workers to a divisor of {quotas[name]}."
            )
        listed = ", ".join(f"{n} {q}" for n, q in quotas.items())
        raise SpecError(
            f"runtime.workers: no number from {least} to {most} divides every quota ({listed}). Change one of them."
        )

    def data_workers_for(self, source: str) -> int:
        """Decoding processes of one source per worker."""
        return self.data_workers if isinstance(self.data_workers, int) else self.data_workers.get(source, 1)


@contextmanager
def torch_threads(count: int | None) -> Generator[None]:
    """Set torch's number of threads in this context; None: unchanged."""
    import torch

    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
