/* SPDX-License-Identifier: BSD-2-Clause */
/* answer - `return`: a whole response, made once, when it is loaded. */
#include <strings.h>

#include "conf/core.h"

#define AT(field) offsetof(struct written, field)
#define BODY_MAX  (256u << 20)

/* What the group says. */
struct written {
	uint32_t status;
	const char *file, *body, *type, *location;
};

const struct wr_key wr_answer_keys[] = {
	{ "status", WR_INT, AT(status), "200",
	    "status of HTTP; 302 if there is a location", .min = 200,
	    .max = 599 },
	{ "file", WR_TEXT, AT(file), "",
	    "file whose content is the body, read when the configuration is "
	    "loaded",
	    .path = true },
	{ "body", WR_TEXT, AT(body), "",
	    "the body; alone, without status and type, it is sent as it is" },
	{ "type", WR_TEXT, AT(type), "",
	    "Content-Type; if not set, by the file's suffix" },
	{ "location", WR_TEXT, AT(location), "", "Location of a redirect" },
	{ 0 },
};

static const struct {
	uint32_t status;
	const char *text;
} REASONS[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 410, "Gone" },
	{ 421, "Misdirected Request" },
	{ 429, "Too Many Requests" },
	{ 451, "Unavailable For Legal Reasons" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
};

static const struct {
	const char *suffix, *type;
} TYPES[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".htm", "text/html; charset=utf-8" },
	{ ".txt", "text/plain; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".json", "application/json" },
	{ ".xml", "application/xml" },
	{ ".svg", "image/svg+xml" },
	{ ".png", "image/png" },
	{ ".jpg", "image/jpeg" },
	{ ".jpeg", "image/jpeg" },
	{ ".gif", "image/gif" },
	{ ".webp", "image/webp" },
	{ ".ico", "image/x-icon" },
	{ ".pdf", "application/pdf" },
	{ ".wasm", "application/wasm" },
};

static const char *
reason(uint32_t status)
{
	for (size_t i = 0; i < WR_COUNT(REASONS); i++)
		if (REASONS[i].status == status)
			return REASONS[i].text;
	return status < 300 ? "OK" : status < 400 ? "Redirect" : "Error";
}

static const char *
type_of(const char *file)
{
	const char *dot = strrchr(file, '.');

	for (size_t i = 0; dot != NULL && i < WR_COUNT(TYPES); i++)
		if (strcasecmp(TYPES[i].suffix, dot) == 0)
			return TYPES[i].type;
	return file[0] != '\0' ? "application/octet-stream"
			       : "text/plain; charset=utf-8";
}

/* What stands in a head must not end its line. */
static bool
one_line(const char *z)
{
	for (; *z != '\0'; z++)
		if ((unsigned char)*z < ' ' || *z == 0x7f)
			return false;
	return true;
}

static void
head(struct wr_text *t, const struct written *w, size_t body_len)
{
	bool bodiless = w->status == 204 || w->status == 304;

	wr_text_printf(t, "HTTP/1.0 %u %s\r\n", w->status, reason(w->status));
	if (w->location[0] != '\0')
		wr_text_printf(t, "Location: %s\r\n", w->location);
	if (!bodiless)
		wr_text_printf(t, "Content-Type: %s\r\nContent-Length: %zu\r\n",
		    w->type[0] != '\0' ? w->type : type_of(w->file), body_len);
	wr_text_puts(t, "Connection: close\r\n\r\n");
}

/* The body as it was given, or a line that says what the status says. */
static struct wr_str
body(struct wr_check *c, const struct wr_node *n, const struct written *w)
{
	const struct wr_node *at = wr_node_get(n, "file");
	struct wr_text t = { 0 };
	struct wr_str s = { "", 0 };

	if (w->file[0] != '\0') {
		s.p = wr_check_file(c, at != NULL ? at : n, w->file, &s.len);
		return s.p != NULL ? s : WR_STR("");
	}
	if (wr_node_get(n, "body") != NULL)
		return wr_str_of(w->body);
	if (w->status == 204 || w->status == 304)
		return s;
	wr_text_printf(&t, "%u %s\n", w->status, reason(w->status));
	s = (struct wr_str){ wr_check_str(c, (struct wr_str){ t.p, t.len }),
		t.len };
	wr_text_fini(&t);
	return s;
}

/* Bare bytes: just a body, and nothing that HTTP would need. */
static bool
bare(const struct wr_node *n)
{
	return wr_node_get(n, "body") != NULL &&
	       wr_node_get(n, "status") == NULL &&
	       wr_node_get(n, "type") == NULL &&
	       wr_node_get(n, "location") == NULL;
}

static const struct wr_answer *
build(struct wr_check *c, const struct wr_node *n, const struct written *w)
{
	struct wr_answer *a = wr_check_alloc(c, sizeof(*a));
	struct wr_str b = body(c, n, w);
	struct wr_text t = { 0 };
	char *bytes;

	if (!bare(n)) {
		a->status = w->status;
		head(&t, w, b.len);
	}
	if ((w->status == 204 || w->status == 304) && a->status != 0)
		b.len = 0;
	bytes = wr_check_array(c, t.len + b.len + 1, 1);
	if (t.len > 0)
		memcpy(bytes, t.p, t.len);
	if (b.len > 0)
		memcpy(bytes + t.len, b.p, b.len);
	a->bytes = (const uint8_t *)bytes;
	a->len = (uint32_t)(t.len + b.len);
	wr_text_fini(&t);
	return a;
}

static void
check(struct wr_check *c, const struct wr_node *n, struct written *w)
{
	if (w->location[0] != '\0' && wr_node_get(n, "status") == NULL)
		w->status = 302;
	if (w->file[0] != '\0' && wr_node_get(n, "body") != NULL)
		wr_check_error(c, n, "file and body exclude each other");
	if (!one_line(w->type) || !one_line(w->location))
		wr_check_error(
		    c, n, "type and location cannot hold control characters");
}

void
wr_parse_answer(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct written w = { 0 };

	(void)key;
	wr_check_presets(c, wr_answer_keys, &w);
	wr_check_group(c, wr_answer_keys, "status", n, &w);
	if (n->kind == WR_N_GROUP)
		check(c, n, &w);
	*(const struct wr_answer **)field = build(c, n, &w);
}
