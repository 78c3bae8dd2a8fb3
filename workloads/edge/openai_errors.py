"""Errors of the edge in the JSON form of OpenAI's API, for HAProxy and for the middleware of Serve's Python proxy.

Standard library only: it runs in Ray's image and in `.venv-ray`. Source: OpenAI's API reference, "Error codes"; the
fields are those that vLLM writes too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ApiError:
    """One error: HTTP status, and `type`, `code` and `message` of the body."""

    status: int
    type: str
    code: str
    message: str

    @property
    def body(self) -> str:
        """The body, one line of JSON."""
        error = {"message": self.message, "type": self.type, "param": None, "code": self.code}
        return json.dumps({"error": error}, separators=(",", ":"))


_INVALID, _SERVER, _LIMIT = "invalid_request_error", "server_error", "rate_limit_error"

UNKNOWN_ROUTE = ApiError(404, _INVALID, "unknown_route", "This server has no such route.")
WRONG_METHOD = ApiError(405, _INVALID, "method_not_allowed", "This route does not take this method.")
LENGTH_REQUIRED = ApiError(411, _INVALID, "length_required", "Send a Content-Length: a chunked body is not taken.")
UNKNOWN_KEY = ApiError(401, _INVALID, "invalid_api_key", "This request has no API key, or an unknown one.")
BODY_TOO_LARGE = ApiError(413, _INVALID, "request_too_large", "The request body is larger than this server takes.")
ERRORS: Mapping[int, ApiError] = {
    error.status: error
    for error in (
        ApiError(400, _INVALID, "bad_request", "The request is no valid HTTP request."),
        UNKNOWN_KEY,
        UNKNOWN_ROUTE,
        WRONG_METHOD,
        ApiError(408, _INVALID, "request_timeout", "The request did not arrive, or was not answered, in time."),
        LENGTH_REQUIRED,
        BODY_TOO_LARGE,
        ApiError(429, _LIMIT, "too_many_requests", "Too many requests. Try again later."),
        ApiError(500, _SERVER, "internal_error", "The server failed to answer this request."),
        ApiError(502, _SERVER, "bad_gateway", "A model replica gave no valid answer."),
        ApiError(503, _SERVER, "unavailable", "No model replica can answer now. Try again later."),
        ApiError(504, _SERVER, "gateway_timeout", "The model did not answer in time."),
    )
}
"""Status -> the error that stands for it."""


def error_for(status: int) -> ApiError:
    """Return the error of a status: that of 400 or 500 for one without its own."""
    found = ERRORS.get(status)
    if found is not None:
        return found
    like = ERRORS[400 if status < 500 else 500]
    return ApiError(status, like.type, like.code, like.message)
