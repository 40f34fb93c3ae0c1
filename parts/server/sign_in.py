"""Sign-in with an OpenID Connect provider, by Streamlit's own `st.login`.

The file given to `faultline dashboard --sign-in` is TOML:

    [auth]                      # as Streamlit documents it
    redirect_uri = "https://faultline.example.org/oauth2callback"
    cookie_secret = "…"         # at least 32 random characters
    client_id = "…"
    client_secret = "…"
    server_metadata_url = "https://login.example.org/.well-known/openid-configuration"

    [faultline]                 # without it, whoever can sign in there is let in
    allow = ["ada@example.org", "*@voice.example.org"]
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from data.errors import NotInstalled, UsageError

FILE = "FAULTLINE_SIGN_IN"
_REQUIRED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
_SECRET_LENGTH = 32


@dataclass(frozen=True)
class SignIn:
    """Checked settings. `host`: the name in the provider's way back, which browsers use."""

    host: str
    # Patterns of e-mail addresses, lower case; None: anyone who can sign in.
    allow: tuple[str, ...] | None

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
        return cls(back.hostname, _allowed(content.get("faultline"), path))

    def admits(self, user: Mapping[str, Any]) -> bool:
        """Whether someone with these claims, who has signed in, may see the dashboard."""
        if self.allow is None:
            return True
        address = user.get("email")
        # Some providers write it as text. Some say nothing, and vouch for addresses of their own.
        verified = str(user.get("email_verified", True)).lower()
        if not _is_text(address) or verified != "true":
            return False
        return any(fnmatchcase(str(address).lower(), pattern) for pattern in self.allow)


def _allowed(section: Any, path: Path) -> tuple[str, ...] | None:
    if section is None:
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


def admitted() -> bool:
    """Whether this visitor may see the dashboard; true where no sign-in was asked for."""
    path = os.environ.get(FILE)
    if not path:
        return True
    return bool(st.user.get("is_logged_in")) and _settings(path).admits(st.user.to_dict())


def page() -> None:
    """What a visitor sees who is not admitted: the way in, or whom they are signed in as."""
    st.header("Faultline", anchor=False)
    if not st.user.get("is_logged_in"):
        st.text("Sign in to see the dashboard.")
        st.button("Sign in", on_click=st.login, type="primary", icon=":material/login:")
        return
    st.text(
        f"You are signed in as {st.user.get('email') or 'someone without an e-mail address'}, who "
        "may not see this dashboard; ask whoever runs it, or sign in as someone else."
    )
    st.button("Sign out", on_click=st.logout, icon=":material/logout:")
