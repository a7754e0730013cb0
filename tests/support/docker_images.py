"""Images where none can be pulled: a Debian with this Python and nothing else, one that brings uv, and ours."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from docker_engine import Engine

from airflow_provider_kinetic.builders.dockerfile import build_context, image_request
from airflow_provider_kinetic.model.images import BuildOptions

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_UNUSED = shutil.ignore_patterns("site-packages", "test", "__pycache__", "idlelib", "tkinter", "_tkinter*", "config-*")
_ENVIRONMENT = (
    f"ENV SSL_CERT_FILE={_CERTIFICATES}",  # of this machine, which may stand behind a proxy
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)


def bare_python(engine: Engine, folder: Path, name: str = "python:bare") -> str:
    """The like of ``python:{version}-slim``: apt, this interpreter, and no package at all."""
    root = folder / "root"
    of_debian = sys.base_prefix == "/usr"
    packages = ["ca-certificates", *(["python3"] if of_debian else [])]
    codename = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
    assert codename
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(packages)}", codename[1], root], check=True
    )
    if not of_debian:
        _copy_python(root)
    shutil.copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
    return engine.import_folder(root, name, _ENVIRONMENT)


def _copy_python(root: Path) -> None:
    """This interpreter, and what it links to, as it lies here: the same release of Debian is around it."""
    source, target = Path(sys.base_prefix), root / "usr/local"
    version = f"python{HERE}"
    shutil.copytree(source / "lib" / version, target / "lib" / version, symlinks=True, ignore=_UNUSED)
    (target / "lib" / version / "site-packages").mkdir()
    for file in (source / "bin" / version, *source.glob("lib/libpython*.so*")):
        shutil.copy(file, target / file.relative_to(source), follow_symlinks=False)
    shutil.copytree(source / "include" / version, target / "include" / version)
    (target / "bin/python3").symlink_to(version)
    binaries = [target / "bin" / version, *target.glob("lib/python*/lib-dynload/*.so")]
    linked = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=True).stdout
    for library in sorted(set(re.findall(r"=> (/\S+)", linked))):
        copy = root / library[1:]
        if not copy.exists() and not Path(library).is_relative_to(source):
            shutil.copy(library, copy)
    subprocess.run(["chroot", root, "ldconfig"], check=True)


def uv_image(engine: Engine, folder: Path, version: str, name: str = "uv:wheel") -> str:
    """The like of uv's own image, of the same version: one executable, out of the published wheel."""
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", folder / "wheel", f"uv=={version}"],
        check=True,
    )
    (folder / "root").mkdir()
    shutil.copy(folder / "wheel/bin/uv", folder / "root/uv")
    return engine.import_folder(folder / "root", name)


@dataclass
class Builder:
    """Builds what the provider asks for; ``output`` is that of the last build."""

    engine: Engine
    base_image: str
    uv_image: str
    output: str = ""

    def __call__(
        self,
        requirements: str = "",
        *,
        category: str = "cpu",
        packages: list[str] | None = None,
        python: str = HERE,
        base_image: str = "",
        non_root: bool = False,
    ) -> str:
        """The image's name."""
        options = BuildOptions(base_image=base_image or self.base_image, non_root=non_root)
        request = image_request(category, requirements, python, options, packages)
        name = f"base:{request.tag}"
        self.output = self.engine.build(name, build_context(request), {"UV_IMAGE": self.uv_image})
        return name
