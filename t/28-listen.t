#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Every form of `listen`, on addresses that are really bound.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Peer;

Weir::Net::address('10.9.8.7/32');
my $who = Weir::Peer->greeting("hello\n", close => 1);
my $dir = Weir::folder();

# Left by somebody who died: a file, but nobody behind it.
{ my $dead = Weir::Peer::bind_to(unix => "$dir/stale.sock"); }
ok(-S "$dir/stale.sock", 'a stale socket is there');

sub conf
{
	my (@listen) = @_;
	my $i = 0;

	return qq(upstreams = { who = { servers = "@{[$who->addr]}"; }; };\n) .
	    "listeners = {\n" . join('', map { 'l' . $i++ .
	    " = { listen = $_; upstream = \"who\"; };\n" } @listen) . "};\n";
}

my $w = Weir->start(listen => [Weir::listener(), Weir::listener()],
    env => { LISTEN_FDS => 2, LISTEN_FDNAMES => 'one:two' },
    conf => conf('"*:7001"', '"[::]:7002"', '":7003"', '":7010-7013"',
    '"127.0.0.1:7004"', '"[::1]:7005"', '"10.9.8.7:7006"',
    '[ "127.0.0.1:7020", "[::1]:7021" ]',
    qq("unix:$dir/a.sock"; mode = "0600"),
    qq("unix:$dir/stale.sock"; mode = "0666"), '"fd:3"', '"fd:two"'));

sub answers
{
	my ($to) = @_;
	my $s = Weir::dial($to, try => 1) or return '';

	return Weir::get($s) eq "hello\n" ? 1 : 'something else';
}

my $none = '';
for (
	['127.0.0.1:7001', 1, '*:PORT is IPv4'],
	['10.9.8.7:7001', 1, '*:PORT is every address'],
	['[::1]:7001', $none, '*:PORT is not IPv6'],
	['[::1]:7002', 1, '[::]:PORT is IPv6'],
	['127.0.0.1:7002', $none, '[::]:PORT is not IPv4'],
	['127.0.0.1:7003', 1, ':PORT is IPv4'],
	['[::1]:7003', 1, ':PORT is IPv6 too'],
	['127.0.0.1:7010', 1, 'a range begins'],
	['[::1]:7011', 1, 'has a middle'],
	['127.0.0.1:7013', 1, 'and ends'],
	['127.0.0.1:7014', $none, 'there'],
	['127.0.0.1:7004', 1, 'one IPv4 address'],
	['10.9.8.7:7004', $none, 'is not another one'],
	['[::1]:7005', 1, 'one IPv6 address'],
	['10.9.8.7:7006', 1, 'an address of this machine'],
	['127.0.0.1:7020', 1, 'a list: the first'],
	['[::1]:7021', 1, 'a list: the second'],
	["unix:$dir/a.sock", 1, 'unix:'],
	["unix:$dir/stale.sock", 1, 'unix: where a stale socket was'],
	[$w->addr(0), 1, 'fd:3'],
	[$w->addr(1), 1, 'fd:NAME'],
) {
	my ($to, $want, $name) = @$_;
	is(answers($to), $want, "$name ($to)");
}
is(sprintf('%04o', (stat "$dir/a.sock")[2] & 07777), '0600',
    'the mode of a unix socket is as asked');

# Each worker has a socket of its own.
my @tcp = grep { /^\s*\d+: 00000000:1B59 \S+ 0A / }
    split /\n/, Weir::slurp('/proc/net/tcp');
is(scalar @tcp, 2, 'a TCP address is sharded over two workers');

# A second weir, of the same user, is a stranger too.
for (
	['"127.0.0.1:7004"', qr/7004.*in use/i, 'a busy port'],
	['"10.1.1.1:7004"', qr/10\.1\.1\.1.*(?:assign|exist)/i,
	    'an address that is not ours'],
	[qq("unix:$dir/a.sock"), qr/a\.sock.*in use/i,
	    'a unix socket somebody listens on'],
	[qq("unix:$dir/none/a.sock"), qr/none\/a\.sock.*No such/i,
	    'a folder that is not there'],
	['"fd:77"', qr/fd:77/, 'a descriptor that is not there'],
) {
	my ($listen, $says, $name) = @$_;
	my $other = Weir->start(wait => 0, conf => conf($listen));
	is($other->ended, 1, "$name: exit status 1");
	like($other->log, $says, "$name is named");
	$other->stop(status => 1, name => "$name: and nothing else");
}
is(answers('127.0.0.1:7004'), 1, 'the first one serves on');
is(answers("unix:$dir/a.sock"), 1, 'on its unix socket too');
$w->stop;
ok(!-e "$dir/a.sock", 'the unix socket is gone when weir has ended');
done_testing();
