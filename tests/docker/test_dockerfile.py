"""What our Dockerfile makes of a base image, built for real."""

from __future__ import annotations

import pytest
from docker_engine import BuildFailed, Engine
from docker_images import Builder

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def acme(engine: Engine, bare: str) -> str:
    """A base image with packages, a library path and a user of its own."""
    text = f"""\
FROM {bare}
RUN echo 'owner = "ours"' > "$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/acme.py"
RUN echo 'alice:x:1000:1000::/home/alice:/bin/sh' >> /etc/passwd
ENV LD_LIBRARY_PATH=/opt/acme/lib
USER 1000
"""
    engine.build("acme:1", {"Dockerfile": text.encode()}, {})
    return "acme:1"


def test_an_image_is_its_base_and_the_packages(engine: Engine, bare: str, build: Builder) -> None:
    image = build("iniconfig==2.0.0\n", packages=["six"])
    assert engine.size(image) - engine.size(bare) < 8 << 20
    left = engine.output(image, "sh", "-c", "command -v uv cc git; ls -A /app /mnt/*")
    assert left.split() == ["/app:", "/mnt/uv:", "/mnt/uv-cache:"]


def test_images_of_a_category_share_the_layer_of_its_packages(engine: Engine, bare: str, build: Builder) -> None:
    images = [build(f"iniconfig=={version}\n", packages=["six"]) for version in ("2.0.0", "2.1.0")]
    one, other = map(engine.layers, images)
    shared = [layer for layer in one if layer in other]
    assert len(shared) > len(engine.layers(bare))
    assert one != other


def test_the_same_request_is_built_from_the_cache(build: Builder) -> None:
    for _ in range(2):
        build("iniconfig==2.0.0\n", packages=["six"])
    assert "CACHED" in build.output
    assert "Resolved" not in build.output


def test_the_users_base_image_is_kept(engine: Engine, acme: str, build: Builder) -> None:
    image = build("iniconfig==2.0.0\n", packages=["six"], base_image=acme, non_root=True)
    code = (
        "import acme, getpass, os, pathlib, six; print(acme.owner, getpass.getuser(), os.getuid(), pathlib.Path.home())"
    )
    assert engine.output(image, "python3", "-c", code) == "ours alice 1000 /home/kinetic"


def test_another_python_than_the_tasks_fails_the_build(build: Builder) -> None:
    with pytest.raises(BuildFailed, match=r"the task needs Python 3\.99: 3\."):
        build(packages=["six"], python="3.99")


def test_a_requirement_that_cannot_be_had_is_named(build: Builder) -> None:
    with pytest.raises(BuildFailed, match=r"six==0\.0\.1"):
        build("six==0.0.1\n", packages=["iniconfig"])


def test_what_has_no_wheel_is_compiled(engine: Engine, build: Builder) -> None:
    image = build("lru-dict\n--no-binary lru-dict\n", packages=["six"])
    assert engine.output(image, "python3", "-c", "import lru; print(lru.LRU(1).get_size())") == "1"


def test_cuda_libraries_are_found_in_wheels_and_the_driver_where_gke_puts_it(
    engine: Engine, acme: str, build: Builder
) -> None:
    image = build(category="gpu", packages=["nvidia-cuda-runtime-cu12", "nvidia-cuda-nvcc-cu12"], base_image=acme)
    assert engine.output(image, "python3", "-c", "import ctypes; print(ctypes.CDLL('libcudart.so.12')._name)")
    assert "ptxas" in engine.output(image, "ptxas", "--version")
    assert "libdevice.10.bc" in engine.output(image, "ls", "/usr/local/cuda/nvvm/libdevice")
    paths = engine.output(image, "printenv", "LD_LIBRARY_PATH", "PATH").split()
    assert paths[0] == "/usr/local/nvidia/lib64:/usr/local/nvidia/lib:/opt/acme/lib"
    assert paths[1].startswith("/usr/local/nvidia/bin:/usr/local/cuda/bin:")
