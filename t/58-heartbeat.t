#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A peer that vanished without a word is found within interval * (misses + 1);
# one that lives and does not read is left in peace.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Peer;

plan skip_all => 'no nftables here' unless Weir::Net::can_nft();

my $LIMIT = 3; # seconds
my $echo = Weir::Peer->echo(host => '127.0.0.2', port => 5001);
my $slow = Weir::Peer->slow(host => '127.0.0.3', port => 5001);
my $MUCH = 32 << 20;
my $much = Weir::Peer->source($MUCH, host => '127.0.0.4', port => 5001);
my $w = Weir->start(conf => <<'EOT');
workers = 1;
heartbeat = { interval = "1s"; misses = 2; };
upstreams = {
	echo = { servers = "127.0.0.2:5001"; };
	slow = { servers = "127.0.0.3:5001"; };
	much = { servers = "127.0.0.4:5001"; };
};
listeners = {
	echo = { listen = "127.0.0.1:6001"; upstream = "echo"; };
	slow = { listen = "127.0.0.1:6002"; upstream = "slow"; };
	much = { listen = "127.0.0.1:6004"; upstream = "much"; };
	off = { listen = "127.0.0.1:6003"; upstream = "echo"; heartbeat = "off"; };
};
EOT

# Seconds until the session of `$c` has ended.
sub lasted
{
	my ($from, $reason) = @_;
	my $line = $w->until("a session ends with $reason", sub {
		my ($l) = grep { /\Q$reason\E$/ } split /\n/,
		    Weir::slurp("$w->{dir}/access.log");
		return $l;
	});

	return Weir::now() - $from;
}

sub relayed
{
	my ($port) = @_;
	my $c = Weir::dial("127.0.0.1:$port");

	Weir::put($c, 'hello');
	is(Weir::get($c, 5), 'hello', 'it is relayed');
	return $c;
}

# Its heartbeat begins when it has lasted for a second.
sub watched
{
	$w->until('the server is watched', sub {
		return `ss -tno dst 127.0.0.2:5001` =~ /keepalive/;
	});
}

# -- The server vanishes; the session is idle --------------------------------

my $c = relayed(6001);
watched();
my $t = Weir::now();
Weir::Net::rules('ip saddr 127.0.0.2 drop', 'ip daddr 127.0.0.2 drop');
my $s = lasted($t, 'server.relay.lost');
cmp_ok($s, '<=', $LIMIT * 1.1 + 1, 'a silent server is found in time');
cmp_ok($s, '>=', $LIMIT - 1.5, 'and not too soon');
Weir::Net::rules();

# -- It vanishes while bytes are on their way --------------------------------

$w->mark;
Weir::spew("$w->{dir}/access.log", '');
$c = relayed(6001);
watched();
Weir::Net::rules('ip saddr 127.0.0.2 drop', 'ip daddr 127.0.0.2 drop');
$t = Weir::now();
Weir::put($c, 'anybody there?');
$s = lasted($t, 'server.relay.lost');
cmp_ok($s, '<=', $LIMIT * 1.1 + 1, 'one that acknowledges nothing, too');
Weir::Net::rules();

# -- The client vanishes -----------------------------------------------------

Weir::spew("$w->{dir}/access.log", '');
$c = relayed(6001);
my $off = relayed(6003);
Weir::Net::rules('tcp dport { 6001, 6003 } drop',
    'tcp sport { 6001, 6003 } drop');
$t = Weir::now();
$s = lasted($t, 'client.relay.lost');
cmp_ok($s, '<=', $LIMIT * 1.1 + 1, 'a silent client is found in time');
Weir::Net::rules();
ok(!Weir::readable($off, 0), 'without a heartbeat nobody looks');
Weir::put($off, 'hello');
is(Weir::get($off, 5), 'hello', 'and the session goes on');

# -- A server, and a client, that live and do not read -----------------------

# Packets of one byte overflow its memory long before its window is closed, so
# that it drops what it had room for: to the kernel that is a dead peer.
SKIP: {
	skip 'not with packets of one byte', 3
	    if $Weir::CHOP || $ENV{WEIR_CHAOS};
	$c = Weir::dial('127.0.0.1:6002');
	$c->blocking(0);
	my $sent = 0;
	while (IO::Select->new($c)->can_write(0.5)) {
		my $n = syswrite $c, 'x' x 65536;
		$sent += $n // 0;
	}
	ok($sent > 0, "it takes no more after $sent bytes");
	# A pager: it has said what it wants, and lets the answer wait.
	my $pager = Weir::dial('127.0.0.1:6004', rcvbuf => 65536);
	ok(!Weir::readable($c, $LIMIT * 2.5),
	    'it pauses, and is not taken for dead');
	my $n = 0;
	while (Weir::readable($pager) && sysread $pager, my $bytes, 1 << 20) {
		$n += length $bytes;
	}
	is($n, $MUCH, 'nor is a client that reads the rest now');
}

close $_ for $c, $off;
$slow->stop;
$w->stop;
done_testing();
