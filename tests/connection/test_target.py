"""Which target a connection means, by the order of precedence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kinetic.hooks.connection import target_of
from airflow_provider_kinetic.hooks.settings import Settings
from airflow_provider_kinetic.model.errors import ConfigurationError, ConnectionError_
from airflow_provider_kinetic.model.images import BuildOptions
from airflow_provider_kinetic.model.target import Target

HOME = Path("/home/airflow")


def resolve(extra: dict[str, Any], **kwargs: Any) -> Target:
    return target_of(extra, **{"kinetic_conn_id": "kinetic_default", "environ": {}, "airflow_home": HOME, **kwargs})


def test_local_lies_under_airflow_home_by_default() -> None:
    target = resolve({"platform": "local"})
    assert target == Target(
        platform="local",
        kinetic_conn_id="kinetic_default",
        store_root="file:///home/airflow/kinetic/jobs",
        output_root="file:///home/airflow/kinetic/outputs",
        cluster_uri="file:///home/airflow/kinetic/cluster",
        environments_uri="file:///home/airflow/kinetic/environments",
    )


@pytest.mark.parametrize("bucket", ["/data/k", "/data/k/", "file:///data/k", "file:///data/k/"])
def test_local_bucket_is_a_folder_in_either_spelling(bucket: str) -> None:
    target = resolve({"platform": "local", "bucket": bucket})
    assert target.store_root == "file:///data/k/jobs"
    assert target.environments_uri == "file:///data/k/environments"


def test_a_named_local_cluster_is_a_cluster_of_its_own() -> None:
    assert resolve({"platform": "local", "cluster": "big"}).cluster_uri == "file:///home/airflow/kinetic/clusters/big"


def test_gke_names_follow_upstream() -> None:
    target = resolve({"platform": "gke", "project": "acme"})
    assert target.store_root == "gs://acme-kn-kinetic-cluster-jobs"
    assert target.output_root == "gs://acme-kn-kinetic-cluster-jobs/outputs"
    assert target.cluster_uri == "gke://acme/us-central1-a/kinetic-cluster"
    assert target.bucket_name == "acme-kn-kinetic-cluster-jobs"
    assert (target.namespace, target.max_parallel) == ("default", None)


def test_kubernetes_with_a_bucket_needs_no_project() -> None:
    target = resolve({"platform": "kubernetes", "bucket": "gs://jobs", "kubernetes_conn_id": "k8s", "queue": "team"})
    assert target.store_root == "gs://jobs"
    assert target.cluster_uri == "kubernetes://k8s/kinetic-cluster"
    assert target.queue == "team"


@pytest.mark.parametrize("field", ["zone", "cluster", "namespace"])
def test_order_of_precedence_for_each_field_separately(field: str) -> None:
    extra = {"platform": "gke", "project": "p"}
    layers: dict[str, Any] = {"settings": Settings(**{field: "from-config"})}
    assert getattr(resolve(extra, **layers), field) == "from-config"
    layers["environ"] = {f"KINETIC_{field.upper()}": "from-env", "GOOGLE_CLOUD_PROJECT": "never"}
    assert getattr(resolve(extra, **layers), field) == "from-env"
    extra[field] = "from-conn"
    assert getattr(resolve(extra, **layers), field) == "from-conn"
    layers["overrides"] = {field: "from-operator"}
    assert getattr(resolve(extra, **layers), field) == "from-operator"
    layers["overrides"] = {field: None}
    assert getattr(resolve(extra, **layers), field) == "from-conn"


def test_the_project_of_a_connection_is_a_limit() -> None:
    """Else whoever may name a project could have a token sent to a server of his own."""
    extra = {"platform": "gke", "project": "acme"}
    assert resolve(extra, overrides={"project": "acme"}).project == "acme"
    with pytest.raises(ConfigurationError, match="for the project 'acme', not for 'evil'") as caught:
        resolve(extra, overrides={"project": "evil"})
    assert "`kinetic_conn_id`" in caught.value.advice
    assert resolve({"platform": "gke"}, overrides={"project": "any"}, environ={"KINETIC_PROJECT": "p"}).project == "any"


def test_the_cluster_of_a_kubeconfig_is_a_limit() -> None:
    extra = {"platform": "kubernetes", "bucket": "jobs", "cluster": "blue"}
    with pytest.raises(ConfigurationError, match="for the cluster 'blue', not for 'green'"):
        resolve(extra, overrides={"cluster": "green"})


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"platform": "gke"}, ("google_cloud_default", "", "", "kinetic")),
        (
            {"platform": "gke", "gcp_conn_id": "g", "endpoint": "dns", "service_account": "trainer"},
            ("g", "", "dns", "trainer"),
        ),
        ({"platform": "kubernetes"}, ("google_cloud_default", "kubernetes_default", "", None)),
        ({"platform": "kubernetes", "kubernetes_conn_id": "k8s"}, ("google_cloud_default", "k8s", "", None)),
        ({"platform": "local"}, ("", "", "", None)),
    ],
)
def test_how_the_cloud_is_reached(extra: dict[str, Any], expected: tuple[Any, ...]) -> None:
    target = resolve({**extra}, environ={"KINETIC_PROJECT": "acme"} if extra["platform"] != "local" else {})
    assert (target.gcp_conn_id, target.kubernetes_conn_id, target.endpoint, target.service_account) == expected


def test_an_endpoint_that_does_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="`endpoint` is 'vpn'; it must be one of public, private, dns"):
        resolve({"platform": "gke", "project": "acme", "endpoint": "vpn"})


def test_project_comes_from_the_environment_then_config_then_google() -> None:
    environ = {"KINETIC_PROJECT": "k", "GOOGLE_CLOUD_PROJECT": "g"}
    settings = Settings(project="c")
    assert resolve({"platform": "gke"}, environ=environ, settings=settings).project == "k"
    assert resolve({"platform": "gke"}, environ={"GOOGLE_CLOUD_PROJECT": "g"}, settings=settings).project == "c"
    assert resolve({"platform": "gke"}, environ={"GOOGLE_CLOUD_PROJECT": "g"}).project == "g"


def test_fields_left_empty_in_the_form_are_not_given() -> None:
    extra = {"platform": "local", "project": None, "queue": "", "bucket": "", "max_parallel": None}
    assert resolve(extra) == resolve({"platform": "local"})


@pytest.mark.parametrize("value", ["true", "True", True])
def test_a_connection_uri_gives_text(value: object) -> None:
    target = resolve({"platform": "local", "emulate_accelerators": value, "max_parallel": "3"})
    assert (target.emulate_accelerators, target.max_parallel) == (True, 3)


def test_emulation_accepts_what_only_a_cloud_has() -> None:
    extra = {"platform": "local", "emulate_accelerators": True, "project": "acme", "zone": "us-east1-b", "queue": "q"}
    target = resolve(extra)
    assert (target.project, target.zone, target.queue) == ("acme", "us-east1-b", "q")
    assert target.store_root.startswith("file://")


def test_missing_project_says_where_to_set_it() -> None:
    with pytest.raises(ConfigurationError, match="`project`") as caught:
        resolve({"platform": "gke"})
    assert "KINETIC_PROJECT" in caught.value.advice


def test_missing_platform_is_never_local() -> None:
    with pytest.raises(ConnectionError_, match="says no `platform`"):
        resolve({})


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"platform": "lokal"}, ["`platform`", "'lokal'", "Did you mean 'local'", "gke"]),
        ({"platform": "local", "max_parallel": 0}, ["`max_parallel`", "1 or more"]),
        ({"platform": "local", "max_parallel": True}, ["`max_parallel`", "1 or more"]),
        ({"platform": "local", "max_parallel": "many"}, ["`max_parallel`", "'many'"]),
        ({"platform": "local", "emulate_accelerators": "yes"}, ["`emulate_accelerators`", "true or false"]),
        ({"platform": "local", "bucket": "gs://b"}, ["`bucket`", "absolute path"]),
        ({"platform": "local", "bucket": "relative/folder"}, ["`bucket`", "absolute path"]),
        ({"platform": "local", "bucket": "file://elsewhere/folder"}, ["`bucket`", "file://"]),
        ({"platform": "local", "bucket": 7}, ["`bucket`", "a text"]),
        ({"platform": "local", "output_root": "gs://b/out"}, ["`output_root`", "absolute path"]),
        ({"platform": "local", "namespace": "../up"}, ["`namespace`", "lower-case"]),
        ({"platform": "local", "project": "acme"}, ["`project`", "'local'", "emulate_accelerators"]),
        ({"platform": "local", "service_account": "me"}, ["`service_account`", "emulate_accelerators"]),
        ({"platform": "gke", "project": "p", "output_root": "/data"}, ["`output_root`", "gs://"]),
        ({"platform": "gke", "project": "p", "bucket": "b/folder"}, ["`bucket`", "without a folder"]),
        ({"platform": "gke", "project": "p", "max_parallel": 2}, ["`max_parallel`", "'gke'"]),
        ({"platform": "gke", "project": "p", "emulate_accelerators": True}, ["`emulate_accelerators`", "'gke'"]),
        ({"platform": "gke", "project": "p" * 30, "cluster": "c" * 30}, ["63", "`cluster`"]),
        ({"platform": "gke", "projekt": "p"}, ["'projekt'", "Did you mean 'project'"]),
    ],
)
def test_bad_values_name_the_field_and_what_is_allowed(extra: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(extra)
    assert [word for word in words if word not in str(caught.value)] == []


def test_an_untouched_check_box_is_fine_on_every_platform() -> None:
    assert resolve({"platform": "gke", "project": "p", "emulate_accelerators": False}).emulate_accelerators is False


def test_an_operator_cannot_pass_a_field_that_does_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="zone"):
        resolve({"platform": "local"}, overrides={"zoned": "x"})


def test_an_empty_argument_counts_as_given() -> None:
    with pytest.raises(ConfigurationError, match="`namespace`"):
        resolve({"platform": "local"}, overrides={"namespace": ""})


def test_how_images_are_built_is_said_by_the_connection_and_overridden_by_a_task() -> None:
    extra = {
        "platform": "gke",
        "project": "acme",
        "base_image": "nvidia/cuda:12.6.0-runtime-ubuntu24.04",
        "build_region": "europe-west1",
        "build_machine_type": "E2_HIGHCPU_8",
        "build_timeout": "600",
        "build_layer_cache": "false",
        "build_tags": "team-a, cost-7",
        "base_image_repo": "docker.io/acme",
    }
    target = resolve(extra, overrides={"build_timeout": 60, "build_tags": ["mine"], "build_region": None})
    assert target.build == BuildOptions(
        base_image="nvidia/cuda:12.6.0-runtime-ubuntu24.04",
        region="europe-west1",
        machine_type="E2_HIGHCPU_8",
        timeout=60.0,
        layer_cache=False,
        tags=("mine",),
    )
    assert resolve(extra).build.tags == ("team-a", "cost-7")
    assert (target.base_image_repo, target.prebuilt_tag) == ("docker.io/acme", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("build_timeout", 0),
        ("build_timeout", 86401),
        ("build_timeout", True),
        ("build_timeout", "soon"),
        ("build_timeout", "nan"),
        ("build_tags", "one two"),
        ("build_tags", 7),
        ("build_tags", ","),
        ("build_layer_cache", "perhaps"),
        ("build_non_root", 3),
        ("build_worker_pool", "pool"),
        ("base_image", 3),
    ],
)
def test_an_option_of_a_build_that_cannot_be_is_named(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"`{field}` is {value!r}"):
        resolve({"platform": "gke", "project": "acme", field: value})
