"""Whose index it is: the settings of pip and uv, and no address of our own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from models.errors import ModelError
from models.index import load_index_settings


@pytest.fixture
def environ(settings: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a user whose pip has a file of settings."""
    path = tmp_path / "pip.conf"
    settings.setenv("PIP_CONFIG_FILE", str(path))
    path.write_text(
        "[global]\n"
        "index-url = https://global.example/simple\n"
        "extra-index-url =\n"
        "    https://one.example/simple\n"
        "    https://two.example/simple\n"
        "timeout = 7\n"
        "[install]\n"
        "trusted-host = box.example\n"
        "[download]\n"
        "proxy = proxy.example:3128\n"
    )
    return dict(os.environ)


def test_pips_file_is_read(environ: dict[str, str]) -> None:
    found = load_index_settings(environ)

    assert found.index_urls == (
        "https://global.example/simple",
        "https://one.example/simple",
        "https://two.example/simple",
    )
    assert found.trusted_hosts == ("box.example",)
    assert found.proxy == "http://proxy.example:3128"
    assert found.timeout_s == 7.0


def test_pips_variables_win_over_its_file(environ: dict[str, str]) -> None:
    found = load_index_settings(
        environ
        | {
            "PIP_INDEX_URL": "https://variable.example/simple",
            "PIP_EXTRA_INDEX_URL": "https://three.example/simple",
            "PIP_FIND_LINKS": "/wheels https://links.example",
            "PIP_DEFAULT_TIMEOUT": "180",
            "UV_DEFAULT_INDEX": "https://uv.example/simple",
        }
    )

    assert found.index_urls == (
        "https://variable.example/simple",
        "https://three.example/simple",
    )
    assert found.find_links == ("/wheels", "https://links.example")


def test_no_index_means_none(environ: dict[str, str]) -> None:
    found = load_index_settings(environ | {"PIP_NO_INDEX": "true"})

    assert found.index_urls == ()


def test_uvs_variables_count_where_pip_is_mute(settings: pytest.MonkeyPatch) -> None:
    del settings
    found = load_index_settings(
        {
            **os.environ,
            "UV_DEFAULT_INDEX": "https://uv.example/simple",
            "UV_INDEX": "mine=https://named.example/simple https://bare.example/s?a=b",
            "UV_FIND_LINKS": "/wheels,/more wheels",
            "UV_INSECURE_HOST": "box.example",
        }
    )

    assert found.index_urls == (
        "https://uv.example/simple",
        "https://named.example/simple",
        "https://bare.example/s?a=b",
    )
    assert found.find_links == ("/wheels", "/more wheels")
    assert found.trusted_hosts == ("box.example",)


def test_a_user_who_set_nothing_gets_one_index(settings: pytest.MonkeyPatch) -> None:
    del settings

    (url,) = load_index_settings(dict(os.environ)).index_urls

    assert url.startswith("https://")


def test_no_file_of_ours_names_an_index() -> None:
    default = re.escape("//" + "pypi.")
    for path in (*Path("models").rglob("*.py"), *Path("models").rglob("*.toml")):
        assert not re.search(default, path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("key", ["PIP_CERT", "PIP_CLIENT_CERT"])
def test_certificates_that_cannot_be_read_are_named(
    settings: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    settings.setenv(key, str(tmp_path / "gone.pem"))

    with pytest.raises(ModelError) as caught:
        load_index_settings(dict(os.environ)).tls_context()

    assert caught.value.code == "index_invalid"
    assert "cert" in caught.value.hint
