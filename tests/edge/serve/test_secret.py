"""Proofs: only who knows the secret can make one, and only for this meeting."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest

from edge.serve.secret import Meeting, metrics_token, new_nonce

SECRET, OTHER = b"s" * 32, b"o" * 32
MEETING = Meeting(
    port=47_000, role="game", client_nonce="a" * 64, server_nonce="b" * 64
)


def test_a_proof_is_as_the_readme_says() -> None:
    said = f"headside-1 server 47000 game {'a' * 64} {'b' * 64}"
    proof = hmac.new(SECRET, said.encode(), hashlib.sha256).hexdigest()
    assert MEETING.proof(SECRET, "server") == proof


@pytest.mark.parametrize(
    "other",
    [
        replace(MEETING, port=47_001),
        replace(MEETING, role="observer"),
        replace(MEETING, client_nonce="c" * 64),
        replace(MEETING, server_nonce="c" * 64),
    ],
)
def test_a_proof_is_good_for_one_meeting(other: Meeting) -> None:
    proof = MEETING.proof(SECRET, "client")

    assert MEETING.is_proved(SECRET, "client", proof)
    assert not other.is_proved(SECRET, "client", proof)


def test_nobody_can_send_a_proof_back() -> None:
    assert not MEETING.is_proved(SECRET, "client", MEETING.proof(SECRET, "server"))


def test_another_secret_proves_nothing() -> None:
    assert not MEETING.is_proved(SECRET, "client", MEETING.proof(OTHER, "client"))
    assert not MEETING.is_proved(SECRET, "client", "")


def test_nonces_do_not_repeat() -> None:
    assert len({new_nonce() for _ in range(1000)}) == 1000


def test_the_token_for_metrics_is_not_the_secret() -> None:
    token = metrics_token(SECRET)

    assert token != metrics_token(OTHER)
    assert SECRET.hex() not in token
    assert not MEETING.is_proved(SECRET, "client", token)
