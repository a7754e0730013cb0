"""Provider metadata. Imports nothing: every Airflow process calls this (``airflow`` 1.1)."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_kinetic"


def get_provider_info() -> dict[str, Any]:
    return {
        "package-name": "airflow-provider-kinetic",
        "name": "Kinetic",
        "description": "Run Python functions as TPU, GPU or CPU jobs with Kinetic.",
        "integrations": [
            {
                "integration-name": "Kinetic",
                "external-doc-url": "https://github.com/keras-team/kinetic",
                "tags": ["ml"],
            }
        ],
        "operators": _modules(
            "operators.build_image", "operators.cleanup", "operators.collect", "operators.run", "operators.submit"
        ),
        "sensors": _modules("sensors.job"),
        "triggers": _modules("triggers.build", "triggers.job"),
        "hooks": _modules("hooks.gcs", "hooks.gke", "hooks.kinetic", "hooks.kubernetes"),
        "task-decorators": [{"name": "kinetic", "class-name": f"{_PACKAGE}.decorators.kinetic.kinetic_task"}],
        "extra-links": [
            f"{_PACKAGE}.links.build.KineticBuildLink",
            *(
                f"{_PACKAGE}.links.job.Kinetic{link}Link"
                for link in ("Job", "Logs", "Outputs", "Console", "CloudLogs", "BucketOutputs", "BucketArtifacts")
            ),
        ],
        "cli": [f"{_PACKAGE}.cli.definitions.get_kinetic_cli_commands"],
        "connection-types": [
            {
                "connection-type": "kinetic",
                "hook-class-name": f"{_PACKAGE}.hooks.kinetic.KineticHook",
                "hook-name": "Kinetic",
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "port", "login", "password", "schema", "extra"],
                    "relabeling": {},
                    "placeholders": {
                        "zone": "us-central1-a",
                        "cluster": "kinetic-cluster",
                        "namespace": "default",
                        "gcp_conn_id": "google_cloud_default",
                        "kubernetes_conn_id": "kubernetes_default",
                    },
                },
                "conn-fields": _connection_fields(),
            }
        ],
        "config": {
            "kinetic": {
                "description": "What holds for every Kinetic connection and task unless they say more.",
                "options": _options(),
            }
        },
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": "Kinetic", "python-modules": [f"{_PACKAGE}.{name}" for name in names]}]


def _connection_fields() -> dict[str, Any]:
    """The form of the connection. No field has a default: an empty one leaves the decision to the next source."""
    return {
        "platform": {
            "label": "Platform",
            "description": "Where jobs run: gke, kubernetes, or local (this machine).",
            "schema": {"type": "string", "enum": ["gke", "kubernetes", "local"]},
        },
        "project": _text("Project", "Google Cloud project. Default: KINETIC_PROJECT, then [kinetic] project."),
        "zone": _text("Zone", "Zone of the cluster. Default: us-central1-a."),
        "cluster": _text("Cluster", "Name of the cluster. Default: kinetic-cluster; on local: local."),
        "namespace": _text("Namespace", "Namespace of the jobs. Default: default."),
        "gcp_conn_id": _text("Google connection", "Connection with Google credentials. Default: google_cloud_default."),
        "kubernetes_conn_id": _text(
            "Kubernetes connection",
            "Connection with the kubeconfig (platform kubernetes). Default: kubernetes_default.",
        ),
        "endpoint": {
            "label": "Endpoint",
            "description": "How the GKE cluster is reached. Default: public where it has that, else private, else dns.",
            "schema": {"type": ["string", "null"], "enum": ["public", "private", "dns", None]},
        },
        "bucket": _text(
            "Bucket", "Bucket of the jobs' objects. Default: {project}-kn-{cluster}-jobs. On local a folder."
        ),
        "output_root": _text("Output root", "Where outputs lie. Default: `outputs` in the bucket."),
        "service_account": _text("Service account", "Kubernetes service account of the jobs. Default on gke: kinetic."),
        "queue": _text("Queue", "Kueue queue of the jobs."),
        **_image_fields(),
        "max_parallel": {
            "label": "Parallel jobs",
            "description": "Jobs that run at one time on local; others are pending.",
            "schema": {"type": ["integer", "null"], "minimum": 1},
        },
        "emulate_accelerators": {
            "label": "Emulate accelerators",
            "description": "On local: run jobs for TPUs and GPUs on the CPU, with a warning.",
            "schema": {"type": ["boolean", "null"]},
        },
    }


def _image_fields() -> dict[str, Any]:
    """``hooks/build_options.py`` reads those of a build."""
    return {
        "base_image": _text("Base image", "What images start from. Default: python:X.Y-slim of the worker's Python."),
        "build_region": _text("Build region", "Location of Cloud Build. Default: global."),
        "build_worker_pool": _text("Build worker pool", "projects/…/locations/…/workerPools/… that builds."),
        "build_machine_type": _text("Build machine", "Machine type of builds, such as E2_HIGHCPU_8."),
        "build_timeout": {
            "label": "Build timeout",
            "description": "Seconds that a build may take. Default: 1200.",
            "schema": {"type": ["number", "null"], "minimum": 1, "maximum": 86400},
        },
        "build_layer_cache": {
            "label": "Build layer cache",
            "description": "Use layers of the image before again. Default: true.",
            "schema": {"type": ["boolean", "null"]},
        },
        "build_tags": _text("Build tags", "Cloud Build tags beside Kinetic's own, with commas between."),
        "build_service_account": _text("Build service account", "Who builds. Default: kn-{cluster}-builds."),
        "build_repository": _text("Build repository", "Docker repository of images. Default: kn-{cluster}'s."),
        "build_non_root": {
            "label": "Build non-root",
            "description": "Containers of built images do not run as root. Default: false.",
            "schema": {"type": ["boolean", "null"]},
        },
        "base_image_repo": _text("Prebuilt repository", "Where prebuilt images lie: {repository}/base-cpu:{tag}."),
        "prebuilt_tag": _text("Prebuilt tag", "Tag of the prebuilt images. Default: the tested release of Kinetic."),
    }


def _text(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


def _options() -> dict[str, Any]:
    """``hooks/settings.py`` reads these."""
    return {
        "project": _option("string", None, "Google Cloud project where the connection names none."),
        "zone": _option("string", None, "Zone of the cluster where the connection names none."),
        "cluster": _option("string", None, "Cluster where the connection names none."),
        "namespace": _option("string", None, "Namespace where the connection names none."),
        "output_root": _option("string", None, "Where outputs lie where the connection does not say."),
        "max_parallel": _option("integer", None, "Jobs that run at one time on a local cluster."),
        "installation_id": _option(
            "string", None, "Name of this Airflow among all that share a cluster. Unset: made from key, home and URL."
        ),
        "poll_interval": _option("float", "5.0", "Seconds between two looks at a job's status."),
        "min_dwell": _option("float", "10.0", "Shortest deferral in seconds: an earlier end would race the scheduler."),
        "startup_timeout": _option("float", "86400.0", "Seconds from submit to the start of the function."),
        "run_timeout": _option("float", None, "Seconds from the start of the function to its end. Unset: no limit."),
        "stop_grace": _option("float", "30.0", "Seconds between SIGTERM and SIGKILL."),
        "max_preemptions": _option("integer", "10", "How often a job's machine may be taken away."),
        "cleanup": _option("string", "on_success", "When a job's objects are removed: on_success, always or never."),
        "xcom_max_bytes": _option("integer", "49152", "Largest result in bytes that XCom holds itself."),
        "log_lines_per_second": _option(
            "float", "200.0", "Lines of job output in task logs, over all jobs of a process."
        ),
        "log_requests_per_second": _option(
            "float", "10.0", "Requests for job output, over all jobs of a triggerer; 0: none while tasks are deferred."
        ),
        "calm_heap_at": _option(
            "integer",
            "2000",
            "Jobs in one triggerer from which on its garbage collections leave out what is old; 0: never.",
        ),
    }


def _option(kind: str, default: str | None, description: str) -> dict[str, Any]:
    return {"description": description, "version_added": "0.1.0", "type": kind, "example": None, "default": default}
