/* SPDX-License-Identifier: BSD-2-Clause */
/* manifest - what is handed to a new binary, as lines; see upgrade.h. */
#include <errno.h>
#include <stddef.h>

#include "proc/upgrade.h"

/* First line; a binary that reads lines of another kind must not try. */
#define HEAD "weir manifest 1"

/* Lines that are one descriptor. */
static const struct {
	const char *name;
	size_t offset;
} FDS[] = {
	{ "talk", offsetof(struct wr_manifest, talk_fd) },
	{ "shm", offsetof(struct wr_manifest, shm_fd) },
	{ "pid", offsetof(struct wr_manifest, pid_fd) },
	{ "ask", offsetof(struct wr_manifest, ask_fd) },
	{ "parent", offsetof(struct wr_manifest, parent_fd) },
};

static int *
field(struct wr_manifest *m, size_t i)
{
	return (int *)(void *)((char *)m + FDS[i].offset);
}

void
wr_manifest_write(const struct wr_manifest *m, struct wr_text *out)
{
	struct wr_manifest copy = *m;

	wr_text_printf(out, HEAD "\ngeneration %ju\nelder %jd\n",
	    (uintmax_t)m->generation, (intmax_t)m->elder);
	for (size_t i = 0; i < WR_COUNT(FDS); i++)
		if (*field(&copy, i) >= 0)
			wr_text_printf(
			    out, "%s %d\n", FDS[i].name, *field(&copy, i));
	for (size_t i = 0; i < WR_MANIFEST_WAKES; i++)
		if (m->wake_fds[i] >= 0)
			wr_text_printf(out, "wake %d\n", m->wake_fds[i]);
	wr_text_puts(out, "listens\n");
	wr_text_add(out, m->listens.p, m->listens.len);
}

static int
read_line(
    struct wr_manifest *m, struct wr_str word, struct wr_str s, size_t *wakes)
{
	uint64_t n;

	if (wr_str_is(word, "generation"))
		return wr_str_u64(s, UINT64_MAX, &m->generation);
	if (wr_str_u64(s, INT32_MAX, &n) < 0)
		return -EPROTO;
	if (wr_str_is(word, "elder")) {
		m->elder = (pid_t)n;
		return 0;
	}
	if (wr_str_is(word, "wake") && *wakes < WR_MANIFEST_WAKES) {
		m->wake_fds[(*wakes)++] = (int)n;
		return 0;
	}
	for (size_t i = 0; i < WR_COUNT(FDS); i++)
		if (wr_str_is(word, FDS[i].name)) {
			*field(m, i) = (int)n;
			return 0;
		}
	return -EPROTO;
}

int
wr_manifest_read(struct wr_manifest *m, struct wr_str text)
{
	struct wr_str line, word;
	size_t wakes = 0;

	*m = (struct wr_manifest){ .elder = 0 };
	for (size_t i = 0; i < WR_COUNT(FDS); i++)
		*field(m, i) = -1;
	for (size_t i = 0; i < WR_MANIFEST_WAKES; i++)
		m->wake_fds[i] = -1;
	(void)wr_str_cut(text, '\n', &line, &text);
	if (!wr_str_is(line, HEAD))
		return -EPROTO;
	while (wr_str_cut(text, '\n', &line, &text)) {
		if (wr_str_is(line, "listens")) {
			wr_text_add(&m->listens, text.p, text.len);
			return m->talk_fd >= 0 && m->shm_fd >= 0 ? 0 : -EPROTO;
		}
		(void)wr_str_cut(line, ' ', &word, &line);
		if (read_line(m, word, line, &wakes) < 0)
			return -EPROTO;
	}
	return -EPROTO;
}

void
wr_manifest_fini(struct wr_manifest *m)
{
	wr_text_fini(&m->listens);
}
