/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page - what is going on, for people: three tables and their style.
 *
 * Complete without scripts and without anything from elsewhere; loaded again
 * by itself.  What a colour says, a word says too.
 */
#include "conf/conf.h"
#include "modules/status/status.h"
#include "proxy/module.h"
#include "proxy/server.h"

/* Seconds; with so many servers the page is large. */
#define AGAIN_S      5
#define AGAIN_MANY_S 30
#define MANY         1000

static const char STYLE[] =
    "<style>\n"
    ":root { color-scheme: light dark; --line: #8884; --soft: #6a6a6a;\n"
    "  --good: #176b45; --bad: #b3261e; --wait: #8a5a00 }\n"
    "@media (prefers-color-scheme: dark) { :root { --soft: #a0a0a0;\n"
    "  --good: #6fd3a3; --bad: #ff8a80; --wait: #ffc46b } }\n"
    "body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto;\n"
    "  max-width: 76rem; padding: 1rem 1.5rem 3rem }\n"
    "h1 { margin: 0; font-size: 1.6rem } h2 { margin: 2rem 0 .3rem }\n"
    "h3 { margin: 1.4rem 0 .2rem } p { margin: .2rem 0 }\n"
    ".soft { color: var(--soft); font-weight: 400 }\n"
    ".wide { overflow-x: auto }\n"
    "table { border-collapse: collapse; width: 100% }\n"
    "th, td { text-align: left; padding: .25rem .8rem .25rem 0;\n"
    "  border-bottom: 1px solid var(--line); vertical-align: top }\n"
    "thead th { color: var(--soft); font-weight: 500 }\n"
    "tbody th { font-weight: 600; overflow-wrap: anywhere }\n"
    "th:first-child { width: 25%; min-width: 9rem }\n"
    ".why { width: 17%; min-width: 9rem }\n"
    ".n + :not(.n) { padding-left: 1rem }\n"
    ".n { text-align: right; font-variant-numeric: tabular-nums;\n"
    "  white-space: nowrap }\n"
    ".good { color: var(--good) } .bad { color: var(--bad) }\n"
    ".wait { color: var(--wait) } .good, .bad, .wait { font-weight: 600 }\n"
    "</style>\n";

static const char TABLE_PROCESSES[] =
    "<h2>Processes</h2>\n<div class=\"wide\"><table>\n<thead><tr>"
    "<th scope=\"col\">process<th scope=\"col\">state"
    "<th scope=\"col\" class=\"n\">pid<th scope=\"col\">back end"
    "<th scope=\"col\" class=\"n\">configuration"
    "<th scope=\"col\" class=\"n\">sessions<th scope=\"col\" class=\"n\">at "
    "most"
    "<th scope=\"col\" class=\"n\">accepted"
    "<th scope=\"col\" class=\"n\">age"
    "<th scope=\"col\" class=\"n\">longest turn</tr></thead>\n<tbody>\n";

static const char TABLE_LISTENERS[] =
    "</tbody></table></div>\n"
    "<h2>Listeners</h2>\n<div class=\"wide\"><table>\n<thead><tr>"
    "<th scope=\"col\">listener<th scope=\"col\">addresses"
    "<th scope=\"col\" class=\"n\">sessions"
    "<th scope=\"col\" class=\"n\">accepted"
    "<th scope=\"col\" class=\"n\">refused"
    "<th scope=\"col\" class=\"n\">limited"
    "<th scope=\"col\" class=\"n\">in<th scope=\"col\" class=\"n\">out"
    "</tr></thead>\n<tbody>\n";

static const char TABLE_SERVERS[] =
    "<div class=\"wide\"><table>\n<thead><tr>"
    "<th scope=\"col\">server<th scope=\"col\">state"
    "<th scope=\"col\" class=\"why\">why<th scope=\"col\" class=\"n\">weight"
    "<th scope=\"col\" class=\"n\">sessions"
    "<th scope=\"col\" class=\"n\">connects"
    "<th scope=\"col\" class=\"n\">failures"
    "<th scope=\"col\" class=\"n\">in<th scope=\"col\" class=\"n\">out"
    "<th scope=\"col\" class=\"n\">last check</tr></thead>\n<tbody>\n";

/* -- Words --------------------------------------------------------------- */

static void
html(struct wr_text *t, const char *z)
{
	wr_text_html(t, wr_str_of(z));
}

static void
name(struct wr_text *t, const char *z)
{
	wr_text_puts(t, "<tr><th scope=\"row\">");
	html(t, z);
}

static void
number(struct wr_text *t, uint64_t n)
{
	wr_text_printf(t, "<td class=\"n\">%llu", (unsigned long long)n);
}

static void
bytes(struct wr_text *t, uint64_t n)
{
	static const char units[] = "kMGTPE";
	uint64_t tenths = n;
	int i = -1;

	if (n < 1000) {
		wr_text_printf(t, "<td class=\"n\">%u B", (unsigned)n);
		return;
	}
	for (tenths = n / 100, i = 0; tenths >= 10000; i++)
		tenths /= 1000;
	wr_text_printf(t, "<td class=\"n\">%u.%u %cB", (unsigned)(tenths / 10),
	    (unsigned)(tenths % 10), units[i]);
}

static void
age(struct wr_text *t, uint64_t ms)
{
	unsigned long long s = ms / 1000;

	if (s < 60)
		wr_text_printf(t, "%llu s", s);
	else if (s < 3600)
		wr_text_printf(t, "%llu min", s / 60);
	else if (s < 172800)
		wr_text_printf(t, "%llu h", s / 3600);
	else
		wr_text_printf(t, "%llu days", s / 86400);
}

static const char *
cause_text(uint32_t news)
{
	switch (news) {
	case WR_NEWS_REFUSED:
		return "refused connections";
	case WR_NEWS_TIMEOUT:
		return "did not answer in time";
	case WR_NEWS_RESET:
	case WR_NEWS_EARLY_RESET:
		return "reset connections";
	case WR_NEWS_UNREACHABLE:
		return "was unreachable";
	case WR_NEWS_MUTE:
		return "accepted and said nothing";
	default:
		return "failed";
	}
}

/* -- Servers ------------------------------------------------------------- */

static void
state(struct wr_text *t, const char *kind, const char *word)
{
	wr_text_printf(t, "<td class=\"%s\">%s<td>", kind, word);
}

/* What is wrong with it, the gravest first. */
static void
state_of(struct wr_text *t, const struct wr_server_state *x)
{
	uint64_t now = wr_status_now_ms(), until;
	uint32_t health = wr_load(&x->health);
	uint32_t streak = wr_load(&x->check_streak);
	enum wr_ejected out = wr_server_ejected(x, now);

	if (wr_load(&x->want) == WR_WANT_DOWN) {
		state(t, "bad", "off");
		wr_text_puts(t, "it was told to be down");
	} else if (health == WR_HEALTH_DOWN) {
		state(t, "bad", "down");
		wr_text_puts(t, "its checks fail");
	} else if (wr_load(&x->want) == WR_WANT_DRAIN) {
		state(t, "wait", "drains");
		wr_text_puts(t, "it was told to drain");
	} else if (health == WR_HEALTH_CHECKING) {
		state(t, "wait", "checking");
		wr_text_puts(t, "no check has ended yet");
	} else if (out == WR_EJECT_OUT) {
		until = wr_load(&x->eject_until_ms);
		state(t, "bad", "ejected");
		wr_text_printf(
		    t, "it %s; back in ", cause_text(wr_load(&x->eject_cause)));
		age(t, until > now ? until - now : 0);
	} else if (out != WR_EJECT_NOT) {
		state(t, "wait", "on trial");
		wr_text_printf(
		    t, "it %s", cause_text(wr_load(&x->eject_cause)));
	} else {
		state(t, "good", "up");
		if (health == WR_HEALTH_NONE)
			wr_text_puts(t, "it is not checked");
		else if (streak > 0)
			wr_text_printf(t, "%u failed checks", streak);
	}
}

static void
server(struct wr_text *t, const struct wr_stats *st,
    const struct wr_server_conf *sv)
{
	const struct wr_server_state *x = &st->states[sv->cell];
	struct wr_server_count n = wr_stats_server_sum(st, sv->cell);

	name(t, sv->name);
	if (strcmp(sv->name, sv->address) != 0) {
		wr_text_puts(t, " <span class=\"soft\">");
		html(t, sv->address);
		wr_text_puts(t, "</span>");
	}
	state_of(t, x);
	number(t, wr_load(&x->weight));
	number(t, n.active);
	number(t, n.connects);
	number(t, n.failures);
	bytes(t, n.bytes_in);
	bytes(t, n.bytes_out);
	wr_text_puts(t, "<td class=\"n\">");
	if (wr_load(&x->checks) > 0)
		wr_text_printf(t, "%u.%u ms", wr_load(&x->check_us) / 1000,
		    wr_load(&x->check_us) / 100 % 10);
	wr_text_puts(t, "</tr>\n");
}

static void
upstream(struct wr_text *t, const struct wr_stats *st,
    const struct wr_upstream_conf *u)
{
	struct wr_upstream_count n = wr_stats_upstream_sum(st, u->cell);

	wr_text_puts(t, "<h3>");
	html(t, u->name);
	wr_text_printf(t,
	    "</h3>\n<p class=\"soft\">%llu choices, %llu retries, %llu without "
	    "a server; %llu wait, %llu have waited</p>\n",
	    (unsigned long long)n.picks, (unsigned long long)n.retries,
	    (unsigned long long)n.no_server, (unsigned long long)n.waiting,
	    (unsigned long long)n.queued);
	wr_text_puts(t, TABLE_SERVERS);
}

/* -- The rest ------------------------------------------------------------ */

static void
process(struct wr_text *t, const struct wr_slot *s)
{
	uint32_t role = wr_load(&s->role), phase = wr_load(&s->phase);
	uint64_t now = wr_status_now_ms(), start = wr_load(&s->start_ms);

	name(t, wr_role_text(role));
	if (role == WR_ROLE_WORKER)
		wr_text_printf(t, " %u", wr_load(&s->index));
	wr_text_printf(t, "<td class=\"%s\">%s",
	    phase == WR_PHASE_READY ? "good" : "wait", wr_phase_text(phase));
	number(t, wr_load(&s->pid));
	wr_text_puts(t, "<td>");
	html(t, s->backend);
	number(t, wr_load(&s->generation));
	number(t, wr_load(&s->sessions));
	number(t, wr_load(&s->sessions_max));
	number(t, wr_load(&s->accepted));
	wr_text_puts(t, "<td class=\"n\">");
	age(t, now > start ? now - start : 0);
	wr_text_printf(t, "<td class=\"n\">%llu ms</tr>\n",
	    (unsigned long long)wr_load(&s->loop.turn_max_us) / 1000);
}

static void
listener(struct wr_text *t, const struct wr_stats *st,
    const struct wr_listener_conf *ln)
{
	struct wr_listener_count n = wr_stats_listener_sum(st, ln->cell);

	name(t, ln->name);
	if (ln->label[0] != '\0') {
		wr_text_puts(t, " <span class=\"soft\">");
		html(t, ln->label);
		wr_text_puts(t, "</span>");
	}
	wr_text_puts(t, "<td>");
	for (uint32_t i = 0; i < ln->n_listens && i < 8; i++) {
		wr_text_puts(t, i > 0 ? ", " : "");
		html(t, ln->listens[i].text);
	}
	if (ln->n_listens > 8)
		wr_text_printf(t, " and %u more", ln->n_listens - 8);
	number(t, n.active);
	number(t, n.accepted);
	number(t, n.refused + n.denied);
	number(t, n.limited);
	bytes(t, n.bytes_in);
	bytes(t, n.bytes_out);
	wr_text_puts(t, "</tr>\n");
}

static void
head(const struct wr_status *s, struct wr_text *t)
{
	uint64_t start = wr_load(s->stats->start_ms);
	uint64_t wall = wr_status_wall_ms(), servers = 0;
	struct wr_slot sum;

	for (uint32_t i = 0; i < s->conf->n_upstreams; i++)
		servers += s->conf->upstreams[i]->n_servers;
	wr_fields_total(s->stats, &sum);
	wr_text_printf(t,
	    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
	    "<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width\">\n"
	    "<meta http-equiv=\"refresh\" content=\"%d\">\n"
	    "<title>weir: status</title>\n%s</head>\n<body>\n"
	    "<header><h1>weir</h1>\n<p>version %s, up ",
	    servers > MANY ? AGAIN_MANY_S : AGAIN_S, STYLE, PACKAGE_VERSION);
	age(t, wall > start ? wall - start : 0);
	wr_text_printf(t,
	    "; sessions: %llu open, %llu accepted</p>\n"
	    "<p class=\"soft\">configuration %llu from ",
	    (unsigned long long)sum.sessions, (unsigned long long)sum.accepted,
	    (unsigned long long)s->generation);
	html(t, s->conf->path);
	wr_text_printf(t,
	    "; master %ld; the same as <a href=\"/status.json\">JSON</a> and "
	    "as <a href=\"/metrics\">metrics</a></p></header>\n<main>\n",
	    (long)s->master);
	wr_text_puts(t, TABLE_PROCESSES);
}

enum { /* parts */
	HEAD,
	PROCESSES,
	LISTENERS,
	UPSTREAM,
	SERVERS,
	END,
};

static void
next_process(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *t)
{
	const struct wr_slot *slot = wr_status_slot(s->stats, &at->row);

	if (slot != NULL) {
		process(t, slot);
		at->row++;
		return;
	}
	wr_text_puts(t, TABLE_LISTENERS);
	at->part = LISTENERS;
	at->row = 0;
}

static void
next_listener(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *t)
{
	if (at->row < s->conf->n_listeners) {
		listener(t, s->stats, s->conf->listeners[at->row++]);
		return;
	}
	wr_text_puts(t, "</tbody></table></div>\n<h2>Upstreams</h2>\n");
	at->part = UPSTREAM;
}

bool
wr_status_page(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *out)
{
	const struct wr_server_conf *sv;

	switch (at->part) {
	case HEAD:
		head(s, out);
		at->part = PROCESSES;
		return true;
	case PROCESSES:
		next_process(s, at, out);
		return true;
	case LISTENERS:
		next_listener(s, at, out);
		return true;
	case UPSTREAM:
		at->part =
		    at->walk.group < s->conf->n_upstreams ? SERVERS : END;
		if (at->part == SERVERS)
			upstream(
			    out, s->stats, s->conf->upstreams[at->walk.group]);
		return true;
	case SERVERS:
		sv = wr_status_server(s, &at->walk);
		if (sv != NULL) {
			server(out, s->stats, sv);
			return true;
		}
		wr_text_puts(out, "</tbody></table></div>\n");
		at->part = UPSTREAM;
		return true;
	default:
		wr_text_puts(out, "</main>\n</body>\n</html>\n");
		return false;
	}
}
