#include "core/bufq.h"
#include "core/list.h"
#include "core/map.h"
#include "core/rd.h"
#include "core/wr.h"
#include "tr_test.h"

TR_TEST_OOM(buf_grow, "/buf/grow_and_consume")
{
    tr_buf_t buf = TR_BUF_INIT;
    uint8_t expected = 0, next = 0;
    buf.secret = true;
    for (unsigned round = 0; round < 50; round++) {
        uint8_t bytes[97];
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = next++;
        }
        if (tr_buf_append(&buf, bytes, sizeof(bytes)) != TR_OK) {
            TR_CHECK(tr_test_oom_running());
            tr_buf_cleanup(&buf);
            return;
        }
        for (unsigned i = 0; i < 61; i++) {
            TR_CHECK(buf.data[0] == expected++);
            tr_buf_consume(&buf, 1);
        }
    }
    TR_CHECK_INT(buf.len, 50 * (97 - 61));
    tr_buf_cleanup(&buf);
    tr_buf_cleanup(&buf);
}

TR_TEST(buf_small, "/buf/small_then_heap")
{
    uint8_t small[8];
    tr_buf_t buf, moved = TR_BUF_INIT;
    tr_buf_init_small(&buf, small, sizeof(small));
    TR_CHECK_INT(tr_buf_append(&buf, "12345678", 8), TR_OK);
    TR_CHECK(buf.data == small);
    TR_CHECK_INT(tr_buf_append(&buf, "9", 1), TR_OK);
    TR_CHECK(buf.data != small);
    TR_CHECK_INT(tr_buf_move(&moved, &buf), TR_OK);
    TR_CHECK_SLICE(tr_buf_slice(&moved), "123456789");
    TR_CHECK_INT(buf.len, 0);
    tr_buf_cleanup(&moved);
    tr_buf_cleanup(&buf);
}

TR_TEST_OOM(bufq_order, "/bufq/order_limit_and_move")
{
    tr_bufq_t a, b;
    tr_bufq_init(&a, 40);
    tr_bufq_init(&b, 0);
    a.chunk_min = 7;
    tr_code_t code = tr_bufq_append(&a, "hello ", 6);
    code = code == TR_OK ? tr_bufq_append(&a, "wonderful world", 15) : code;
    code = code == TR_OK ? tr_bufq_append(&b, "> ", 2) : code;
    if (code == TR_OK) {
        TR_CHECK_INT(tr_bufq_append(&a, "0123456789012345678901234567890123456789", 40), TR_ERR_LIMIT);
        tr_bufq_move(&b, &a);
        TR_CHECK_INT(b.len, 23);
        TR_CHECK_INT(a.len, 0);
        char text[24] = "";
        size_t len = 0;
        while (b.len > 0) {
            tr_slice_t part = tr_bufq_peek(&b);
            memcpy(text + len, part.data, 1);
            len++;
            tr_bufq_consume(&b, 1);
        }
        TR_CHECK(strcmp(text, "> hello wonderful world") == 0);
    } else {
        TR_CHECK(tr_test_oom_running());
    }
    tr_bufq_cleanup(&a);
    tr_bufq_cleanup(&b);
}

TR_TEST_OOM(map_ops, "/map/put_get_remove")
{
    tr_map_t map;
    char key[16];
    tr_map_init(&map, 1, 2);
    for (uintptr_t i = 1; i <= 200; i++) {
        int n = snprintf(key, sizeof(key), "k%u", (unsigned)i);
        if (tr_map_put(&map, NULL, tr_slice(key, (size_t)n), (void *)i) != TR_OK) {
            TR_CHECK(tr_test_oom_running());
            tr_map_cleanup(&map);
            return;
        }
    }
    TR_CHECK_INT(map.len, 200);
    TR_CHECK(tr_map_get(&map, TR_SLICE_LIT("k77")) == (void *)77);
    void *old = NULL;
    if (tr_map_put(&map, &old, TR_SLICE_LIT("k77"), (void *)1) == TR_OK) {
        TR_CHECK(old == (void *)77);
        TR_CHECK(tr_map_remove(&map, TR_SLICE_LIT("k77")) == (void *)1);
        TR_CHECK(tr_map_remove(&map, TR_SLICE_LIT("k77")) == NULL);
        TR_CHECK_INT(map.len, 199);
    }
    tr_map_cleanup(&map);
}

/* SipHash-1-3 of the empty string under the key 00..0f: first row of the known answers that Rust's standard
 * library tests its SipHasher13 with. */
TR_TEST(map_siphash, "/map/siphash_known_answer")
{
    TR_CHECK(tr_siphash(0x0706050403020100u, 0x0f0e0d0c0b0a0908u, TR_SLICE_NULL) == 0xabac0158050fc4dcu);
}

TR_TEST(list_ops, "/list/push_shift_splice")
{
    tr_list_t a, b;
    tr_link_t nodes[4] = {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}, {NULL, NULL}};
    tr_list_init(&a);
    tr_list_init(&b);
    tr_list_push(&a, &nodes[0]);
    tr_list_push(&a, &nodes[1]);
    tr_list_push(&b, &nodes[2]);
    tr_list_push_front(&b, &nodes[3]);
    tr_list_splice(&a, &b);
    TR_CHECK(tr_list_empty(&b));
    TR_CHECK(tr_list_shift(&a) == &nodes[0]);
    tr_list_remove(&nodes[3]);
    TR_CHECK(!tr_link_linked(&nodes[3]));
    TR_CHECK(tr_list_shift(&a) == &nodes[1]);
    TR_CHECK(tr_list_shift(&a) == &nodes[2]);
    TR_CHECK(tr_list_shift(&a) == NULL);
}

TR_TEST_OOM(wr_nested, "/wr/nested_lengths_read_back")
{
    tr_buf_t buf = TR_BUF_INIT;
    tr_wr_t wr = tr_wr(&buf);
    tr_wr_u16(&wr, 0x0303);
    size_t outer = tr_wr_open(&wr, 2);
    tr_wr_vec(&wr, TR_SLICE_LIT("abc"), 1);
    size_t inner = tr_wr_open(&wr, 3);
    tr_wr_u32(&wr, 0xdeadbeef);
    tr_wr_close(&wr, inner, 3);
    tr_wr_close(&wr, outer, 2);
    if (tr_wr_end(&wr) == TR_OK) {
        static const uint8_t expected[] = {3, 3, 0, 11, 3, 'a', 'b', 'c', 0, 0, 4, 0xde, 0xad, 0xbe, 0xef};
        TR_CHECK_INT(buf.len, sizeof(expected));
        TR_CHECK_MEM(buf.data, expected, sizeof(expected));
        for (size_t cut = 0; cut <= buf.len; cut++) {
            tr_rd_t rd = tr_rd(tr_slice(buf.data, cut)), sub = tr_rd(TR_SLICE_NULL);
            uint16_t version;
            tr_slice_t text, data;
            bool ok = tr_rd_u16(&rd, &version) && tr_rd_sub(&rd, &sub, 2) && tr_rd_vec(&sub, &text, 1) &&
                      tr_rd_vec(&sub, &data, 3) && tr_rd_end(&sub) && tr_rd_end(&rd);
            TR_CHECK_INT(ok, cut == buf.len);
        }
    } else {
        TR_CHECK(tr_test_oom_running());
    }
    tr_buf_cleanup(&buf);
}

TR_TEST(wr_overflow, "/wr/length_that_does_not_fit")
{
    tr_buf_t buf = TR_BUF_INIT;
    tr_wr_t wr = tr_wr(&buf);
    size_t mark = tr_wr_open(&wr, 1);
    tr_wr_fill(&wr, 'x', 256);
    tr_wr_close(&wr, mark, 1);
    TR_CHECK_INT(tr_wr_end(&wr), TR_ERR_INTERNAL);
    tr_buf_cleanup(&buf);
}

TR_TEST(err_rows, "/err/rows_and_text")
{
    tr_err_t err = TR_ERR_INIT;
    TR_CHECK_INT(tr_err_set(&err, TR_ERR_TLS_ALERT, 40, "tls.alert", "a\r\nb %d", 7), TR_ERR_TLS_ALERT);
    TR_CHECK(strcmp(err.msg, "a??b 7") == 0);
    TR_CHECK(strcmp(tr_err_name(TR_ERR_TLS_ALERT), "TLS_ALERT") == 0);
    TR_CHECK(strcmp(tr_err_exception(TR_ERR_TLS_ALERT), "TLSError") == 0);
    TR_CHECK_INT(tr_err_scope(TR_ERR_H2_RESET), TR_SCOPE_STREAM);
    TR_CHECK(strcmp(tr_err_name((tr_code_t)-9999), "UNKNOWN") == 0);
}

TR_TEST_OOM(arena_ops, "/mem/arena")
{
    tr_arena_t arena;
    tr_arena_init(&arena);
    for (unsigned i = 0; i < 100; i++) {
        uint8_t *copy = tr_arena_dup(&arena, TR_SLICE_LIT("some text of the request"));
        if (copy == NULL) {
            TR_CHECK(tr_test_oom_running());
            break;
        }
        TR_CHECK(copy[24] == 0);
        uint64_t *aligned = tr_arena_alloc(&arena, sizeof(*aligned));
        if (aligned == NULL) {
            TR_CHECK(tr_test_oom_running());
            break;
        }
        TR_CHECK((uintptr_t)aligned % _Alignof(max_align_t) == 0);
        *aligned = i;
    }
    tr_arena_cleanup(&arena);
}
