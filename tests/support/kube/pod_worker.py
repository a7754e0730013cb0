"""One pod on its node: pulls, starts, waits, stops, and reports what became of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from kube.container import Container, StartError
from kube.container_log import ContainerLog
from kube.errors import Object
from kube.events import Events
from kube.images import Image
from kube.pod_environment import ConfigError, PodEnvironment
from kube.pod_status import PodStatus
from kube.store import Store

_SYNC = 0.1  # seconds between two tries of what cannot be done yet
_MESSAGE = 4096  # bytes of a termination message


class PodWorker:
    """A thread that ends with the pod. ``done`` is called when nothing of the pod runs any more."""

    def __init__(
        self,
        store: Store,
        events: Events,
        images: Mapping[str, Image],
        pod: Object,
        environment: PodEnvironment,
        done: Callable[[Object], None],
    ) -> None:
        self.pod = pod
        self.status = PodStatus(store, pod)
        spec = pod["spec"]
        self.logs = {each["name"]: ContainerLog(store.clock) for each in _containers(spec)}
        self.started: set[str] = set()
        self._events = events
        self._images = images
        self._environment = environment
        self._done = done
        self._running: dict[str, Container] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.lost = False
        self._timers: list[threading.Timer] = []
        self.thread = threading.Thread(target=self._run, name=f"pod-{pod['metadata']['name']}", daemon=True)

    def stop(self, grace: float) -> None:
        """SIGTERM now, SIGKILL after ``grace`` seconds; a later call can only shorten it."""
        with self._lock:
            first = not self._stopping.is_set()
            self._stopping.set()
            containers = list(self._running.values())
        for container in containers:
            if grace <= 0:
                container.kill()
                continue
            if first:
                container.signal(15)
            timer = threading.Timer(grace, container.kill)
            timer.daemon = True
            self._timers.append(timer)
            timer.start()

    def lose(self) -> None:
        """The node is gone: everything ends and nobody reports it."""
        self.lost = True
        self.stop(0)

    def kill(self, container: str = "", *, oom: bool = False) -> None:
        with self._lock:
            chosen = [each for name, each in self._running.items() if container in ("", name)]
        for each in chosen:
            each.kill(oom=oom)

    def _run(self) -> None:
        self.status.begin()
        spec = self.pod["spec"]
        completed = all(self._execute([each]) for each in spec.get("initContainers", []))
        if completed:
            self._execute(spec["containers"])
        if not self.lost:
            codes = self.status.codes()
            self.status.finish("Succeeded" if completed and not any(codes) else "Failed")
        for log in self.logs.values():
            log.close()
        for timer in self._timers:
            timer.cancel()
        if not self.lost:
            self._done(self.pod)

    def _execute(self, containers: list[Object]) -> bool:
        """Runs containers side by side; whether all ended with 0."""
        codes: list[int] = []
        threads = [
            threading.Thread(target=lambda each=each: codes.append(self._contain(each))) for each in containers[1:]
        ]
        for thread in threads:
            thread.start()
        codes.append(self._contain(containers[0]))
        for thread in threads:
            thread.join()
        return not any(codes)

    def _contain(self, spec: Object) -> int:
        name = spec["name"]
        image = self._pull(spec)
        prepared = self._prepare(spec, image) if image else None
        if prepared is None:
            return 137
        argv, variables = prepared
        try:
            with self._lock:
                if self._stopping.is_set():
                    return 137
                container = Container(argv, variables, self._environment.work(spec), self.logs[name])
                self._running[name] = container
                self.started.add(name)
        except StartError as error:
            text = f"failed to create containerd task: failed to create shim task: {error}"
            self._ended(spec, 128, "StartError", text)
            return 128
        self.status.runs(name)
        self._tell("Started", f"Started container {name}")
        code = container.wait()
        with self._lock:
            del self._running[name]
        reason = "OOMKilled" if container.oom else "Error" if code else "Completed"
        self._ended(spec, code, reason, self._last_words(spec, code))
        return code

    def _ended(self, spec: Object, code: int, reason: str, message: str) -> None:
        if not self.lost:
            self.status.ended(spec["name"], code, reason, message)

    def _pull(self, spec: Object) -> Image | None:
        """The image, as soon as it can be pulled; None where the pod was stopped before."""
        self._tell("Pulling", f'Pulling image "{spec["image"]}"')
        tries = 0
        while not self._stopping.is_set():
            image = self._images.get(spec["image"], Image())
            if not image.pull_error:
                return image
            tries += 1
            text = f'failed to pull and unpack image "{spec["image"]}": {image.pull_error}'
            if tries == 1:
                self._tell("Failed", f'Failed to pull image "{spec["image"]}": {text}', kind="Warning")
                self.status.waits(spec["name"], "ErrImagePull", text)
            else:
                why = f'Back-off pulling image "{spec["image"]}": ErrImagePull: {text}'
                self.status.waits(spec["name"], "ImagePullBackOff", why)
            self._stopping.wait(_SYNC * 3)
        return None

    def _prepare(self, spec: Object, image: Image) -> tuple[list[str], dict[str, str]] | None:
        while not self._stopping.is_set():
            try:
                variables = self._environment.variables(spec, image.environment)
                argv = self._environment.command(spec, image.command, variables)
            except ConfigError as error:
                self.status.waits(spec["name"], "CreateContainerConfigError", str(error))
                self._tell("Failed", f"Error: {error}", kind="Warning")
                self._stopping.wait(_SYNC)
                continue
            argv = [image.files.get(word, word) for word in argv]
            if argv and argv[0] in ("python", "python3"):
                argv[0] = image.python
            self._tell("Created", f"Created container: {spec['name']}")
            return argv, variables
        return None

    def _last_words(self, spec: Object, code: int) -> str:
        path: Path = self._environment.termination_log(spec)
        message = path.read_bytes()[:_MESSAGE].decode(errors="replace") if path.exists() else ""
        if not message and code and spec["terminationMessagePolicy"] == "FallbackToLogsOnError":
            message = self.logs[spec["name"]].tail(80, 2048)
        return message

    def _tell(self, reason: str, message: str, kind: str = "Normal") -> None:
        self._events.tell(self.pod, reason, message, component="kubelet", kind=kind)


def _containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", []), *spec["containers"]]
