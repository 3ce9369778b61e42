"""Authentication: what puts credentials on a request."""

from __future__ import annotations

import base64

from ..exceptions import AuthenticationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .request import Request

__all__ = ["Auth", "AuthenticationError", "BasicAuth"]


class Auth:
    """Base of authentication schemes: override `build_auth`, which changes the request in place or returns another."""

    def build_auth(self, request: Request) -> object:
        """Put credentials on the request. The base does nothing.

        A Request that is returned takes the place of this one. For AsyncClient it may be `async def`.
        """
        return None


class BasicAuth(Auth):
    """HTTP Basic authentication (RFC 7617).

    username, password: str (sent as Latin-1, or UTF-8 where that cannot hold it) or bytes.
    `build_auth` raises AuthenticationError for other types, and for lone surrogates.
    """

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self.username = username
        self.password = password

    def build_auth(self, request: Request) -> None:
        """Set the `authorization` header. Raises AuthenticationError for names and passwords of other types."""
        request.headers["Authorization"] = self._header()

    def _header(self) -> str:
        joined = b":".join((self._encode(self.username), self._encode(self.password)))
        return "Basic " + base64.b64encode(joined).decode("ascii")

    @staticmethod
    def _encode(value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str):
            raise AuthenticationError("`username` or `password` parameter must be str or byte.")
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            pass
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise AuthenticationError(f"`username` or `password` is not valid Unicode: {error.reason}.") from None
