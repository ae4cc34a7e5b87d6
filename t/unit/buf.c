/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/buf.h"

#include "tap.h"

static void
bytes_go_in_at_the_end_and_out_at_the_front(void)
{
	char mem[8];
	struct wr_buf b;

	wr_buf_init(&b, mem, sizeof(mem));
	ok(wr_buf_empty(&b));
	is_int(wr_buf_room(&b), 8);
	memcpy(wr_buf_tail(&b), "abcde", 5);
	wr_buf_fill(&b, 5);
	is_int(wr_buf_len(&b), 5);
	is_int(wr_buf_room(&b), 3);
	wr_buf_drain(&b, 2);
	ok(!wr_buf_empty(&b));
	ok(memcmp(wr_buf_head(&b), "cde", 3) == 0);
	is_int(wr_buf_room(&b), 3);
}

static void
pulling_makes_room(void)
{
	char mem[8] = "abcdefgh";
	struct wr_buf b;

	wr_buf_init(&b, mem, sizeof(mem));
	wr_buf_fill(&b, 8);
	is_int(wr_buf_room(&b), 0);
	wr_buf_pull(&b);
	is_int(wr_buf_room(&b), 0);
	wr_buf_drain(&b, 3);
	wr_buf_pull(&b);
	is_int(wr_buf_room(&b), 3);
	is_int(wr_buf_len(&b), 5);
	ok(memcmp(wr_buf_head(&b), "defgh", 5) == 0);
}

static void
an_empty_buffer_starts_over(void)
{
	char mem[4];
	struct wr_buf b;

	wr_buf_init(&b, mem, sizeof(mem));
	wr_buf_fill(&b, 4);
	wr_buf_drain(&b, 4);
	is_int(wr_buf_room(&b), 4);
	ok(wr_buf_head(&b) == (uint8_t *)mem);
}

static void
a_buffer_may_have_no_memory(void)
{
	struct wr_buf b;

	wr_buf_init(&b, NULL, 0);
	ok(wr_buf_empty(&b));
	is_int(wr_buf_room(&b), 0);
}

int
main(void)
{
	bytes_go_in_at_the_end_and_out_at_the_front();
	pulling_makes_room();
	an_empty_buffer_starts_over();
	a_buffer_may_have_no_memory();
	return tap_done();
}
