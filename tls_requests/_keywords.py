"""Names of the further keywords that clients, module functions and requests take, and where each is obeyed.

One table for all who must know a name: what is accepted, what is passed on, what an unknown name is near to. Names are
compared without case and underscores (`local_address`, `localAddress` and `LOCALADDRESS` are one).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ACCEPTED", "ALIASES", "CONNECTION", "HANDLED", "KNOWN", "REQUEST", "option_key"]


def option_key(name: str) -> str:
    """The form in which names are compared."""
    return name.replace("_", "").lower()


# Settings of a client under another name: key -> (attribute, conversion). What the call itself says wins.
ALIASES: dict[str, tuple[str, Any]] = {
    "timeoutseconds": ("timeout", lambda value: value),
    "timeoutmilliseconds": ("timeout", lambda value: value / 1000),
    "insecureskipverify": ("verify", lambda value: not value),
    "forcehttp1": ("http2", lambda value: False if value else "auto"),
    "withprotocolracing": ("protocol_racing", bool),
    "tlsclientidentifier": ("client_identifier", lambda value: value),
    "proxyurl": ("proxy", lambda value: value or None),
    "withdebug": ("debug", bool),
    "tlsdebug": ("debug", bool),
    "withallowhttp": ("allow_http", bool),
    "streamid": ("stream_id", lambda value: value),
    "ca": ("verify", lambda value: value),
}

# What changes a connection: part of the pool's key. key -> the name that is documented.
CONNECTION: dict[str, str] = {
    "allowprivate": "allow_private",
    "cert": "cert",
    "certificatepinninghosts": "certificatePinningHosts",
    "disableipv4": "disableIPV4",
    "disableipv6": "disableIPV6",
    "dnsttl": "dns_ttl",
    "family": "family",
    "interface": "interface",
    "keylog": "keylog",
    "limits": "limits",
    "localaddress": "localAddress",
    "resolve": "resolve",
    "servernameoverwrite": "serverNameOverwrite",
    "tcpkeepalive": "tcp_keepalive",
    "transportoptions": "transportOptions",
    "uds": "uds",
}

# What a single request obeys besides.
REQUEST: dict[str, str] = {
    "credentials": "credentials",
    "origin": "origin",
    "page": "page",
    "referrer": "referrer",
    "clienthints": "client_hints",
    "connectheaders": "connectHeaders",
    "defaultheaders": "defaultHeaders",
    "earlydata": "early_data",
    "euckrresponse": "euckrResponse",
    "headerorder": "headerOrder",
    "isrotatingproxy": "isRotatingProxy",
    "locale": "locale",
    "noproxy": "no_proxy",
    "platform": "platform",
    "proxykey": "proxy_key",
    "proxyretries": "proxy_retries",
    "requesthostoverride": "requestHostOverride",
    "retries": "retries",
    "streamoutputblocksize": "streamOutputBlockSize",
    "streamoutputeofsymbol": "streamOutputEOFSymbol",
    "streamoutputpath": "streamOutputPath",
    "withoutcookiejar": "withoutCookieJar",
}

# Accepted for compatibility; there is nothing to obey.
ACCEPTED: dict[str, str] = {
    "catchpanics": "catchPanics",
    "disablehttp3": "disableHttp3",
    "followredirects": "followRedirects",
    "headers": "headers",
    "isbyterequest": "isByteRequest",
    "isbyteresponse": "isByteResponse",
    "requestbody": "requestBody",
    "requestcookies": "requestCookies",
    "requestmethod": "requestMethod",
    "requesturl": "requestUrl",
    "streamid": "streamID",
    "withcustomcookiejar": "withCustomCookieJar",
    "withdefaultcookiejar": "withDefaultCookieJar",
    "withrandomtlsextensionorder": "withRandomTLSExtensionOrder",
}

# Obeyed elsewhere in the package.
HANDLED: dict[str, str] = {
    "customtlsclient": "customTlsClient",
    "sessionid": "session_id",
    "tlsidentifier": "tls_identifier",
}

# Arguments that the signatures name themselves.
ARGUMENTS: tuple[str, ...] = (
    "allow_http",
    "auth",
    "client_identifier",
    "content",
    "cookies",
    "data",
    "debug",
    "encoding",
    "files",
    "follow_redirects",
    "headers",
    "hooks",
    "http2",
    "json",
    "max_redirects",
    "params",
    "protocol_racing",
    "proxy",
    "raise_on_error",
    "stream_id",
    "timeout",
    "verify",
)

# Every known name by its key.
KNOWN: dict[str, str] = {
    **{option_key(name): name for name in ARGUMENTS},
    **{
        "timeoutseconds": "timeoutSeconds",
        "timeoutmilliseconds": "timeoutMilliseconds",
        "insecureskipverify": "insecureSkipVerify",
        "forcehttp1": "forceHttp1",
        "withprotocolracing": "withProtocolRacing",
        "tlsclientidentifier": "tlsClientIdentifier",
        "proxyurl": "proxyUrl",
        "withdebug": "withDebug",
        "tlsdebug": "tls_debug",
        "withallowhttp": "withAllowHTTP",
        "ca": "ca",
    },
    **ACCEPTED,
    **HANDLED,
    **CONNECTION,
    **REQUEST,
}
