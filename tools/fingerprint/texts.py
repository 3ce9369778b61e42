"""JA3, JA4 and Akamai texts: tls_requests/_fingerprint/texts.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tls_requests._fingerprint.texts import (
        PSEUDO_LETTERS as PSEUDO_LETTERS,
    )
    from tls_requests._fingerprint.texts import (
        akamai_text as akamai_text,
    )
    from tls_requests._fingerprint.texts import (
        fingerprints as fingerprints,
    )
    from tls_requests._fingerprint.texts import (
        ja3_text as ja3_text,
    )
    from tls_requests._fingerprint.texts import (
        ja4_parts as ja4_parts,
    )
    from tls_requests._fingerprint.texts import (
        ja4_texts as ja4_texts,
    )
else:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from package_part import load

    sys.path.pop(0)
    _module = load("texts")
    for _name in (
        "PSEUDO_LETTERS",
        "akamai_text",
        "fingerprints",
        "ja3_text",
        "ja4_parts",
        "ja4_texts",
    ):
        globals()[_name] = getattr(_module, _name)

__all__ = [
    "PSEUDO_LETTERS",
    "akamai_text",
    "fingerprints",
    "ja3_text",
    "ja4_parts",
    "ja4_texts",
]
