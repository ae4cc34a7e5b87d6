/* SPDX-License-Identifier: BSD-2-Clause */
/* fields - tables of what is shown; later ones are only added. */
#include "proxy/fields.h"

#include <string.h>

#define SIZE(type, member) sizeof(((struct type *)NULL)->member)
#define AS(type, member, name, metric, unit, help)                             \
	{                                                                      \
		name, metric, offsetof(struct type, member),                   \
		    SIZE(type, member), unit, help                             \
	}
#define ONE(type, member, metric, help)                                        \
	AS(type, member, #member, metric, WR_UNIT_ONE, help)
#define US(type, member, metric, help)                                         \
	AS(type, member, #member, metric, WR_UNIT_US, help)

const struct wr_field wr_total_fields[] = {
	ONE(wr_slot, accepted, "sessions_accepted_total",
	    "Sessions accepted by workers, those that are gone included."),
	ONE(wr_slot, full, "full_total",
	    "Times that a worker had no session free any more."),
	ONE(wr_slot, sessions, "sessions", "Sessions that are open."),
	ONE(wr_slot, fds, "sockets", "Descriptors that loops work on."),
	ONE(wr_slot, late_beats, "late_beats_total",
	    "Turns of a loop that took longer than watchdog.warn."),
	{ 0 },
};

const struct wr_field wr_process_fields[] = {
	ONE(wr_slot, binary, "binary", "Which binary it runs, counted from 1."),
	ONE(wr_slot, generation, "generation",
	    "The configuration that it uses."),
	AS(wr_slot, start_ms, "age_ms", "age_seconds", WR_UNIT_SINCE,
	    "Time since it was started."),
	AS(wr_slot, beat_ms, "beat_age_ms", "beat_age_seconds", WR_UNIT_SINCE,
	    "Time since its last sign of life."),
	ONE(wr_slot, late_beats, "late_beats_total",
	    "Turns that took longer than watchdog.warn."),
	ONE(wr_slot, sessions, "sessions", "Sessions that are open."),
	ONE(wr_slot, sessions_max, "sessions_max",
	    "Sessions that it has room for."),
	ONE(wr_slot, fds, "sockets", "Descriptors that its loop works on."),
	ONE(wr_slot, accepted, "sessions_accepted_total",
	    "Sessions that it has accepted."),
	ONE(wr_slot, full, "full_total",
	    "Times that it had no session free any more."),
	ONE(wr_slot, accept_errors, "accept_errors_total",
	    "Times that accepting had to wait a little."),
	{ 0 },
};

#define LOOP(member, metric, help) ONE(wr_loop_stats, member, metric, help)

const struct wr_field wr_loop_fields[] = {
	LOOP(turns, "turns_total", "Turns of the event loop."),
	LOOP(completions, "completions_total", "Operations that were done."),
	LOOP(syscalls, "syscalls_total", "System calls of the loop."),
	LOOP(accepts, "accepts_total", "Connections accepted."),
	LOOP(connects, "connects_total", "Connections begun."),
	LOOP(recvs, "receives_total", "Receives that brought bytes."),
	LOOP(sends, "sends_total", "Sends."),
	LOOP(short_sends, "short_sends_total",
	    "Sends that the kernel did not take as a whole."),
	LOOP(closes, "closes_total", "Descriptors closed."),
	LOOP(recv_bytes, "received_bytes_total", "Bytes received."),
	LOOP(send_bytes, "sent_bytes_total", "Bytes sent."),
	LOOP(splice_bytes, "spliced_bytes_total",
	    "Bytes that went through pipes, not copied."),
	LOOP(no_buffers, "buffer_waits_total",
	    "Receives that had to wait for a buffer."),
	LOOP(rearms, "rearms_total", "Operations that had to be begun again."),
	LOOP(cancels, "cancels_total", "Operations cancelled."),
	LOOP(timers_fired, "timers_fired_total", "Timers that fired."),
	US(wr_loop_stats, turn_max_us, "turn_max_seconds",
	    "The longest turn, without the wait."),
	LOOP(
	    late_turns, "late_turns_total", "Turns longer than watchdog.warn."),
	LOOP(socks, "sockets", "Descriptors that the loop works on."),
	LOOP(timers, "timers", "Timers that are set."),
	LOOP(buffers_used, "buffers_used", "Buffers lent."),
	LOOP(buffers, "buffers", "Buffers in all."),
	LOOP(spill_bytes, "spill_bytes",
	    "Memory for what slow readers have not taken."),
	LOOP(iowq_threads, "iowq_threads",
	    "Threads that the kernel made for io_uring."),
	{ 0 },
};

const struct wr_field wr_listener_fields[] = {
	ONE(wr_listener_count, accepted, "accepted_total",
	    "Sessions accepted; of a heartbeat listener, beats that counted."),
	ONE(wr_listener_count, refused, "refused_total",
	    "Sessions turned away for want of room; of a heartbeat listener, "
	    "beats ignored."),
	ONE(wr_listener_count, denied, "denied_total",
	    "Sessions turned away by access; of a heartbeat listener, "
	    "datagrams and connections."),
	ONE(wr_listener_count, bytes_in, "received_bytes_total",
	    "Bytes from clients."),
	ONE(wr_listener_count, bytes_out, "sent_bytes_total",
	    "Bytes to clients."),
	ONE(wr_listener_count, limited, "limited_total",
	    "Sessions turned away by limit."),
	ONE(wr_listener_count, limit_dry, "limit_dry_total",
	    "Sessions that limit would have turned away but for dry_run."),
	ONE(wr_listener_count, limit_full, "limit_full_total",
	    "Sessions let in because a table of limit was full."),
	ONE(wr_listener_count, active, "sessions", "Sessions that are open."),
	{ 0 },
};

const struct wr_field wr_upstream_fields[] = {
	ONE(wr_upstream_count, picks, "picks_total",
	    "Choices of a server for a session."),
	ONE(wr_upstream_count, retries, "retries_total",
	    "Tries after one that failed."),
	ONE(wr_upstream_count, no_server, "no_server_total",
	    "Sessions for which no server was usable."),
	ONE(wr_upstream_count, queued, "queued_total",
	    "Sessions that had to wait for a server."),
	ONE(wr_upstream_count, queue_full, "queue_full_total",
	    "Sessions that found too many waiting already."),
	ONE(wr_upstream_count, waiting, "waiting", "Sessions that wait."),
	ONE(wr_upstream_count, sticky_hits, "sticky_hits_total",
	    "Sessions that went where their client had been before."),
	ONE(wr_upstream_count, sticky_misses, "sticky_misses_total",
	    "Sessions whose client had been nowhere, or could not go there."),
	ONE(wr_upstream_count, sticky_evicted, "sticky_evicted_total",
	    "Clients that were forgotten for others."),
	{ 0 },
};

const struct wr_field wr_group_fields[] = {
	ONE(wr_upstream_state, panics, "panics_total",
	    "Sessions sent to an ejected server because all were."),
	{ 0 },
};

const struct wr_field wr_server_fields[] = {
	ONE(wr_server_count, picks, "picks_total", "Times it was chosen."),
	ONE(wr_server_count, connects, "connects_total",
	    "Connections that it accepted."),
	ONE(wr_server_count, failures, "failures_total",
	    "Connections that failed."),
	ONE(wr_server_count, bytes_in, "received_bytes_total",
	    "Bytes to the server, from clients."),
	ONE(wr_server_count, bytes_out, "sent_bytes_total",
	    "Bytes from the server, to clients."),
	US(wr_server_count, connect_us, "connect_seconds_total",
	    "Time that its connects took, in all."),
	ONE(wr_server_count, active, "sessions", "Sessions that it has."),
	{ 0 },
};

const struct wr_field wr_state_fields[] = {
	ONE(wr_server_state, weight, "weight", "Its share of sessions."),
	ONE(wr_server_state, checks, "checks_total", "Checks of it."),
	ONE(wr_server_state, check_failures, "check_failures_total",
	    "Checks that failed."),
	US(wr_server_state, check_us, "check_seconds",
	    "How long the last check took."),
	ONE(wr_server_state, ejections, "ejections_total",
	    "Times it was ejected."),
	{ 0 },
};

uint64_t
wr_field_value(const struct wr_field *f, const void *row, uint64_t now_ms)
{
	const void *p = (const char *)row + f->offset;
	uint64_t v;

	if (f->size == sizeof(uint32_t))
		v = wr_load((const uint32_t *)p);
	else
		v = wr_load((const uint64_t *)p);
	if (f->unit == WR_UNIT_SINCE)
		return now_ms > v ? now_ms - v : 0;
	return v;
}

void
wr_fields_total(const struct wr_stats *st, struct wr_slot *sum)
{
	uint32_t high = wr_load(st->slots_high);

	(void)memset(sum, 0, sizeof(*sum));
	for (uint32_t n = 0; n <= high; n++) {
		/* The base comes after the last. */
		const struct wr_slot *s = &st->slots[n < high ? n : WR_SLOTS];

		sum->accepted += wr_load(&s->accepted);
		sum->full += wr_load(&s->full);
		sum->sessions += wr_load(&s->sessions);
		sum->fds += wr_load(&s->fds);
		sum->late_beats += wr_load(&s->late_beats);
		for (int i = 0; i < WR_ENDS; i++)
			sum->ends[i] += wr_load(&s->ends[i]);
	}
}

/* Another process writes these words; one out of range is shown as such. */
static const char *
word(const char *const *list, size_t n, uint32_t i)
{
	return i < n ? list[i] : "?";
}

const char *
wr_role_text(uint32_t role)
{
	static const char *const list[] = { "none", "worker", "control" };

	return word(list, WR_COUNT(list), role);
}

const char *
wr_phase_text(uint32_t phase)
{
	static const char *const list[] = { "start", "ready", "drain", "gone" };

	return word(list, WR_COUNT(list), phase);
}

const char *
wr_health_text(uint32_t health)
{
	static const char *const list[] = { "none", "checking", "up", "down" };

	return word(list, WR_COUNT(list), health);
}

const char *
wr_want_text(uint32_t want)
{
	static const char *const list[] = { "up", "drain", "down" };

	return word(list, WR_COUNT(list), want);
}

const char *
wr_ejected_text(uint32_t ejected)
{
	static const char *const list[] = { "no", "yes", "open", "tried" };

	return word(list, WR_COUNT(list), ejected);
}
