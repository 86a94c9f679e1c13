"""The line each key of a TOML document stands on: ``tomllib`` does not tell.

This reads text that ``tomllib`` has accepted, so it only has to find where keys and
values begin and end; it does not judge them.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]
"""Keys and array positions from the top, e.g. ``("intents", "move", "say", 0)``."""

_MAX_DEPTH = 16
"""Deeper keys are placed with the key around them."""
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TomlLines:
    """Where the keys of one document are."""

    lines: dict[KeyPath, int]

    def at(self, *path: str | int) -> int:
        """Returns the line of a key, or of the nearest key around it; 1 at least."""
        for end in range(len(path), 0, -1):
            line = self.lines.get(path[:end])
            if line is not None:
                return line
        return 1


def toml_lines(text: str) -> TomlLines:
    """Returns the lines of every key and array element of a valid TOML document."""
    scanner = _Scanner(text=text.replace("\r\n", "\n"))
    scanner.document()
    return TomlLines(lines=scanner.lines)


@dataclass(slots=True)
class _Scanner:
    text: str
    at: int = 0
    lines: dict[KeyPath, int] = field(default_factory=dict)
    _n_elements: dict[KeyPath, int] = field(default_factory=dict)
    _line: int = 1
    _counted: int = 0

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self._here("[["):
                self.at += 2
                table = self._element(self._key())
                self.at += 2
            elif self._here("["):
                self.at += 1
                table = self._resolved(self._key())
                for end in range(1, len(table) + 1):
                    self._mark(table[:end])
                self.at += 1
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _pair(self, table: KeyPath) -> None:
        start = self.at
        keys = self._key()
        for end in range(1, len(keys) + 1):
            self._mark((*table, *keys[:end]), position=start)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value((*table, *keys))

    def _value(self, path: KeyPath) -> None:
        path = path[:_MAX_DEPTH]
        if self._here("["):
            self._array(path)
        elif self._here("{"):
            self.at += 1
            self._skip(_BLANK)
            while not self._here("}") and self.at < len(self.text):
                self._pair(path)
                self._comma()
            self.at += 1
        else:
            string = _STRING.match(self.text, self.at)
            scalar = string or _SCALAR.match(self.text, self.at)
            self.at = scalar.end() if scalar else self.at + 1

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        self._skip(_BLANK)
        while not self._here("]") and self.at < len(self.text):
            self._mark((*path, index))
            self._value((*path, index))
            self._comma()
            index += 1
        self.at += 1

    def _comma(self) -> None:
        self._skip(_BLANK)
        if self._here(","):
            self.at += 1
            self._skip(_BLANK)

    def _key(self) -> tuple[str, ...]:
        parts = []
        while True:
            self._skip(_SPACE)
            string = _STRING.match(self.text, self.at)
            if string:
                parts.append(str(tomllib.loads(f"key = {string.group()}")["key"]))
                self.at = string.end()
            else:
                start = self.at
                self._skip(_BARE)
                parts.append(self.text[start : self.at])
            self._skip(_SPACE)
            if not self._here("."):
                return tuple(parts)
            self.at += 1

    def _resolved(self, keys: tuple[str, ...]) -> KeyPath:
        """Returns the path with the position of the last element of each array."""
        path: KeyPath = ()
        for key in keys:
            path = (*path, key)
            if path in self._n_elements:
                path = (*path, self._n_elements[path] - 1)
        return path

    def _element(self, keys: tuple[str, ...]) -> KeyPath:
        array = (*self._resolved(keys[:-1]), keys[-1])
        self._n_elements[array] = self._n_elements.get(array, 0) + 1
        path = (*array, self._n_elements[array] - 1)
        self._mark(array)
        self._mark(path)
        return path

    def _mark(self, path: KeyPath, *, position: int | None = None) -> None:
        position = self.at if position is None else position
        self._line += self.text.count("\n", self._counted, position)
        self._counted = max(self._counted, position)
        self.lines.setdefault(path, self._line)

    def _here(self, token: str) -> bool:
        return self.text.startswith(token, self.at)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
