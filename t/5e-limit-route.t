#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A route with a limit of its own: it counts by itself, in the place of the
# listener's limit, which holds for all who are routed elsewhere.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Peer;

Weir::Net::address('fd00:1::1/128', 'fd00:1::2/128', 'fd00:1:0:1::1/128',
    'fd00:2::1/128');
my $who = Weir::Peer->greeting("hello\n");
# Address of the clients, and the limit of their route.
my @routes = (
	['127.0.1.0/24', '{ conns_per_ip = 5; }'],
	['127.0.2.0/24', '"off"'],
	['127.0.3.0/24', '{ conns_per_ip = 1; reply = "not you\r\n"; }'],
	['127.0.4.0/24', '{ conns_per_ip = 0; conns = 3; except = ' .
	    '"127.0.4.9"; }'],
	['127.0.5.0/24', '{ conns_per_ip = 1; dry_run = true; }'],
	['127.0.6.0/24', '{ conns_per_ip = 0; rate_per_ip = "1/h"; ' .
	    'burst = 3; }'],
	['fd00:1::/32', '{ conns_per_ip = 2; prefix6 = 48; }'],
);
my $list = join ",\n", map { qq({ client = "$_->[0]"; upstream = "who"; ) .
	qq(limit = $_->[1]; }) } @routes;

sub conf
{
	my ($more) = @_;

	return <<"EOT";
upstreams = { who = { servers = "@{[$who->addr]}"; }; };
listeners = { l = { listen = [ "127.0.0.1:5001", "[::1]:5001" ]; upstream = "who";
    limit = { conns_per_ip = 2; $more };
    routes = ( $list,
	{ client = "127.0.7.0/24"; limit = { conns_per_ip = 0; conns = 3; };
	  routes = ( { client = "127.0.7.1"; upstream = "who"; },
	    { upstream = "who"; } ); },
	{ client = "127.0.8.0/24"; upstream = "who"; access = { allow =
	  "127.0.8.1"; }; limit = { conns_per_ip = 3; }; },
	{ client = "127.0.9.0/24"; return = { body = "bye"; }; limit = { conns_per_ip = 1;
	  reply = "too many\\n"; }; },
	{ client = "127.0.10.0/24"; return = { body = "bye"; }; access = { deny = "all"; }; }
    ); }; };
EOT
}

my $w = Weir->start(workers => 4, conf => conf(''));

sub from
{
	my ($client) = @_;

	return IO::Socket::IP->new(LocalHost => $client, PeerPort => 5001,
	    PeerHost => $client =~ /:/ ? '::1' : '127.0.0.1') //
	    die "from $client: $@";
}

# n clients, one after the other: two that come to two workers at the same
# moment may both find that there is room for one.  Those that were let in.
sub enter
{
	my ($client, $n) = @_;

	my @in;

	for (1 .. $n) {
		my $s = from($client);

		push @in, $s if (Weir::get($s, 6) // '') eq "hello\n";
	}
	return @in;
}

sub count { return $w->status->{listeners}{l}{$_[0]} }

my %in;
sub lets
{
	my ($client, $n, $want, $name) = @_;
	my @more = enter($client, $n);

	push @{$in{$client}}, @more;
	is(scalar @more, $want, $name);
}

lets('127.0.1.1', 10, 5, 'a route with a higher limit');
lets('127.0.1.2', 10, 5, 'for each address');
lets('127.0.0.1', 10, 2, 'the listener has its own for all others');
is(count('limited'), 18, 'all of them are counted');
lets('127.0.2.1', 10, 10, '"off"');
lets('127.0.3.1', 1, 1, 'a lower one');
is(Weir::get(from('127.0.3.1')), "not you\r\n", 'with a reply');
lets('127.0.4.1', 10, 3, 'of all together');
lets('127.0.4.2', 10, 0, 'whoever they are');
lets('127.0.4.9', 10, 10, 'except');
my $limited = count('limited');
lets('127.0.5.1', 6, 6, 'dry_run: all are let in');
is(count('limit_dry'), 5, 'and counted as such');
is(count('limited'), $limited, 'not as others');
lets('127.0.6.1', 10, 4, 'rate_per_ip and burst');
lets('fd00:1::1', 2, 2, 'prefix6');
lets($_, 2, 0, "$_ is the same client") for 'fd00:1::2', 'fd00:1:0:1::1';
lets('fd00:2::1', 4, 2, 'and this one another');
lets('127.0.7.1', 2, 2, 'an outer route');
lets('127.0.7.2', 3, 1, 'counts for all within it');
lets('127.0.8.1', 5, 3, 'who may come is counted');
lets('127.0.8.2', 2, 0, 'who may not is turned away');
is(Weir::get(from('127.0.10.1')), '', 'and gets no answer of the route');
my $before = count('active');
my $c = from('127.0.9.1');
$w->until('it to be in', sub { count('active') > $before });
syswrite $c, 'x';
is(Weir::get(my $d = from('127.0.9.1')), "too many\n",
    'a reply instead of an answer');
shutdown $c, 1;
is(Weir::get($c), 'bye', 'an answer');

# ---- Reloads ---------------------------------------------------------------

is(scalar $w->reload(conf('') =~ s/conns_per_ip = 5/conns_per_ip = 6/r), 0,
    'a reload');
lets('127.0.1.1', 4, 1, 'forgets none of them');
$_ = undef for @{$in{'127.0.1.1'}}[0 .. 2];
ok($w->until('a free place', sub { scalar enter('127.0.1.1', 1) }),
    'places come free again');
is(scalar $w->reload(conf('') =~ s/routes = .*?\n    \); };/}/sr), 0,
    'no routes any more');
lets('127.0.1.3', 4, 2, 'the listener\'s limit is for all');
is(count('limit_full'), 0, 'no table was full');

%in = ();
$w->stop(signal => 'TERM');
done_testing();
