"""Resources: the API's description, and the page that shows it without asking any other host."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import falcon

from aurora_atlan.http.entity_tags import fingerprint, is_known
from aurora_atlan.http.openapi import rendered

# Kept by anyone, but asked for again: the addresses stay the same with another version.
_CACHE_CONTROL: Final = "no-cache"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_PAGE: Final = "docs.html"
# Nothing else is given out, whatever lies beside them.
_MEDIA_TYPES: Final = {
    "docs.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js.LICENSE.txt": "text/plain; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui.LICENSE.txt": "text/plain; charset=utf-8",
    "swagger-ui.NOTICE.txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    # With its quotes.
    etag: str


class Description:
    """GET /openapi.json."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Describe the API."""
        _tell(req, resp, _description(), falcon.MEDIA_JSON)

    on_head = on_get


class DocsPage:
    """GET /docs."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Give the page, which may load nothing but what is beside it."""
        resp.set_header("Content-Security-Policy", _POLICY)
        _tell(req, resp, _static(_PAGE), falcon.MEDIA_HTML)

    on_head = on_get


class DocsFile:
    """GET /docs/{file}."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, file: str) -> None:
        """Give a file that the page needs, or the terms under which it is given."""
        media_type = _MEDIA_TYPES.get(file)
        if media_type is None:
            raise falcon.HTTPNotFound
        _tell(req, resp, _static(file), media_type)

    on_head = on_get


def _tell(req: falcon.Request, resp: falcon.Response, wanted: _File, media_type: str) -> None:
    resp.set_headers({"ETag": wanted.etag, "Cache-Control": _CACHE_CONTROL})
    if_none_match = req.env.get("HTTP_IF_NONE_MATCH")
    if if_none_match is not None and is_known(wanted.etag, if_none_match):
        resp.status = falcon.HTTP_304
    else:
        resp.data = wanted.data
        resp.content_type = media_type


@functools.cache
def _description() -> _File:
    return _file(rendered())


@functools.cache
def _static(name: str) -> _File:
    return _file(files("aurora_atlan.http").joinpath("static", name).read_bytes())


def _file(data: bytes) -> _File:
    return _File(data, f'"{fingerprint(data)}"')
