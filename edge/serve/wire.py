"""The wire: JSON text in, checked messages out, and back.

`wire.schema.json`, beside this file, is the one description of every message. What
arrives is checked against it, and so is what is sent, before it leaves.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs

from models.errors import HeadsideError

SCHEMA_FILE = Path(__file__).with_name("wire.schema.json")
VERSION = 1
PATH = "/v1"
MAX_TEXT_BYTES = 1 << 20
MAX_AUDIO_BYTES = 1 << 16
"""Of one binary frame: two seconds."""
MAX_RAYS_AT_ONCE = 256
"""In one message."""
MAX_GREETING_BYTES = 4096
"""Of a frame before the client has proved itself."""
HANDSHAKE = frozenset(("hello", "proof"))
MAX_ID = 2**53 - 1
_MAX_DEPTH = 8

Message = dict[str, Any]


class WireError(HeadsideError):
    """A message that is not as the schema says."""

    of = 0
    """Its id, where it has one."""


class Side:
    """The messages of one side: checked by type, so that errors say what is wrong."""

    def __init__(self, name: str) -> None:
        schema = _schema()
        self._name = name
        self._checks = {
            kind: jsonschema_rs.validator_for(
                {
                    "$schema": schema["$schema"],
                    "$defs": schema["$defs"],
                    **message,
                }
            )
            for kind, message in schema[name].items()
        }

    def read(self, text: str | bytes) -> Message:
        """Returns a message that arrived.

        Raises:
            WireError: ``frame_json``, ``frame_type`` or ``frame_invalid``.
        """
        message = _parse(text)
        kind = message.get("type")
        if not isinstance(kind, str) or kind not in self._checks:
            raise WireError(
                "frame_type",
                f"There is no {self._name} message of that type.",
                "wire.schema.json lists them.",
            )
        try:
            self._check(kind, message)
        except WireError as error:
            number = message.get("id")
            if isinstance(number, int) and 0 < number <= MAX_ID:
                error.of = number
            raise
        return message

    def write(self, message: Mapping[str, Any]) -> str:
        """Returns a message as text.

        Raises:
            WireError: ``frame_invalid``: a mistake of ours.
        """
        self._check(message["type"], message)
        return json.dumps(message, ensure_ascii=False, separators=(",", ":"))

    def _check(self, kind: str, message: Mapping[str, Any]) -> None:
        try:
            self._checks[kind].validate(message)
        except jsonschema_rs.ValidationError as error:
            where = "/".join(map(str, error.instance_path)) or "the message"
            rule = "/".join(map(str, error.schema_path))
            # The value itself is not quoted: it may be what a player said.
            raise WireError(
                "frame_invalid",
                f"{kind}: {where} breaks the rule {rule}.",
                "wire.schema.json has the rules.",
            ) from None


@functools.cache
def client_side() -> Side:
    """Returns the messages of clients."""
    return Side("client")


@functools.cache
def server_side() -> Side:
    """Returns the messages of the server."""
    return Side("server")


@functools.cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


def _parse(text: str | bytes) -> Message:
    try:
        found = json.loads(text, parse_constant=_refuse, parse_float=_number)
        if b"\\u" in text if isinstance(text, bytes) else "\\u" in text:
            # Half of a surrogate pair is JSON, and is no text.
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise WireError(
            "frame_json", "The text frame is not JSON.", "Send one object a frame."
        ) from None
    if not isinstance(found, dict) or not _is_shallow(found, _MAX_DEPTH):
        raise WireError(
            "frame_json",
            f"The text frame is not an object of at most {_MAX_DEPTH} levels.",
            "Send one object a frame.",
        )
    return found


def _refuse(name: str) -> float:
    raise ValueError(name)


def _number(text: str) -> float:
    """Returns a finite number; whole where it is, as 3.0 counts for 3 in JSON."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return int(value) if value.is_integer() and abs(value) <= MAX_ID else value


def _is_shallow(value: object, n_levels: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return True
    return n_levels > 0 and all(_is_shallow(item, n_levels - 1) for item in value)
