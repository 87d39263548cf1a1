"""`seehear serve`: the page and the HTTP service, for this machine unless a token is set."""

from __future__ import annotations

from typing import Annotated

import typer

from seehear.cli.output import LibraryOption, name_engine, note, say
from seehear.errors import UsageError


def serve(
    library: LibraryOption,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8420,
    name: Annotated[
        list[str] | None, typer.Option(help="A further name this machine is called by.")
    ] = None,
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Make the token for other machines, and end.")
    ] = False,
) -> None:
    """Open the page: search, look, listen, export; an HTTP API for programs lies below it."""
    from seehear.encoders.weights import cache_folder
    from seehear.library import Library

    try:
        import uvicorn

        from seehear.server import Settings, create_app
        from seehear.server.settings import is_loopback, make_token, token_file
    except ImportError as error:
        raise UsageError(f"serving needs more: pip install 'seehear[serve]' ({error})") from error
    if new_token:
        say(make_token(cache_folder()))
        note("keep it: only its hash is stored; programs send 'Authorization: Bearer TOKEN'")
        return
    path = token_file(cache_folder())
    held = path.read_text(encoding="ascii").strip() if path.exists() else ""
    settings = Settings(
        host=host,
        port=port,
        names=tuple(name or ()),
        token_hash="" if is_loopback(host) and not name else held,
        cache=cache_folder() / "proxies",
    )
    with Library.open(library) as opened:
        name_engine(opened.engine.name)
        asks = "token needed" if settings.token_hash else "this machine only"
        note(f"http://{host}:{port}  ({asks}; Ctrl-C ends)")
        uvicorn.run(create_app(opened, settings), host=host, port=port, log_level="warning")
