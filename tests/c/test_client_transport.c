/* transport: what is checked, what equal means, which pins and addresses a host has; and which addresses are private. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "client/transport.h"
#include "tr_test.h"

static tr_transport_t *
make(const tr_transport_options_t *options)
{
    tr_err_t err = TR_ERR_INIT;
    tr_transport_t *transport = NULL;
    tr_code_t code = tr_transport_new(&transport, options, &err);
    if (code == TR_ERR_NOMEM && tr_test_oom_running()) {
        TR_CHECK(transport == NULL);
        return NULL;
    }
    TR_CHECK_OK(code, &err);
    return transport;
}

static void
check_refused(const tr_transport_options_t *options)
{
    tr_err_t err = TR_ERR_INIT;
    tr_transport_t *transport = NULL;
    TR_CHECK_INT(tr_transport_new(&transport, options, &err), TR_ERR_INVALID_ARGUMENT);
    TR_CHECK(transport == NULL && err.msg[0] != 0);
}

TR_TEST_OOM(transport_tables, "/client/transport/tables")
{
    const tr_host_pin_t pins[] = {
        {"*.Example.com", {1}}, {"*.Example.com", {2}}, {"www.example.com", {3}}, {"*.a.example.com", {4}},
    };
    const tr_host_address_t addresses[] = {
        {"Example.com", 0, "192.0.2.1"}, {"example.com", 8443, "192.0.2.2"}, {"example.com", 8443, "2001:db8::2"},
    };
    tr_transport_options_t options = {
        .pins = pins,
        .num_pins = TR_ARRAY_LEN(pins),
        .addresses = addresses,
        .num_addresses = TR_ARRAY_LEN(addresses),
        .server_name = "Front.Example.com",
        .keylog_path = "/tmp/x",
        .interface = "lo",
        .deny_private = true,
        .dns_max_age_ns = 5,
    };
    tr_transport_t *t = make(&options);
    if (t == NULL) {
        return;
    }
    const uint8_t(*found)[32] = NULL;
    TR_CHECK_INT(tr_transport_pins(t, "mail.EXAMPLE.com", &found), 2);
    TR_CHECK(found[0][0] == 1 && found[1][0] == 2);
    TR_CHECK_INT(tr_transport_pins(t, "www.example.com", &found), 1);
    TR_CHECK(found[0][0] == 3);
    TR_CHECK_INT(tr_transport_pins(t, "b.a.example.com", &found), 1);
    TR_CHECK(found[0][0] == 4);
    TR_CHECK_INT(tr_transport_pins(t, "a.example.com", &found), 2);
    TR_CHECK_INT(tr_transport_pins(t, "example.com", &found), 0);
    TR_CHECK_INT(tr_transport_pins(t, "badexample.com", &found), 0);
    TR_CHECK_INT(tr_transport_pins(NULL, "www.example.com", &found), 0);

    tr_conn_options_t conn = {.host = "x"};
    tr_transport_fill(t, "example.COM", 443, &conn);
    TR_CHECK(conn.num_addresses == 1 && conn.addresses[0].storage.ss_family == AF_INET);
    TR_CHECK(strcmp(conn.tls_host, "front.example.com") == 0 && conn.deny_private && conn.dns_max_age_ns == 5);
    TR_CHECK(conn.socket != NULL && strcmp(conn.socket->interface, "lo") == 0 && conn.local == NULL);
    conn = (tr_conn_options_t){.host = "x"};
    tr_transport_fill(t, "example.com", 8443, &conn);
    TR_CHECK(conn.num_addresses == 2 && ntohs(((const struct sockaddr_in *)&conn.addresses[0].storage)->sin_port) == 8443);
    conn = (tr_conn_options_t){.host = "x"};
    tr_transport_fill(t, "other.com", 443, &conn);
    TR_CHECK(conn.addresses == NULL);
    TR_CHECK(strcmp(tr_transport_keylog(t), "/tmp/x") == 0 && tr_transport_identity(t) == NULL);
    TR_CHECK(tr_transport_ref(t) == t);
    tr_transport_unref(t);
    tr_transport_unref(t);
}

TR_TEST(transport_equal, "/client/transport/equal")
{
    const tr_host_pin_t pin = {"a.com", {1}}, other_pin = {"a.com", {2}};
    const tr_host_address_t address = {"a.com", 443, "192.0.2.1"}, other_address = {"a.com", 443, "192.0.2.2"};
    const tr_transport_options_t all[] = {
        {.family = 0},
        {.family = AF_INET},
        {.local_ip = "127.0.0.1"},
        {.local_ip = "127.0.0.1", .local_port = 1},
        {.local_ip = "::1"},
        {.interface = "lo"},
        {.keepalive_s = 1},
        {.keepalive_s = 1, .keepalive_count = 2},
        {.keepalive_s = 1, .keepalive_interval_s = 2},
        {.unix_path = TR_SLICE_LIT("/tmp/a")},
        {.unix_path = TR_SLICE_LIT("/tmp/b")},
        {.server_name = "a.com"},
        {.server_name = ""},
        {.keylog_path = "a.com"},
        {.pins = &pin, .num_pins = 1},
        {.pins = &other_pin, .num_pins = 1},
        {.addresses = &address, .num_addresses = 1},
        {.addresses = &other_address, .num_addresses = 1},
        {.dns_max_age_ns = 1},
        {.deny_private = true},
        {.limits = {.max_total = 1}},
        {.limits = {.max_h1_per_host = 1}},
        {.limits = {.max_h2_per_host = 1}},
        {.limits = {.max_streams = 1}},
        {.limits = {.max_idle = 1}},
        {.limits = {.max_idle_per_host = 1}},
        {.limits = {.idle_timeout_ms = 1}},
        {.limits = {.ping_interval_ms = 1}},
        {.limits = {.max_header_bytes = 1}},
        {.limits = {.max_ratio = 1}},
        {.limits = {.max_decoded = 1}},
        {.limits = {.no_keep_alive = true}},
        {.limits = {.no_coalescing = true}},
    };
    tr_transport_t *made[TR_ARRAY_LEN(all)];
    for (size_t i = 0; i < TR_ARRAY_LEN(all); i++) {
        made[i] = make(&all[i]);
        tr_transport_t *again = make(&all[i]);
        TR_CHECK(strcmp(tr_transport_id(made[i]), tr_transport_id(again)) == 0);
        TR_CHECK_INT(strlen(tr_transport_id(again)), TR_TRANSPORT_ID_LEN);
        tr_transport_unref(again);
        for (size_t k = 0; k < i; k++) {
            TR_CHECK(strcmp(tr_transport_id(made[i]), tr_transport_id(made[k])) != 0);
        }
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(all); i++) {
        tr_transport_unref(made[i]);
    }
}

TR_TEST(transport_refused, "/client/transport/refused")
{
    char path[200];
    memset(path, 'x', sizeof(path));
    const tr_host_address_t address = {"a.com", 443, "b.com"};
    check_refused(&(tr_transport_options_t){.family = 77});
    check_refused(&(tr_transport_options_t){.local_ip = "127.1"});
    check_refused(&(tr_transport_options_t){.local_ip = "localhost"});
    check_refused(&(tr_transport_options_t){.local_ip = "::1", .family = AF_INET});
    check_refused(&(tr_transport_options_t){.interface = "a-name-that-is-too-long"});
    check_refused(&(tr_transport_options_t){.unix_path = tr_slice(path, sizeof(path))});
    check_refused(&(tr_transport_options_t){.unix_path = TR_SLICE_LIT("/tmp/a\0b")});
    check_refused(&(tr_transport_options_t){.addresses = &address, .num_addresses = 1});
}

TR_TEST(address_private, "/net/address/private")
{
    static const struct {
        const char *text;
        bool is_private;
    } rows[] = {
        {"0.0.0.0", true},        {"10.255.0.1", true},       {"100.63.255.255", false}, {"100.64.0.1", true},
        {"100.127.255.255", true}, {"100.128.0.1", false},    {"127.0.0.1", true},       {"126.255.255.255", false},
        {"169.254.169.254", true}, {"172.15.255.255", false}, {"172.16.0.1", true},      {"172.31.255.255", true},
        {"172.32.0.1", false},    {"192.0.0.8", true},        {"192.0.1.1", false},      {"192.0.2.1", true},
        {"192.168.1.1", true},    {"192.167.255.255", false}, {"198.18.0.1", true},      {"198.20.0.1", false},
        {"203.0.113.5", true},    {"223.255.255.255", false}, {"224.0.0.1", true},       {"255.255.255.255", true},
        {"8.8.8.8", false},       {"93.184.216.34", false},   {"::", true},              {"::1", true},
        {"::ffff:127.0.0.1", true}, {"::ffff:8.8.8.8", false}, {"::127.0.0.1", true},    {"64:ff9b::7f00:1", true},
        {"64:ff9b::808:808", false}, {"64:ff9b:1::1", true},  {"100::1", true},          {"2001::1", true},
        {"2001:db8::1", true},    {"2001:4860:4860::8888", false}, {"2002:7f00:1::", true}, {"2002:808:808::", false},
        {"2606:2800:220:1::", false}, {"3fff::1", true},      {"3ffe::1", false},        {"fc00::1", true},
        {"fd12::1", true},        {"fe80::1", true},          {"fec0::1", true},         {"ff02::1", true},
        {"4000::1", true},
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        tr_address_t address;
        TR_CHECK(tr_address_parse(&address, rows[i].text, 443));
        if (tr_address_is_private(&address) != rows[i].is_private) {
            tr_test_fail(__FILE__, __LINE__, "%s", rows[i].text);
        }
    }
}

TR_TEST(address_equal, "/net/address/equal")
{
    static const struct {
        const char *a, *b;
        uint16_t port_a, port_b;
        bool equal;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", 443, 443, true},  {"192.0.2.1", "192.0.2.2", 443, 443, false},
        {"192.0.2.1", "192.0.2.1", 443, 444, false}, {"2001:db8::1", "2001:db8:0::1", 443, 443, true},
        {"2001:db8::1", "2001:db8::2", 443, 443, false}, {"2001:db8::1", "2001:db8::1", 443, 80, false},
        {"192.0.2.1", "::ffff:192.0.2.1", 443, 443, false},
    };
    tr_address_t a, b;
    for (size_t i = 0; i < TR_ARRAY_LEN(rows); i++) {
        TR_CHECK(tr_address_parse(&a, rows[i].a, rows[i].port_a) && tr_address_parse(&b, rows[i].b, rows[i].port_b));
        TR_CHECK_INT(tr_address_equal(&a, &b), rows[i].equal);
        TR_CHECK_INT(tr_address_equal(&b, &a), rows[i].equal);
    }
    TR_CHECK(tr_address_unix(&a, "/x", 2) && !tr_address_equal(&a, &a)); /* not a place that a name leads to */
}

TR_TEST(address_text, "/net/address/text")
{
    tr_address_t address;
    char text[128];
    TR_CHECK(tr_address_parse(&address, "192.0.2.7", 80));
    tr_address_text(&address, text, sizeof(text));
    TR_CHECK(strcmp(text, "192.0.2.7:80") == 0);
    TR_CHECK(tr_address_parse(&address, "2001:db8::7", 81));
    tr_address_text(&address, text, sizeof(text));
    TR_CHECK(strcmp(text, "[2001:db8::7]:81") == 0);
    TR_CHECK(!tr_address_parse(&address, "", 80) && !tr_address_parse(&address, "1.2.3", 80));
    TR_CHECK(!tr_address_parse(&address, "0x7f.1", 80) && !tr_address_parse(&address, "[::1]", 80));
    TR_CHECK(tr_address_unix(&address, "/run/a.sock", 11));
    tr_address_text(&address, text, sizeof(text));
    TR_CHECK(strcmp(text, "unix:/run/a.sock") == 0 && !tr_address_is_private(&address));
    TR_CHECK(tr_address_unix(&address, "\0name", 5));
    tr_address_text(&address, text, sizeof(text));
    TR_CHECK(strcmp(text, "unix:@name") == 0);
    TR_CHECK(!tr_address_unix(&address, "", 0));
}
