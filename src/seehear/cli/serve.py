"""`seehear serve`: the web page and the HTTP API; other machines need a token."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from seehear.cli.output import LibraryOption, name_engine, note, say
from seehear.errors import UsageError

if TYPE_CHECKING:
    from seehear.library import Library

STOP_S = 4  # for requests in progress when the service ends
HostOption = Annotated[str, typer.Option(help="Address to listen on.")]
PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]
NameOption = Annotated[list[str] | None, typer.Option(help="A further host name of this machine.")]
RayOption = Annotated[
    str | None, typer.Option(help="Search in shards on the Ray cluster at this address.")
]
ShardsOption = Annotated[
    int, typer.Option(min=0, help="Number of shards; default: one per machine.")
]
NewTokenOption = Annotated[
    bool, typer.Option("--new-token", help="Create the token for other machines and exit.")
]


def serve(
    library: LibraryOption,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8420,
    name: NameOption = None,
    ray: RayOption = None,
    shards: ShardsOption = 0,
    new_token: NewTokenOption = False,
) -> None:
    """Serve the web page and the HTTP API."""
    from seehear.encoders.weights import cache_folder

    try:
        import uvicorn

        from seehear.server import Settings, create_app
        from seehear.server.settings import is_loopback, make_token, token_file
    except ImportError as error:
        raise UsageError(
            f"serving needs an extra: pip install 'seehear[serve]' ({error})"
        ) from error
    if new_token:
        say(make_token(cache_folder()))
        note("keep it: only its hash is stored. Programs send 'Authorization: Bearer TOKEN'")
        return
    path = token_file(cache_folder())
    stored = path.read_text(encoding="ascii").strip() if path.exists() else ""
    settings = Settings(
        host=host,
        port=port,
        names=tuple(name or ()),
        token_hash="" if is_loopback(host) and not name else stored,
        cache=cache_folder() / "proxies",
    )
    with _open(library, ray, shards) as opened:
        name_engine(opened.engine.name)
        access = "token required" if settings.token_hash else "this machine only"
        note(f"http://{host}:{port}  ({access}; Ctrl-C stops it)")
        app, quiet = create_app(opened, settings), "warning"
        uvicorn.run(app, host=host, port=port, log_level=quiet, timeout_graceful_shutdown=STOP_S)


def _open(root: str, address: str | None, shards: int) -> AbstractContextManager[Library]:
    if address is None:
        from seehear.library import Library

        if shards:
            raise UsageError("--shards needs --ray ADDRESS: it divides the work of a Ray cluster")
        return Library.open(root)
    from seehear.cluster import sharded

    note(f"starting shards on the Ray cluster at {address}, one core each")
    return sharded(root, of=shards, address=address)
