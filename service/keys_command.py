"""The command `python -m service keys`, for operators: it works on the database itself."""

import getpass
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.app import prepare_database
from service.settings import Settings, read_settings
from service.store import Slice, Store, audit, keys
from service.store.audit import Actor
from shrinknets.wire import KEY_VARIABLE, AuditEntry, Key, Role

PART = 1000
WHOLE = ("key", "object")
"""The columns whose cells are typed or copied somewhere else."""

app = typer.Typer(
    name="keys",
    help="Make, list and revoke API keys, on the machine of the service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DataDir = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="As of `shrinknets serve`; else SHRINKNETS_DATA_DIR."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def _words(text: str) -> str:
    if len(text) > 200 or not text.isprintable():
        raise typer.BadParameter("at most 200 printable characters")
    return text


def _owner(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("name the person or the machine that will use the key")
    return _words(text)


@app.command()
def create(
    *,
    role: Annotated[Role, typer.Option(help="What its holder may do.")],
    owner: Annotated[str, typer.Option(callback=_owner, help="The person or machine it is for.")],
    name: Annotated[str, typer.Option(callback=_words, help="To tell keys apart.")] = "",
    expires_in_days: Annotated[
        float | None, typer.Option(min=0.001, max=36_500, help="Default: it does not expire.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it; it is shown this once."""
    with _store(data_dir) as store, store.writing() as tx:
        info, key = keys.create_key(
            tx, role=role, owner=owner, name=name, expires_in_days=expires_in_days
        )
        audit.note(tx, _actor(), "key.create", info.id)
    if as_json:
        _print_json({**info.model_dump(mode="json"), "key": key})
        return
    typer.echo(key)
    typer.echo(
        f"This is the only time that {info.id} ({info.role}, {info.owner}) is shown. Set "
        f"{KEY_VARIABLE} to it, or log in with it.",
        err=True,
    )


@app.command("list")
def list_keys(*, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List all keys, revoked and expired ones too."""
    with _store(data_dir) as store:
        found = list(_all_keys(store))
    if as_json:
        _print_json(found)
        return
    if not found:
        typer.echo("no keys yet: `shrinknets keys create --role admin --owner NAME` makes one")
        return
    _print_table(
        ("key", "begins", "role", "owner", "name", "created", "expires", "revoked", "last used"),
        [
            (
                *(key.id, f"{key.prefix}…", key.role.value, key.owner, key.name),
                *(_day(key.created_at), _day(key.expires_at)),
                *(_day(key.revoked_at), _day(key.last_used_at)),
            )
            for key in found
        ],
    )


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it: key-….")],
    *,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key useless, within seconds and for ever."""
    with _store(data_dir) as store, store.writing() as tx:
        info, is_new = keys.revoke_key(tx, key)
        if is_new:
            audit.note(tx, _actor(), "key.revoke", info.id)
    if as_json:
        _print_json(info)
    else:
        typer.echo(f"{info.id} {'is' if is_new else 'was already'} revoked")


@app.command("audit")
def show_audit(
    *,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 50,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show who did what, newest first."""
    with _store(data_dir) as store, store.reading() as tx:
        entries = audit.list_entries(tx, Slice(limit=limit)).items
    if as_json:
        _print_json(entries)
        return
    _print_table(("at", "who", "key", "action", "object", "outcome"), [_cells(e) for e in entries])


def run(arguments: list[str]) -> None:
    """Run the command. Raises ServiceError; ends the process where it is misused."""
    app(arguments, prog_name="shrinknets keys", standalone_mode=True)


def _cells(entry: AuditEntry) -> tuple[str, ...]:
    return (
        *(_at(entry.at), entry.owner, entry.key_id or ""),
        *(entry.action, entry.object, entry.outcome.value),
    )


def _store(data_dir: Path | None) -> Store:
    settings: Settings = read_settings(**({} if data_dir is None else {"data_dir": data_dir}))
    prepare_database(settings)
    return Store(settings.database_url)


def _all_keys(store: Store) -> Iterator[Key]:
    cursor: str | None = None
    while True:
        with store.reading() as tx:
            page = keys.list_keys(tx, Slice(cursor=cursor, limit=PART))
        yield from page.items
        if page.next is None:
            return
        cursor = page.next


def _actor() -> Actor:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    return Actor(key_id=None, owner=f"cli:{user}"[:200])


def _at(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M}"


def _day(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone():%Y-%m-%d}"


def _print_table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(*titles, box=SIMPLE_HEAD)
    for column in table.columns:
        if column.header in WHOLE:
            column.no_wrap, column.min_width = True, len("key-0123456789")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _print_json(value: object) -> None:
    typer.echo(TypeAdapter(Any).dump_json(value, indent=2).decode())
