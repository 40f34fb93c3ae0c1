"""What a store keeps of personal data: kinds of text to redact, and pseudonyms of users.

The choice is a file in the store's folder, `redaction.json`, which only its owner can read, and a
mark among the store's settings: either alone is enough to notice that the other is gone, so that
redaction cannot lapse unnoticed. `data.ingest.redaction` does the work.

A pseudonym is a keyed hash of a user id (HMAC-SHA256, RFC 2104). The key is not in the store; of
it, the file has a fingerprint, by which another key is refused, and where it lies, if in a file.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.errors import PrivacyError, UsageError
from data.store.durability import replacing, sync
from data.store.rerun import rerun
from data.store.workspace import put_setting, setting

if TYPE_CHECKING:
    from data.store.store import Store

# What can be redacted, and what then stands in its place: one token each, and a word to
# `labels.rules.normalise`, which takes <…> for noise.
PLACEHOLDERS = {
    "email": "[EMAIL]",
    "phone": "[PHONE]",
    "card": "[CARD]",
    "iban": "[IBAN]",
    "street": "[HOUSENUMBER]",
    "name": "[NAME]",
}
KINDS = tuple(PLACEHOLDERS)
KEY, KEY_FILE = "FAULTLINE_USER_KEY", "FAULTLINE_USER_KEY_FILE"
NAME = "redaction.json"
# The setting that says that there is such a file; deletion leaves it alone.
MARK = "redaction"
# With fewer bytes, the fingerprint would let somebody guess the key.
_SHORTEST_KEY = 16
_LARGEST_FILE = 16 << 20
_HASH = re.compile("[0-9a-f]{32}")
_FINGERPRINT = b"faultline: fingerprint of the key of users"


@dataclass(frozen=True)
class Choice:
    """What is stored.

    Attributes
    ----------
    kinds: of `KINDS`. names: to redact, as they were given. region: ISO 3166 code of the country
    whose phone numbers are meant where a turn's locale does not say. fingerprint: of the key of
    users; None: their ids stay. key_file: where the key was found, if in a file.
    """

    kinds: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    region: str | None = None
    fingerprint: str | None = None
    key_file: str | None = None


@dataclass(frozen=True)
class Privacy:
    """A choice that can be carried out: with the key, if ids of users become pseudonyms."""

    choice: Choice
    key: bytes | None = field(default=None, repr=False)

    @property
    def prefix(self) -> str:
        """What the pseudonyms made with this key begin with."""
        return f"u-{self.choice.fingerprint}-"

    def is_pseudonym(self, user_id: str) -> bool:
        """Whether an id is one that this key's pseudonyms look like."""
        hexadecimal = user_id.removeprefix(self.prefix)
        return user_id.startswith(self.prefix) and bool(_HASH.fullmatch(hexadecimal))

    def pseudonym(self, user_id: str) -> str:
        """What stands for a user, always the same; an empty id and a pseudonym stay as they are."""
        if self.key is None or not user_id or self.is_pseudonym(user_id):
            return user_id
        digest = hmac.new(self.key, user_id.encode("utf-8", "surrogatepass"), sha256)
        return self.prefix + digest.hexdigest()[:32]


def fingerprint(key: bytes) -> str:
    """Eight hex digits that tell one key from another."""
    return hmac.new(key, _FINGERPRINT, sha256).hexdigest()[:8]


# -- the file --------------------------------------------------------------------------------------


def chosen(store: Store) -> Choice | None:
    """What was chosen for a store; None if nothing was.

    Raises `PrivacyError` if the file is damaged, or gone although the store's settings have it.
    """
    path = store.path / NAME
    try:
        document = json.loads(path.read_bytes())
        values, checksum = document["choice"], document["checksum"]
        if checksum != _checksum(values):
            raise ValueError
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return Choice(**values)
    except FileNotFoundError:
        with store.snapshot(only=("settings",)) as snapshot:
            if setting(snapshot, MARK, None) is None:
                return None
        what = "is gone"
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        what = "is damaged"
    raise PrivacyError(
        f"This store redacts personal data, but {path}, which says what, {what}; nothing was read. "
        "Restore it from a backup, or say anew what to redact with: faultline redact."
    )


def key_mark(store: Store) -> str | None:
    """The fingerprint of the key of users that the store's settings know, without the file."""
    with store.snapshot(only=("settings",)) as snapshot:
        mark = setting(snapshot, MARK, None)
    found = mark.get("fingerprint") if isinstance(mark, dict) else None
    return str(found) if found else None


@rerun
def choose(store: Store, choice: Choice | None) -> None:
    """Store a choice; None switches redaction off. What is stored already stays as it is."""
    path = store.path / NAME
    if choice is None:
        # In the order in which a kill in between leaves redaction on.
        with store.commit() as cycle:
            mark = {"mark": pa.table({"name": [MARK]})}
            cycle.delete_rows("settings", "name IN (SELECT name FROM mark)", mark)
        with store.writing_files():
            path.unlink(missing_ok=True)
            sync([path.parent])
        return
    values = asdict(choice)
    document = {"choice": values, "checksum": _checksum(values)}
    with replacing(path) as draft:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=True, indent=1)
    put_setting(store, MARK, {"fingerprint": choice.fingerprint})


def _checksum(values: Any) -> str:
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


# -- what people give ------------------------------------------------------------------------------


def kinds_of(text: str) -> tuple[str, ...]:
    """The kinds in a list such as "email,phone"; raises `UsageError` for another word."""
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    if unknown := [word for word in words if word not in KINDS]:
        raise UsageError(
            f"'{unknown[0][:80]}' is nothing that can be redacted; give some of {', '.join(KINDS)}."
        )
    return tuple(kind for kind in KINDS if kind in words)


def names_in(path: Path) -> tuple[str, ...]:
    """The names in a text file, one a line; empty lines and those that begin with # are none.

    Raises `UsageError` for a file that cannot be read, is no UTF-8 text, or has no name, and for a
    name of one character.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError(f"{path} is larger than 16 MiB; give a text file, one name a line.")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); give a text file, one name a line."
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text; give a text file, one name a line.") from error
    names = [" ".join(unicodedata.normalize("NFC", line).split()) for line in lines]
    names = [name for name in names if name and not name.startswith("#")]
    for name in names:
        if sum(letter.isalnum() for letter in name) < 2:
            raise UsageError(
                f"'{name}' in {path} has too few letters for a name; it would be found everywhere."
            )
    if not names:
        raise UsageError(f"{path} has no names; give a text file, one name a line.")
    return tuple(dict.fromkeys(names))


def key_in(path: Path, store: Path | None = None) -> bytes:
    """The key in a file, without line breaks at its end.

    Raises `PrivacyError` if it cannot be read, others than its owner may read it, it lies in the
    folder `store`, or is too short.
    """
    try:
        resolved = path.expanduser().resolve()
        if store is not None and store.resolve() in resolved.parents:
            raise PrivacyError(
                f"The key {path} lies in the store's own folder, beside what it protects; move it "
                "elsewhere."
            )
        with resolved.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PrivacyError(f"The key {path} is not a regular file; give one.")
            if status.st_mode & 0o077:
                raise PrivacyError(
                    f"The key {path} can be read by others than its owner; allow its owner alone "
                    f"with: chmod 600 {path}"
                )
            key = file.read(_LARGEST_FILE).rstrip(b"\r\n")
    except OSError as error:
        raise PrivacyError(
            f"The key of users cannot be read from {path} ({error.strerror}); give a file that "
            f"its owner alone can read, or the key itself in {KEY}."
        ) from error
    return _long_enough(key, str(path))


def _long_enough(key: bytes, place: str) -> bytes:
    if len(key) < _SHORTEST_KEY:
        raise PrivacyError(
            f"The key of users in {place} has {len(key)} bytes; give at least {_SHORTEST_KEY} "
            "random ones, for example of: openssl rand -hex 32"
        )
    return key


def given_key(store: Path | None = None, path: str | None = None) -> tuple[bytes, str] | None:
    """The key of users and where it was found: in the environment, or in the file `path`."""
    if text := os.environ.get(KEY, ""):
        return _long_enough(os.fsencode(text).rstrip(b"\r\n"), KEY), ""
    place = os.environ.get(KEY_FILE) or path
    return (key_in(Path(place), store), place) if place else None


# -- what ingestion and deletion ask ---------------------------------------------------------------


def privacy_of(store: Store) -> Privacy | None:
    """What ingestion into a store has to do; None if nothing.

    Raises `PrivacyError` if that cannot be known, or the key that it takes is missing or another.
    """
    choice = chosen(store)
    if choice is None:
        return None
    if choice.fingerprint is None:
        return Privacy(choice)
    given = given_key(store.path, choice.key_file)
    if given is None:
        raise PrivacyError(
            f"The users of {store.path} are stored under pseudonyms, and the key for them is "
            f"missing; nothing was read. Put it into {KEY}, or the path of its file into "
            f"{KEY_FILE}."
        )
    key, place = given
    if fingerprint(key) != choice.fingerprint:
        raise PrivacyError(
            f"The key of users in {place or KEY} is not that of {store.path} (fingerprint "
            f"{fingerprint(key)}, expected {choice.fingerprint}); nothing was read. Give the one "
            "that its pseudonyms were made with."
        )
    return Privacy(choice, key)


def stored_user(store: Store, user_id: str) -> str:
    """The id under which a store knows a user: their own, or the pseudonym that stands for it.

    A pseudonym of this store needs no key. Raises `PrivacyError` as `privacy_of`.
    """
    return with_pseudonyms(store, [user_id])[-1]


def with_pseudonyms(store: Store, user_ids: Sequence[str]) -> tuple[str, ...]:
    """User ids and, where the store has pseudonyms, those that stand for them.

    A pseudonym of this store needs no key. Raises `PrivacyError` as `privacy_of`.
    """
    choice = chosen(store)
    if choice is None or choice.fingerprint is None:
        return tuple(user_ids)
    if all(map(Privacy(choice).is_pseudonym, user_ids)):
        return tuple(user_ids)
    privacy = privacy_of(store)
    assert privacy is not None
    return tuple(dict.fromkeys([*user_ids, *map(privacy.pseudonym, user_ids)]))
