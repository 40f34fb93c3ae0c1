"""An OpenID Connect provider on 127.0.0.1 that signs one person in without asking."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

from tests.browser import free_port


@contextmanager
def provider(email: str) -> Iterator[str]:
    """Serve it; yields the address of its metadata. The one who signs in has this address."""
    address = f"http://127.0.0.1:{free_port()}"
    key = RSAKey.generate_key(2048, {"kid": "test", "use": "sig", "alg": "RS256"})
    nonces: dict[str, str] = {}

    def metadata(request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "issuer": address,
                "authorization_endpoint": f"{address}/authorize",
                "token_endpoint": f"{address}/token",
                "jwks_uri": f"{address}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    def authorize(request: Request) -> RedirectResponse:
        code = f"code-{len(nonces)}"
        nonces[code] = request.query_params["nonce"]
        back = urlencode({"code": code, "state": request.query_params["state"]})
        return RedirectResponse(f"{request.query_params['redirect_uri']}?{back}")

    async def token(request: Request) -> JSONResponse:
        form = await request.form()
        now = int(time.time())
        claims = {
            "iss": address,
            "sub": "1",
            "aud": "faultline",
            "iat": now,
            "exp": now + 600,
            "nonce": nonces.pop(str(form["code"])),
            "email": email,
            "email_verified": True,
        }
        signed = jwt.encode({"alg": "RS256", "kid": "test"}, claims, key)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": signed})

    def keys(request: Request) -> JSONResponse:
        return JSONResponse({"keys": [key.as_dict(private=False)]})

    application = Starlette(
        routes=[
            Route("/.well-known/openid-configuration", metadata),
            Route("/authorize", authorize),
            Route("/token", token, methods=["POST"]),
            Route("/keys", keys),
        ]
    )
    port = int(address.rpartition(":")[2])
    server = uvicorn.Server(
        uvicorn.Config(application, host="127.0.0.1", port=port, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < until, "the provider did not start"
            time.sleep(0.05)
        yield f"{address}/.well-known/openid-configuration"
    finally:
        server.should_exit = True
        thread.join(20)
