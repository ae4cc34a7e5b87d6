/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/addr.h"

#include <errno.h>

#include "tap.h"

/* The text of what is parsed, or the error's number. */
static const char *
parsed(const char *z, int port)
{
	static char text[WR_ADDR_TEXT];
	struct wr_addr a;
	int err = wr_addr_parse(&a, wr_str_of(z), port);

	if (err < 0) {
		if (a.len != 0)
			return "left something behind";
		(void)snprintf(text, sizeof(text), "%d", -err);
		return text;
	}
	return wr_addr_text(&a, text, sizeof(text));
}

static int
error(const char *z)
{
	struct wr_addr a;

	return wr_addr_parse(&a, wr_str_of(z), 80);
}

static struct wr_addr
address(const char *z)
{
	struct wr_addr a;

	ok(wr_addr_parse(&a, wr_str_of(z), 80) == 0);
	return a;
}

static struct wr_ip
ip(const char *z)
{
	struct wr_addr a = address(z);

	return wr_ip_of(&a.sa, a.len);
}

static void
addresses_read_as_they_are_written(void)
{
	static const char *const same[] = { "10.0.0.5:80", "0.0.0.0:1",
		"255.255.255.255:65535", "[::1]:80", "[::]:443",
		"[2001:db8::a]:8080", "[::ffff:10.0.0.1]:80", "[fe80::1%lo]:80",
		"unix:/run/app.sock", "unix:relative" };

	for (size_t i = 0; i < WR_COUNT(same); i++)
		is_str(parsed(same[i], -1), same[i]);
	is_str(parsed("*:80", -1), "0.0.0.0:80");
	is_str(parsed("[FE80::1%1]:80", -1), "[fe80::1%lo]:80");
	is_str(parsed("[fe80::1%4000000]:80", -1), "[fe80::1%4000000]:80");
}

static void
a_port_may_be_given_elsewhere(void)
{
	is_str(parsed("10.0.0.5", 80), "10.0.0.5:80");
	is_str(parsed("10.0.0.5", 0), "10.0.0.5:0");
	is_str(parsed("10.0.0.5:81", 80), "10.0.0.5:81");
	is_str(parsed("[::1]", 80), "[::1]:80");
	is_str(parsed("*", 80), "0.0.0.0:80");
	is_int(error("10.0.0.5"), 0);
	is_int(wr_addr_parse(&(struct wr_addr){ 0 }, WR_STR("10.0.0.5"), -1),
	    -EDESTADDRREQ);
	is_int(wr_addr_parse(&(struct wr_addr){ 0 }, WR_STR("[::1]"), -1),
	    -EDESTADDRREQ);
}

static void
what_is_no_address_may_be_a_name(void)
{
	static const char *const names[] = { "", "localhost:80", "10.0.0:80",
		"10.0.0.256:80", "10.0.0.05:80", " 10.0.0.5:80", ":80", "::1",
		"[::1", "[]:80", "[::1]80", "[::1] :80", "[::g]:80",
		"[10.0.0.5]:80", "[%lo]:80", "fd:3", "unix:", "**:80",
		"1234567890123456789012345678901234567890123456789:80" };

	for (size_t i = 0; i < WR_COUNT(names); i++) {
		if (!is_int(error(names[i]), -EINVAL))
			diag("%s", names[i]);
	}
	is_int(
	    wr_addr_parse(&(struct wr_addr){ 0 }, WR_STR("10.0.0.5\0:80"), -1),
	    -EINVAL);
	is_int(wr_addr_parse(&(struct wr_addr){ 0 }, WR_STR("unix:a\0b"), -1),
	    -EINVAL);
}

static void
bad_parts_are_told_apart(void)
{
	static const char *const ports[] = { "10.0.0.5:", "10.0.0.5:0",
		"10.0.0.5:65536", "10.0.0.5:-1", "10.0.0.5:x", "10.0.0.5:8 0",
		"10.0.0.5:99999999999999999999999", "[::1]:", "[::1]:0x50" };

	for (size_t i = 0; i < WR_COUNT(ports); i++) {
		if (!is_int(error(ports[i]), -ERANGE))
			diag("%s", ports[i]);
	}
	is_int(error("[fe80::1%]:80"), -ENODEV);
	is_int(error("[fe80::1%0]:80"), -ENODEV);
	is_int(error("[fe80::1%nowhere]:80"), -ENODEV);
	is_int(error("[fe80::1%a-name-that-is-too-long]:80"), -ENODEV);
}

static void
paths_fit_or_are_refused(void)
{
	char path[5 + 108 + 1] = "unix:";
	struct wr_addr a;

	memset(path + 5, 'p', 108);
	is_int(error(path), -ENAMETOOLONG);
	path[5 + 107] = '\0';
	is_str(parsed(path, -1), path);
	a = address(path);
	is_int(a.len, sizeof(a.un));
	is_int(wr_addr_port(&a), 0);
}

static void
text_is_cut_at_its_end(void)
{
	struct wr_addr a = address("10.0.0.5:80"), none = { .len = 0 };
	char text[8];

	is_str(wr_addr_text(&a, text, sizeof(text)), "10.0.0.");
	is_str(wr_addr_text(&a, text, 1), "");
	is_str(wr_addr_text(&none, text, sizeof(text)), "-");
	is_int(wr_addr_port(&none), 0);
}

static void
names_of_unix_sockets_are_printable(void)
{
	struct wr_addr a = { .un = { .sun_family = AF_UNIX } };
	char text[WR_ADDR_TEXT];

	a.len = offsetof(struct sockaddr_un, sun_path);
	is_str(wr_addr_text(&a, text, sizeof(text)), "unix:");
	memcpy(a.un.sun_path, "\0ab\n", 4);
	a.len += 4;
	is_str(wr_addr_text(&a, text, sizeof(text)), "unix:@ab\\n");
	memset(a.un.sun_path, 'x', sizeof(a.un.sun_path));
	a.len = sizeof(a.un);
	is_int(strlen(wr_addr_text(&a, text, sizeof(text))), 5 + 108);
}

static void
equal_means_equal_in_every_part(void)
{
	struct wr_addr none = { .len = 0 }, a = address("10.0.0.5:80"),
		       b = address("10.0.0.5:80"), c, d;

	ok(wr_addr_eq(&a, &b));
	wr_addr_set_port(&b, 81);
	is_int(wr_addr_port(&b), 81);
	ok(!wr_addr_eq(&a, &b));
	b = address("10.0.0.6:80");
	ok(!wr_addr_eq(&a, &b));
	ok(!wr_addr_eq(&a, &none) && !wr_addr_eq(&none, &a));
	ok(wr_addr_eq(&none, &none));
	c = address("[::1]:80");
	d = address("[::1]:80");
	ok(!wr_addr_eq(&a, &c));
	ok(wr_addr_eq(&c, &d));
	wr_addr_set_port(&d, 81);
	is_int(wr_addr_port(&d), 81);
	ok(!wr_addr_eq(&c, &d));
	d = address("[::1%lo]:80");
	ok(!wr_addr_eq(&c, &d));
	d = address("[::2]:80");
	ok(!wr_addr_eq(&c, &d));
	c = address("unix:/a");
	d = address("unix:/a");
	ok(wr_addr_eq(&c, &d));
	d = address("unix:/b");
	ok(!wr_addr_eq(&c, &d));
	d = address("unix:/a/b");
	ok(!wr_addr_eq(&c, &d));
}

/* There and back again. */
static const char *
small(const char *z)
{
	static char text[WR_ADDR_TEXT];
	char again[WR_ADDR_TEXT];
	struct wr_ip i = ip(z), j;
	struct wr_addr a = wr_addr_of_ip(&i);

	j = wr_ip_of(&a.sa, a.len);
	(void)wr_ip_text(&j, again, sizeof(again));
	(void)wr_ip_text(&i, text, sizeof(text));
	return strcmp(text, again) == 0 ? text : "not the same again";
}

static void
an_address_survives_in_24_bytes(void)
{
	struct wr_ip none = wr_ip_of(NULL, 0);
	struct wr_addr a = wr_addr_of_ip(&none), b;
	char text[WR_ADDR_TEXT];

	is_int(sizeof(struct wr_ip), 24);
	is_str(small("10.0.0.5:80"), "10.0.0.5:80");
	is_str(small("[2001:db8::1]:443"), "[2001:db8::1]:443");
	is_str(small("[fe80::1%lo]:80"), "[fe80::1%lo]:80");
	is_str(small("[fe80::1%4000000]:80"), "[fe80::1%4000000]:80");
	is_str(small("[::ffff:10.0.0.5]:80"), "10.0.0.5:80");
	is_str(small("unix:/run/x"), "unix:");
	is_str(wr_ip_text(&none, text, sizeof(text)), "-");
	is_str(wr_ip_host(&none, text, sizeof(text)), "-");
	if (wr_addr_parse(&b, WR_STR("10.0.0.5:80"), -1) == 0)
		none = wr_ip_of(&b.sa, b.len);
	is_str(wr_ip_host(&none, text, sizeof(text)), "10.0.0.5");
	if (wr_addr_parse(&b, WR_STR("[2001:db8::1]:80"), -1) == 0)
		none = wr_ip_of(&b.sa, b.len);
	is_str(wr_ip_host(&none, text, sizeof(text)), "2001:db8::1");
	is_int(a.len, 0);
}

static void
half_an_address_is_none(void)
{
	struct wr_addr a = address("10.0.0.5:80"), b = address("[::1]:80");

	is_int(wr_ip_of(&a.sa, 1).family, 0);
	is_int(wr_ip_of(&a.sa, sizeof(a.in) - 1).family, 0);
	is_int(wr_ip_of(&b.sa, sizeof(b.in6) - 1).family, 0);
	a.sa.sa_family = AF_APPLETALK;
	is_int(wr_ip_of(&a.sa, a.len).family, 0);
}

static void
hosts_are_the_same_whatever_their_ports(void)
{
	struct wr_ip a = ip("10.0.0.5:80"), b = ip("10.0.0.5:81");

	ok(wr_ip_same_host(&a, &b));
	b = ip("10.0.0.6:80");
	ok(!wr_ip_same_host(&a, &b));
	b = ip("[::ffff:10.0.0.5]:1");
	ok(wr_ip_same_host(&a, &b));
	b = ip("[a00:5::]:80"); /* the same bytes, another family */
	ok(!wr_ip_same_host(&a, &b));
	a = ip("[fe80::1%1]:80");
	b = ip("[fe80::1%2]:80");
	ok(!wr_ip_same_host(&a, &b));
}

static int
cidr_error(const char *z)
{
	struct wr_cidr c;

	return wr_cidr_parse(&c, wr_str_of(z));
}

static void
networks_are_parsed(void)
{
	struct wr_cidr c;

	is_int(wr_cidr_parse(&c, WR_STR("10.0.0.0/8")), 0);
	ok(c.family == AF_INET && c.bits == 8 && c.ip[0] == 10);
	is_int(wr_cidr_parse(&c, WR_STR("10.1.2.3")), 0);
	is_int(c.bits, 32);
	is_int(wr_cidr_parse(&c, WR_STR("::1")), 0);
	ok(c.family == AF_INET6 && c.bits == 128 && c.ip[15] == 1);
	is_int(wr_cidr_parse(&c, WR_STR("all")), 0);
	is_int(c.family, 0);
	is_int(wr_cidr_parse(&c, WR_STR("::ffff:10.0.0.0/104")), 0);
	ok(c.family == AF_INET && c.bits == 8 && c.ip[0] == 10);
	is_int(wr_cidr_parse(&c, WR_STR("::ffff:0:0/95")), -EDOM);
	is_int(wr_cidr_parse(&c, WR_STR("::fffe:0:0/96")), 0);
	is_int(c.family, AF_INET6);

	is_int(cidr_error("0.0.0.0/0"), 0);
	is_int(cidr_error("::/0"), 0);
	is_int(cidr_error("10.0.0.0/9"), 0);
	is_int(cidr_error("10.128.0.0/9"), 0);
	is_int(cidr_error("10.128.0.0/8"), -EDOM);
	is_int(cidr_error("10.0.0.1/31"), -EDOM);
	is_int(cidr_error("10.0.0.1/24"), -EDOM);
	is_int(cidr_error("2001:db8::1/32"), -EDOM);
	is_int(cidr_error("0.0.0.1/0"), -EDOM);
	is_int(cidr_error(""), -EINVAL);
	is_int(cidr_error("10.0.0.0/33"), -EINVAL);
	is_int(cidr_error("::/129"), -EINVAL);
	is_int(cidr_error("10.0.0.0/"), -EINVAL);
	is_int(cidr_error("10.0.0.0/x"), -EINVAL);
	is_int(cidr_error("10.0.0.0/8/8"), -EINVAL);
	is_int(cidr_error("10.0.0/8"), -EINVAL);
	is_int(cidr_error("fe80::1%lo"), -EINVAL);
	is_int(cidr_error("all/8"), -EINVAL);
	is_int(cidr_error("example.net"), -EINVAL);
}

static struct wr_cidr cidrs[16];

static struct wr_cidrs
set_of(const char *const *v)
{
	struct wr_cidrs set;
	uint32_t n = 0;

	for (; v[n] != NULL; n++)
		ok(wr_cidr_parse(&cidrs[n], wr_str_of(v[n])) == 0);
	wr_cidrs_build(&set, cidrs, n);
	return set;
}

static bool
have(const struct wr_cidrs *set, const char *z)
{
	struct wr_ip i = ip(z);

	return wr_cidrs_have(set, &i);
}

static void
a_set_has_what_its_networks_cover(void)
{
	struct wr_cidrs set = set_of((const char *const[]){ "192.0.2.0/24",
	    "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "10.0.0.0/8", "11.0.0.1",
	    "9.255.255.255", "2001:db8::/33", "2001:db8:1::/48", NULL });

	/* Three are within others, or the same. */
	is_int(set.n, 5);
	ok(have(&set, "10.0.0.0:1") && have(&set, "10.255.255.255:1"));
	ok(have(&set, "10.1.2.3:1") && have(&set, "10.200.0.1:1"));
	ok(have(&set, "11.0.0.1:1") && !have(&set, "11.0.0.0:1"));
	ok(!have(&set, "11.0.0.2:1"));
	ok(have(&set, "9.255.255.255:1") && !have(&set, "9.255.255.254:1"));
	ok(have(&set, "192.0.2.255:1") && !have(&set, "192.0.3.0:1"));
	ok(!have(&set, "0.0.0.0:1") && !have(&set, "255.255.255.255:1"));
	ok(have(&set, "[::ffff:10.1.1.1]:1"));
	ok(have(&set, "[2001:db8:7fff::1]:1"));
	ok(!have(&set, "[2001:db8:8000::1]:1"));
	ok(!have(&set, "[a00::]:1")); /* 10.0.0.0 in another family */
	ok(!have(&set, "unix:/x"));
}

static void
neighbours_do_not_merge_but_all_covers_all(void)
{
	struct wr_cidrs set;

	set =
	    set_of((const char *const[]){ "10.128.0.0/9", "10.0.0.0/9", NULL });
	is_int(set.n, 2);
	ok(have(&set, "10.127.255.255:1") && have(&set, "10.128.0.0:1"));
	set = set_of((const char *const[]){ "::/0", NULL });
	ok(have(&set, "[ffff::]:1") && !have(&set, "10.0.0.1:1"));
	set = set_of((const char *const[]){ "10.0.0.0/8", "all", "::1", NULL });
	is_int(set.n, 1);
	ok(have(&set, "192.0.2.1:1") && have(&set, "[::2]:1"));
	ok(have(&set, "unix:/x"));
	set = set_of((const char *const[]){ NULL });
	is_int(set.n, 0);
	ok(!have(&set, "10.0.0.1:1"));
}

int
main(void)
{
	addresses_read_as_they_are_written();
	a_port_may_be_given_elsewhere();
	what_is_no_address_may_be_a_name();
	bad_parts_are_told_apart();
	paths_fit_or_are_refused();
	text_is_cut_at_its_end();
	names_of_unix_sockets_are_printable();
	equal_means_equal_in_every_part();
	an_address_survives_in_24_bytes();
	half_an_address_is_none();
	hosts_are_the_same_whatever_their_ports();
	networks_are_parsed();
	a_set_has_what_its_networks_cover();
	neighbours_do_not_merge_but_all_covers_all();
	return tap_done();
}
