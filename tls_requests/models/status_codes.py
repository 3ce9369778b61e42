"""HTTP status codes with the library's reason texts."""

from __future__ import annotations

from enum import Enum

# Names that are not the reason in title case: code -> reason.
_REASONS = {200: "OK"}


class StatusCodes(int, Enum):
    """HTTP status codes; each member is its number and has a `reason`.

    The reasons are this library's own table (`"Not Found"`, `"Im A Teapot"`), never what a server sent.

    >>> StatusCodes(404).reason
    'Not Found'
    """

    reason: str

    def __new__(cls, value: int) -> StatusCodes:
        member = int.__new__(cls, value)
        member._value_ = value
        return member

    def __init__(self, value: int) -> None:
        self.reason = _REASONS.get(value) or self.name.replace("_", " ").title()

    def __str__(self) -> str:
        return str(int(self))

    def __format__(self, spec: str) -> str:
        return format(int(self), spec)

    @classmethod
    def get_reason(cls, value: int) -> str:
        """The reason text of a code; `"Unknown Error"` for one that is no member (also 0)."""
        member = cls._value2member_map_.get(value)
        return member.reason if isinstance(member, StatusCodes) else "Unknown Error"

    CONTINUE = 100
    SWITCHING_PROTOCOLS = 101
    PROCESSING = 102
    CHECKPOINT = 103
    URI_TOO_LONG = 122

    OK = 200
    CREATED = 201
    ACCEPTED = 202
    NON_AUTHORITATIVE_INFO = 203
    NO_CONTENT = 204
    RESET_CONTENT = 205
    PARTIAL_CONTENT = 206
    MULTI_STATUS = 207
    ALREADY_REPORTED = 208
    IM_USED = 226

    MULTIPLE_CHOICES = 300
    MOVED_PERMANENTLY = 301
    FOUND = 302
    SEE_OTHER = 303
    NOT_MODIFIED = 304
    USE_PROXY = 305
    SWITCH_PROXY = 306
    TEMPORARY_REDIRECT = 307
    PERMANENT_REDIRECT = 308

    BAD_REQUEST = 400
    UNAUTHORIZED = 401
    PAYMENT_REQUIRED = 402
    FORBIDDEN = 403
    NOT_FOUND = 404
    METHOD_NOT_ALLOWED = 405
    NOT_ACCEPTABLE = 406
    PROXY_AUTHENTICATION_REQUIRED = 407
    REQUEST_TIMEOUT = 408
    CONFLICT = 409
    GONE = 410
    LENGTH_REQUIRED = 411
    PRECONDITION_FAILED = 412
    REQUEST_ENTITY_TOO_LARGE = 413
    REQUEST_URI_TOO_LARGE = 414
    UNSUPPORTED_MEDIA_TYPE = 415
    REQUESTED_RANGE_NOT_SATISFIABLE = 416
    EXPECTATION_FAILED = 417
    IM_A_TEAPOT = 418
    MISDIRECTED_REQUEST = 421
    UNPROCESSABLE_ENTITY = 422
    LOCKED = 423
    FAILED_DEPENDENCY = 424
    UNORDERED_COLLECTION = 425
    UPGRADE_REQUIRED = 426
    PRECONDITION_REQUIRED = 428
    TOO_MANY_REQUESTS = 429
    HEADER_FIELDS_TOO_LARGE = 431
    NO_RESPONSE = 444
    RETRY_WITH = 449
    BLOCKED_BY_WINDOWS_PARENTAL_CONTROLS = 450
    UNAVAILABLE_FOR_LEGAL_REASONS = 451
    CLIENT_CLOSED_REQUEST = 499

    INTERNAL_SERVER_ERROR = 500
    NOT_IMPLEMENTED = 501
    BAD_GATEWAY = 502
    SERVICE_UNAVAILABLE = 503
    GATEWAY_TIMEOUT = 504
    HTTP_VERSION_NOT_SUPPORTED = 505
    VARIANT_ALSO_NEGOTIATES = 506
    INSUFFICIENT_STORAGE = 507
    BANDWIDTH_LIMIT_EXCEEDED = 509
    NOT_EXTENDED = 510
    NETWORK_AUTHENTICATION_REQUIRED = 511
