"""Where the gallery is."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from models.contracts.gallery import ALIAS
from models.settings import SettingsGroup, without_password


class GallerySettings(SettingsGroup):
    """Where the gallery is: a Qdrant server if `url` is set, else an embedded folder."""

    path: Path = Field(
        Path("data/qdrant"),
        description="folder of the embedded gallery, which one process may write while others "
        "read; not used if `URL` is set",
    )
    url: str | None = Field(None, description="a Qdrant server, like `http://qdrant:6333`")
    grpc_port: int = Field(6334, ge=1, le=65535, description="the server's port for gRPC")
    api_key: SecretStr | None = Field(None, description="the server's key")
    timeout_s: int = Field(
        10,
        ge=1,
        le=3600,
        description="longest wait for one answer of the server; a read is repeated within it, "
        "after 1 s, 2 s more, …",
    )
    alias: str = Field(
        ALIAS,
        pattern=r"^[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*$",  # `__` ends it in the names of collections
        max_length=64,
        description="the gallery's name in Qdrant: letters, digits, `-`, single `_`, at most 64; "
        "two galleries on one server need two",
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
                raise ValueError("this is no address of a Qdrant server, like `http://qdrant:6333`")
        return url

    @property
    def printed_url(self) -> str:
        """The server's address as it may be printed."""
        return without_password(self.url or "")


class GalleryWriterSettings(GallerySettings):
    """Where the gallery is, and how a server spreads it over its nodes."""

    timeout_s: int = Field(
        60, ge=1, le=3600, description="longest wait for one answer of the server"
    )
    shard_number: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="shards of the gallery; unset: the server's number, one per node",
    )
    replication_factor: int | None = Field(
        None,
        ge=1,
        le=64,
        description="nodes that hold each shard; with 2, one may fail and searches go on; "
        "unset: the server's number",
    )
    write_consistency_factor: int | None = Field(
        None,
        ge=1,
        le=64,
        description="replicas that must have stored a batch before the build goes on; "
        "unset: the server's number",
    )
    swap_grace_s: float = Field(
        5,
        ge=0,
        le=3600,
        description="how long the replaced generation is kept for searches that read it",
    )

    @model_validator(mode="after")
    def _replicas_can_answer(self) -> "GalleryWriterSettings":
        needed, there = self.write_consistency_factor, self.replication_factor
        if needed is not None and there is not None and needed > there:
            raise ValueError(
                f"write_consistency_factor is {needed}, more than there are replicas; at most "
                f"{there}, the replication_factor"
            )
        return self
