#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# AAAA records: IPv6 servers by name and by service, beside those of IPv4; and
# the priorities and weights of a service.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Dns;
use Weir::Peer;

plan(skip_all => 'no IPv6 here: ' . ($! || 'no ::1'))
    unless eval { Weir::listener(host => '::1') };

# The same port on both.
my $six = Weir::Peer->greeting("six\n", host => '::1');
my $port = $six->port;
my $four = Weir::Peer->greeting("four\n", host => '127.0.0.1', port => $port);
my $far = Weir::Peer->greeting("far\n", host => '127.0.0.15', port => $port);

my $dns = Weir::Dns->start(
	'six.test' => { AAAA => ['::1'] },
	'both.test' => { A => ['127.0.0.1'], AAAA => ['::1'] },
	'keep.test' => { A => ['127.0.0.1'], AAAA => ['::1'] },
	'far.test' => { A => ['127.0.0.15'] },
	'four.test' => { A => ['127.0.0.1'] },
	'_x._tcp.test' => { SRV => [[10, 3, $port, 'six.test'],
	    [10, 1, $port, 'four.test'], [20, 9, $port, 'far.test']] });

sub conf
{
	my ($family) = @_;

	return <<"EOT";
resolver = { servers = "@{[$dns->addr]}"; ttl_min = "50ms"; hold = "100ms";
    family = "$family"; };
upstreams = {
	six = { servers = "six.test:$port"; };
	both = { servers = "both.test:$port"; };
	srv = { servers = "srv:_x._tcp.test"; };
	keep = { servers = "keep.test:$port"; sticky = "client"; };
};
listeners = {
	l0 = { listen = "fd:3"; upstream = "six"; };
	l1 = { listen = "fd:4"; upstream = "both"; };
	l2 = { listen = "fd:5"; upstream = "srv"; };
	l3 = { listen = "fd:6"; upstream = "keep"; };
};
EOT
}

# One worker: its turn is exact.
my $w = Weir->start(listen => [map { Weir::listener() } 1 .. 4], workers => 1,
    conf => conf('any'));

sub members
{
	my ($group) = @_;

	return join ' ', sort map { m{/(.*)} }
	    keys %{$w->status->{upstreams}{$group}{servers}};
}

sub becomes
{
	my ($group, $want, $name) = @_;

	ok($w->until($name, sub { members($group) eq $want }), $name);
}

# Who answers n sessions, in order of names.
sub answers
{
	my ($i, $n) = @_;
	my %n;

	$n{Weir::get($w->connect($i), qr/\n/) =~ s/\n//r}++ for 1 .. $n;
	return join ' ', map { "$_=$n{$_}" } sort keys %n;
}

becomes('six', "[::1]:$port", 'an AAAA record is a server');
is(answers(0, 3), 'six=3', 'that serves');
becomes('both', "127.0.0.1:$port [::1]:$port", 'A and AAAA are two');
is(answers(1, 6), 'four=3 six=3', 'that take turns');
becomes('srv', "127.0.0.15:$port 127.0.0.1:$port [::1]:$port",
    'a service with hosts of both kinds');
is(answers(2, 8), 'four=2 six=6', 'weights, and the first priority only');

# When the first priority is gone, the second one serves.
$dns->set('_x._tcp.test' => { SRV => [[10, 1, $port, 'gone.test'],
    [20, 9, $port, 'far.test']] });
becomes('srv', "127.0.0.15:$port", 'hosts that are gone');
is(answers(2, 3), 'far=3', 'the next priority');
$dns->set('_x._tcp.test' => { SRV => [[30, 1, $port, 'four.test'],
    [20, 1, $port, 'far.test'], [20, 2, $port, 'six.test']] });
becomes('srv', "127.0.0.15:$port 127.0.0.1:$port [::1]:$port",
    'priorities and weights change');
ok($w->until('them to be used', sub { answers(2, 3) eq 'far=1 six=2' }),
    'and are used');

# ---- Clients that stick ----------------------------------------------------

becomes('keep', "127.0.0.1:$port [::1]:$port", 'two servers by name');
my ($home) = answers(3, 1) =~ /(\w+)/;
is(answers(3, 4), "$home=4", 'a client comes back to one of them');
my $other = $home eq 'six' ? 'four' : 'six';
my %only = (six => { A => [], AAAA => ['::1'] },
    four => { A => ['127.0.0.1'], AAAA => [] });
$dns->set('keep.test' => $only{$other});
$w->until('it to be gone', sub { members('keep') !~ / / });
is(answers(3, 3), "$other=3", 'it is gone: the client moves');
$dns->set('keep.test' => { A => ['127.0.0.1'], AAAA => ['::1'] });
becomes('keep', "127.0.0.1:$port [::1]:$port", 'it is back');
is(answers(3, 3), "$other=3", 'the client stays where it is');
is($w->status->{upstreams}{keep}{sticky_misses}, 2, 'two choices');

# ---- Coming and going ------------------------------------------------------

# An address that is new while its sibling stays.
$dns->set('six.test' => { AAAA => [] }, 'both.test' => { AAAA => ['::1'] });
becomes('six', '', 'no AAAA any more');
is(Weir::get($w->connect(0)), '', 'no server');
becomes('both', "[::1]:$port", 'A goes, AAAA stays');
is(answers(1, 3), 'six=3', 'and serves');

$dns->set('six.test' => { A => ['127.0.0.1'], AAAA => ['::1'] });
is(scalar $w->reload(conf('ipv6')), 0, 'resolver.family');
becomes('six', "[::1]:$port", 'ipv6: no A is asked for');
is(scalar $w->reload(conf('ipv4')), 0, 'and the other one');
becomes('six', "127.0.0.1:$port", 'ipv4: no AAAA');
is(answers(0, 2), 'four=2', 'it serves');

$w->stop;
done_testing();
