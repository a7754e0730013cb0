"""Where uploaded data lies: by content, shared by all users of a cluster, upstream's client too (contract 11.3).

::

    default/data-cache/{hash}/{relative path}    the files
    default/data-cache/{hash}/{folder}/          an empty folder: an empty object, which upstream's job skips
    default/data-markers/{hash}                  empty, written last: all files are there
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider_kinetic.job.references import CACHE
from airflow_provider_kinetic.model.data import check_object_name

MARKERS = "default/data-markers"

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class DataLocation:
    """The place of one content below a store's root (``gs://bucket`` or ``file:///folder``)."""

    store_root: str
    content_hash: str
    """64 lower-case hex digits."""

    def __post_init__(self) -> None:
        if not _HASH.fullmatch(self.content_hash):
            raise ValueError(f"{self.content_hash!r} is no SHA-256 in lower-case hex")

    @property
    def uri(self) -> str:
        """What a reference says, without a final slash; also for a single file, which lies below it."""
        return self._uri(f"{CACHE}/{self.content_hash}")

    @property
    def marker_uri(self) -> str:
        return self._uri(f"{MARKERS}/{self.content_hash}")

    def object_uri(self, relative: str) -> str:
        """The object of a file: its path below the folder, or a single file's base name.

        :raises ConfigurationError: Cloud Storage cannot hold an object of this name.
        """
        return self._uri(self._name(relative))

    def empty_folder_uri(self, relative: str) -> str:
        """The object that keeps an empty folder; ``relative`` is empty for the data's own folder.

        :raises ConfigurationError: as :meth:`object_uri`.
        """
        return self._uri(self._name(f"{relative}{os.sep}" if relative else ""))

    def _name(self, relative: str) -> str:
        name = f"{CACHE}/{self.content_hash}/{relative.replace(os.sep, '/')}"
        if not self._on_disk:
            check_object_name(name, relative)
        return name

    @property
    def _on_disk(self) -> bool:
        return self.store_root.startswith("file:")

    def _uri(self, name: str) -> str:
        return f"{self.store_root.rstrip('/')}/{quote(os.fsencode(name)) if self._on_disk else name}"
