"""Who asks, and how the API server is reached: identities, tokens, certificates, processes, outages."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import warnings

import httpx
import pytest
from kube import KubeServer, Rule

from airflow_provider_kinetic.clusters import clients
from airflow_provider_kinetic.clusters.access import Access, Token, TokenSource
from airflow_provider_kinetic.clusters.kubernetes import KubernetesCluster
from airflow_provider_kinetic.model.errors import ClusterError
from airflow_provider_kinetic.model.status import JobState

ALL = Rule(["*"], ["*"], ["default"])
SLEEP = "import time; time.sleep(600)"


def test_two_identities_on_one_cluster_never_mix(server, connect, kube):
    allowed, forbidden = connect(server.token("trainer", [ALL])), connect(server.token("reader", []))
    for _ in range(2):
        with pytest.raises(
            ClusterError, match=r"Missing permission: create jobs\.batch in namespace 'default'.*reader"
        ):
            forbidden.create(kube.manifest("pass"))
        allowed.create(kube.manifest("pass"))
    assert {(one.user, one.status) for one in server.requests if (one.verb, one.resource) == ("create", "jobs")} == {
        ("reader", 403),
        ("trainer", 201),
    }


def test_two_clusters_never_mix(kube):
    with KubeServer() as other:
        tokens = TokenSource(lambda: Token(other.admin))
        theirs = KubernetesCluster(Access(other.url, "admin", other.authority.decode(), tokens=tokens), "default")
        handle = kube.start("pass")
        kube.wait(handle, JobState.SUCCEEDED)
        assert theirs.status(handle).state is JobState.NOT_FOUND
        assert theirs.list() == []


@pytest.mark.parametrize(
    ("verb", "resource", "act"),
    [
        ("create", "jobs.batch", lambda kube, _: kube.start("pass")),
        ("get", "jobs.batch", lambda kube, handle: kube.cluster.status(handle)),
        ("get", "jobs.batch", lambda kube, handle: kube.cluster.annotations(handle)),
        ("list", "pods", lambda kube, handle: kube.cluster.status(handle)),
        ("delete", "jobs.batch", lambda kube, handle: kube.cluster.delete(handle)),
        ("list", "jobs.batch", lambda kube, _: kube.cluster.list()),
        ("get", "pods/log", lambda kube, handle: kube.cluster.tail(handle)),
    ],
)
def test_a_missing_permission_is_named_with_what_grants_it(server, connect, kube, verb, resource, act):
    handle = kube.start("print('x')")
    kube.wait(handle, JobState.SUCCEEDED)
    plural = resource.partition(".")[0]
    others = {"create", "get", "list", "delete"} - {verb}
    rules = [Rule(["*"], [each]) for each in ("jobs", "pods", "pods/log") if each != plural]
    kube.cluster = connect(server.token("limited", [*rules, Rule(list(others), [plural])]))
    with pytest.raises(ClusterError, match=f"Missing permission: {verb} {resource} in namespace 'default'") as refused:
        act(kube, handle)
    for word in ("roles/container.developer", f"`{verb}` on `{resource}`", f"kubectl auth can-i {verb} {resource}"):
        assert word in refused.value.advice


def test_who_may_not_see_events_still_gets_a_status(server, connect, kube):
    server.unschedulable("0/1 nodes are available: 1 Insufficient google.com/tpu.")
    rules = [Rule(["*"], ["jobs", "pods"], ["default"])]
    kube.cluster = connect(server.token("limited", rules))
    handle = kube.start("pass")
    found = kube.until(lambda: (now := kube.cluster.status(handle)).message and now, "status")
    assert found.state is JobState.PENDING


class Tokens:
    """Issues tokens that the server takes for ``lasts`` seconds, and says that it is an hour by ``now``."""

    def __init__(self, server, lasts):
        self.server, self.lasts = server, lasts
        self.issued = []
        self.now = 0.0

    def fetch(self):
        self.issued.append(self.server.token("trainer", lasts=self.lasts))
        return Token(self.issued[-1], self.now + 3600)

    def cluster(self):
        source = TokenSource(self.fetch, clock=lambda: self.now)
        access = Access(self.server.url, "trainer", self.server.authority.decode(), tokens=source)
        return KubernetesCluster(access, "default", patience=5.0)


@pytest.fixture
def tokens(server):
    yield lambda lasts=3600.0: Tokens(server, lasts)
    clients.close()


def test_a_token_is_renewed_before_it_expires(server, tokens):
    source = tokens()
    cluster = source.cluster()
    for source.now, issued in ((0.0, 1), (3200.0, 1), (3590.0, 2)):
        cluster.list()
        assert len(source.issued) == issued
    assert {one.status for one in server.requests} == {200}


def test_a_token_that_expired_unseen_is_renewed_once(server, tokens):
    source = tokens()
    cluster = source.cluster()
    cluster.list()
    server.revoke(source.issued[0])
    assert cluster.list() == []
    assert len(source.issued) == 2


def test_credentials_that_are_refused_twice_are_said_to_be(tokens):
    source = tokens(0.0)
    with pytest.raises(ClusterError, match="does not accept the credentials") as refused:
        source.cluster().list()
    assert "kubernetes_conn_id" in refused.value.advice
    assert len(source.issued) == 2
    assert not any(token in str(refused.value) for token in source.issued)


def test_threads_share_one_client(server, connect):
    cluster = connect()
    found = []
    threads = [threading.Thread(target=lambda: found.append(clients.client(cluster.access))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert clients.client(connect(server.token("other")).access) is not found[0]


def test_a_closed_client_is_made_again(connect):
    cluster = connect()
    first = clients.client(cluster.access)
    clients.close(cluster.access)
    assert first.is_closed
    assert cluster.list() == []


def test_a_client_that_nobody_asks_for_any_more_is_closed(server, connect):
    """Credentials that change every hour leave a client behind each time, in an API server that runs for weeks."""
    now = 0.0
    shared = clients.Clients(clock=lambda: now)
    try:
        old, new = (shared.get(connect(server.token(name)).access) for name in ("old", "new"))
        now = clients.IDLE
        shared.get(connect(server.token("third")).access)
        assert not old.is_closed
        now += 1
        shared.get(connect(server.token("fourth")).access)
        assert (old.is_closed, new.is_closed) == (True, True)
    finally:
        shared.close()


def test_a_forked_process_has_connections_of_its_own(connect):
    cluster = connect()
    cluster.list()
    before = clients.client(cluster.access)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: other threads run, as in a worker
        child = os.fork()
    if child == 0:
        ours = clients.client(cluster.access)
        said = b"mine" if ours is not before and cluster.list() == [] else b"theirs"
        os.write(writing, said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"mine"
    os.waitpid(child, 0)
    assert clients.client(cluster.access) is before
    assert cluster.list() == []


def test_an_api_server_that_is_away_for_a_while_is_waited_for(server, kube):
    handle = kube.start("print('done')")
    server.away(1.5)
    kube.start("pass")
    assert kube.cluster.status(handle).state is not JobState.NOT_FOUND
    assert len(kube.cluster.list()) == 2


def test_an_api_server_that_stays_away_is_an_error_with_advice(server, connect, kube):
    handle = kube.start("pass")
    server.away(60)
    with pytest.raises(ClusterError, match=r"could not be reached to get jobs\.batch") as refused:
        connect(patience=0.5).status(handle)
    assert "private GKE" in refused.value.advice


@pytest.mark.parametrize("act", ["status", "list", "delete", "tail"])
@pytest.mark.parametrize("fault", [{"drop": "during"}, {"drop": "before"}, {"status": 503}, {"status": 429}])
def test_a_request_that_failed_in_passing_is_repeated(server, kube, act, fault):
    handle = kube.start("print('said')")
    kube.wait(handle, JobState.SUCCEEDED)
    met = server.fail(**fault, times=2)
    found = getattr(kube.cluster, act)(*(() if act == "list" else (handle,)))
    assert met.times == 0
    if act == "tail":
        assert found == "said\n"


def test_a_certificate_of_another_cluster_is_refused_at_once(server):
    tokens = TokenSource(lambda: Token(server.admin))
    began = time.monotonic()
    with pytest.raises(ClusterError, match=r"certificate of the API server .* is not trusted") as refused:
        KubernetesCluster(Access(server.url, "x", None, tokens=tokens), "default", patience=60).list()
    assert time.monotonic() - began < 30
    assert "certificate authority" in refused.value.advice


def test_a_foreign_404_does_not_say_that_a_job_is_gone(server, kube):
    """A proxy, another server or a wrong path answers 404 too; taken for NOT_FOUND it would submit a second job."""
    handle = kube.start(SLEEP)
    access = Access(f"{server.url}/elsewhere", "x", server.authority.decode(), tokens=kube.cluster.access.tokens)
    wrong = KubernetesCluster(access, "default", patience=1.0)
    for act in (wrong.status, wrong.annotations, wrong.delete):
        with pytest.raises(ClusterError, match="does not know what was asked for"):
            act(handle)


def test_requests_carry_the_name_of_the_provider(connect):
    assert clients.client(connect().access).headers["User-Agent"].startswith("airflow-provider-kinetic/")


def test_an_event_loop_has_a_client_of_its_own(connect):
    cluster = connect()

    async def asked() -> int:
        async with clients.async_client(cluster.access) as client:
            return (await client.get("/version")).status_code

    assert asyncio.run(asked()) == httpx.codes.OK
