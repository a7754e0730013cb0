"""The whole server: what a test starts, asks for trouble, and closes.

with KubeServer(service_accounts=["kinetic"]) as server:
    path = server.kubeconfig(tmp_path / "kubeconfig")
    server.fail(verb="create", resource="jobs", drop="after")
    server.preempt(server.pods("job-1")[0])
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from kube import conditions, kubeconfig
from kube.api import Api
from kube.certificates import server_context
from kube.clock import Clock
from kube.control_loop import ControlLoop
from kube.errors import Object
from kube.events import Events
from kube.faults import Fault
from kube.garbage import GarbageCollector, NamespaceController
from kube.http_server import HttpServer
from kube.images import Image
from kube.job_controller import JobController
from kube.kubelet import Kubelet
from kube.rbac import ADMIN, Rule
from kube.registry import Registry
from kube.requests import Requests
from kube.resources import BUILT_IN, LEADER_WORKER_SETS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS, Resource
from kube.scheduler import Scheduler
from kube.store import Store


class KubeServer:
    """A cluster with the namespace ``default``, one large node and an administrator's token.

    ``environment``: variables of every container; ``job_backoff``: seconds before a failed pod is replaced (10 on a
    real cluster); ``clock_offset``: seconds that the cluster is ahead of this machine; ``custom``: custom resources;
    ``images``: what stands for them, where it is more than a dict.
    """

    def __init__(
        self,
        *,
        namespaces: Iterable[str] = (),
        service_accounts: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        custom: Iterable[Resource] = (LEADER_WORKER_SETS,),
        job_backoff: float = 0.1,
        bookmark_every: float = 60.0,
        clock_offset: float = 0.0,
        images: dict[str, Image] | None = None,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kube-"))
        self.images = {} if images is None else images
        self.clock = Clock(clock_offset)
        self.store = Store(self.clock)
        self.registry = Registry(self.store)
        self.events = Events(self.store)
        self.scheduler = Scheduler(self.store, self.events)
        base = {"PATH": os.environ.get("PATH", os.defpath), **(environment or {})}
        self.kubelet = Kubelet(self.registry, self.events, self.images, self._folder / "pods", base)
        jobs = JobController(self.registry, self.events, backoff=job_backoff)
        controllers = [
            GarbageCollector(self.registry),
            NamespaceController(self.registry),
            self.scheduler,
            self.kubelet,
            jobs,
        ]
        self.loop = ControlLoop(self.store, controllers)
        self.api = Api(self.registry, self.kubelet, [*BUILT_IN, *custom], bookmark_every=bookmark_every)
        context, self.authority = server_context(self._folder)
        self.http = HttpServer(context, self.api.respond, self.clock.http_date)
        self.admin = self.token("admin")
        for name in ("default", "kube-system", *namespaces):
            self.add_namespace(name, service_accounts)
        self.add_node("node-1")

    def __enter__(self) -> KubeServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every pod and connection; AssertionError where a controller of this test bed broke."""
        self.http.close()
        self.loop.close()
        self.kubelet.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        assert not self.loop.errors, "\n".join(self.loop.errors)

    # Access

    @property
    def url(self) -> str:
        return self.http.url

    @property
    def requests(self) -> Requests:
        return self.api.requests

    def token(self, user: str, rules: Sequence[Rule] = ADMIN, *, lasts: float = float("inf")) -> str:
        """A bearer token for ``user`` that is accepted for ``lasts`` seconds."""
        return self.api.tokens.issue(user, rules, lasts=lasts)

    def revoke(self, token: str) -> None:
        self.api.tokens.revoke(token)

    def kubeconfig(self, path: Path, *, token: str = "", namespace: str = "default") -> Path:
        content = kubeconfig.document(self.url, self.authority, token or self.admin, namespace)
        return kubeconfig.write(path, content)

    # Content

    def resource(self, plural: str) -> Resource:
        """For ``store`` and ``registry``: ``jobs``, ``pods``, ..."""
        return next(each for each in self.api.resources if each.plural == plural)

    def add_namespace(self, name: str, service_accounts: Iterable[str] = ()) -> None:
        self.registry.create(NAMESPACES, "", {"metadata": {"name": name}})
        for account in ("default", *service_accounts):
            self.registry.create(SERVICE_ACCOUNTS, name, {"metadata": {"name": account}})

    def add_node(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Object] = (),
        allocatable: Mapping[str, str] | None = None,
    ) -> None:
        room = {"cpu": "1000", "memory": "8Ti", "ephemeral-storage": "8Ti", "pods": "20000", **(allocatable or {})}
        status: Object = {"capacity": room, "allocatable": room}
        conditions.put(status, self.clock, "Ready", reason="KubeletReady")
        meta = {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}}
        self.registry.create(NODES, "", {"metadata": meta, "spec": {"taints": list(taints)}, "status": status})

    def pods(self, job: str = "", namespace: str = "default") -> list[Object]:
        """The pods of a Job, or all of a namespace, oldest first."""
        found = self.store.list(PODS, namespace)[0]
        chosen = [pod for pod in found if job in ("", pod["metadata"].get("labels", {}).get("job-name"))]
        return sorted(chosen, key=lambda pod: int(pod["metadata"]["resourceVersion"]))

    # Faults of the API

    def fail(self, **what: Any) -> Fault:
        """A fault for the next matching request or requests; see ``kube.faults.Fault``."""
        return self.api.faults.add(Fault(**what))

    def heal(self) -> None:
        self.api.faults.clear()
        self.registry.admission.refusals.clear()
        self.scheduler.holds.clear()

    def away(self, seconds: float) -> None:
        """The API server does not answer; pods go on."""
        self.http.away(seconds)

    def cut(self) -> None:
        """Resets every open connection."""
        self.http.cut()

    def expire(self) -> None:
        """Forgets all changes: open watches end with 410, later ones from before now and open pages too."""
        self.store.compact()
        self.api.listing.expire()
        for watch in list(self.api.watches):
            watch.expire()

    # Faults of the cluster

    def refuse_pods(self, message: str, namespace: str = "") -> None:
        """Every new pod is refused (403), as by a quota: ``exceeded quota: compute, requested: ...``."""
        self.registry.admission.refusals.append((namespace, message))

    def unschedulable(self, message: str, image: str = "") -> None:
        """New pods (with ``image``) find no node, with the scheduler's ``message``."""
        self.scheduler.holds.append((image, message))

    def oom_kill(self, pod: Object, container: str = "") -> None:
        self._worker(pod).kill(container, oom=True)

    def finish(self, pod: Object, code: int = 0) -> None:
        """Ends a pod whose image is idle."""
        self.kubelet.end_idle(pod, code)

    def preempt(self, pod: Object) -> None:
        """The scheduler wants the room: DisruptionTarget, SIGTERM, the grace period, and the pod's object goes."""
        meta = pod["metadata"]
        message = "default-scheduler: preempting to accommodate a higher priority pod"
        self.api.evict(meta["namespace"], meta["name"], {}, reason="PreemptionByScheduler", message=message)

    def shut_down_node(self, pod: Object) -> None:
        """The pod's node shuts down in order, as a Spot machine does: the pod ends, and its object stays."""
        self._terminated_by_kubelet(pod, "Terminated", "Pod was terminated in response to imminent node shutdown.")

    def evict(self, pod: Object, message: str = "The node was low on resource: memory.") -> None:
        """Node pressure: the pod fails with the reason Evicted, and its object stays."""
        self._terminated_by_kubelet(pod, "Evicted", message)

    def lose_node(self, pod: Object) -> None:
        """The pod's machine is gone: its processes end and nobody reports it, until ``remove_lost``."""
        self._worker(pod).lose()
        node, now = pod["spec"]["nodeName"], self.clock
        told = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
        self.store.mutate(NODES, "", node, lambda new: conditions.put(new["status"], now, "Ready", "Unknown", **told))
        meta = pod["metadata"]
        why = {"reason": "NodeNotReady", "message": "Node is not ready"}
        self.store.mutate(
            PODS,
            meta["namespace"],
            meta["name"],
            lambda new: conditions.put(new["status"], now, "Ready", "False", **why),
        )

    def remove_lost(self, pod: Object) -> None:
        """The control plane gives a lost pod up: Failed, DisruptionTarget by DeletionByPodGC, removed."""
        meta = pod["metadata"]
        told = {"reason": "DeletionByPodGC", "message": "PodGC: node no longer exists"}

        def give_up(new: Object) -> None:
            conditions.put(new["status"], self.clock, "DisruptionTarget", **told)
            new["status"]["phase"] = "Failed"

        self.store.mutate(PODS, meta["namespace"], meta["name"], give_up)
        self.registry.delete(PODS, meta["namespace"], meta["name"], {"gracePeriodSeconds": 0})

    def _terminated_by_kubelet(self, pod: Object, reason: str, message: str) -> None:
        meta, worker = pod["metadata"], self._worker(pod)
        worker.status.reason, worker.status.message = reason, message
        told = {"reason": "TerminationByKubelet", "message": message}
        self.store.mutate(
            PODS,
            meta["namespace"],
            meta["name"],
            lambda new: conditions.put(new["status"], self.clock, "DisruptionTarget", **told),
        )
        self.events.tell(pod, reason, message, component="kubelet", kind="Warning")
        worker.stop(pod["spec"]["terminationGracePeriodSeconds"])

    def _worker(self, pod: Object) -> Any:
        worker = self.kubelet.worker(pod)
        assert worker is not None, f"pod {pod['metadata']['name']} does not run"
        return worker
