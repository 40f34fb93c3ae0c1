"""Sign-in with an OpenID Connect provider, by Streamlit's own `st.login`.

The file given to `faultline dashboard --sign-in` is TOML:

    [auth]                      # as Streamlit documents it
    redirect_uri = "https://faultline.example.org/oauth2callback"
    cookie_secret = "…"         # at least 32 random characters
    client_id = "…"
    client_secret = "…"
    server_metadata_url = "https://login.example.org/.well-known/openid-configuration"

    [faultline]
    allow = ["ada@example.org", "*@voice.example.org"]   # without it, whoever can sign in there
    role = "viewer"             # of those who have none in the store; without it they stay outside
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from data.errors import NotInstalled, UsageError
from data.schema.access import Role, role_named
from data.store.people import address_of

FILE = "FAULTLINE_SIGN_IN"
_REQUIRED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
_SECRET_LENGTH = 32


@dataclass(frozen=True)
class SignIn:
    """Checked settings. `host`: the name in the provider's way back, which browsers use."""

    host: str
    # Patterns of e-mail addresses, lower case; None: anyone who can sign in.
    allow: tuple[str, ...] | None
    # Of those whom the store gives none.
    role: Role | None = None

    @classmethod
    def read(cls, path: Path) -> SignIn:
        """Read and check a file; raises `UsageError`, and `NotInstalled` without Authlib."""
        try:
            mode = path.stat().st_mode
            if mode & 0o077:
                raise UsageError(
                    f"Others on this machine can read the sign-in file {path}, and its secrets; "
                    f"take that from them with: chmod 600 {shlex.quote(str(path))}"
                )
            content = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise UsageError(
                f"The sign-in file {path} cannot be read: {error.strerror}."
            ) from error
        except UnicodeDecodeError as error:
            raise UsageError(
                f"The sign-in file {path} is not UTF-8 text (byte {error.start}); save it as UTF-8."
            ) from error
        except tomllib.TOMLDecodeError as error:
            place = re.search(r"line \d+, column \d+", str(error))
            where = f", from {place[0]} on" if place else ""
            raise UsageError(
                f"The sign-in file {path} is not TOML{where}; see docs/security.md for one."
            ) from error
        auth = content.get("auth")
        auth = auth if isinstance(auth, Mapping) else {}
        missing = [key for key in _REQUIRED if not _is_text(auth.get(key))]
        if missing:
            raise UsageError(
                f"The sign-in file {path} needs {', '.join(missing)} under [auth], as texts."
            )
        if len(auth["cookie_secret"]) < _SECRET_LENGTH:
            raise UsageError(
                f"cookie_secret in {path} has {len(auth['cookie_secret'])} characters; whoever "
                f"guesses it is anyone. Give {_SECRET_LENGTH} random ones or more."
            )
        try:
            back = urlsplit(auth["redirect_uri"])
        except ValueError:
            back = urlsplit("")
        if not back.hostname or back.path.rstrip("/").rpartition("/")[2] != "oauth2callback":
            raise UsageError(
                f"redirect_uri in {path} is {auth['redirect_uri']!r}; expected the dashboard's "
                "address followed by /oauth2callback."
            )
        if find_spec("authlib") is None or find_spec("httpx") is None:
            raise NotInstalled(
                "Sign-in needs Authlib and httpx; install them with: "
                "pip install 'faultline-voice[sign-in]'"
            )
        section = content.get("faultline")
        return cls(back.hostname, _allowed(section, path), _default_role(section, path))

    def admits(self, address: str) -> bool:
        """Whether `allow` lets in somebody with this address, as of `address_in`."""
        return self.allow is None or any(fnmatchcase(address, one) for one in self.allow)


def address_in(claims: Mapping[str, Any]) -> str | None:
    """The address that the provider vouches for, as it is compared; None without one."""
    # Some providers write it as text. Some say nothing, and vouch for addresses of their own.
    verified = str(claims.get("email_verified", True)).lower()
    return address_of(claims.get("email")) if verified == "true" else None


def _default_role(section: Any, path: Path) -> Role | None:
    role = section.get("role") if isinstance(section, Mapping) else None
    if role is None:
        return None
    try:
        return role_named(str(role))
    except UsageError as error:
        raise UsageError(f"role under [faultline] in {path}: {error}") from error


def _allowed(section: Any, path: Path) -> tuple[str, ...] | None:
    only_role = isinstance(section, Mapping) and "role" in section and "allow" not in section
    if section is None or only_role:
        return None
    allow = section.get("allow") if isinstance(section, Mapping) else None
    if not isinstance(allow, list) or not allow or not all(_is_text(entry) for entry in allow):
        raise UsageError(
            f"Under [faultline], the sign-in file {path} needs allow, a list of e-mail addresses "
            "such as 'ada@example.org' or '*@example.org'."
        )
    if any(not entry.strip().strip("*@.?") for entry in allow):
        raise UsageError(
            f"allow in {path} lets everyone in who can sign in; if that is meant, leave out "
            "[faultline] instead."
        )
    return tuple(entry.lower() for entry in allow)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


@lru_cache(maxsize=1)
def _settings(path: str) -> SignIn:
    return SignIn.read(Path(path))


def settings() -> SignIn | None:
    """The settings of this server; None where no sign-in was asked for."""
    path = os.environ.get(FILE)
    return _settings(path) if path else None


def page(refusal: str | None, leave: Callable[[], None]) -> None:
    """What a visitor sees who is not let in: the way in, or why not; `leave` signs them out."""
    st.header("Faultline", anchor=False)
    if not st.user.get("is_logged_in"):
        st.text("Sign in to see the dashboard.")
        st.button("Sign in", on_click=st.login, type="primary", icon=":material/login:")
        return
    st.text(
        f"You are signed in as {st.user.get('email') or 'someone without an e-mail address'}, who "
        f"may not see this dashboard{f' ({refusal})' if refusal else ''}; ask whoever runs it, or "
        "sign in as someone else."
    )
    st.button("Sign out", on_click=leave, icon=":material/logout:")
