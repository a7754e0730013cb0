"""A Docker engine of the tests' own, from Debian's packages: it touches no other, and ends with them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CLIENT, DAEMON = "/usr/bin/docker", "/usr/sbin/dockerd"
_IN_MEMORY = ("sh", "-c", 'mount -t tmpfs images "$0" && exec "$@"')
"""Images are gigabytes in tens of thousands of files: in memory they come and go at once."""
_OPTIONS = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
_ENCLOSED = ("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
"""Its processes and mounts end with it, and it ends with the tests, also when they are killed."""


def missing() -> str:
    """Why this machine can run no engine; empty when it can."""
    if os.getuid() != 0:
        return "a Docker engine needs root"
    needed = {CLIENT: "docker.io", DAEMON: "docker.io", "mmdebstrap": "mmdebstrap", "unshare": "util-linux"}
    absent = sorted({package for command, package in needed.items() if not shutil.which(command)})
    return f"Debian packages are missing: {', '.join(absent)}" if absent else ""


class Engine:
    """``with Engine() as engine``: images and containers that are gone at the end."""

    def __enter__(self) -> Engine:
        self._folder = Path(tempfile.mkdtemp(prefix="kinetic-docker-"))  # short: a socket's path is
        self._host = f"unix://{self._folder}/socket"
        images = self._folder / "images"
        images.mkdir()
        places = (f"--data-root={images}", f"--exec-root={self._folder}/exec", f"--pidfile={self._folder}/pid")
        with (self._folder / "log").open("wb") as log:
            command = [*_ENCLOSED, *_IN_MEMORY, str(images), DAEMON, *_OPTIONS, *places, "--host", self._host]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        enclosing = self._process.pid
        daemon = Path(f"/proc/{enclosing}/task/{enclosing}/children").read_text()
        os.kill(int(daemon), signal.SIGTERM)
        self._process.wait(30)
        shutil.rmtree(self._folder)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while self.docker("version", check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.1)

    def docker(
        self, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command of the client; its standard error comes with its output."""
        ended = subprocess.run(
            [CLIENT, "--host", self._host, *arguments],
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and ended.returncode:
            raise AssertionError(f"docker {arguments[0]} failed:\n{ended.stdout}")
        return ended

    def import_folder(self, folder: Path, name: str, changes: Sequence[str] = ()) -> str:
        """An image that holds a folder."""
        archive = folder.with_suffix(".tar")
        subprocess.run(["tar", "--create", "--file", archive, "--directory", folder, "."], check=True)
        self.docker("import", *(word for change in changes for word in ("--change", change)), str(archive), name)
        archive.unlink()
        return name

    def build(self, name: str, files: Mapping[str, bytes], arguments: Mapping[str, str]) -> str:
        """An image from the files of a build context; the output of the build."""
        with tempfile.TemporaryDirectory() as context:
            for file, content in files.items():
                (Path(context) / file).write_bytes(content)
            words = [word for item in arguments.items() for word in ("--build-arg", "=".join(item))]
            how = ("build", "--network=host", "--progress=plain", *words, "--tag", name, context)
            ended = self.docker(*how, env={"DOCKER_BUILDKIT": "1"}, check=False)
        if ended.returncode:
            raise BuildFailed(ended.stdout)
        return ended.stdout

    def run(self, image: str, *command: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """A container on the network of this machine, removed when it ends."""
        return self.docker("run", "--rm", "--network=host", *options, image, *command, check=False)

    def output(self, image: str, *command: str) -> str:
        """What a container prints."""
        ended = self.run(image, *command)
        assert ended.returncode == 0, ended.stdout
        return ended.stdout.strip()

    def size(self, image: str) -> int:
        """Bytes of all its layers."""
        return int(self.docker("image", "inspect", "--format", "{{.Size}}", image).stdout)

    def layers(self, image: str) -> list[str]:
        """Digests of its layers, the lowest first."""
        return json.loads(self.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image).stdout)


class BuildFailed(Exception):
    """Its text is the output of the build."""
