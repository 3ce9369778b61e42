"""Headers: an ordered, case-normalising mapping with several values a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .._base import REMOVED
from ..exceptions import HeaderError
from ..utils import to_str

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values

    from ..types import FieldValueTypes, HeaderTypes

__all__ = ["HeaderAlias", "Headers"]

_D = TypeVar("_D")
_F = TypeVar("_F", bound="FieldValueTypes")

_SECRET = frozenset({"authorization", "proxy-authorization"})


class HeaderAlias(str, Enum):
    """How names are normalised: `lower`, `capitalize` (each part between hyphens) or `*` (as given, case-sensitive)."""

    LOWER = "lower"
    CAPITALIZE = "capitalize"
    ALL = "*"

    @classmethod
    def contains(cls, key: object) -> bool:
        """Whether the text is one of the three values."""
        return any(key == member.value for member in cls)


class FieldList(list[str]):
    """Values of a name that was given several times, as pairs: each is sent as a field of its own."""


class Headers(MutableMapping[str, str]):
    """Header fields in order. Values given as lists are kept apart and read joined with `,`.

    A value of None reads as an empty text; in headers to send it means that the browser's header of that name is left out.

    headers: None, a mapping, another Headers, or a list, tuple or set of pairs.
    alias: see HeaderAlias; anything unknown means `lower`.
    Raises HeaderError for other types and for values that are dictionaries.

    >>> Headers({"Content-Type": "text/html"})["content-type"]
    'text/html'
    """

    def __init__(self, headers: HeaderTypes = None, *, alias: str = "lower") -> None:
        self.alias: str = alias if HeaderAlias.contains(alias) else "lower"
        self._items: list[tuple[str, list[str]]] = []
        for key, values in self._pairs(headers):
            self._append(key, values)

    # ------------------------------------------------------------------------------------------------ normalisation

    def _key(self, key: Any) -> str:
        if isinstance(key, bytes):
            text = key.decode("ascii")
        else:
            text = "" if key is None else str(key)
        if self.alias == "lower":
            return text.lower()
        if self.alias == "capitalize":
            return "-".join(part.capitalize() for part in text.split("-"))
        return text

    @staticmethod
    def _values(value: Any) -> list[str]:
        if isinstance(value, Mapping):
            raise HeaderError("Header value cannot be a dictionary.")
        if isinstance(value, (list, tuple, set)):
            if any(isinstance(item, Mapping) for item in value):
                raise HeaderError("Header value items cannot be a dictionary.")
            return [to_str(item) for item in value]
        return [REMOVED if value is None else to_str(value)]

    def _pairs(self, headers: Any) -> list[tuple[str, list[str]]]:
        if headers is None:
            return []
        if isinstance(headers, Headers):
            return [(self._key(key), type(values)(values)) for key, values in headers._items]
        if isinstance(headers, Mapping):
            return [(self._key(key), self._values(value)) for key, value in headers.items()]
        if not isinstance(headers, (list, tuple, set)):
            raise HeaderError("Invalid headers format")
        pairs = []
        for item in headers:
            try:
                key, value, *_ = item
            except (TypeError, ValueError):
                raise HeaderError("Invalid headers format") from None
            pairs.append((self._key(key), self._values(value)))
        return pairs

    def _append(self, key: str, values: list[str]) -> None:
        for index, (known, texts) in enumerate(self._items):
            if known == key:
                self._items[index] = (known, FieldList([*texts, *values]))
                return
        self._items.append((key, values))

    def _find(self, key: Any) -> int:
        try:
            wanted = self._key(key)
        except UnicodeDecodeError:
            return -1
        for index, (known, _) in enumerate(self._items):
            if known == wanted:
                return index
        return -1

    # -------------------------------------------------------------------------------------------------------- mapping

    def __getitem__(self, key: str) -> str:
        index = self._find(key)
        if index < 0:
            raise KeyError(key)
        return ",".join(self._items[index][1])

    def __setitem__(self, key: str, value: FieldValueTypes) -> None:
        values = self._values(value)
        index = self._find(key)
        if index < 0:
            self._items.append((self._key(key), values))
        else:
            self._items[index] = (self._items[index][0], values)

    def __delitem__(self, key: str) -> None:
        index = self._find(key)
        if index >= 0:
            del self._items[index]

    def __contains__(self, key: object) -> bool:
        return self._find(key) >= 0

    def __iter__(self) -> Iterator[str]:
        return iter([key for key, _ in self._items])

    def __len__(self) -> int:
        return len(self._items)

    def _snapshot(self) -> dict[str, str]:
        return {key: ",".join(values) for key, values in self._items}

    @overload
    def get(self, key: str, default: None = None) -> str | None: ...
    @overload
    def get(self, key: str, default: _D) -> str | _D: ...
    def get(self, key: str, default: object = None) -> object:
        """The joined values of a name, or the default."""
        index = self._find(key)
        return default if index < 0 else ",".join(self._items[index][1])

    def get_list(self, key: str) -> list[str]:
        """The values of a name, one by one; empty when there is none."""
        index = self._find(key)
        return [] if index < 0 else list(self._items[index][1])

    def items(self) -> dict_items[str, str]:
        """Names and joined values, of this moment."""
        return self._snapshot().items()

    def keys(self) -> dict_keys[str, str]:
        """Names, of this moment."""
        return self._snapshot().keys()

    def values(self) -> dict_values[str, str]:
        """Joined values, of this moment."""
        return self._snapshot().values()

    def popitem(self) -> tuple[str, str]:
        """Remove and return the first entry. Raises KeyError when empty."""
        if not self._items:
            raise KeyError
        key, values = self._items.pop(0)
        return key, ",".join(values)

    @overload
    def setdefault(self, key: str, default: None = None) -> str | None: ...
    @overload
    def setdefault(self, key: str, default: _F) -> str | _F: ...
    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a name; when it is missing, insert the default and return it as it was given."""
        index = self._find(key)
        if index >= 0:
            return ",".join(self._items[index][1])
        self[key] = default
        return default

    def update(self, headers: HeaderTypes) -> None:  # type: ignore[override]  # no keyword form, as in the original
        """Take over header fields; a name that is there already moves to the end with its new value."""
        pairs = self._pairs(headers)
        names = {key for key, _ in pairs}
        self._items = [item for item in self._items if item[0] not in names]
        for key, values in pairs:
            self._append(key, values)

    def copy(self) -> Headers:
        """An independent copy with the same alias."""
        return type(self)(self, alias=self.alias)

    __copy__ = copy

    def multi_items(self) -> list[tuple[str, str]]:
        """Every value as a pair of its own, in order."""
        return [(key, value) for key, values in self._items for value in values]

    # ------------------------------------------------------------------------------------------------------ comparing

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Mapping, list, tuple, set)):
            return False
        try:
            theirs = Headers(other, alias=self.alias)._items
        except (HeaderError, TypeError):
            return False
        return dict(self._items) == dict(theirs)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = {key: "[secure]" if key.lower() in _SECRET else value for key, value in self._snapshot().items()}
        return f"<{type(self).__name__}: {shown!r}>"

    __str__ = __repr__
