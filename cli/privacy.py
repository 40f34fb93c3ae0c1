"""Commands about personal data: what is redacted as logs are ingested, and what was deleted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import DEFAULT_STORE, JsonOption, StoreOption, path_option
from cli.output import err, out, plain, print_json
from data.counted import counted, number
from data.errors import PrivacyError, StoreMissing, UsageError

if TYPE_CHECKING:
    from data.store.privacy import Choice
    from data.store.store import Store


def redact(
    store: StoreOption = DEFAULT_STORE,
    kinds: Annotated[
        str | None,
        typer.Option(help="What to redact, as a list: email, phone, card, iban, street, name."),
    ] = None,
    names: Annotated[
        Path | None,
        path_option("Text file of names to redact, one a line; it is copied into the store."),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            help="Country (as US) whose phone numbers are meant in turns without a locale."
        ),
    ] = None,
    pseudonyms: Annotated[
        bool,
        typer.Option(
            "--pseudonyms",
            help="Store users under pseudonyms, keyed hashes of their ids; the key is in "
            "FAULTLINE_USER_KEY, or in the file that FAULTLINE_USER_KEY_FILE names.",
        ),
    ] = False,
    user_key_file: Annotated[
        Path | None,
        path_option("The same, with the key in this file (chmod 600), outside the store."),
    ] = None,
    pseudonym: Annotated[
        str | None, typer.Option(help="Print the pseudonym of this user, and do nothing else.")
    ] = None,
    off: Annotated[
        bool, typer.Option("--off", help="Redact nothing from now on, and store ids as they come.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what ingest and collect redact in this store from now on; without options, show it.

    Turns that are stored already stay as they are; ingest their logs again to replace them.
    """
    from data.store.privacy import choose, chosen, privacy_of
    from data.store.store import Store

    changes = bool(kinds is not None or names or region or pseudonyms or user_key_file)
    if sum((changes, pseudonym is not None, off)) > 1:
        raise UsageError(
            "--off and --pseudonym go with no other option but --store; leave one of them out."
        )
    if not changes:
        target = Store.whole(store)
        if pseudonym is not None:
            privacy = privacy_of(target)
            if privacy is None or privacy.key is None:
                raise UsageError(f"The users of {target.address} are stored under their own ids.")
            if as_json:
                print_json({"pseudonym": privacy.pseudonym(pseudonym)})
            else:
                out.print(plain(privacy.pseudonym(pseudonym)))
            return
        if off:
            choose(target, None)
        _show(None if off else chosen(target), as_json)
        return
    # Everything is read before a store is created.
    there = _present(store)
    choice = _chosen(there, store, kinds, names, region, pseudonyms, user_key_file)
    target = there or Store.ensure(store)
    target.must_be_whole()
    choose(target, choice)
    _show(choice, as_json)
    turns = target.head().contents["turns"].rows
    if turns and not as_json:
        it = "it" if turns == 1 else "them"
        out.print(
            f"{counted(turns, 'turn')} stored before {'stays' if turns == 1 else 'stay'} as "
            f"{'it is' if turns == 1 else 'they are'}; ingesting the logs again replaces {it}."
        )


def _chosen(
    target: Store | None,
    store: str,
    kinds: str | None,
    names: Path | None,
    region: str | None,
    pseudonyms: bool,
    user_key_file: Path | None,
) -> Choice:
    """The choice after the options; what they do not name stays."""
    from data.ingest.redaction import is_region
    from data.store.privacy import (
        KEY,
        KEY_FILE,
        Choice,
        chosen,
        fingerprint,
        given_key,
        key_in,
        key_mark,
        kinds_of,
        names_in,
    )

    try:
        before = (chosen(target) if target else None) or Choice()
    except PrivacyError:
        # Saying all of it anew is what the error asks for.
        if kinds is None or target is None:
            raise
        before = Choice(fingerprint=key_mark(target))
        if before.fingerprint and not (pseudonyms or user_key_file):
            raise UsageError(
                "The users of this store have pseudonyms, and the file that says so is gone; give "
                "their key, too, with --pseudonyms or --user-key-file."
            ) from None
    choice = before
    if kinds is not None:
        choice = replace(choice, kinds=kinds_of(kinds))
    if names is not None:
        choice = replace(choice, names=names_in(names))
    if "name" in choice.kinds and not choice.names:
        raise UsageError("Names are found by a list alone; give it with --names FILE.")
    if names is not None and "name" not in choice.kinds:
        raise UsageError("--names goes with the kind name; add it to --kinds.")
    if region is not None:
        if not is_region(region.upper()):
            raise UsageError(
                f"'{region[:20]}' is no country; give a code of two letters, such as US or DE."
            )
        choice = replace(choice, region=region.upper())
    if pseudonyms or user_key_file:
        root = Path(store).expanduser()
        if user_key_file:
            place = str(user_key_file.expanduser().resolve())
            key = key_in(user_key_file, root)
        else:
            given = given_key(root)
            if given is None:
                raise UsageError(
                    f"There is no key for pseudonyms; put it into {KEY}, or the path of its file "
                    f"into {KEY_FILE} or --user-key-file. One is made by: openssl rand -hex 32"
                )
            key, place = given
            # Later commands may run elsewhere.
            place = place and str(Path(place).expanduser().resolve())
        mark = fingerprint(key)
        if before.fingerprint not in (None, mark):
            raise PrivacyError(
                f"The users of {store} have pseudonyms of another key (fingerprint "
                f"{before.fingerprint}, not {mark}); a new one would make each of them two. Give "
                "that key, or begin anew with: faultline redact --off"
            )
        choice = replace(choice, fingerprint=mark, key_file=place or None)
    if not choice.kinds and choice.fingerprint is None:
        raise UsageError("Nothing is left to redact; give --kinds, or --off to redact nothing.")
    return choice


def _present(store: str) -> Store | None:
    """The store, if there is one, or something that is none, which cannot be opened."""
    from data.store.remote.address import address_of
    from data.store.store import Store

    if address_of(store):
        with suppress(StoreMissing):
            return Store.open(store)
        return None
    return Store.ensure(store) if Path(store).exists() else None


def _show(choice: Choice | None, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "kinds": list(choice.kinds) if choice else [],
                "names": len(choice.names) if choice else 0,
                "region": choice.region if choice else None,
                "key_fingerprint": choice.fingerprint if choice else None,
                "key_file": choice.key_file if choice else None,
            }
        )
        return
    if choice is None:
        out.print("Nothing is redacted, and users are stored under their own ids.")
        return
    if choice.kinds:
        names = f" ({counted(len(choice.names), 'name')})" if "name" in choice.kinds else ""
        where = f"; phone numbers of {choice.region} where no locale is" if choice.region else ""
        out.print(f"Redacted as logs are ingested: {', '.join(choice.kinds)}{names}{where}.")
    if choice.fingerprint:
        place = f", in {plain(choice.key_file)}" if choice.key_file else ""
        out.print(
            f"Users are stored under pseudonyms (key with fingerprint {choice.fingerprint}{place}; "
            "without the key, nobody can be found under their own id again)."
        )


def deletions(
    store: StoreOption = DEFAULT_STORE,
    user: Annotated[
        list[str] | None, typer.Option(help="Only those that were asked for this user. Repeatable.")
    ] = None,
    dialogue: Annotated[
        list[str] | None, typer.Option(help="Only those of this dialogue. Repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was deleted, from which tables and when, and whether a vacuum has removed it."""
    from data.store.deletions import concerns
    from data.store.deletions import deletions as read
    from data.store.privacy import with_pseudonyms
    from data.store.store import Store

    target = Store.open(store)
    records = read(target)
    with suppress(PrivacyError):
        # Without the key, those alone that were asked for by the ids that are given.
        user = list(with_pseudonyms(target, user or ()))
    rows = [
        row
        for row in records.rows
        if not (user or dialogue)
        or concerns(row, "user_id", user or ())
        or concerns(row, "dialogue_id", dialogue or ())
    ]
    if as_json:
        print_json({"deletions": rows, "vacuums": records.vacuums, "problem": records.problem})
    else:
        _print_deletions(rows, store, asked=bool(user or dialogue))
    if records.problem:
        err.print(
            f"[red]The log of deletions is not as it was written: {records.problem}. It was "
            "damaged or changed by hand; compare it with a backup.[/red]"
        )
        raise typer.Exit(1)


def _print_deletions(rows: Sequence[dict[str, Any]], store: str, asked: bool) -> None:
    for row in rows:
        what = {"retain": _aged(row), "delete": _asked(row)}
        out.print(f"{row['at'][:19].replace('T', ' ')} UTC: {what.get(row['what'], row['what'])}")
        tables = [f"{name} {number(count)}" for name, count in row["rows"].items()]
        out.print(plain(f"  rows removed: {', '.join(tables) or 'none'}"))
        if row["also"]:
            also = ", ".join(f"{name} {number(count)}" for name, count in row["also"].items())
            out.print(plain(f"  among them and elsewhere: {also}"))
        for name, left in row["left"].items():
            out.print(plain(f"  left ({name}): {', '.join(left)}"))
        gone = row["files_gone"]
        if row["undone"]:
            when = row["undone"][:19].replace("T", " ")
            again = row["repeated"] and f"repeated {row['repeated'][:19].replace('T', ' ')} UTC"
            command = "delete --undone" if row["what"] == "delete" else "retain"
            todo = f"repeat it with: faultline {command} --store {shlex.quote(store)}"
            out.print(plain(f"  undone by the repair of {when} UTC; {again or todo}"))
            continue
        out.print(
            f"  files with them removed: {gone[:19].replace('T', ' ')} UTC"
            if gone
            else "  files with them are still there; remove them with: faultline vacuum "
            f"--keep-hours 0 --store {plain(shlex.quote(store))}"
        )
    if not rows:
        out.print(f"No deletion is recorded{' of them' if asked else ''}.")


def _aged(row: Mapping[str, Any]) -> str:
    """What a retention was about: everything, or tables with days of their own."""
    if "days" in row:
        return f"all older than {row['days']} days"
    of = "days of "
    tables = [f"{k.removeprefix(of)} {v}" for k, v in row.items() if k.startswith(of)]
    return f"what is older than its table is kept, in days: {', '.join(tables)}"


def _asked(row: dict[str, Any]) -> str:
    from data.store.deletions import PSEUDONYM

    asked = [one for one in row["asked"] if one["kind"] != PSEUDONYM]
    kinds = [str(one["kind"]).removesuffix("_id") for one in asked]
    parts = [counted(kinds.count(kind), kind) for kind in dict.fromkeys(kinds)]
    digests = ", ".join(str(one["digest"])[:12] for one in asked[:3])
    return f"{', '.join(parts)} (digest {digests})" if parts else "nobody"
