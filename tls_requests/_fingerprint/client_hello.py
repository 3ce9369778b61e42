"""Decoding of a TLS ClientHello."""

from __future__ import annotations

from typing import Any

from .wire import Bytes, Incomplete, ParseError, Reader, is_grease, mark_grease

# Names, for people to read. Comparisons use the numbers.

# fmt: off
EXTENSION_NAMES = {
    0: "server_name", 1: "max_fragment_length", 5: "status_request", 10: "supported_groups",
    11: "ec_point_formats", 13: "signature_algorithms", 14: "use_srtp", 15: "heartbeat",
    16: "application_layer_protocol_negotiation", 17: "status_request_v2", 18: "signed_certificate_timestamp",
    21: "padding", 22: "encrypt_then_mac", 23: "extended_master_secret", 24: "token_binding",
    27: "compress_certificate", 28: "record_size_limit", 34: "delegated_credentials", 35: "session_ticket",
    41: "pre_shared_key", 42: "early_data", 43: "supported_versions", 44: "cookie",
    45: "psk_key_exchange_modes", 47: "certificate_authorities", 49: "post_handshake_auth",
    50: "signature_algorithms_cert", 51: "key_share", 57: "quic_transport_parameters",
    13172: "next_protocol_negotiation", 17513: "application_settings_old", 17613: "application_settings",
    30032: "channel_id", 51764: "trust_anchors", 64768: "ech_outer_extensions",
    65037: "encrypted_client_hello", 65281: "renegotiation_info",
}
# fmt: on
EXTENSION_NUMBERS = {name: number for number, name in EXTENSION_NAMES.items()}


def split_records(data: Bytes) -> tuple[list[tuple[int, int, bytes]], bytes]:
    """(records, rest): the complete TLS records at the start of `data` as (type, version, payload)."""
    records, reader = [], Reader(data)
    while reader.left >= 5:
        start = reader.pos
        kind, version, length = reader.number(1), reader.number(2), reader.number(2)
        if reader.left < length:
            reader.pos = start
            break
        records.append((kind, version, reader.take(length)))
    return records, reader.data[reader.pos :]


def looks_like_tls(data: Bytes) -> bool:
    return len(data) < 3 or (20 <= data[0] <= 24 and data[1] == 3 and data[2] <= 4)


def extract_client_hello(data: bytes) -> tuple[bytes, list[dict[str, int]]]:
    """(message, records): the ClientHello's handshake message, and how it lay in TLS records.

    `data` starts with a TLS record or with the bare handshake message. Raises Incomplete while more is needed.
    """
    if not data:
        raise Incomplete("no bytes")
    records = []
    if data[0] == 1:
        message = data
    elif data[0] == 22 and looks_like_tls(data):
        message = b""
        for kind, version, payload in split_records(data)[0]:
            if kind == 20 and not message:
                continue  # the ChangeCipherSpec that precedes a second ClientHello
            if kind != 22:
                raise ParseError("record of type %d inside the ClientHello" % kind)
            records.append({"version": version, "length": len(payload)})
            message += payload
            if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
                break
    else:
        raise ParseError("neither a TLS record nor a ClientHello")
    if len(message) < 4:
        raise Incomplete("ClientHello header is incomplete")
    if message[0] != 1:
        raise ParseError("handshake message of type %d, not a ClientHello" % message[0])
    length = 4 + int.from_bytes(message[1:4], "big")
    if len(message) < length:
        raise Incomplete("ClientHello has %d of %d bytes" % (len(message), length))
    return message[:length], records


def extension_fields(number: int, body: bytes) -> dict[str, Any]:
    """The decoded fields of an extension's body. Raises ParseError."""
    reader = Reader(body)
    fields: dict[str, Any] = {}
    if number == 0:
        names = reader.vector(2)
        if names.number(1) != 0:
            raise ParseError("server_name of unknown type")
        fields["host_name"] = names.vector(2).data.decode("ascii")
        names.finish()
    elif number == 5:
        fields["status_type"] = reader.number(1)
        fields["responder_ids_length"] = reader.vector(2).left
        fields["request_extensions_length"] = reader.vector(2).left
    elif number == 10:
        fields["groups"] = mark_grease(reader.vector(2).numbers(2))
    elif number == 11:
        fields["formats"] = reader.vector(1).numbers(1)
    elif number in (13, 34, 50):
        fields["algorithms"] = mark_grease(reader.vector(2).numbers(2))
    elif number in (16, 17513, 17613):
        protocols, fields["protocols"] = reader.vector(2), []
        while protocols.left:
            fields["protocols"].append(protocols.vector(1).data.decode("latin-1"))
    elif number == 27:
        fields["algorithms"] = reader.vector(1).numbers(2)
    elif number == 28:
        fields["limit"] = reader.number(2)
    elif number == 41:
        identities, fields["identity_lengths"] = reader.vector(2), []
        while identities.left:
            fields["identity_lengths"].append(identities.vector(2).left)
            identities.number(4)
        binders, fields["binder_lengths"] = reader.vector(2), []
        while binders.left:
            fields["binder_lengths"].append(binders.vector(1).left)
    elif number == 43:
        fields["versions"] = mark_grease(reader.vector(1).numbers(2))
    elif number == 44:
        fields["cookie_length"] = reader.vector(2).left
    elif number == 45:
        fields["modes"] = reader.vector(1).numbers(1)
    elif number == 51:
        shares, fields["shares"] = reader.vector(2), []
        while shares.left:
            group = shares.number(2)
            fields["shares"].append({"group": "GREASE" if is_grease(group) else group, "length": shares.vector(2).left})
    elif number == 51764:
        anchors, fields["trust_anchor_ids"] = reader.vector(2), []
        while anchors.left:
            fields["trust_anchor_ids"].append(anchors.vector(1).data.hex())
    elif number == 65037:
        kind = reader.number(1)
        fields["kind"] = {0: "outer", 1: "inner"}.get(kind, kind)
        if kind == 0:
            fields["kdf"], fields["aead"] = reader.number(2), reader.number(2)
            fields["config_id"] = reader.number(1)
            fields["enc_length"] = reader.vector(2).left
            fields["payload_length"] = reader.vector(2).left
    elif number == 65281:
        fields["renegotiated_connection_length"] = reader.vector(1).left
    elif number in (18, 21, 23, 35, 42, 49):
        if number == 21 and any(body):
            fields["data"] = body.hex()
        return fields  # empty, a ticket, or zeros: the length says it all
    else:
        fields["data"] = body.hex()
        return fields
    reader.finish()
    return fields


def parse_client_hello(message: bytes) -> dict[str, Any]:
    """Decode a ClientHello's handshake message; GREASE values become "GREASE" (their values lie in "grease")."""
    reader = Reader(message)
    if reader.number(1) != 1:
        raise ParseError("not a ClientHello")
    body = reader.vector(3)
    hello: dict[str, Any] = {
        "length": len(message),
        "legacy_version": body.number(2),
        "random": body.take(32).hex(),
    }
    hello["session_id_length"] = body.vector(1).left
    ciphers = body.vector(2).numbers(2)
    hello["cipher_suites"] = mark_grease(ciphers)
    hello["compression_methods"] = body.vector(1).numbers(1)
    hello["extensions"] = []
    grease: dict[str, list[int]] = {
        "cipher_suites": [value for value in ciphers if is_grease(value)],
        "extensions": [],
    }
    if body.left:
        extensions = body.vector(2)
        body.finish()
        while extensions.left:
            number = extensions.number(2)
            data = extensions.vector(2).data
            if is_grease(number):
                grease["extensions"].append(number)
                hello["extensions"].append({"type": "GREASE", "length": len(data), "data": data.hex()})
                continue
            item: dict[str, Any] = {
                "type": number,
                "name": EXTENSION_NAMES.get(number, "unknown"),
                "length": len(data),
            }
            try:
                item.update(extension_fields(number, data))
            except (ParseError, UnicodeDecodeError) as error:
                item.update(malformed=str(error), data=data.hex())
            hello["extensions"].append(item)
            if "malformed" in item:
                continue
            if number in (10, 13, 34):
                place = {10: "groups", 13: "signature_algorithms", 34: "delegated_credentials"}[number]
                grease[place] = [v for v in Reader(data[2:]).numbers(2) if is_grease(v)]
            elif number == 43:
                grease["versions"] = [v for v in Reader(data[1:]).numbers(2) if is_grease(v)]
            elif number == 51:
                shares, grease["key_shares"] = Reader(data[2:]), []
                while shares.left:
                    group = shares.number(2)
                    shares.vector(2)
                    if is_grease(group):
                        grease["key_shares"].append(group)
    hello["grease"] = {name: ["%04x" % v for v in values] for name, values in grease.items() if values}
    return hello


def client_hello_from_bytes(data: bytes) -> dict[str, Any]:
    """A decoded ClientHello, with "record_version" and "records" where the record layer was there."""
    message, records = extract_client_hello(data)
    hello = parse_client_hello(message)
    hello["record_version"] = records[0]["version"] if records else None
    hello["records"] = records
    return hello


def extension(tls: dict[str, Any], number: int) -> dict[str, Any] | None:
    """The extension of that number in a decoded ClientHello or a profile's "tls", or None."""
    item: dict[str, Any]
    for item in tls.get("extensions", ()):
        if item.get("type") == number:
            return item
    return None
