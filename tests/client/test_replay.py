"""What is sent again over HTTP/2, and what is not (docs/replays.md)."""

from __future__ import annotations

import time

import pytest

from h2_fake import CANCEL, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED, REFUSED_STREAM, Close, Fake, GoAway, Reset, Silence

POST = ["-d", "x"]


@pytest.mark.parametrize("request_args", [[], POST], ids=["GET", "POST"])
def test_a_refused_stream_goes_to_a_new_connection(trget, server_pair, request_args):
    with Fake(server_pair, lambda c, s, m: Reset(REFUSED_STREAM) if c == 0 else 200) as fake:
        op = trget.op(*request_args, fake.url())
        assert op["error"] is None and op["responses"][-1]["status"] == 200
        assert fake.requests == [(0, 1), (1, 1)]


def test_a_server_that_refuses_everything_is_asked_twice(trget, server_pair):
    with Fake(server_pair, lambda c, s, m: Reset(REFUSED_STREAM)) as fake:
        op = trget.op(*POST, fake.url())
        assert op["error"] == "H2_REFUSED" and op["safe_to_retry"]
        assert len(fake.requests) == 2


@pytest.mark.parametrize("request_args", [[], POST], ids=["GET", "POST"])
def test_goaway_above_the_last_stream(trget, server_pair, request_args):
    with Fake(server_pair, lambda c, s, m: GoAway(0) if c == 0 else 200) as fake:
        op = trget.op(*request_args, fake.url())
        assert op["error"] is None
        assert [c for c, _ in fake.requests] == [0, 1]


@pytest.mark.parametrize("request_args", [[], POST], ids=["GET", "POST"])
def test_goaway_that_covers_the_stream(trget, server_pair, request_args):
    with Fake(server_pair, lambda c, s, m: GoAway(s)) as fake:
        op = trget.op(*request_args, fake.url())
        assert op["error"] in ("H2_GOAWAY", "CLOSED_EARLY") and not op["safe_to_retry"] and op["request_sent"]
        assert len(fake.requests) == 1


def test_a_kept_connection_that_died(trget, server_pair):
    def script(connection, stream, method):
        return 200 if stream == 1 else Close()

    with Fake(server_pair, script) as fake:
        first, second = trget.ops(fake.url(), fake.url())
        assert first["error"] is None and second["error"] is None
        assert fake.requests == [(0, 1), (0, 3), (1, 1)]
    with Fake(server_pair, script) as fake:
        first, second = trget.ops(*POST, fake.url(), fake.url())
        assert second["error"] in ("CLOSED_EARLY", "CONNECT_RESET")
        assert second["request_sent"] and not second["safe_to_retry"]
        assert fake.requests == [(0, 1), (0, 3)]


def test_a_new_connection_that_died(trget, server_pair):
    with Fake(server_pair, lambda c, s, m: Close()) as fake:
        op = trget.op(fake.url())
        assert op["error"] == "CLOSED_EARLY" and op["request_sent"]
        assert len(fake.requests) == 1


def test_http11_required_is_remembered(trget, server_pair):
    with Fake(server_pair, lambda c, s, m: Reset(HTTP_1_1_REQUIRED)) as fake:
        ops = trget.ops(*POST, fake.url(), fake.url(), fake.url())
        assert [op["responses"][-1]["version"] for op in ops] == [11, 11, 11]
        assert len(fake.requests) == 1 and fake.num_http1 == 3
        assert fake.num_connections == 2


def test_other_resets_are_errors(trget, server_pair):
    with Fake(server_pair, lambda c, s, m: Reset(CANCEL) if s == 1 else 200) as fake:
        first, second = trget.ops(fake.url(), fake.url())
        assert first["error"] == "H2_RESET" and not first["safe_to_retry"]
        assert second["error"] is None and second["responses"][0]["reused"]
        assert fake.num_connections == 1


def test_calm_is_an_error_and_slows_down(trget, server_pair):
    with Fake(server_pair, lambda c, s, m: Reset(ENHANCE_YOUR_CALM) if s == 1 and c == 0 else 200) as fake:
        start = time.monotonic()
        first, second = trget.ops(fake.url(), fake.url())
        assert first["error"] == "H2_CALM"
        assert second["error"] is None
        assert time.monotonic() - start >= 0.9


def test_a_cancelled_stream_is_reset(trget, server_pair):
    with Fake(server_pair, lambda c, s, m: Silence() if s == 1 else 200) as fake:
        first, second = trget.ops("--cancel", "200", fake.url(), fake.url())
        assert first["error"] == "CANCELLED" and second["error"] is None
        assert fake.resets == [(0, 1, CANCEL)]
        assert fake.num_connections == 1


def test_fewer_streams_than_asked_for(trget, server_pair):
    """Two streams at once: the others wait; none is lost."""
    settings = (3).to_bytes(2, "big") + (2).to_bytes(4, "big")
    with Fake(server_pair, lambda c, s, m: 200, settings) as fake:
        report = trget.load("-n", "40", "-c", "40", fake.url())
        assert report["2xx"] == 40 and report["failed"] == 0
        assert fake.num_connections == 1
