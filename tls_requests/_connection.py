"""Connection options: from what a caller writes to the engine's Transport. Imported when there are any."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from typing import Any, Union

from . import _core

__all__ = ["Limits", "Timeout", "build_transport", "convert_timeout", "convert_verify"]

_UINT32 = 0xFFFFFFFF
_KEEPALIVE = 45  # seconds; what Chromium uses
_Seconds = Union[int, float, None]


class Timeout(dict[str, Union[float, None]]):
    """Limits of time in seconds; None: no limit. It is a dict, and a dict with these keys does as well.

    total: from the start of a transfer to its last byte, each hop of a chain of redirects by itself; 30 when left out.
    pool: waiting for a free connection. connect: name look-up and TCP. tls: the handshake. write: no progress in
    sending. first_byte: from the request's last byte to the answer's first. read: no progress in receiving.
    Raises TypeError for a value that is no number, ValueError for one that is not above 0.

    >>> Timeout(10, connect=2)
    Timeout(total=10.0, connect=2.0)
    """

    def __init__(
        self,
        total: _Seconds | _core.NotGiven = _core.NOT_GIVEN,
        *,
        pool: _Seconds | _core.NotGiven = _core.NOT_GIVEN,
        connect: _Seconds | _core.NotGiven = _core.NOT_GIVEN,
        tls: _Seconds | _core.NotGiven = _core.NOT_GIVEN,
        write: _Seconds | _core.NotGiven = _core.NOT_GIVEN,
        first_byte: _Seconds | _core.NotGiven = _core.NOT_GIVEN,
        read: _Seconds | _core.NotGiven = _core.NOT_GIVEN,
    ) -> None:
        parts: dict[str, Any] = {
            "total": total,
            "pool": pool,
            "connect": connect,
            "tls": tls,
            "write": write,
            "first_byte": first_byte,
            "read": read,
        }
        super().__init__(
            {
                name: None if value is None else _seconds(name, value)
                for name, value in parts.items()
                if value is not _core.NOT_GIVEN
            }
        )

    def __repr__(self) -> str:
        return f"Timeout({', '.join(f'{name}={value!r}' for name, value in self.items())})"


def convert_timeout(value: Any) -> dict[str, Any] | None:
    """A time-out of another library's: (connect, read), or an object with such attributes. None: it is none."""
    if isinstance(value, tuple) and len(value) == 2:
        return {"connect": value[0], "read": value[1]}
    if isinstance(value, Mapping):
        return dict(value)
    names = ("total", "pool", "connect", "tls", "write", "first_byte", "read")
    parts = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return parts or None


def convert_verify(value: Any) -> bytes | None:
    """The trusted certificates of an ssl.SSLContext as PEM; None for other objects. ValueError: it does not verify."""
    if not hasattr(value, "get_ca_certs"):
        return None
    from base64 import encodebytes

    if int(getattr(value, "verify_mode", 2)) == 0:
        raise ValueError("verify: this SSLContext does not verify; verify=False says so")
    begin, end = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
    return b"".join(begin + encodebytes(der) + end for der in value.get_ca_certs(binary_form=True))


class Limits:
    """How many connections there may be and how much a server may send. None: the default.

    max_connections: open at once in the whole client; none. Requests beyond it wait, first come first served; the
        connection that was idle for longest makes room.
    max_per_host: HTTP/1.1 connections to a host; 6, as browsers. max_http2_per_host: HTTP/2 connections; 1, as browsers.
    max_streams: requests at once on an HTTP/2 connection; what the server allows.
    max_idle, max_idle_per_host: kept connections without a request; none. idle_timeout: seconds they are kept; 90.
    ping_interval: seconds between PINGs on an idle HTTP/2 connection, which is closed when one is not answered; none, as
        browsers send none.
    keep_alive: False: each connection serves one request.
    coalesce: False: an HTTP/2 connection serves its own host alone. Else it also serves hosts of the same site that
        have its address and are named in its certificate, where the browser does that (RFC 9113 9.1.1).
    max_header_bytes: of a header section; 262144. max_decoded_bytes: of a body without its content coding; 4 GiB, none where it goes into a file.
    max_ratio: decoded to received bytes, above 64 MiB; 200. `math.inf` switches these two off.
    Raises TypeError for what is no number, ValueError for one that is not above 0 or too large.

    >>> Limits(max_connections=100, idle_timeout=20)
    Limits(max_connections=100, idle_timeout=20)
    """

    __slots__ = ("_values",)

    def __init__(
        self,
        *,
        max_connections: int | None = None,
        max_per_host: int | None = None,
        max_http2_per_host: int | None = None,
        max_streams: int | None = None,
        max_idle: int | None = None,
        max_idle_per_host: int | None = None,
        idle_timeout: float | None = None,
        ping_interval: float | None = None,
        keep_alive: bool = True,
        coalesce: bool = True,
        max_header_bytes: int | None = None,
        max_decoded_bytes: float | None = None,
        max_ratio: float | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "max_connections": max_connections,
            "max_per_host": max_per_host,
            "max_http2_per_host": max_http2_per_host,
            "max_streams": max_streams,
            "max_idle": max_idle,
            "max_idle_per_host": max_idle_per_host,
            "idle_timeout": idle_timeout,
            "ping_interval": ping_interval,
            "keep_alive": None if keep_alive else False,
            "coalesce": None if coalesce else False,
            "max_header_bytes": max_header_bytes,
            "max_decoded_bytes": max_decoded_bytes,
            "max_ratio": max_ratio,
        }
        self._values = {name: value for name, value in given.items() if value is not None}
        self._engine()

    def _engine(self) -> dict[str, int]:
        """As the engine's Transport takes it; checked."""
        made: dict[str, int] = {}
        for name, value in self._values.items():
            if name == "keep_alive":
                made["no_keep_alive"] = 1
            elif name == "coalesce":
                made["no_coalescing"] = 1
            elif name in ("idle_timeout", "ping_interval"):
                made[f"{name}_ms"] = min(max(round(_seconds(name, value) * 1000), 1), _UINT32)
            elif name == "max_decoded_bytes":
                made["max_decoded"] = 2**64 - 1 if value == math.inf else _count(name, value, 2**63)
            elif name == "max_ratio" and value == math.inf:
                made[name] = _UINT32
            else:
                made[name] = _count(name, value, _UINT32 - 1)
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limits) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._values.items())))

    def __repr__(self) -> str:
        return f"Limits({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be above 0 and finite, not {value!r}")
    return float(value)


def _count(name: str, value: Any, maximum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not 0 < value <= maximum:
        raise ValueError(f"{name} must be from 1 to {maximum}, not {value}")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{name} must not contain NUL")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} is not valid Unicode: {error.reason}") from None
    return value


def _path(name: str, value: Any) -> bytes:
    """The bytes of a path. What Python has for bytes that are no text (os.fsdecode) is in order, other lone surrogates are not."""
    try:
        return os.fsencode(value)
    except UnicodeEncodeError:
        raise ValueError(f"{name}: {value!r} is no path") from None


def _host(name: str, value: Any) -> str:
    """A host in ASCII and lower case, without brackets."""
    host = _text(name, value).strip("[]")
    if not host:
        raise ValueError(f"{name}: a host name is missing")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError(f"{name}: {value!r} is no host name") from None
    return host.lower()


def _ip(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _port(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {value!r} is no port") from None
    if not 0 <= number <= 65535:
        raise ValueError(f"{name}: {value!r} is no port")
    return number


def _split_port(name: str, text: str) -> tuple[str, int]:
    """host, host:port, [v6]:port or a bare IPv6 address; port 0: none."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, _port(name, rest[1:]) if rest.startswith(":") else 0
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, _port(name, port) if port else 0
    return text, 0


def _local(value: Any) -> tuple[str | None, int, str | None]:
    """localAddress: (address or None, port, interface or None)."""
    name = "localAddress"
    if isinstance(value, (tuple, list)) and len(value) == 2:
        host, port = _text(name, value[0]), _port(name, value[1])
    else:
        host, port = _split_port(name, _text(name, value))
    if not host:  # Go's ":0"
        return None, 0, None
    if _ip(host):
        return host, port, None
    if port == 0 and ":" not in host:
        return None, 0, _interface(name, host)
    raise ValueError(f"{name}: {value!r} is neither an IP address, with or without a port, nor a network interface")


def _interface(name: str, value: Any) -> str:
    text = _text(name, value)
    try:
        socket.if_nametoindex(text)
    except OSError:
        raise ValueError(f"{name}: {text!r} is no IP address and no network interface of this machine") from None
    return text


_FAMILIES: dict[Any, int] = {
    4: 4,
    6: 6,
    "4": 4,
    "6": 6,
    "ipv4": 4,
    "ipv6": 6,
    socket.AF_INET: 4,
    socket.AF_INET6: 6,
}


def _family(options: dict[str, Any]) -> int:
    value = options.get("family")
    no4, no6 = bool(options.get("disableipv4")), bool(options.get("disableipv6"))
    if no4 and no6:
        raise ValueError("disableIPV4 and disableIPV6 together leave no address")
    if value is None:
        return 6 if no4 else 4 if no6 else 0
    key = value.lower() if isinstance(value, str) else value
    family = _FAMILIES.get(key) if isinstance(key, (int, str)) else None
    if family is None:
        raise ValueError(f"family must be 4 or 6, not {value!r}")
    if (family == 4 and no4) or (family == 6 and no6):
        raise ValueError(f"family={value!r} and disableIPV{family} contradict each other")
    return family


def _pins(value: Any) -> list[tuple[str, bytes]]:
    import binascii
    from base64 import b64decode

    name = "certificatePinningHosts"
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of hosts to lists of pins, not {type(value).__name__}")
    pins: list[tuple[str, bytes]] = []
    for key, texts in value.items():
        host = _host(name, key)
        listed = [texts] if isinstance(texts, (str, bytes)) else list(texts)
        if not listed:
            raise ValueError(f"{name}: no pin for {key!r}: nothing would be accepted")
        for text in listed:
            pin = text.decode("ascii", "replace") if isinstance(text, bytes) else text
            if not isinstance(pin, str):
                raise TypeError(f"{name}: a pin of {key!r} must be a str, not {type(text).__name__}")
            pin = pin[7:].lstrip("/") if pin.startswith("sha256/") else pin
            try:
                digest = b64decode(pin, validate=True)
            except (binascii.Error, ValueError):
                digest = b""
            if len(digest) != 32:
                raise ValueError(f"{name}: {text!r} of {key!r} is not the base64 of a SHA-256 digest")
            pins.append((host, digest))
    return pins


def _addresses(value: Any) -> list[tuple[str, int, str]]:
    name = "resolve"
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of 'host:port' to addresses, not {type(value).__name__}")
    made: list[tuple[str, int, str]] = []
    for key, listed in value.items():
        if isinstance(key, tuple) and len(key) == 2:
            host, port = key[0], _port(name, key[1])
        else:
            host, port = _split_port(name, _text(name, key))
        texts = [listed] if isinstance(listed, str) else list(listed)
        if not texts:
            raise ValueError(f"{name}: no address for {key!r}")
        for text in texts:
            address = str(text).strip("[]")
            if not _ip(address):
                raise ValueError(f"{name}: {text!r} of {key!r} is no IP address")
            made.append((_host(name, host), port, address))
    return made


def _keepalive(value: Any) -> tuple[int, int, int]:
    name = "tcp_keepalive"
    if value is None or value is False:
        return 0, 0, 0
    if value is True:
        return _KEEPALIVE, 0, 0
    parts = list(value) if isinstance(value, (tuple, list)) else [value]
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"{name} has idle seconds, seconds between probes and their number, not {value!r}")
    numbers = [_count(name, part, 32767) for part in parts]  # Linux's largest
    idle, interval, count = [*numbers, 0, 0][:3]
    if count > 127:
        raise ValueError(f"{name} allows 127 probes at most, not {count}")
    return idle, interval, count


class Certificate:
    """A client certificate as it was given, whose password nobody sees by accident."""

    __slots__ = ("parts",)

    def __init__(self, value: Any) -> None:
        self.parts = value

    def __repr__(self) -> str:
        return "Certificate(...)"


def _cert(value: Any) -> tuple[bytes, bytes | None, str | None] | None:
    value = value.parts if isinstance(value, Certificate) else value
    if value is None:
        return None
    parts = list(value) if isinstance(value, (tuple, list)) else [value]
    if not 1 <= len(parts) <= 3:
        raise ValueError("cert is a path, (cert, key) or (cert, key, password)")
    paths: list[bytes | None] = []
    for part in parts[:2]:
        if part is None and paths:
            paths.append(None)
            continue
        if not isinstance(part, (str, bytes, os.PathLike)):
            raise TypeError(f"cert must name files, not {type(part).__name__}")
        paths.append(_path("cert", part))
    password = parts[2] if len(parts) == 3 else None
    if isinstance(password, bytes):
        password = password.decode("utf-8")
    if password is not None and not isinstance(password, str):
        raise TypeError(f"the password of cert must be a str, not {type(password).__name__}")
    if password is not None:
        try:
            password.encode("utf-8")
        except UnicodeEncodeError as error:  # without the text, which is a secret
            raise ValueError(f"the password of cert is not valid Unicode: {error.reason}") from None
    first = paths[0]
    assert first is not None
    return first, paths[1] if len(paths) == 2 else None, password


# Go's http.Transport: the names that mean something here, and the limit that each sets. 0 is its "no limit" or default.
_GO_LIMITS = {
    "idleconntimeout": "idle_timeout",
    "maxidleconns": "max_idle",
    "maxidleconnsperhost": "max_idle_per_host",
    "maxconnsperhost": "max_per_host",
    "maxresponseheaderbytes": "max_header_bytes",
}


def transport_flags(value: Any) -> dict[str, Any]:
    """transportOptions with the names in lower case."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"transportOptions must be a mapping, not {type(value).__name__}")
    return {str(name).replace("_", "").lower(): item for name, item in value.items()}


def _limits(limits: Any, transport: Any) -> dict[str, int]:
    if isinstance(limits, Mapping):
        limits = Limits(**limits)
    elif limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits must be a Limits or a mapping, not {type(limits).__name__}")
    values: dict[str, Any] = {} if limits is None else dict(limits._values)
    for name, item in transport_flags(transport).items():
        target = _GO_LIMITS.get(name)
        if target is not None and item:
            if isinstance(item, bool) or not isinstance(item, (int, float)) or item < 0:
                raise ValueError(f"transportOptions: {name} must be a number from 0 on, not {item!r}")
            values[target] = item / 1e9 if target == "idle_timeout" else int(item)
        elif name == "disablekeepalives" and item:
            values["keep_alive"] = False
    return Limits(**values)._engine()


def build_transport(options: dict[str, Any], always: bool = False) -> _core.Transport | None:
    """The Transport of connection options, by key (see _keywords.CONNECTION). None: nothing is given, unless
    `always`.

    Raises TypeError and ValueError naming the option, TLSError for a client certificate that cannot be used.
    """
    given = {key: value for key, value in options.items() if value is not None and value != {} and value != ""}
    if not given and not always:
        return None
    local_ip, local_port, interface = None, 0, None
    if given.get("localaddress"):
        local_ip, local_port, interface = _local(given["localaddress"])
    if given.get("interface"):
        interface = _interface("interface", given["interface"])
    uds, keylog, dns_ttl = given.get("uds"), given.get("keylog"), given.get("dnsttl")
    server_name = given.get("servernameoverwrite")
    if dns_ttl is not None and (isinstance(dns_ttl, bool) or not isinstance(dns_ttl, (int, float)) or dns_ttl < 0):
        raise ValueError(f"dns_ttl must be a number of seconds from 0 on, not {dns_ttl!r}")
    return _core.Transport(
        family=_family(given),
        local_ip=local_ip,
        local_port=local_port,
        interface=interface,
        keepalive=_keepalive(given.get("tcpkeepalive")),
        unix_path=None if uds is None else _path("uds", uds),
        server_name=None if server_name is None else _host("serverNameOverwrite", server_name),
        pins=_pins(given.get("certificatepinninghosts", {})),
        addresses=_addresses(given.get("resolve", {})),
        dns_ttl_ns=0 if dns_ttl is None else max(1, min(int(dns_ttl * 1e9), 2**62)),
        deny_private=given.get("allowprivate", True) is False,
        keylog=None if keylog is None else _path("keylog", keylog),
        identity=_cert(given.get("cert")),
        limits=_limits(given.get("limits"), given.get("transportoptions")),
    )
