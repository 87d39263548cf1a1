"""Limits of a service, and the token that remote clients need."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from seehear.errors import UsageError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits of one service; bytes, seconds, requests."""

    host: str = "127.0.0.1"
    port: int = 8420
    names: tuple[str, ...] = ()  # further host names of this machine
    token_hash: str = ""  # hex SHA-256; empty: no token, loopback only
    upload_bytes: int = 64 * 1024 * 1024
    decode_s: float = 20.0
    decode_bytes: int = 3 * 1024**3
    export_s: float = 1800.0  # for all clips of an export
    export_bytes: int = 8 * 1024**3
    searches_at_once: int = 2
    searches_waiting: int = 32
    cache: Path | None = None  # for proxies of films a browser cannot play
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def __post_init__(self) -> None:
        """Raises: UsageError for a network address without a token."""
        if not self.token_hash and (self.names or not is_loopback(self.host)):
            name = self.names[0] if self.names else self.host
            raise UsageError(
                f"serving on {name!r} opens the library to other machines and needs a token; "
                "create one with 'seehear serve --new-token'"
            )

    def accepts(self, token: str) -> bool:
        """Compare a token in constant time."""
        return hmac.compare_digest(hash_of(token), self.token_hash)

    def signature(self, path: str, until: int) -> str:
        """Signature of a link that needs no token until the given time."""
        return hmac.new(self.secret, f"{path}|{until}".encode(), hashlib.sha256).hexdigest()[:32]

    def allowed_hosts(self) -> frozenset[str]:
        """Accepted Host headers; others may come from DNS rebinding.

        Further names may come without a port: a proxy in front may use another one.
        """
        own = [name.lower() for name in (*LOOPBACK_NAMES, self.host, *self.names)]
        bare = own if self.port in (80, 443) else [name.lower() for name in self.names]
        return frozenset({*bare, *(f"{name}:{self.port}" for name in own)})


def is_loopback(host: str) -> bool:
    """True if only this machine can reach `host`."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def hash_of(token: str) -> str:
    """The stored form of a token: with 256 random bits a plain hash is safe."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_file(folder: Path) -> Path:
    """The file with the hash of the token."""
    return folder / "serve-token.sha256"


def make_token(folder: Path) -> str:
    """A new token; only its hash is stored, in place of the old one."""
    token = secrets.token_urlsafe(32)
    folder.mkdir(parents=True, exist_ok=True)
    path = token_file(folder)
    path.write_text(hash_of(token), encoding="ascii")
    path.chmod(0o600)
    return token
