#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Every time-out fires, not before its time, and is named in the log.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $mute = Weir::Peer->mute;
my $slow = Weir::Peer->slow;
my $full = Weir::Peer->full;
my $source = Weir::Peer->source(256 << 20);
my $talker = Weir::Peer->talker("that is all\n");

my $nothing = sub { };
my $hello = sub { Weir::put($_[0], 'hello') };
my $ends = sub { shutdown $_[0], 1 };
# As much as fits into all buffers, and then some.
my $floods = sub {
	my ($s) = @_;
	my $b = 'x' x 65536;

	$s->blocking(0);
	1 while Weir::readable($s, 0) == 0 &&
	    IO::Select->new($s)->can_write(0.15) && syswrite $s, $b;
};
my $MS = 400;

# Has the only place, and there comes another client.
my @more;
my $takes_place = sub {
	my ($s, $again) = @_;

	Weir::chat($s, 'x', 1);
	push @more, $again->();
};

# Where it is set, the key, the server, what the client does, the reason;
# and what else is said of the server.
my @rows = (
	['upstream', 'connect', $full, $nothing, 'server.connect.timeout'],
	['listener', 'idle', $echo, $hello, 'weir.relay.idle'],
	['upstream', 'idle', $echo, $hello, 'weir.relay.idle'],
	['listener', 'client_idle', $echo, $hello, 'client.relay.idle'],
	['upstream', 'server_idle', $echo, $hello, 'server.relay.idle'],
	['upstream', 'first_byte', $mute, $hello,
	    'server.relay.first_byte_timeout'],
	['listener', 'send', $source, $nothing, 'client.relay.send_timeout'],
	['upstream', 'send', $slow, $floods, 'server.relay.send_timeout'],
	['upstream', 'half_close', $mute, $ends,
	    'server.relay.half_close_timeout'],
	['listener', 'half_close', $talker, $nothing,
	    'client.relay.half_close_timeout'],
	['listener', 'lifetime', $echo, $hello, 'weir.relay.lifetime'],
	['upstream', 'queue', $echo, $takes_place, 'weir.queue.timeout',
	    'max_conns = 1;'],
	['upstream', 'wait_up', $echo, $nothing, 'weir.queue.wait_up',
	    'state = "down";'],
);

# One byte at a time, it takes too long until nothing moves any more.
@rows = grep { $_->[1] ne 'send' } @rows if $Weir::CHOP;

my ($upstreams, $listeners) = ('', '');
for my $i (0 .. $#rows) {
	my ($where, $key, $server, undef, undef, $more) = @{$rows[$i]};
	my $set = qq(timeouts = { $key = "${MS}ms"; };);
	my ($on_u, $on_l) = $where eq 'upstream' ? ($set, '') : ('', $set);

	$upstreams .= "u$i = { servers = ( { address = \"" . $server->addr .
	    '"; ' . ($more // '') . " } ); $on_u };\n";
	$listeners .= "l$i = { listen = \"fd:@{[3 + $i]}\"; " .
	    "upstream = \"u$i\"; $on_l };\n";
}

my $w = Weir->start(listen => [map { Weir::listener() } @rows],
    conf => "upstreams = { $upstreams };\nlisteners = { $listeners };\n");
my (@began, @client);
for my $i (0 .. $#rows) {
	$began[$i] = Weir::now();
	push @client, $w->connect($i);
	$rows[$i][3]->($client[$i], sub { $w->connect($i) });
}
my @lines = $w->access(scalar @rows);
my $all = Weir::now() - $began[0];

for my $i (0 .. $#rows) {
	my ($where, $key, undef, undef, $reason) = @{$rows[$i]};
	my ($line) = grep { /\bl$i\b/ } @lines;

	like($line // '', qr/\b\Q$reason\E\b/, "$key of the $where");
	my ($ms) = ($line // '') =~ /\btotal=(\d+)/;
	cmp_ok($ms // -1, '>=', $MS - 1, "$key is not early");
}
cmp_ok($all, '<', 8, 'all of them fired in time');
close $_ for @client, @more;
$w->stop;
done_testing();
