"""Who may talk to whom: a shared secret that both sides prove and neither sends.

Each proof is an HMAC-SHA256 over both sides' nonces, the role and the port, so that
none can be replayed, nor be passed on by whoever squats on another port. The server
proves itself first: a client says nothing to one that cannot.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

NONCE_BYTES = 32


def new_nonce() -> str:
    """Returns 32 random bytes in hexadecimal."""
    return secrets.token_hex(NONCE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What both sides of a connection know of it."""

    port: int
    """As the client dialled it."""
    role: str
    client_nonce: str
    server_nonce: str

    def proof(self, secret: bytes, side: str) -> str:
        """Returns the proof of a side, ``server`` or ``client``, in hexadecimal."""
        said = (
            f"headside-1 {side} {self.port} {self.role} "
            f"{self.client_nonce} {self.server_nonce}"
        )
        return hmac.new(secret, said.encode(), hashlib.sha256).hexdigest()

    def is_proved(self, secret: bytes, side: str, proof: str) -> bool:
        """Returns whether a side proved that it knows the secret."""
        return hmac.compare_digest(self.proof(secret, side), proof)


def metrics_token(secret: bytes) -> str:
    """Returns the bearer token for ``/metrics``; it opens nothing else."""
    return hmac.new(secret, b"headside-1 metrics", hashlib.sha256).hexdigest()
