"""Languages and platforms of a profile: what the browsers themselves were seen to write, and which profiles stand for which."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from tls_requests import Profile, profiles
from tls_requests._fingerprint.locales import accept_language, languages_of
from tls_requests._fingerprint.platforms import PLATFORMS
from tls_requests.exceptions import ProfileError

CHROMIUM = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"

# Chromium 156.0.8078.108 on Debian, started with intl.accept_languages and intl.selected_languages in its Preferences file: what it sent
# to a server on loopback.
CHROMIUM_SENT = [
    ("en-US,en", "en-US,en;q=0.9"),
    ("en-US", "en-US,en;q=0.9"),
    ("en,", "en"),
    ("de-DE,", "de-DE,de;q=0.9"),
    ("de,", "de"),
    ("de-DE,de,en-US,en", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("de-DE,de,en", "de-DE,de;q=0.9,en;q=0.8"),
    ("de-DE,en", "de-DE,de;q=0.9,en;q=0.8"),
    ("de-DE,en-US", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("de-DE,fr-FR,de-CH,en-US", "de-DE,de;q=0.9,fr-FR;q=0.8,fr;q=0.7,de-CH;q=0.6,en-US;q=0.5,en;q=0.4"),
    ("de-AT,de-DE", "de-AT,de-DE;q=0.9,de;q=0.8"),
    ("en-GB,en-US", "en-GB,en-US;q=0.9,en;q=0.8"),
    ("fr,fr-CH", "fr,fr-CH;q=0.9"),
    ("zh-Hans-CN,zh-TW", "zh-Hans-CN,zh-TW;q=0.9,zh;q=0.8"),
    ("zh-TW,zh,en-US,en", "zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("sr-Latn-RS,en", "sr-Latn-RS,sr;q=0.9,en;q=0.8"),
    ("pt-BR,pt-PT,es-419", "pt-BR,pt-PT;q=0.9,pt;q=0.8,es-419;q=0.7,es;q=0.6"),
    ("de-DE,en,de,fr", "de-DE,de;q=0.9,en;q=0.8,fr;q=0.7"),
    ("en-US,en-US,en", "en-US,en;q=0.9"),
    (
        "de-DE,de,en-US,en,fr,it,es,pt,nl,sv,da,fi,nb",
        "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7,fr;q=0.6,it;q=0.5,es;q=0.4,pt;q=0.3,nl;q=0.2,sv;q=0.1",
    ),
    (
        "de,en,fr,it,es,nl,pt,sv,da,fi,nb",
        "de,en;q=0.9,fr;q=0.8,it;q=0.7,es;q=0.6,nl;q=0.5,pt;q=0.4,sv;q=0.3,da;q=0.2,fi;q=0.1",
    ),
    ("de,de,de,de,de,de,de,de,de,de,fr", "de"),
    (
        "de-DE,fr-FR,it-IT,es-ES,pt-PT,nl-NL",
        "de-DE,de;q=0.9,fr-FR;q=0.8,fr;q=0.7,it-IT;q=0.6,it;q=0.5,es-ES;q=0.4,es;q=0.3,pt-PT;q=0.2,pt;q=0.1,nl-NL;q=0.1,nl;q=0.1",
    ),
    (
        "pt-BR,en,pt-BR,pt,sv,da,fi,nb,pl,ru,it,es-419",
        "pt-BR,pt;q=0.9,en;q=0.8,sv;q=0.7,da;q=0.6,fi;q=0.5,nb;q=0.4,pl;q=0.3,ru;q=0.2",
    ),
    # Started with --lang and its translation, and no preferences.
    ("de", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("fr", "fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("vi", "vi-VN,vi;q=0.9,fr-FR;q=0.8,fr;q=0.7,en-US;q=0.6,en;q=0.5"),
    ("bg", "bg-BG,bg;q=0.9"),
]
# Firefox 153.8.0esr on Debian, started with intl.accept_languages in user.js.
FIREFOX_SENT = [
    ("en-US,en", "en-US,en;q=0.9"),
    ("en-US,", "en-US"),
    ("en,", "en"),
    ("de-DE,", "de-DE"),
    ("de-DE,de,en-US,en", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("de-DE,de,en", "de-DE,de;q=0.9,en;q=0.8"),
    ("de-DE,en", "de-DE,en;q=0.9"),
    ("de-DE,fr-FR,de-CH,en-US", "de-DE,fr-FR;q=0.9,de-CH;q=0.8,en-US;q=0.7"),
    ("fr,fr-CH", "fr,fr-CH;q=0.9"),
    ("pt-BR,pt-PT,es-419", "pt-BR,pt-PT;q=0.9,es-419;q=0.8"),
    ("en-US,en-US,en", "en-US,en-US;q=0.9,en;q=0.8"),
    ("DE-de,EN", "de-DE,en;q=0.9"),
    (
        "de,en,fr,it,es,nl,pt,sv,da,fi,nb,pl",
        "de,en;q=0.9,fr;q=0.8,it;q=0.7,es;q=0.6,nl;q=0.5,pt;q=0.4,sv;q=0.3,da;q=0.2,fi;q=0.1,nb;q=0.1,pl;q=0.1",
    ),
    # Started with its language pack as the language of its windows, and no preferences.
    ("de", "de,en-US;q=0.9,en;q=0.8"),
    ("fr", "fr,fr-FR;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("es-ES", "es-ES,es;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("zh-CN", "zh-CN,zh;q=0.9,zh-TW;q=0.8,zh-HK;q=0.7,en-US;q=0.6,en;q=0.5"),
    ("en-GB", "en-GB,en;q=0.9"),
    ("ru", "ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("cs", "cs,sk;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("he", "he,he-IL;q=0.9,en-US;q=0.8,en;q=0.7"),
]
# Firefox before 147: weights by the length of the list. The first is in the captures of 133 and 144, the others are those of its
# translations.
OLD_FIREFOX_SENT = [
    ("en-US", "en-US,en;q=0.5"),
    ("de", "de,en-US;q=0.7,en;q=0.3"),
    ("fr", "fr,fr-FR;q=0.8,en-US;q=0.5,en;q=0.3"),
    ("zh-CN", "zh-CN,zh;q=0.8,zh-TW;q=0.7,zh-HK;q=0.5,en-US;q=0.3,en;q=0.2"),
]


def of(locale: str) -> str | tuple[str, ...]:
    """A list of one is written with a comma behind it."""
    return languages_of(locale.strip(",").split(",")) if "," in locale else languages_of(locale)


@pytest.mark.parametrize(("chosen", "sent"), CHROMIUM_SENT)
def test_chromium(chosen: str, sent: str) -> None:
    assert accept_language(CHROMIUM, "en-US,en;q=0.9", of(chosen)) == sent


@pytest.mark.parametrize(("chosen", "sent"), FIREFOX_SENT)
def test_firefox(chosen: str, sent: str) -> None:
    assert accept_language(FIREFOX, "en-US,en;q=0.9", of(chosen)) == sent


@pytest.mark.parametrize(("chosen", "sent"), OLD_FIREFOX_SENT)
def test_old_firefox(chosen: str, sent: str) -> None:
    assert accept_language(FIREFOX, "en-US,en;q=0.5", of(chosen)) == sent


def test_old_firefox_with_many_languages() -> None:
    """Two digits from ten on, without zeros at the end."""
    tags = "de,en,fr,it,es,nl,pt,sv,da,fi,nb,pl"
    expected = "de,en;q=0.92,fr;q=0.83,it;q=0.75,es;q=0.67,nl;q=0.58,pt;q=0.5,sv;q=0.42,da;q=0.33,fi;q=0.25,nb;q=0.17,pl;q=0.08"
    assert accept_language(FIREFOX, "en-US,en;q=0.5", languages_of(tags)) == expected


def header(profile: Profile, name: str) -> list[str]:
    """What both versions of HTTP have there."""
    value = profile.to_dict()
    frames = [frame for frame in value["http2"]["frames"] if frame["type"] == "HEADERS"]
    lists = [frames[-1]["headers"], value["http1"]["headers"]]
    return [text for pairs in lists for key, text in pairs if key.lower() == name]


def order(profile: Profile) -> list[str]:
    return [key for key, _ in profile._rows_object().h2_headers]


def network(profile: Profile) -> dict[str, Any]:
    """All that is no header."""
    return {key: text for key, text in profile.fields().items() if not key.startswith("header ")}


def test_a_language_that_no_table_has() -> None:
    assert (
        header(Profile.named("chrome_133").variant(locale="tlh"), "accept-language") == ["tlh,en-US;q=0.9,en;q=0.8"] * 2
    )
    assert header(Profile.named("safari_18_4").variant(locale="de-DE"), "accept-language") == ["de-DE,de;q=0.9"] * 2


def test_another_region_goes_first() -> None:
    assert header(Profile.named("chrome_133").variant(locale="de-AT"), "accept-language")[0].startswith(
        "de-AT,de;q=0.9,en-US"
    )
    assert (
        header(Profile.named("firefox_153").variant(locale="de-DE"), "accept-language")[0] == "de,en-US;q=0.9,en;q=0.8"
    )


def test_safari_before_15_5() -> None:
    assert header(Profile.named("safari_15_3").variant(locale=["de-DE", "en-US"]), "accept-language") == ["de-de"] * 2


@pytest.mark.parametrize("info", profiles(), ids=lambda info: info.name)
def test_every_profile_speaks_another_language(info: Any) -> None:
    profile = Profile.named(info.name)
    if not header(profile, "accept-language"):
        with pytest.raises(ProfileError, match="sends no accept-language"):
            profile.variant(locale="de")
        return
    german = profile.variant(locale="de-DE")
    assert header(german, "accept-language")[0].lower().startswith("de")
    assert order(german) == order(profile) and network(german) == network(profile)
    assert german.user_agent == profile.user_agent and german != profile


@pytest.mark.parametrize("info", profiles(), ids=lambda info: info.name)
def test_english_is_what_the_profile_has(info: Any) -> None:
    """The rules make of English what the captures have (Safari 15.5 was recorded on a British system, with two languages)."""
    profile = Profile.named(info.name)
    own = header(profile, "accept-language")
    if own and info.name != "safari_15_5":
        assert header(profile.variant(locale="en-US"), "accept-language") == own
    elif own:
        assert header(profile.variant(locale=["en-GB", "en-US"]), "accept-language") == own


# ------------------------------------------------------------------------------------------------------------- platforms

HINTS = {"windows": '"Windows"', "macos": '"macOS"', "linux": '"Linux"', "android": '"Android"'}
AGENTS = {
    ("chrome_133", "windows"): "(Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
    ("chrome_133", "macos"): "(Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
    ("chrome_133", "linux"): "(X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
    ("chrome_133", "android"): "(Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Mobile Safari/537.36",
    ("edge_131", "android"): "(Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36 EdgA/131.0.0.0",
    ("edge_131", "linux"): "(X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
    ("opera_135", "windows"): "(Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/151.0.0.0 Safari/537.36 OPR/135.0.0.0",
    ("firefox_153", "windows"): "(Windows NT 10.0; Win64; x64; rv:153.0) Gecko/20100101 Firefox/153.0",
    ("firefox_153", "macos"): "(Macintosh; Intel Mac OS X 10.15; rv:153.0) Gecko/20100101 Firefox/153.0",
    ("firefox_133", "linux"): "(X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
}  # fmt: skip


@pytest.mark.parametrize(("name", "platform"), AGENTS)
def test_the_same_browser_on_another_platform(name: str, platform: str) -> None:
    profile = Profile.named(name)
    moved = profile.variant(platform=platform.title())
    assert header(moved, "user-agent") == ["Mozilla/5.0 " + AGENTS[name, platform]] * 2
    assert moved.platform == platform and moved.version == profile.version and moved.family == profile.family
    assert network(moved) == network(profile) and order(moved) == order(profile)
    if header(profile, "sec-ch-ua"):
        assert header(moved, "sec-ch-ua") == header(profile, "sec-ch-ua")
        assert header(moved, "sec-ch-ua-platform") == [HINTS[platform]] * 2
        assert header(moved, "sec-ch-ua-mobile") == ["?1" if platform == "android" else "?0"] * 2
    changed = {item.field for item in moved.diff(name)}
    assert changed <= {"header user-agent", "header sec-ch-ua-platform", "header sec-ch-ua-mobile"}


def test_what_was_recorded_is_taken() -> None:
    """Where there is a profile of that browser there, it and no other."""
    for name, platform, other in (
        ("chrome_120", "linux", "chrome_120_linux"),
        ("chrome_99", "android", "chrome_99_android"),
        ("chrome_android_99", "windows", "chrome_99_windows"),
        ("safari_18_0", "ios", "safari_18_0_ios"),
        ("safari_18_0", "ipados", "safari_18_0_ipados"),
        ("safari_ios_26_0", "macos", "safari_26_0_1_macos"),
    ):
        assert Profile.named(name).variant(platform=platform) == Profile.named(other), name


def test_and_what_it_would_have_become_is_the_same() -> None:
    """The rules against the captures: Chrome 120 and 119 were recorded on two platforms, 154 was measured on two."""
    for one, other in (
        ("chrome_120_linux", "chrome_120_macos"),
        ("chrome_119_macos", "chrome_119_linux"),
        ("chrome_154_macos", "chrome_154_android"),
        ("chrome_154_android", "chrome_154_macos"),
    ):
        target = Profile.named(other)
        # A loaded copy is no built-in profile: the rules make it.
        copied = Profile.load(Profile.named(one).to_dict()).variant(platform=target.platform)
        assert copied.diff(target) == [], (one, other)


@pytest.mark.parametrize("info", profiles(), ids=lambda info: info.name)
def test_every_profile_on_every_platform(info: Any) -> None:
    """Either it is there, and says so everywhere, or the refusal names where it can be."""
    profile = Profile.named(info.name)
    there, refused = [], {}
    for platform in PLATFORMS:
        try:
            moved = profile.variant(platform=platform)
        except ProfileError as error:
            refused[platform] = str(error)
            continue
        there.append(platform)
        assert moved.platform == platform
        agent = moved.user_agent or ""
        if header(moved, "sec-ch-ua-platform"):
            assert header(moved, "sec-ch-ua-platform")[0] == HINTS[platform]
            assert ("Mobile" in agent) == (header(moved, "sec-ch-ua-mobile")[0] == "?1") == (platform == "android")
        assert moved.variant(platform=platform) == moved
    for platform, text in refused.items():
        assert text.startswith("platform: ") and platform in text
        assert text.endswith("it can be on " + (", ".join(there) or "no platform that is named")), text
    if profile.family in ("chrome", "edge", "opera", "brave"):
        assert {"windows", "macos", "linux"} <= set(there) and not {"ios", "ipados"} & set(there)
    if profile.family == "safari":
        assert not {"windows", "linux", "android"} & set(there)
    if profile.family in ("okhttp", "app"):
        assert there in ([profile.platform], [])


def test_both_at_once() -> None:
    moved = Profile.named("chrome_133").variant(platform="windows", locale=["fr-CH", "de-CH"])
    assert header(moved, "accept-language") == ["fr-CH,fr;q=0.9,de-CH;q=0.8,de;q=0.7"] * 2
    assert moved.platform == "windows" and moved.id == "chrome_133_windows"
    assert Profile.named("chrome_133").variant() == Profile.named("chrome_133")


def test_variants_are_profiles() -> None:
    """Equal ones are equal; they can be pickled, copied, saved and loaded."""
    one = Profile.named("chrome_133").variant(platform="windows", locale="de")
    assert one == Profile.named("chrome_133").variant(platform="WINDOWS", locale="DE") and hash(one) == hash(
        copy.copy(one)
    )
    assert pickle.loads(pickle.dumps(one)) == one
    assert Profile.load(json.loads(json.dumps(one.to_dict()))) == one
    german = Profile.named("chrome_133").variant(locale="de")
    assert german.id == "chrome_133_macos" and pickle.loads(pickle.dumps(german)) == german != Profile.named(
        "chrome_133"
    )


@pytest.mark.parametrize(
    "locale",
    ["", " ", "de_DE", "de-", "-de", "x", "de;q=0.5", "de,,en", "d\u00e9", "de\r\nx: y", "de\0", "a" * 100, "de " * 3, [], [""], ["de", "1"], ("de",) * 40],
)  # fmt: skip
def test_what_is_no_language(locale: Any) -> None:
    with pytest.raises(ValueError, match="^locale"):
        Profile.named("chrome_133").variant(locale=locale)


@pytest.mark.parametrize("locale", [5, b"de", True, ["de", 5], [b"de"], {1: 2}, object()])
def test_what_is_no_text(locale: Any) -> None:
    with pytest.raises(TypeError, match="^locale"):
        Profile.named("chrome_133").variant(locale=locale)


@pytest.mark.parametrize(("platform", "error"), [("beos", ValueError), ("", ValueError), (5, TypeError), (b"linux", TypeError), (["linux"], TypeError)])  # fmt: skip
def test_what_is_no_platform(platform: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="^platform must be"):
        Profile.named("chrome_133").variant(platform=platform)


@pytest.mark.parametrize(
    "tag",
    [
        "de",
        "DE-de",
        "zh-hant-hk",
        "es-419",
        "sl-rozaj-biske",
        "de-CH-1901",
        "en-a-bbb-x-a",
        "sr-Latn-RS",
        "haw",
        "zh-yue-HK",
    ],
)
def test_languages_that_are(tag: str) -> None:
    parsed = languages_of(tag)
    assert isinstance(parsed, str) and parsed.lower() == tag.lower()
    assert languages_of([tag, "en"]) == (parsed, "en") == languages_of(f"{tag.lower()} , EN")
