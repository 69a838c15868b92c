"""Request bodies: their size and media type are judged before a byte of them is read."""

from __future__ import annotations

import falcon

from aurora_atlan.http import strict_json
from aurora_atlan.http.problems import Problem

BODY_BYTES_MAX = 64 * 1024


def read_json(req: falcon.Request) -> object:
    """Return the parsed body.

    Raises a problem: 413 over 64 KiB, 415 for anything but JSON in UTF-8, 400 when it is missing or malformed.
    """
    length = _length(req)
    _require_json(req)
    if length == 0:
        raise Problem(400, "malformed-body", "A JSON body is required.")
    return _parse(req, length)


def read_optional_json(req: falcon.Request) -> object:
    """Return the parsed body, or an empty object when there is none, with or without a media type."""
    length = _length(req)
    if length == 0:
        return {}
    _require_json(req)
    return _parse(req, length)


def refuse_body(req: falcon.Request) -> None:
    """Raise a problem unless there is no body, or an empty object: 400, or what :func:`read_optional_json` raises."""
    if read_optional_json(req) != {}:
        raise Problem(400, "unexpected-body", "This takes no body; parameters go into the query of the address.")


def _length(req: falcon.Request) -> int:
    length = req.content_length or 0
    if length > BODY_BYTES_MAX:
        raise Problem(413, "body-too-large", f"The body is larger than {BODY_BYTES_MAX // 1024} KiB.")
    return length


def _require_json(req: falcon.Request) -> None:
    content_type = req.content_type
    if content_type != "application/json":
        media_type, _, parameters = (content_type or "").lower().partition(";")
        charset = parameters.strip().replace('"', "")
        if media_type.strip() != "application/json" or charset not in ("", "charset=utf-8"):
            raise Problem(415, "unsupported-media-type", "Send the body as Content-Type: application/json, in UTF-8.")
    if req.env.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise Problem(415, "unsupported-media-type", "Send the body without a Content-Encoding.")


def _parse(req: falcon.Request, length: int) -> object:
    raw = req.bounded_stream.read(length)
    try:
        return strict_json.parse(raw)
    except strict_json.MalformedJsonError as error:
        raise Problem(400, "malformed-body", str(error)) from None
