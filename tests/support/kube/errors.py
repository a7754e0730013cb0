"""Refusals of the API server, each as the ``Status`` object that the real one sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kube.resources import Resource

Object = dict[str, Any]

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Refusal(Exception):
    """An answer other than success."""

    def __init__(self, code: int, message: str, *, reason: str | None = None, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = REASONS.get(code, "") if reason is None else reason
        self.details = details

    def status(self) -> Object:
        body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body |= {"message": self.message, "reason": self.reason, "code": self.code}
        return body | ({"details": self.details} if self.details else {})


def _details(resource: Resource, name: str) -> Object:
    return {"name": name, "kind": resource.plural} | ({"group": resource.group} if resource.group else {})


def not_found(resource: Resource, name: str) -> Refusal:
    return Refusal(404, f'{resource.qualified} "{name}" not found', details=_details(resource, name))


def already_exists(resource: Resource, name: str) -> Refusal:
    message = f'{resource.qualified} "{name}" already exists'
    return Refusal(409, message, reason="AlreadyExists", details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> Refusal:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return Refusal(409, message, details=_details(resource, name))


def forbidden(resource: Resource, name: str, why: str) -> Refusal:
    return Refusal(403, f'{resource.qualified} "{name}" is forbidden: {why}', details=_details(resource, name))


def expired(why: str = "too old resource version") -> Refusal:
    return Refusal(410, why)


def invalid(resource: Resource, name: str, causes: list[tuple[str, str]]) -> Refusal:
    """``causes``: (field, message), where the message begins with its kind ("Invalid value: ...")."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    told = [f"{field}: {message}" for field, message in causes]
    text = told[0] if len(told) == 1 else "[" + ", ".join(told) + "]"
    details = _details(resource, name) | {"kind": resource.kind}
    details["causes"] = [{"reason": _cause(message), "message": message, "field": field} for field, message in causes]
    return Refusal(422, f'{kind} "{name}" is invalid: {text}', details=details)


def _cause(message: str) -> str:
    words = {
        "Required value": "FieldValueRequired",
        "Unsupported value": "FieldValueNotSupported",
        "Too long": "FieldValueTooLong",
        "Forbidden": "FieldValueForbidden",
        "Duplicate value": "FieldValueDuplicate",
    }
    return next((reason for start, reason in words.items() if message.startswith(start)), "FieldValueInvalid")
