# make demo, make test: see README.md. Everything else is for contributors: README.md, "Development".
#
# Variables: BUILD (output folder), MODE (plain, asan, tsan, fuzz), MODULES (the layers to build, lowest first).

PYTHON ?= python3
CC ?= cc
BUILD ?= build
MODE ?= plain
MODULES ?= core crypto profile tls http http1 http2 net client
NEEDS := libcrypto libnghttp2 libevent_core libevent_pthreads libbrotlidec libzstd zlib

WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Werror
CFLAGS_plain := -O2 -g
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
CFLAGS_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread

OUT := $(BUILD)/$(MODE)
CPPFLAGS += -Isrc -Itests/c -D_GNU_SOURCE $(shell pkg-config --cflags $(NEEDS))
ALL_CFLAGS := -std=c11 -fPIC -fvisibility=hidden $(WARNINGS) $(CFLAGS_$(MODE)) $(CFLAGS)
LIBS := $(shell pkg-config --libs $(NEEDS)) -lpthread -lm

SRC := $(filter-out $(wildcard src/*/fuzz_*.c),$(foreach m,$(MODULES),$(wildcard src/$(m)/*.c)))
TESTS := tests/c/tr_test.c $(foreach m,$(MODULES),$(wildcard tests/c/test_$(m).c) $(wildcard tests/c/test_$(m)_*.c))
OBJ := $(SRC:%.c=$(OUT)/%.o)
TEST_OBJ := $(TESTS:%.c=$(OUT)/%.o)

.PHONY: lib check-c check-oom clean
lib: $(OUT)/libtr.a

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(OUT)/libtr.a: $(OBJ)
	@rm -f $@
	ar rcs $@ $^

$(OUT)/tr_tests: $(TEST_OBJ) $(OUT)/libtr.a
	$(CC) $(LDFLAGS_$(MODE)) $(TEST_OBJ) $(OUT)/libtr.a $(LIBS) -o $@

check-c: $(OUT)/tr_tests
	$(OUT)/tr_tests $(TEST)

check-oom: $(OUT)/tr_tests
	$(OUT)/tr_tests --oom $(TEST)

clean:
	rm -rf $(BUILD)

-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d)
