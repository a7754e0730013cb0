"""What Cloud Storage and its client library raise, as this provider's errors that say what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from airflow_provider_kinetic.model.errors import StoreError, StoreForbidden
from airflow_provider_kinetic.stores.base import ObjectMissing

_READER = (
    "Storage Object Viewer (roles/storage.objectViewer) on the bucket, or on that of jobs Storage Object User"
    " (roles/storage.objectUser)"
)
_ROLES = {
    "storage.objects.get": _READER,
    "storage.objects.list": _READER,
    "storage.objects.": "Storage Object User (roles/storage.objectUser) on the bucket",
    "storage.buckets.": "Storage Bucket Viewer (roles/storage.bucketViewer) on the bucket",
    "serviceusage.": "Service Usage Consumer (roles/serviceusage.serviceUsageConsumer) on the project",
    "iam.serviceAccounts.": "Service Account Token Creator (roles/iam.serviceAccountTokenCreator) on that account",
}
_PERMISSION = re.compile(r"\b(?:storage|serviceusage|iam)\.[A-Za-z]+\.[A-Za-z]+\b")
_NO_BUCKET = "bucket does not exist"


@contextlib.contextmanager
def explained(verb: str, uri: str) -> Iterator[None]:
    """Errors of the service, of the network and of local files as ``StoreError``, a missing object as such.

    :raises ObjectMissing: there is no such object.
    """
    from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, RetryError, Unauthorized
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
    from requests.exceptions import RequestException

    try:
        yield
    except NotFound as error:
        if not bucket_missing(error):
            raise ObjectMissing(uri) from None
        raise _no_bucket(verb, uri) from error
    except Forbidden as error:
        raise _forbidden(verb, uri, error.message) from error
    except (Unauthorized, GoogleAuthError) as error:
        raise _unknown_caller(verb, uri, error) from error
    except (RetryError, RequestException, ConnectionError) as error:
        raise away(verb, uri, getattr(error, "cause", None) or error) from error
    except (GoogleAPIError, DataCorruption, InvalidResponse) as error:
        raise StoreError(
            f"Cannot {verb} {uri}: {_line(error)}",
            advice="Cloud Storage refused the request; its answer says why.",
        ) from error
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise StoreError(
            f"Cannot {verb} {uri}: {error.strerror or error}{place}",
            advice="This is about a file on this machine: let the user that runs Airflow read and write it.",
        ) from error


def refused(verb: str, uri: str, status: int, message: str) -> StoreError:
    """An answer of the service that is no success."""
    if status == 404 and _NO_BUCKET in message:
        return _no_bucket(verb, uri)
    if status == 403:
        return _forbidden(verb, uri, message)
    if status == 401:
        return _unknown_caller(verb, uri, _line(message))
    return StoreError(
        f"Cannot {verb} {uri}: Cloud Storage answered {status}: {_line(message)}",
        advice="Cloud Storage refused the request; its answer says why.",
    )


def bucket_missing(error: Exception) -> bool:
    """Of a 404: whether it is about the bucket. The service tells so in words only."""
    return _NO_BUCKET in str(error)


def _no_bucket(verb: str, uri: str) -> StoreError:
    bucket = uri.partition("://")[2].partition("/")[0]
    return StoreError(
        f"Cannot {verb} {uri}: there is no bucket {bucket!r}",
        advice="Name the right `bucket` (or `cluster`) in the connection, or create it: `gcloud storage buckets create"
        f" gs://{bucket}`.",
    )


def _forbidden(verb: str, uri: str, message: str) -> StoreForbidden:
    found = _PERMISSION.search(message)
    if found is None:
        return StoreForbidden(
            f"Cannot {verb} {uri}: {_line(message)}",
            advice=f"Grant the connection's identity {_ROLES['storage.objects.']}.",
        )
    permission = found[0]
    role = next((role for start, role in _ROLES.items() if permission.startswith(start)), "a role that has it")
    return StoreForbidden(
        f"Cannot {verb} {uri}: the permission {permission} is missing",
        advice=f"Grant the connection's identity {role}. A bucket that does not exist is reported in the same way.",
    )


def _unknown_caller(verb: str, uri: str, error: object) -> StoreError:
    return StoreError(
        f"Cannot {verb} {uri}: no valid credentials: {_line(error)}",
        advice="Check the key or the account of the connection that `gcp_conn_id` names (without one: the application"
        " default credentials of this machine).",
    )


def away(verb: str, uri: str, error: BaseException) -> StoreError:
    """No answer at all."""
    return StoreError(
        f"Cannot {verb} {uri}: Cloud Storage did not answer: {_line(error)}",
        advice="It was asked again and again without success. Check the network between this machine and"
        " storage.googleapis.com (proxy, firewall), then retry.",
    )


def _line(error: object) -> str:
    """The first line, at most 500 characters."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:500]
