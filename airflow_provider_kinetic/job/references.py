"""How data is named on the wire: in the payload where a path is wanted, and in the pod where it is mounted.

Submitter and job share these shapes with upstream's (contract 6.3), so either can run what the other packed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

MARK = "__data_ref__"
FUSE_FOLDER = "/_kinetic/fuse-data"
"""Where FUSE arguments are mounted, one numbered folder each."""

CACHE = "default/data-cache"
"""Below a store's root: uploaded data, by content (contract 11.3)."""
EMPTY_FOLDER = hashlib.sha256(b"dir:").hexdigest()
"""Content hash of a folder without files (contract 11.2)."""
_UPLOADED = re.compile(rf".*/{CACHE}/([0-9a-f]{{64}})")

HUB_OPTIONS = ("split", "config_name", "revision")


@dataclass(frozen=True)
class DataReference:
    """Stands in the payload for a ``Data``; the job puts a path in its place."""

    uri: str
    """Objects below ``{uri}/``, one ``gs://`` object, or an ``hf://`` dataset."""
    is_dir: bool
    mount_path: str | None = None
    """Where a volume or a FUSE argument appears; None: the job downloads it to a folder of its choice."""
    fuse: bool = False
    hf_trust_remote_code: bool = False

    @property
    def content_hash(self) -> str:
        """Of data that was uploaded; empty for what the user named in a store."""
        found = _UPLOADED.fullmatch(self.uri)
        return found[1] if found else ""

    def to_wire(self) -> dict[str, Any]:
        return {
            MARK: True,
            "uri": self.uri,
            "is_dir": self.is_dir,
            "mount_path": self.mount_path,
            "fuse": self.fuse,
            "hf_trust_remote_code": self.hf_trust_remote_code,
        }

    @staticmethod
    def is_wire(value: object) -> bool:
        return isinstance(value, dict) and value.get(MARK) is True

    @classmethod
    def from_wire(cls, value: dict[str, Any]) -> DataReference:
        """:raises KeyError: ``uri`` is missing, without which there is nothing to refer to."""
        return cls(
            uri=value["uri"],
            is_dir=bool(value.get("is_dir", True)),
            mount_path=value.get("mount_path"),
            fuse=bool(value.get("fuse", False)),
            hf_trust_remote_code=bool(value.get("hf_trust_remote_code", False)),
        )

    def fuse_mount(self, file_name: str = "") -> dict[str, Any]:
        """What the pod mounts (contract 6.3, last paragraph).

        :param file_name: base name of a single file that was uploaded: its reference names the folder made for it.
        :raises ValueError: this reference is not for a FUSE mount.
        """
        if not self.fuse or self.mount_path is None:
            raise ValueError(f"{self.uri} is not mounted by FUSE")
        return {
            "gcs_uri": f"{self.uri}/{file_name}" if file_name else self.uri,
            "mount_path": self.mount_path,
            "is_dir": self.is_dir,
            "read_only": True,
        }


@dataclass(frozen=True)
class HubDataset:
    """A dataset of the Hugging Face hub: ``hf://repo?split=&config_name=&revision=`` (contract 11.1)."""

    repo: str
    split: str | None = None
    config_name: str | None = None
    revision: str | None = None

    @classmethod
    def parse(cls, uri: str, *, lenient: bool = False) -> HubDataset:
        """``lenient`` leaves out what is not in :data:`HUB_OPTIONS`, as upstream does.

        :raises ValueError: no repository, or an unknown option; the text says which.
        """
        parts = urlsplit(uri)
        repo = (parts.netloc + parts.path).strip("/")
        options = parse_qs(parts.query)
        unknown = sorted(set(options) - set(HUB_OPTIONS))
        if parts.scheme != "hf" or not repo:
            raise ValueError(f"{uri!r} names no dataset")
        if unknown and not lenient:
            raise ValueError(f"{uri!r} has the unknown option {unknown[0]!r}")
        return cls(repo, **{name: options[name][0] for name in HUB_OPTIONS if name in options})
