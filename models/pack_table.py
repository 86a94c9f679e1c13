"""Typed access to one table of a pack: every mistake is kept, with its line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeGuard

from models.pack import Problem, Value
from models.toml_lines import KeyPath, TomlLines

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
MAX_TEXT_CHARS = 300
MAX_ITEMS = 500
MAX_NUMBER = 1e12


@dataclass(slots=True)
class Findings:
    """The mistakes found so far in one file."""

    file: str
    lines: TomlLines
    problems: list[Problem] = field(default_factory=list)

    def error(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Keeps a mistake, on the line of the key it is about."""
        self.problems.append(
            Problem(
                file=self.file, line=self.lines.at(*path), message=message, hint=hint
            )
        )


def nearest(name: str, known: Iterable[str], *, what: str) -> str:
    """Returns a hint: the name that was probably meant, or all there are."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f'Did you mean "{close[0]}"?'
    return f"Known {what}: {', '.join(names)}." if names else f"There are no {what}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the document; a key that is wrong reads as if it were absent."""

    findings: Findings
    path: KeyPath
    values: dict[str, object]

    @property
    def title(self) -> str:
        """How the pack's author knows the table."""
        return f"[{'.'.join(map(str, self.path))}]" if self.path else "the pack"

    def error(self, key: str | int | KeyPath, message: str, hint: str = "") -> None:
        """Keeps a mistake about a key of this table."""
        keys = key if isinstance(key, tuple) else (key,)
        self.findings.error((*self.path, *keys), f"{self.title}: {message}", hint)

    def known(self, *keys: str) -> Table:
        """Returns the table itself, after a mistake for every other key."""
        for key in self.values:
            if key not in keys:
                self.error(
                    key, f'unknown key "{key}".', nearest(key, keys, what="keys")
                )
        return self

    def names(self, *, what: str, limit: int = MAX_ITEMS) -> Iterator[str]:
        """Yields the keys that can be names."""
        for key in list(self.values)[:limit]:
            if NAME.fullmatch(key):
                yield key
            else:
                self.error(
                    key,
                    f'"{key}" cannot be the name of {what}.',
                    "Use letters, digits and _, and begin with a letter.",
                )
        if len(self.values) > limit:
            self.error((), f"{len(self.values)} entries; at most {limit} are allowed.")

    def table(self, key: str) -> Table:
        """Returns the table under ``key``; an empty one where there is none."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.error(key, f'"{key}" must be a table.', f"Write [{key}] or {{ }}.")
            value = {}
        return Table(findings=self.findings, path=(*self.path, key), values=value)

    def tables(self, key: str) -> list[Table]:
        """Returns the tables of an array of tables."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            self.error(key, f'"{key}" must be tables, each under [[ ]].')
            return []
        if len(value) > MAX_ITEMS:
            self.error(key, f"{len(value)} entries; at most {MAX_ITEMS} are allowed.")
        return [
            Table(findings=self.findings, path=(*self.path, key, index), values=item)
            for index, item in enumerate(value[:MAX_ITEMS])
        ]

    def text(self, key: str, default: str = "", *, limit: int = MAX_TEXT_CHARS) -> str:
        """Returns the text under ``key``; without a default it must not be empty."""
        value = self.values.get(key, default)
        if not isinstance(value, str) or (key in self.values and not value.strip()):
            self.error(key, f'"{key}" must be text in quotes, and not empty.')
            return default
        if len(value) > limit:
            self.error(
                key, f'"{key}" has {len(value)} characters; {limit} may be used.'
            )
            return default
        return value

    def texts(self, key: str, *, limit: int = MAX_ITEMS) -> list[tuple[KeyPath, str]]:
        """Returns the texts under ``key``, each with its path below this table."""
        value = self.values.get(key, [])
        if isinstance(value, str):
            self.error(key, f'"{key}" must be a list of texts.', 'Write ["..."].')
            return []
        if not isinstance(value, list):
            self.error(key, f'"{key}" must be a list of texts.')
            return []
        if len(value) > limit:
            self.error(key, f"{len(value)} entries; at most {limit} are allowed.")
        texts: list[tuple[KeyPath, str]] = []
        for index, item in enumerate(value[:limit]):
            if not isinstance(item, str) or not item.strip():
                self.error((key, index), f'"{key}" must hold texts in quotes.')
            elif len(item) > MAX_TEXT_CHARS and key not in ("say", "claims"):
                self.error((key, index), f"longer than {MAX_TEXT_CHARS} characters.")
            else:
                texts.append(((key, index), item))
        return texts

    def flag(self, key: str, *, default: bool) -> bool:
        """Returns true or false, as the key says."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            self.error(key, f'"{key}" must be true or false.', "Without quotes.")
            return default
        return value

    def choice(self, key: str, options: tuple[str, ...], default: str) -> str:
        """Returns one of ``options``."""
        value = self.values.get(key, default)
        if value in options and isinstance(value, str):
            return value
        self.error(
            key,
            f'"{key}" cannot be {value!r}.',
            nearest(str(value), options, what="values"),
        )
        return default

    def numbers(self, key: str, *, n: int) -> tuple[float, ...] | None:
        """Returns exactly ``n`` finite numbers; None where the key is absent."""
        if key not in self.values:
            return None
        value = self.values[key]
        if (
            isinstance(value, list)
            and len(value) == n
            and all(is_number(item) for item in value)
        ):
            return tuple(value)
        self.error(key, f'"{key}" must be {n} numbers in [ ].')
        return None

    def pairs(self, key: str) -> dict[str, Value]:
        """Returns the texts and numbers by name under ``key``."""
        table = self.table(key)
        pairs: dict[str, Value] = {}
        for name, value in table.values.items():
            if isinstance(value, str) or is_number(value):
                pairs[name] = value
            else:
                table.error(name, f'"{name}" must be a text or a number.')
        return pairs


def is_number(value: object) -> TypeGuard[int | float]:
    """Returns whether a TOML value is a number of use; true, nan and 1e300 are not."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= MAX_NUMBER
    )
