/* SPDX-License-Identifier: BSD-2-Clause */
/* script - steps of send and expect. */
#include <stdio.h>

#include "modules/health/probe.h"

/* What must be taken by the server before we go on. */
enum wait {
	NOTHING,
	BEFORE, /* what another step sent, so that this one may send */
	OWN,    /* what this step sent, which is all it does */
};

static enum wr_probed look(struct wr_probe *p, bool last);

static const struct wr_health_step *
step_of(const struct wr_probe *p)
{
	const struct wr_health_step *v = p->conf->steps.v;

	return &v[p->step];
}

/* Do the current step.  One that only sends is over when that was taken; one
 * that only expects looks at what is there since the last send. */
static enum wr_probed
begin(struct wr_probe *p)
{
	uint32_t n = p->conf->steps.n;
	enum wr_probed how;

	if (p->step == n)
		return wr_probe_say(p, WR_PROBE_GOOD, "script passed");
	(void)snprintf(
	    p->doing, sizeof(p->doing), "step %u of %u", p->step + 1, n);
	if (step_of(p)->send.p == NULL)
		return look(p, p->ended);
	/* The server may answer before we know that it has the question. */
	if (wr_probe_sending(p)) {
		p->waits = BEFORE;
		return WR_PROBE_MORE;
	}
	how = wr_probe_send(p, step_of(p)->send.p, step_of(p)->send.len);
	p->waits = step_of(p)->expect_text[0] == '\0' ? OWN : NOTHING;
	return how;
}

static enum wr_probed
sent(struct wr_probe *p)
{
	unsigned waited = p->waits;

	p->waits = NOTHING;
	if (waited == NOTHING)
		return WR_PROBE_MORE;
	if (waited == OWN)
		p->step++;
	return begin(p);
}

static int
matches(struct wr_probe *p, bool last)
{
	const struct wr_health_bytes *exact = &step_of(p)->exact;

	if (exact->p != NULL)
		return memmem(p->bytes, p->len, exact->p, exact->len) != NULL;
	if (!wr_probe_may_look(p, last))
		return 0;
	return wr_pcre_match(p->patterns->steps[p->step], p->bytes, p->len);
}

static enum wr_probed
look(struct wr_probe *p, bool last)
{
	char shown[WR_PROBE_SHOWN];
	int found;

	/* Unless the server will never take it. */
	if (p->waits != NOTHING && (!p->ended || wr_probe_sending(p)))
		return WR_PROBE_MORE;
	found = p->waits == NOTHING ? matches(p, last) : 0;
	if (found > 0) {
		p->step++;
		return begin(p);
	}
	if (found < 0)
		return wr_probe_say(
		    p, WR_PROBE_BAD, "%s: the regex takes too long", p->doing);
	if (!last)
		return WR_PROBE_MORE;
	if (p->ended && p->len == 0)
		return wr_probe_say(
		    p, WR_PROBE_BAD, "%s: the server ended", p->doing);
	return wr_probe_say(p, WR_PROBE_BAD,
	    p->ended ? "%s: the server ended, after \"%s\""
		     : "%s: no match in the first 16k, which begin \"%s\"",
	    p->doing, wr_probe_shown(p, shown));
}

const struct wr_probe_kind wr_probe_script = { begin, look, sent };
