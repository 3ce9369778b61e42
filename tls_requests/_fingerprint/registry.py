"""Numbers and names that profiles are written with (IANA, RFC 8701), and the limits of the engine."""

from __future__ import annotations

GREASE = "GREASE"
GREASE_VALUE = 0x0A0A
MAX_EXTENSIONS = 64  # tr_hello_t.order
MAX_SHARES = 4  # TR_HELLO_MAX_SHARES
MAX_VALUES = 256  # of a list of numbers; the longest of a browser has 18
MAX_HEADERS = 64  # ENTRIES_MAX of src/client/compose.c; browsers send 10 to 25
MAX_TEXT = 8192  # characters of a header value or another text; servers take 8 KiB a field line
MAX_SETTINGS = 64  # SETTINGS_MAX of src/http2/h2.c
MAX_PRIORITY_FRAMES = 32  # old Firefox sends six
MAX_SHARE = 8192  # bytes of a key share that is only sent: half a TLS record; ML-KEM-1024 has 1568
MAX_HELLO = 16000  # bytes of all extensions: a ClientHello is one TLS record of at most 16384 bytes
MAX_WINDOW = 0x7FFFFFFF  # RFC 9113 6.9.1
TLS13 = 772

# fmt: off
# IANA TLS ExtensionType values that are treated one by one.
(SERVER_NAME, STATUS_REQUEST, GROUPS, POINT_FORMATS, SIGNATURES, ALPN, PADDING, COMPRESS, RECORD_LIMIT, DELEGATED,
 TICKET, PSK, EARLY_DATA, VERSIONS, COOKIE, PSK_MODES, SIGNATURES_CERT, KEY_SHARE, ALPS_OLD, ALPS, TRUST_ANCHORS,
 ECH, RENEGOTIATION) = (0, 5, 10, 11, 13, 16, 21, 27, 28, 34, 35, 41, 42, 43, 44, 45, 50, 51, 17513, 17613, 51764,
                        65037, 65281)
# Extensions that a first ClientHello has empty: SCT, encrypt_then_mac, extended_master_secret, post_handshake_auth, NPN,
# channel_id.
EMPTY = (18, 22, 23, 49, 13172, 30032)
# Of TLS 1.2: NSS leaves them out of an inner ClientHello (src/tls/ech.c).
NSS_OUTER_ALONE = (11, 22, 23, 35, 13172, 65281)
# Lists of 16-bit numbers: the field's name and the length of the list's own length.
VALUE_LISTS = {GROUPS: ("groups", 2), SIGNATURES: ("algorithms", 2), SIGNATURES_CERT: ("algorithms", 2),
               DELEGATED: ("algorithms", 2), VERSIONS: ("versions", 1), COMPRESS: ("algorithms", 1)}
# Lengths of the key shares of the groups that the engine knows (src/crypto/kex.h).
SHARE_LENGTHS = {GREASE: 1, 23: 65, 24: 97, 25: 133, 29: 32, 30: 56, 256: 256, 257: 384, 258: 512, 259: 768, 260: 1024, 4587: 1249, 4588: 1216,
                 25497: 1216}

# The suites that src/tls/suites.c completes a handshake with, and the one that is a signal (RFC 5746 3.3).
SUITES = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    0xCCAA: "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    0xC008: "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA",
    0xC009: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    0xC00A: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    0xC012: "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    0xC023: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    0xC024: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    0xC027: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    0xC028: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    0x009C: "TLS_RSA_WITH_AES_128_GCM_SHA256",
    0x009D: "TLS_RSA_WITH_AES_256_GCM_SHA384",
    0x009E: "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    0x009F: "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    0x000A: "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    0x0016: "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA",
    0x002F: "TLS_RSA_WITH_AES_128_CBC_SHA",
    0x0033: "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
    0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA",
    0x0039: "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
    0x003C: "TLS_RSA_WITH_AES_128_CBC_SHA256",
    0x003D: "TLS_RSA_WITH_AES_256_CBC_SHA256",
    0x0067: "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
    0x006B: "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
    0x00FF: "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
}
SUITES_13 = {0x1301, 0x1302, 0x1303}

# In the order of the bits TR_PROFILE_* (src/profile/profile.h).
FLAGS = ["PSK_DROPS_TICKET", "RESUMES_13", "RESUMES_12", "TICKET12_ONCE", "PADDING_BORINGSSL", "PERMUTES",
         "SHARES_X25519", "RETRY_KEEPS_GREASE", "ALPS", "EARLY_DATA", "H2_EMPTY_DATA", "H2_ONE_RECORD",
         "SENDS_GOAWAY", "WS_ORDINARY", "WS_PLAIN_CERT", "REDIRECT_MOVES_HINTS", "COALESCES",
         "STRICT_REFERRERS"]
# fmt: on
PSEUDO_LETTERS = {":method": "m", ":authority": "a", ":scheme": "s", ":path": "p"}

# Names for people.
GROUP_NAMES = {
    23: "P-256", 24: "P-384", 25: "P-521", 29: "X25519", 30: "X448", 256: "ffdhe2048", 257: "ffdhe3072",
    258: "ffdhe4096", 259: "ffdhe6144", 260: "ffdhe8192",
    4587: "SecP256r1MLKEM768", 4588: "X25519MLKEM768", 25497: "X25519Kyber768Draft00",
}  # fmt: skip
VERSION_NAMES = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
SIGNATURE_NAMES = {
    0x0201: "rsa_pkcs1_sha1", 0x0203: "ecdsa_sha1", 0x0401: "rsa_pkcs1_sha256", 0x0403: "ecdsa_secp256r1_sha256",
    0x0501: "rsa_pkcs1_sha384", 0x0503: "ecdsa_secp384r1_sha384", 0x0601: "rsa_pkcs1_sha512",
    0x0603: "ecdsa_secp521r1_sha512", 0x0804: "rsa_pss_rsae_sha256", 0x0805: "rsa_pss_rsae_sha384",
    0x0806: "rsa_pss_rsae_sha512", 0x0807: "ed25519", 0x0904: "mldsa44", 0x0905: "mldsa65", 0x0906: "mldsa87",
}  # fmt: skip
SETTING_NAMES = {
    1: "HEADER_TABLE_SIZE", 2: "ENABLE_PUSH", 3: "MAX_CONCURRENT_STREAMS", 4: "INITIAL_WINDOW_SIZE",
    5: "MAX_FRAME_SIZE", 6: "MAX_HEADER_LIST_SIZE", 8: "ENABLE_CONNECT_PROTOCOL", 9: "NO_RFC7540_PRIORITIES",
}  # fmt: skip
