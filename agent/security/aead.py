"""Keys for AES in Galois/Counter Mode (NIST SP 800-38D): GMAC authenticates, GCM also encrypts a session's payload.

An IV must never come twice with one key, see :mod:`agent.security.iv`: with GCM the second use gives away what is
needed to forge. GMAC is GCM over an empty payload; its tag is cut to the octets of the algorithm.
"""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.security.frames import IV_SIZE, FrameError, Key

TAG = 16


class CipherKey(Key):
    """A group key for GMAC or GCM.

    The last payload that was decrypted is kept: whom it is for stands inside, so several subscribers open it.
    """

    __slots__ = ("_cipher", "_last", "_opened")

    def _prepare(self, secret: bytes) -> None:
        if not self.algorithm.iv_size or len(secret) not in self.algorithm.secrets:
            raise ValueError(f"{self.algorithm.text} with a secret of {len(secret)} octets")
        self._cipher = AESGCM(secret)
        self._last = (b"", b"", b"", b"")
        self._opened = b""

    def mac(self, domain: bytes | memoryview, iv: bytes = b"") -> bytes:
        """The truncated tag over the domain; never asked of a key that encrypts."""
        if len(iv) != IV_SIZE or self.algorithm.encrypts:
            raise FrameError(f"{self.algorithm.text}: no GMAC without an IV of its own", "unencodable")
        return self._cipher.encrypt(iv, b"", domain)[: self.algorithm.size]

    def verifies(self, domain: bytes | memoryview, mac: bytes | memoryview, iv: bytes = b"") -> bool:
        """Compared in constant time; a tag of another length never passes, nor does one of a key that encrypts."""
        if len(iv) != IV_SIZE or self.algorithm.encrypts:
            return False
        return hmac.compare_digest(self.mac(domain, iv), bytes(mac))

    def encrypt(self, iv: bytes, head: bytes, payload: bytes) -> bytes:
        """Ciphertext and tag; the head is authenticated with it."""
        if not self.algorithm.encrypts:
            return super().encrypt(iv, head, payload)
        return self._cipher.encrypt(iv, payload, head)

    def decrypt(self, iv: bytes, head: bytes, payload: bytes, mac: bytes) -> bytes | None:
        """The payload; None: not authentic."""
        if not self.algorithm.encrypts or len(mac) != TAG or len(iv) != IV_SIZE:
            return None
        asked = (iv, mac, head, payload)
        if asked != self._last:
            try:
                self._opened = self._cipher.decrypt(iv, payload + mac, head)
            except InvalidTag:
                return None
            self._last = asked
        return self._opened
