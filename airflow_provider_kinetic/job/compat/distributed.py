"""Which process this is of how many.

The processes of one job meet in the store, not over sockets of ours: values are exchanged with what the framework has.
"""

from __future__ import annotations

import os
from typing import Any

from airflow_provider_kinetic.job.compat.advice import absent

_INSTEAD = (
    "Use the framework's own: torch.distributed.all_gather_object and broadcast_object_list, or "
    "jax.experimental.multihost_utils."
)


class DistributedContext:
    """Ranks as the launcher gave them. Exchange of values works for one process, where there is nothing to do."""

    def __init__(
        self,
        *,
        rank: int = 0,
        size: int = 1,
        local_rank: int = 0,
        local_size: int = 1,
        cross_rank: int = 0,
        cross_size: int = 1,
        chief_ip: str | None = None,
        **_ports: Any,
    ) -> None:
        if not 0 <= rank < size:
            raise ValueError(f"core_v2: rank {rank} of {size} processes")
        self.rank, self.size = rank, size
        self.local_rank, self.local_size = local_rank, local_size
        self.cross_rank, self.cross_size = cross_rank, cross_size
        self.chief_ip = chief_ip

    @classmethod
    def from_torch_distributed(cls, chief_ip: str | None = None) -> DistributedContext:
        """From the variables of ``torchrun``.

        :raises ValueError: one is not set.
        """
        return cls._from_environ(("LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE"), chief_ip)

    @classmethod
    def from_deepspeed(cls, chief_ip: str | None = None) -> DistributedContext:
        return cls._from_environ(("LOCAL_SIZE", "CROSS_RANK", "CROSS_SIZE"), chief_ip)

    @classmethod
    def from_horovod(cls, hvd: Any, chief_ip: str | None = None) -> DistributedContext:
        names = ("rank", "size", "local_rank", "local_size", "cross_rank", "cross_size")
        return cls(**{name: getattr(hvd, name)() for name in names}, chief_ip=chief_ip)

    @classmethod
    def _from_environ(cls, others: tuple[str, str, str], chief_ip: str | None) -> DistributedContext:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", *others)
        unset = ", ".join(name for name in names if name not in os.environ)
        if unset:
            raise ValueError(f"core_v2: {unset} not set: the launcher of several processes sets them")
        rank, size, local_rank, local_size, cross_rank, cross_size = (int(os.environ[name]) for name in names)
        return cls(
            rank=rank,
            size=size,
            local_rank=local_rank,
            local_size=local_size,
            cross_rank=cross_rank,
            cross_size=cross_size,
            chief_ip=chief_ip,
        )

    def get_rank(self) -> int:
        return self.rank

    def get_local_rank(self) -> int:
        return self.local_rank

    def get_size(self) -> int:
        return self.size

    def get_num_agents(self) -> int:
        return self.cross_size

    def gather(self, stuff: Any) -> list[Any]:
        """:raises NotImplementedError: there are several processes. So do the others."""
        return [self.broadcast(stuff)]

    allgather = gather_local = allgather_local = gather

    def broadcast(self, stuff: Any = None) -> Any:
        if self.size > 1:
            raise absent("exchange of values between processes", _INSTEAD)
        return stuff

    broadcast_local = broadcast

    def close(self) -> None:
        """Nothing is open."""


class DummyDistributedContext(DistributedContext):
    """One process."""

    def __init__(self) -> None:
        super().__init__()
