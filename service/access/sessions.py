"""The cookie that a key is turned into at login: signed, and good for some hours."""

import os
import secrets
from pathlib import Path

from itsdangerous import BadData, URLSafeTimedSerializer

from service.errors import UnavailableError

COOKIE = "shrinknets_session"
SESSION_SECONDS = 12 * 3600
SECRET_FILE = "session-secret"  # noqa: S105  (the name of a file)
MAX_COOKIE = 4096
MIN_SECRET = 32


class Sessions:
    """Signs ids of keys, with a secret that stays in the data folder.

    Not in the database: who could read it there could log in as everybody, whereas the digests of
    keys are useless.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SECRET_FILE
        self._serializer: URLSafeTimedSerializer | None = None

    def issue(self, key_id: str) -> str:
        """The value of a cookie for the holder of a key. Raises UnavailableError."""
        return self._signer().dumps(key_id)

    def read(self, cookie: str) -> str | None:
        """The id of the key, unless the cookie is not ours, was changed, or is too old."""
        if len(cookie) > MAX_COOKIE:
            return None
        try:
            key_id = self._signer().loads(cookie, max_age=SESSION_SECONDS)
        except BadData:
            return None
        return key_id if isinstance(key_id, str) else None

    def _signer(self) -> URLSafeTimedSerializer:
        if self._serializer is None:
            self._serializer = URLSafeTimedSerializer(self._secret(), salt="session")
        return self._serializer

    def _secret(self) -> str:
        try:
            self._make_once()
            secret = self._path.read_text()
        except OSError as error:
            raise UnavailableError(
                f"Cannot keep the secret of sessions in {self._path}: {error.strerror}."
            ) from error
        if len(secret) < MIN_SECRET:
            raise UnavailableError(f"{self._path} holds no secret: remove it, and log in again.")
        return secret

    def _make_once(self) -> None:
        if self._path.exists():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{SECRET_FILE}-{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(48))
            # Whole or not at all, and the first of two processes wins.
            os.link(draft, self._path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
