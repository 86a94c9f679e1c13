"""Typed reading of TOML tables: every mistake names the file, the key and the wish."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from models.errors import ModelError


class Table:
    """One TOML table that is read key by key.

    Args:
        values: The parsed table.
        where: What to call the table in messages: its file, then its place in it.
        code: Code of the error that a mistake raises.
    """

    def __init__(self, values: Mapping[str, object], *, where: str, code: str) -> None:
        self._values = values
        self.where = where
        self.code = code

    @classmethod
    def load(cls, path: Path, *, code: str) -> Table:
        """Return the top table of a TOML file.

        Raises:
            ModelError: `code`, where the file cannot be read or is not TOML.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        # Numbers of thousands of digits are ValueErrors, tables that nest without end
        # RecursionErrors.
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(code, f"{path}: {error}.", "Mend the file.") from error
        return cls(values, where=str(path), code=code)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def error(self, message: str) -> ModelError:
        """Return the error that says what is wrong with this table."""
        return ModelError(self.code, f"{self.where}: {message}.", "Mend the file.")

    def only(self, keys: Iterable[str]) -> None:
        """Refuse keys that mean nothing here; they are mostly misspelt."""
        unknown = sorted(set(self._values) - set(keys))
        if unknown:
            raise self.error(f"unknown key {', '.join(unknown)}")

    def text(self, key: str, default: str | None = None) -> str:
        """Return a non-empty string, or `default` where the key is absent."""
        if default is not None and key not in self._values:
            return default
        value = self._values.get(key)
        if not isinstance(value, str) or not value:
            raise self.error(f"{key} must be a non-empty string")
        return value

    def size_bytes(self, key: str) -> int:
        """Return a whole number that is not negative."""
        value = self._values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.error(f"{key} must be a number of bytes")
        return value

    def value(self, key: str) -> object:
        """Return what stands under the key, None where nothing does."""
        return self._values.get(key)

    def table(self, key: str) -> Table:
        """Return the table under the key."""
        value = self._values.get(key)
        if not isinstance(value, dict):
            raise self.error(f"{key} must be a table")
        return Table(value, where=f"{self.where}: {key}", code=self.code)

    def tables(self, key: str) -> tuple[Table, ...]:
        """Return the tables of the array under the key, none where it is absent."""
        values = self._values.get(key, [])
        if not isinstance(values, list):
            raise self.error(f"{key} must be an array of tables")
        found = []
        for number, value in enumerate(values, start=1):
            if not isinstance(value, dict):
                raise self.error(f"{key} must be an array of tables")
            where = f"{self.where}: {key} {number}"
            found.append(Table(value, where=where, code=self.code))
        return tuple(found)
