/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf - load a configuration that a unit test has in a string.
 */
#ifndef WR_TEST_CONF_H
#define WR_TEST_CONF_H

#include <fcntl.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "tap.h"

/* Files of a test lie in a folder of their own. */
__attribute__((unused)) static char conf_dir[] = "/tmp/weir-unit-XXXXXX";

__attribute__((unused)) static const char *
conf_path(const char *name)
{
	static char paths[8][256];
	static unsigned i;
	char *p = paths[i++ % 8];

	(void)snprintf(p, sizeof(paths[0]), "%s/%s", conf_dir, name);
	return p;
}

__attribute__((unused)) static void
conf_begin(void)
{
	if (mkdtemp(conf_dir) == NULL)
		abort();
}

__attribute__((unused)) static void
conf_end(void)
{
	char command[300];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", conf_dir);
	if (system(command) != 0)
		diag("cannot remove %s", conf_dir);
}

__attribute__((unused)) static void
conf_write(const char *name, const char *text, size_t len)
{
	int fd = open(conf_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		abort();
	(void)close(fd);
}

/* Load `text` as NAME; NULL if refused.  What was said is in *said, without
 * the name of the folder, until the next call. */
__attribute__((unused)) static struct wr_gen *
conf_load(const char *text, struct wr_load *ld, const char **said)
{
	static char copy[65536];
	struct wr_gen *g;
	char *out = copy;

	conf_write("t.conf", text, strlen(text));
	ld->path = conf_path("t.conf");
	g = wr_conf_load(ld);
	copy[0] = '\0';
	for (const char *p = ld->errors.p; p != NULL && *p != '\0';) {
		if (strncmp(p, conf_dir, strlen(conf_dir)) == 0)
			p += strlen(conf_dir) + 1;
		if (out < copy + sizeof(copy) - 1)
			*out++ = *p;
		p++;
	}
	*out = '\0';
	if (said != NULL)
		*said = copy;
	wr_text_fini(&ld->errors);
	wr_text_fini(&ld->notices);
	return g;
}

#endif
