/* SPDX-License-Identifier: BSD-2-Clause */
/* owners - users, groups and modes of files. */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf/core.h"

/* A group by name or number; false if there is none. */
static bool
find_group(const char *z, uint32_t *gid)
{
	const struct group *gr;
	uint64_t num;

	if (wr_str_u64(wr_str_of(z), UINT32_MAX - 1, &num) == 0) {
		*gid = (uint32_t)num;
		return true;
	}
	gr = getgrnam(z);
	if (gr != NULL)
		*gid = gr->gr_gid;
	return gr != NULL;
}

/* A user and his group. */
static bool
find_user(const char *z, uint32_t *uid, uint32_t *gid)
{
	const struct passwd *pw = getpwnam(z);
	uint64_t num;

	if (pw != NULL) {
		*uid = pw->pw_uid;
		*gid = pw->pw_gid;
		return true;
	}
	if (wr_str_u64(wr_str_of(z), UINT32_MAX - 1, &num) < 0)
		return false;
	*uid = (uint32_t)num;
	pw = getpwuid((uid_t)num);
	*gid = pw != NULL ? pw->pw_gid : *uid;
	return true;
}

/* Whoever is not root cannot change anything, and need not know the user. */
void
wr_parse_user(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct wr_conf *conf = wr_container_of(field, struct wr_conf, user);
	const char *z = n->kind == WR_N_INT ? n->text : wr_check_text(c, n);
	struct wr_str user, group;
	char *name;

	if (z == NULL)
		return;
	if (z[0] == '\0') {
		wr_check_wrong(c, key, n, "the user needs a name");
		return;
	}
	conf->user = wr_check_str(c, wr_str_of(z));
	if (geteuid() != 0)
		return;
	name = wr_check_scratch(c, strlen(z) + 1);
	memcpy(name, z, strlen(z));
	(void)wr_str_cut(wr_str_of(name), ':', &user, &group);
	name[user.len] = '\0';
	if (!find_user(name, &conf->uid, &conf->gid))
		wr_check_error(c, n, "there is no user \"%s\"", name);
	else if (group.len > 0 && !find_group(group.p, &conf->gid))
		wr_check_error(c, n, "there is no group \"%s\"", group.p);
}

void
wr_parse_owner(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	const char *z = n->kind == WR_N_INT ? n->text : wr_check_text(c, n);
	uint32_t gid;

	(void)key;
	if (z != NULL && z[0] != '\0' && !find_user(z, field, &gid))
		wr_check_error(c, n, "there is no user \"%s\"", z);
}

void
wr_parse_gid(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	const char *z = n->kind == WR_N_INT ? n->text : wr_check_text(c, n);

	(void)key;
	if (z != NULL && z[0] != '\0' && !find_group(z, field))
		wr_check_error(c, n, "there is no group \"%s\"", z);
}

void
wr_parse_mode(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	char shown[WR_SHOWN];
	char *end = NULL;
	long mode = -1;

	if (n->kind == WR_N_TEXT && n->text[0] >= '0' && n->text[0] <= '7')
		mode = strtol(n->text, &end, 8);
	if (end == NULL || *end != '\0' || mode < 0 || mode > 0777)
		wr_check_wrong(c, key, n, "%s is no mode: write \"0660\"",
		    wr_check_shown(key, n, shown));
	else
		*(uint32_t *)field = (uint32_t)mode;
}
