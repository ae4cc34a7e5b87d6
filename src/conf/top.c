/* SPDX-License-Identifier: BSD-2-Clause */
/* top - the table of the top level, and the order in which all is made. */
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "conf/core.h"

#define AT(field) offsetof(struct wr_conf, field)

static const char *const BACKENDS[] = { "auto", "io_uring", "epoll", "kqueue",
	"poll", "select", NULL };
static const char *const FAMILIES[] = { "any", "ipv4", "ipv6", NULL };
static const char *const CONTROL_LEVELS[] = { "user", "operator", "admin",
	NULL };

static wr_parse_fn parse_workers, parse_pid, parse_backend, parse_connections,
    parse_control_listen;

#define EVENTS(field) (offsetof(struct wr_conf, events.field) - AT(events))
#define WATCH(field)  (offsetof(struct wr_conf, watchdog.field) - AT(watchdog))
#define DNS(field)    offsetof(struct wr_resolver_conf, field)
#define CONTROL(f)    offsetof(struct wr_control_conf, f)

static const struct wr_key EVENTS_KEYS[] = {
	{ "backend", WR_CUSTOM, EVENTS(backend), "auto",
	    "kernel interface: auto, io_uring, epoll, kqueue, poll or select",
	    WR_WORKERS, .parse = parse_backend },
	{ "connections", WR_CUSTOM, EVENTS(connections), "auto",
	    "sessions per worker, or auto: as many as descriptors allow, at "
	    "most 16384",
	    WR_WORKERS, .parse = parse_connections },
	{ "buffers", WR_SIZE, EVENTS(buffers), "16m",
	    "memory per worker for bytes in transit", WR_WORKERS, .min = 65536,
	    .max = (int64_t)64 << 30 },
	{ "spill", WR_SIZE, EVENTS(spill), "64m",
	    "memory per worker for what slow readers have not taken",
	    WR_WORKERS, .max = (int64_t)64 << 30 },
	{ "unsent", WR_SIZE, EVENTS(unsent), "128k",
	    "bytes that the kernel may hold unsent per connection", WR_WORKERS,
	    .min = 4096, .max = 1 << 30 },
	{ 0 },
};

static const struct wr_key WATCHDOG_KEYS[] = {
	{ "interval", WR_TIME, WATCH(interval_ms), "500ms",
	    "how often an idle worker says that it lives", WR_LIVE, .min = 10 },
	{ "warn", WR_TIME, WATCH(warn_ms), "100ms",
	    "a turn of a worker longer than this is logged", WR_LIVE },
	{ "limit", WR_TIME, WATCH(limit_ms), "5s",
	    "a worker silent for longer is replaced", WR_LIVE },
	{ 0 },
};

static const struct wr_key RESOLVER_KEYS[] = {
	{ "servers", WR_ADDRS, DNS(servers), "",
	    "name servers, instead of those in resolv.conf", WR_LIVE },
	{ "ttl_min", WR_TIME, DNS(ttl_min_ms), "1s",
	    "answers are kept at least this long", WR_LIVE, .min = 10,
	    .max = 86400000 },
	{ "ttl_max", WR_TIME, DNS(ttl_max_ms), "5m", "and at most this long",
	    WR_LIVE, .min = 10, .max = 86400000 },
	{ "timeout", WR_TIME, DNS(timeout_ms), "1s",
	    "of one question, which is asked twice", WR_LIVE, .min = 10,
	    .max = 60000 },
	{ "hold", WR_TIME, DNS(hold_ms), "30s",
	    "the last good answer outlives \"no such name\" by this", WR_LIVE },
	{ "family", WR_CHOICE, DNS(family), "any", "any, ipv4 or ipv6", WR_LIVE,
	    .choices = FAMILIES },
	{ 0 },
};

static const struct wr_key CONTROL_KEYS[] = {
	{ "listen", WR_CUSTOM, CONTROL(listen),
	    "unix:" WR_RUN_DIR "/weir/control.sock",
	    "address of a control socket", .parse = parse_control_listen },
	{ "mode", WR_CUSTOM, CONTROL(mode), "0660", "mode of a unix socket",
	    .parse = wr_parse_mode },
	{ "owner", WR_CUSTOM, CONTROL(uid), "", "user who owns a unix socket",
	    .parse = wr_parse_owner },
	{ "group", WR_CUSTOM, CONTROL(gid), "", "group of a unix socket",
	    .parse = wr_parse_gid },
	{ "level", WR_CHOICE, CONTROL(level), "admin",
	    "what may be done there: user, operator or admin",
	    .choices = CONTROL_LEVELS },
	{ 0 },
};

const struct wr_key wr_top_keys[] = {
	{ "workers", WR_CUSTOM, AT(workers), "auto",
	    "worker processes, or auto: as many as CPUs may be used", WR_LIVE,
	    .parse = parse_workers },
	{ "user", WR_CUSTOM, AT(user), "",
	    "who workers are: \"user\" or \"user:group\"; if not set, weir, "
	    "when started as root",
	    WR_WORKERS, .parse = wr_parse_user },
	{ "pid", WR_CUSTOM, AT(pid), WR_RUN_DIR "/weir.pid", "the pid file",
	    WR_UPGRADE, .parse = parse_pid, .path = true },
	{ "control", WR_GROUPS, AT(control), "", "control sockets", WR_NEW,
	    .keys = CONTROL_KEYS, .size = sizeof(struct wr_control_conf),
	    .principal = "listen", .later = "control sockets" },
	{ "events", WR_GROUP, AT(events), "", "the event loop of a worker",
	    WR_WORKERS, .keys = EVENTS_KEYS, .principal = "backend" },
	{ "watchdog", WR_GROUP, AT(watchdog), "",
	    "workers that hang are noticed and replaced", WR_LIVE,
	    .keys = WATCHDOG_KEYS },
	{ "error_log", WR_GROUP, AT(error_log), "", "what weir says", WR_LIVE,
	    .keys = wr_error_log_keys, .principal = "to" },
	{ "access_log", WR_GROUP, AT(access_log), "", "one line a session",
	    WR_LIVE, .keys = wr_access_log_keys, .principal = "to" },
	{ "resolver", WR_GROUP, AT(resolver), "", "how names become addresses",
	    WR_LIVE, .keys = RESOLVER_KEYS, .principal = "servers" },
	{ "reload_timeout", WR_TIME, AT(reload_timeout_ms), "15s",
	    "a process that has not answered by then refuses the reload",
	    WR_LIVE, .min = 100 },
	{ "timeouts", WR_CUSTOM, AT(timeouts), "",
	    "time-outs of all listeners and upstreams", WR_NEW,
	    .keys = wr_timeout_keys, .parse = wr_parse_timeouts,
	    .min = WR_AT_TOP },
	{ "defaults", WR_CUSTOM, 0, "",
	    "what all listeners and all upstreams inherit", WR_NEW,
	    .parse = wr_parse_nothing },
	{ "upstreams", WR_CUSTOM, 0, "", "groups of servers, by name", WR_NEW,
	    .parse = wr_parse_nothing },
	{ "listeners", WR_CUSTOM, 0, "", "where clients come in, by name",
	    WR_NEW, .parse = wr_parse_nothing },
	{ 0 },
};

/* These are looked at when all else is known. */
void
wr_parse_nothing(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	(void)c;
	(void)key;
	(void)n;
	(void)field;
}

static bool
is(const struct wr_node *n, const char *z)
{
	return n->kind == WR_N_TEXT && strcmp(n->text, z) == 0;
}

/* CPUs that a cgroup's quota leaves us, or 0 if there is none. */
static uint32_t
quota(void)
{
	double max, period;
	char text[64] = "";
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");

	if (f == NULL)
		return 0;
	if (fgets(text, sizeof(text), f) == NULL)
		text[0] = '\0';
	(void)fclose(f);
	if (sscanf(text, "%lf %lf", &max, &period) != 2 || max <= 0 ||
	    period <= 0)
		return 0;
	return max <= period ? 1 : (uint32_t)(max / period);
}

static uint32_t
cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t limit = quota();
#ifdef __linux__
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
#endif
	if (n < 1)
		n = 1;
	if (limit > 0 && (uint32_t)n > limit)
		n = limit;
	return n > WR_WORKERS_LIMIT ? WR_WORKERS_LIMIT : (uint32_t)n;
}

/* 1 to `max`, or "auto". */
static void
number_or(uint32_t automatic, int64_t max, struct wr_check *c,
    const struct wr_key *key, const struct wr_node *n, uint32_t *field)
{
	struct wr_key number = *key;

	if (is(n, "auto")) {
		*field = automatic;
		return;
	}
	number.type = WR_INT;
	number.min = 1;
	number.max = max;
	wr_check_value(c, &number, n, field);
}

static void
parse_workers(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	number_or(cpus(), WR_WORKERS_LIMIT, c, key, n, field);
}

static void
parse_connections(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	number_or(WR_OFF, 10 * 1000 * 1000, c, key, n, field);
}

static void
parse_backend(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct wr_key which = *key;
	uint32_t i = 0;

	which.type = WR_CHOICE;
	which.choices = BACKENDS;
	wr_check_value(c, &which, n, &i);
	*(const char **)field = BACKENDS[i];
}

static void
parse_pid(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    void *field)
{
	struct wr_conf *conf = wr_container_of(field, struct wr_conf, pid);
	const char *z = wr_check_text(c, n);

	(void)key;
	if (z == NULL)
		return;
	conf->pid_where = wr_check_where(c, n);
	if (n->src == NULL && c->load->prefix != NULL) {
		/* The default, below the prefix. */
		struct wr_text t = { 0 };

		wr_text_printf(&t, "%s/weir.pid", c->load->prefix);
		conf->pid = wr_check_str(c, (struct wr_str){ t.p, t.len });
		wr_text_fini(&t);
		return;
	}
	if (z[0] == '\0') {
		wr_check_error(c, n, "the pid file needs a name");
		return;
	}
	conf->pid = wr_check_path(c, n, z);
	conf->pid_written = n->src != NULL;
}

static void
parse_control_listen(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	const char *z = wr_check_text(c, n);
	struct wr_listen *l = field;

	(void)key;
	if (z != NULL && wr_addr_parse(&l->addr, wr_str_of(z), -1) < 0)
		wr_check_error(c, n, "\"%s\" is no address", z);
}

/* Missing groups are empty ones. */
static const struct wr_node *
group_of(struct wr_check *c, const struct wr_node *up, const char *name)
{
	static const struct wr_node none = { .kind = WR_N_GROUP };
	const struct wr_node *n = up != NULL ? wr_node_get(up, name) : NULL;
	char text[WR_SHOWN];

	if (n != NULL && n->kind == WR_N_GROUP)
		return n;
	if (n != NULL)
		wr_check_error(c, n, "a group { } is expected, not %s",
		    wr_check_shown(NULL, n, text));
	return &none;
}

static const struct wr_node *
defaults(struct wr_check *c, const char *which)
{
	const struct wr_node *d = wr_node_get(c->root, "defaults");

	if (d != NULL && d->kind != WR_N_GROUP)
		d = NULL;
	return group_of(c, d, which);
}

static void
check_defaults(struct wr_check *c)
{
	const struct wr_node *d = group_of(c, c->root, "defaults");

	for (d = d->first; d != NULL; d = d->next)
		if (strcmp(d->name, "listener") != 0 &&
		    strcmp(d->name, "upstream") != 0)
			wr_check_error(c, d,
			    "unknown key: known are listener and upstream");
}

static void
check_watchdog(struct wr_check *c)
{
	const struct wr_conf *conf = c->conf;

	if (conf->watchdog.limit_ms < 2 * conf->watchdog.interval_ms)
		wr_check_error(c, wr_node_get(c->root, "watchdog"),
		    "limit must be at least twice interval, or a healthy "
		    "worker may be killed");
}

static void
check_idle(struct wr_check *c)
{
	if (c->conf->n_listeners == 0 && !wr_check_failed(c))
		wr_check_notice(c, NULL,
		    "%s: there are no listeners: nobody can come in",
		    c->conf->path);
}

void
wr_check_all(struct wr_check *c)
{
	struct wr_conf *conf = c->conf;

	conf->uid = conf->gid = WR_OFF;
	conf->mod = wr_check_mods(c);
	conf->n_mod = c->n_groups;
	wr_check_presets(c, wr_top_keys, conf);
	wr_check_presets(c, wr_timeout_keys, &conf->timeouts);
	conf->mod = wr_check_object(
	    c, c->root, wr_top_keys, conf, WR_AT_TOP, conf->mod);
	check_watchdog(c);
	check_defaults(c);
	wr_check_upstreams(
	    c, group_of(c, c->root, "upstreams"), defaults(c, "upstream"));
	wr_check_listeners(
	    c, wr_node_get(c->root, "listeners"), defaults(c, "listener"));
	wr_timeouts_settle(&conf->timeouts);
	check_idle(c);
}
