"""The demo in a browser of this machine: for showing it to others, never for real use.

Only simulated people, only the loopback interface, and only pages that we gave out ourselves:
another page in the same browser could otherwise type into it.
"""

import shlex
import sys
from collections.abc import Awaitable, Callable

from meshchat.errors import TransportError, UsageError
from meshchat.i18n import _

HOST = "127.0.0.1"


def serve_demo(port: int, speed: float, seed: int) -> int:
    """Serve the demo until Ctrl+C; each visitor has a town of their own.

    Args:
        port: TCP port on the loopback interface.
        speed: As of ``run_demo``.
        seed: As of ``run_demo``.

    Raises:
        UsageError: The extra is not installed, or the port is impossible.
        TransportError: The port is in use.
    """
    if not 1 <= port <= 65_535:
        raise UsageError("bad_port", _("A port is a number from 1 to 65535."))
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ModuleNotFoundError as error:
        text = _("This needs {name}; install it with: pip install 'meshchat[browser]'")
        raise UsageError("extra_missing", text.format(name=error.name)) from None

    ours = {f"{HOST}:{port}", f"localhost:{port}"}
    inline = "'self' 'unsafe-inline' data:"  # the page has its script and style inside
    policy = f"default-src {inline}; connect-src 'self' ws://{HOST}:{port}"  # no foreign fonts

    @web.middleware
    async def own_pages_only(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        if request.host not in ours or (origin and origin.rpartition("//")[2] not in ours):
            raise web.HTTPForbidden(text="Only this page may talk to this demo.")
        return await handler(request)

    async def add_policy(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Content-Security-Policy"] = policy

    class Guarded(Server):
        async def _make_app(self) -> web.Application:
            app = await super()._make_app()
            app.middlewares.append(own_pages_only)
            app.on_response_prepare.append(add_policy)
            return app

        async def on_startup(self, app: web.Application) -> None:  # noqa: ARG002
            """Say where it is, and nothing else."""
            where = _("The demo is at {address}; Ctrl+C ends it.")
            sys.stdout.write(where.format(address=self.public_url) + "\n")
            sys.stdout.flush()

    words = [sys.executable, "-m", "meshchat", "demo", "--speed", f"{speed:g}", "--seed", str(seed)]
    try:
        Guarded(shlex.join(words), host=HOST, port=port, title="meshchat demo").serve()
    except OSError as error:
        text = _("Port {port} cannot be used: {why}.")
        raise TransportError("port", text.format(port=port, why=error.strerror)) from None
    return 0
