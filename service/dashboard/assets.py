"""Serves the files that pages load, under addresses that change with their content."""

import gzip
import hashlib
import mimetypes
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import FileResponse, Response

from service.errors import NotFoundError

FOREVER = "public, max-age=31536000, immutable"

_FOLDER = Path(__file__).parent / "static"
_PLOTLY = "plotly.min.js"
_SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")

router = APIRouter()


@cache
def asset_paths() -> dict[str, Path]:
    """Every file that pages load, by its address under /static/."""
    plotly = distribution("plotly")
    script = Path(str(plotly.locate_file(f"plotly/package_data/{_PLOTLY}")))
    # One version for the whole folder: scripts import each other by relative addresses.
    folder = _version(sorted(_FOLDER.iterdir()))
    own = {f"{folder}/{path.name}": path for path in _FOLDER.iterdir()}
    return {**own, f"plotly-{plotly.version}/{_PLOTLY}": script, **_swagger()}


def _swagger() -> dict[str, Path]:
    package = distribution("fastapi-offline")
    return {
        f"swagger-{package.version}/{name}": Path(
            str(package.locate_file(f"fastapi_offline/static/{name}"))
        )
        for name in _SWAGGER
    }


def asset_url(name: str) -> str:
    """The address of a file by its name; its content never changes."""
    addresses = (address for address in asset_paths() if address.endswith(f"/{name}"))
    return f"/static/{next(addresses)}"


@router.get("/static/{version}/{name}")
def read_asset(version: str, name: str, accept_encoding: Annotated[str, Header()] = "") -> Response:
    """A file; an address of another version is not found, so that none is kept wrongly."""
    path = asset_paths().get(f"{version}/{name}")
    if path is None:
        raise NotFoundError("file", f"{version}/{name}")
    headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
    media_type = _media_type(path)
    if "gzip" not in accept_encoding:
        return FileResponse(path, media_type=media_type, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(_compressed(path), media_type=media_type, headers=headers)


@router.get("/favicon.ico")
def read_favicon() -> FileResponse:
    """The icon, for browsers that ask where no page told them."""
    path = _FOLDER / "favicon.svg"
    return FileResponse(path, media_type=_media_type(path))


def _version(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for part in _parts(paths):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]


def _parts(paths: list[Path]) -> Iterator[bytes]:
    for path in paths:
        yield path.name.encode()
        yield path.read_bytes()


def _media_type(path: Path) -> str:
    # Some systems register .js as text/plain, which browsers refuse to run as a module.
    if path.suffix == ".js":
        return "text/javascript"
    return mimetypes.types_map.get(path.suffix, "application/octet-stream")


@cache
def _compressed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), compresslevel=6, mtime=0)
