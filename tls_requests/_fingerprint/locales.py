"""Languages that a user prefers, and the accept-language header that each family of browsers makes of them.

What is written here was read from the browsers themselves: Chromium 156 and Firefox 153 with their settings of preferred languages (the
rows that were seen are in tests/profile/test_locales.py), Chromium's default lists from the resources of its translations (`*.pak`, the
entry that is "en-US,en" in English), Firefox's by starting it with each of its language packs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# More than any browser's settings take; a header of some hundred bytes.
MAX_LANGUAGES = 32
# RFC 5646 2.1 `langtag`: language, extended language, script, region, variants, extensions, private use. No grandfathered tags: browsers'
# settings have none.
_TAG = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})"
    r"(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"
    r"(?:-[0-9a-wy-z](?:-[a-z0-9]{2,8})+)*"
    r"(?:-x(?:-[a-z0-9]{1,8})+)?",
    re.ASCII | re.IGNORECASE,
)
_MAX_TAG = 64

# What a browser in that language prefers before anybody changed its settings, where that is not the language (with its region, as it
# stands first) and then English. Translations of Chromium 156 whose list is that of English are left out.
_CHROMIUM = """
am,en-GB,en | ar,en-US,en | bg-BG,bg | bn-IN,bn,en-US,en | ca-ES,ca | cs-CZ,cs | da-DK,da,en-US,en | de-DE,de,en-US,en | el-GR,el
en-US,en | en-GB,en-US,en | es-ES,es | es-419,es | et-EE,et,en-US,en | fa,en-US,en | fi-FI,fi,en-US,en | fil,fil-PH,tl,en-US,en
fr-FR,fr,en-US,en | gu-IN,gu,hi-IN,hi,en-US,en | he-IL,he,en-US,en | hi-IN,hi,en-US,en | hr-HR,hr,en-US,en | hu-HU,hu,en-US,en
id-ID,id,en-US,en | it-IT,it,en-US,en | ja,en-US,en | kn-IN,kn,en-US,en | ko-KR,ko,en-US,en | lt,en-US,en,ru,pl | lv-LV,lv,en-US,en
ml-IN,ml,en-US,en | mr-IN,mr,hi-IN,hi,en-US,en | nb-NO,nb,no,nn,en-US,en | nl-NL,nl,en-US,en | pl-PL,pl,en-US,en
pt-BR,pt,en-US,en | pt-PT,pt,en-US,en | ro-RO,ro,en-US,en | ru-RU,ru,en-US,en | sk-SK,sk,cs,en-US,en | sl-SI,sl,en-GB,en
sr-RS,sr,en-US,en | sv-SE,sv,en-US,en | sw,en-GB,en | ta-IN,ta,en-US,en | te-IN,te,hi-IN,hi,en-US,en | th-TH,th | tr-TR,tr,en-US,en
uk-UA,uk,en-US,en | vi-VN,vi,fr-FR,fr,en-US,en | zh-CN,zh | zh-TW,zh,en-US,en
"""
_FIREFOX = """
en-US,en | es-ES,es,en-US,en | pt-BR,pt,en-US,en | ar,en-US,en | bg,en-US,en | ca,en-US,en | cs,sk,en-US,en | da,en-US,en | de,en-US,en
el=el-GR,el,en-US,en | en-CA,en-US,en | en-GB,en | es-AR,es,en-US,en | es-MX,es,en-US,en | et,et-EE,en-US,en | eu,en-US,en
fa=fa-IR,fa,en-US,en | fi=fi-FI,fi,en-US,en | fr,fr-FR,en-US,en | gl=gl-ES,gl,en-US,en | he,he-IL,en-US,en | hi-IN,hi,en-US,en
hr,hr-HR,en-US,en | hu=hu-HU,hu,en-US,en | id,en-US,en | it=it-IT,it,en-US,en | ja,en-US,en | ko=ko-KR,ko,en-US,en | lt,en-US,en,ru,pl
lv,en-US,en | nb-NO,nb,no-NO,no,nn-NO,nn,en-US,en | nl,en-US,en | nn-NO,nn,no-NO,no,nb-NO,nb,en-US,en | pl,en-US,en | pt-PT,pt,en-US,en
ro=ro-RO,ro-GB,en | ru=ru-RU,ru,en-US,en | sk,cs,en-US,en | sl,en-GB,en | sv-SE,sv,en-US,en | th,en-US,en | tr=tr-TR,tr,en-US,en
uk=uk-UA,uk,en-US,en | vi=vi-VN,vi,en-US,en | zh-CN,zh,zh-TW,zh-HK,en-US,en | zh-TW,zh,en-US,en
"""


def _table(text: str) -> dict[str, list[str]]:
    """Lists by their translation (`name=`, where it is not the first tag), their first tag, and their language: the first list of it."""
    table: dict[str, list[str]] = {}
    for part in filter(None, map(str.strip, text.replace("\n", "|").split("|"))):
        name, _, listed = part.rpartition("=")
        languages = listed.split(",")
        for tag in (name or languages[0], languages[0], base(languages[0])):
            table.setdefault(tag, languages)
    return table


def base(tag: str) -> str:
    """The language of a tag, without script, region and the rest."""
    return tag.partition("-")[0]


def _canonical(tag: str) -> str:
    """RFC 5646 2.1.1: languages in lower case, scripts in title case, regions in upper case. Raises ValueError."""
    found = _TAG.fullmatch(tag) if len(tag) <= _MAX_TAG else None
    if found is None:
        raise ValueError(f"locale: {tag[:_MAX_TAG]!r} is no language tag (BCP 47), such as 'de' or 'de-DE'")
    text = list(tag.lower())
    for name, change in (("script", str.title), ("region", str.upper)):
        start, end = found.span(name)
        if start >= 0:
            text[start:end] = change("".join(text[start:end]))
    return "".join(text)


def languages_of(locale: str | Iterable[str]) -> str | tuple[str, ...]:
    """A `locale` in the usual spelling: text for one language, whose browser's own list is meant; else the list itself.

    Raises TypeError, ValueError.
    """
    if isinstance(locale, str):
        if "," not in locale and ";" not in locale:
            return _canonical(locale.strip())
        parts = [part.strip() for part in locale.split(",")]
    elif isinstance(locale, (bytes, bytearray)) or not isinstance(locale, Iterable):
        raise TypeError(f"locale must be a str or a sequence of str, not {type(locale).__name__}")
    else:
        parts = []
        for part in locale:
            if not isinstance(part, str):
                raise TypeError(f"locale: each language must be a str, not {type(part).__name__}")
            parts.append(part.strip())
            if len(parts) > MAX_LANGUAGES:
                raise ValueError(f"locale has more than {MAX_LANGUAGES} languages")
    if not parts or len(parts) > MAX_LANGUAGES:
        raise ValueError("locale has no language" if not parts else f"locale has more than {MAX_LANGUAGES} languages")
    if any(";" in part for part in parts):
        raise ValueError("locale takes languages alone: their weights (;q=) are the browser's")
    return tuple(map(_canonical, parts))


# ------------------------------------------------------------------------------------------------------ what is preferred


def _defaults(tag: str, table: dict[str, list[str]]) -> list[str]:
    """The list of a browser in that language. A region that is not the translation's own (de-AT of de) goes first."""
    found = table.get(tag) or table.get(base(tag))
    own = _table(_CHROMIUM).get(base(tag), [""])[0]
    if found is None:
        english = [] if base(tag) == "en" else ["en-US", "en"]
        return list(dict.fromkeys([tag, base(tag), *english]))
    if tag in table or tag in (base(tag), own):
        return found
    rest = [other for other in found if other != tag and not (base(other) == base(tag) and "-" in other)]
    return [tag, *rest] if base(tag) in rest else [tag, base(tag), *rest]


def _expanded(languages: Sequence[str]) -> list[str]:
    """Chromium's list: each once, and a language behind the last of a row of its tags, where it has not been named before."""
    out: list[str] = []
    for at, tag in enumerate(languages):
        if tag not in out:
            out.append(tag)
        following = base(languages[at + 1]) if at + 1 < len(languages) else ""
        if base(tag) not in out and base(tag) != following:
            out.append(base(tag))
    return out


# ----------------------------------------------------------------------------------------------------------- how it is written


def _preferred(locale: str | Sequence[str], table: dict[str, list[str]]) -> Sequence[str]:
    return _defaults(locale, table) if isinstance(locale, str) else locale


def _by_tenths(languages: Sequence[str]) -> str:
    """Weights from 1 down by 0.1; never below 0.1."""
    return ",".join(tag if at == 0 else f"{tag};q=0.{max(10 - at, 1)}" for at, tag in enumerate(languages))


def _by_share(languages: Sequence[str]) -> str:
    """Weights in equal steps over the list; two digits from ten languages on, where the second is not zero."""
    out = []
    for at, tag in enumerate(languages):
        hundredths = int((1 - at / len(languages) + 0.005) * 100)
        if hundredths >= 100:
            out.append(tag)
        elif len(languages) < 10 or hundredths % 10 == 0:
            out.append(f"{tag};q=0.{(hundredths + 5) // 10}")
        else:
            out.append(f"{tag};q=0.{hundredths:02}")
    return ",".join(out)


def _chromium(locale: str | Sequence[str]) -> str:
    """The first ten, bases added."""
    return _by_tenths(_expanded(_preferred(locale, _table(_CHROMIUM))[:10]))


def _firefox(locale: str | Sequence[str], tenths: bool) -> str:
    """Exactly what was chosen. tenths: from 147 on; before, the weights are shares of the list's length."""
    languages = _preferred(locale, _table(_FIREFOX))
    return _by_tenths(languages) if tenths else _by_share(languages)


def _safari(locale: str | Sequence[str], bare: bool) -> str:
    """The system's languages, bases added. bare: before 15.5 the first alone, in lower case."""
    languages = (locale,) if isinstance(locale, str) else locale
    return languages[0].lower() if bare else _by_tenths(_expanded(languages))


def accept_language(user_agent: str | None, own: str | None, locale: str | Sequence[str]) -> str | None:
    """The header for a locale of `languages_of` of the browser with that User-Agent, whose profile has `own` there; None: of no
    known family.

    The profile's own header shows its version's rule: Firefox wrote `en-US,en;q=0.5` before it wrote `en-US,en;q=0.9`.
    """
    agent = user_agent or ""
    if own is None:
        return None
    if "Chrome/" in agent or "Chromium/" in agent:
        return _chromium(locale)
    if "Firefox/" in agent:
        return _firefox(locale, tenths=";q=0.5" not in own)
    if "Safari/" in agent:
        return _safari(locale, bare="," not in own)
    return None
