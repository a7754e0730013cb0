"""What an answer of an API server, or of something that stands in its place, means: tables, no server."""

from __future__ import annotations

import time

import httpx
import pytest

from airflow_provider_kinetic.clusters import kubernetes_api as api
from airflow_provider_kinetic.model.errors import ClusterError, ConfigurationError, QuotaExceeded

WHAT = "create jobs.batch"


def answer(status=200, *, message="", headers=None, text=None, body=None):
    request = httpx.Request("POST", "https://server:6443/apis/batch/v1/namespaces/team/jobs")
    if text is not None:
        return httpx.Response(status, text=text, headers=headers, request=request)
    body = body if body is not None else {"kind": "Status", "message": message, "code": status}
    return httpx.Response(status, json=body, headers=headers, request=request)


@pytest.mark.parametrize(
    ("status", "message", "kind", "words"),
    [
        (401, "Unauthorized", ClusterError, "does not accept the credentials"),
        (
            403,
            'jobs.batch is forbidden: User "eve" cannot create resource "jobs" in API group "batch" in the namespace '
            '"team": requires one of ["container.jobs.create"] permission(s).',
            ClusterError,
            "Missing permission: create jobs.batch in namespace 'team', for eve",
        ),
        (
            403,
            'jobs.batch "j" is forbidden: exceeded quota: q, requested: count/jobs.batch=1',
            QuotaExceeded,
            "quota: q",
        ),
        (
            403,
            'pods "j" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot',
            ClusterError,
            "A policy",
        ),
        (
            422,
            "jobs.batch \"j\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            ClusterError,
            "A policy of the cluster refuses",
        ),
        (400, 'admission webhook "w.example" denied the request: no', ClusterError, "webhook w.example refuses"),
        (500, 'failed calling webhook "w.example": timeout', ClusterError, "webhook w.example does not answer"),
        (404, 'namespaces "team" not found', ClusterError, "There is no namespace 'team'"),
        (404, "the server could not find the requested resource", ClusterError, "does not know what was asked for"),
        (410, "The provided continue parameter is too old", ClusterError, "410"),
        (413, "Request entity too large: limit is 3145728", ConfigurationError, "Request entity too large"),
        (422, 'Job.batch "j" is invalid: spec.template: Required value', ConfigurationError, "Required value"),
        (500, "etcdserver: request is too large", ConfigurationError, "request is too large"),
        (500, "etcdserver: leader changed", ClusterError, "leader changed"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(status, message, kind, words):
    with pytest.raises(kind) as refused:
        api.explained(answer(status, message=message), WHAT, "team")
    assert words in refused.value.summary
    assert refused.value.advice
    assert "\n" not in refused.value.summary


@pytest.mark.parametrize("text", ["<html>Sign in</html>", "[]", "", '"yes"'])
def test_who_answers_something_else_is_no_api_server(text):
    with pytest.raises(ClusterError, match="is not a Kubernetes API server"):
        api.read(answer(200, text=text), WHAT)


def test_a_redirect_is_not_followed_into_a_login_page():
    with pytest.raises(ClusterError, match="is not a Kubernetes API server"):
        api.explained(answer(302, text="", headers={"Location": "https://login.example"}), WHAT)


def test_a_message_without_end_is_cut():
    with pytest.raises(ClusterError) as refused:
        api.explained(answer(503, text="x" * 100_000), WHAT)
    assert len(refused.value.summary) < 1500


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({"Retry-After": "3600"}, {}, api.LONGEST_RETRY_AFTER),
        ({"Retry-After": "soon"}, {}, None),
        ({}, {"details": {"retryAfterSeconds": 2}}, 2.0),
        ({}, {"details": "none"}, None),
        ({}, [], None),
    ],
)
def test_when_to_come_again(headers, body, seconds):
    assert api.retry_after(answer(429, headers=headers, body=body)) == seconds


def test_the_servers_clock():
    assert api.server_time(answer(headers={"Date": "Sun, 06 Nov 1994 08:49:37 GMT"})) == 784111777.0
    for headers in ({}, {"Date": "yesterday"}):
        assert abs(api.server_time(answer(headers=headers)) - time.time()) < 60


@pytest.mark.parametrize(
    ("status", "body", "gone"),
    [
        (404, {"kind": "Status", "reason": "NotFound"}, True),
        (404, {"kind": "Status", "reason": "Unknown"}, False),
        (404, {"error": "not found"}, False),
        (200, {"kind": "Status", "reason": "NotFound"}, False),
    ],
)
def test_only_the_api_server_says_that_something_is_gone(status, body, gone):
    assert api.not_found(answer(status, body=body)) is gone
    assert not api.not_found(answer(404, text="404 page not found"))


@pytest.mark.parametrize(
    ("groups", "version"),
    [
        ([{"name": "leaderworkerset.x-k8s.io", "preferredVersion": {"version": "v2"}}], "v2"),
        ([{"name": "leaderworkerset.x-k8s.io"}], "v1"),
        ([{"name": "batch"}], None),
        ("none", None),
    ],
)
def test_the_version_of_leader_worker_sets(groups, version):
    assert api.group_version({"groups": groups}) == version
