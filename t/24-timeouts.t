#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Every time-out of the manual fires: not before its time, within a tick of it,
# and named in the log.  One that is in the manual has a row here.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes ();
use Time::Local qw(timegm);
use Weir;
use Weir::Peer;

my $MS = 400;
# Timers of seconds may be so late, so that many fire at once; here it also is
# what a busy machine may add.  One of a few rounds has to be in time.
my $TICK_MS = 64;
my $ROUNDS = 4;

my $echo = Weir::Peer->echo;
my $mute = Weir::Peer->mute;
my $slow = Weir::Peer->slow;
my $full = Weir::Peer->full;
my $source = Weir::Peer->source(256 << 20);
my $talker = Weir::Peer->talker("that is all\n");

my $nothing = sub { };
my $hello = sub { Weir::put($_[0], 'hello') };
my $asks = sub { Weir::put($_[0], "GET / HTTP/1.0\r\n\r\n") };
my $ends = sub { shutdown $_[0], 1 };
# As much as fits into all buffers, and then some.
my $floods = sub {
	my ($s) = @_;
	my $b = 'x' x 65536;

	$s->blocking(0);
	1 while Weir::readable($s, 0) == 0 &&
	    IO::Select->new($s)->can_write(0.15) && syswrite $s, $b;
};
# Has the only place, and there comes another client: since then.
my @more;
my $takes_place = sub {
	my ($s, $again) = @_;
	my $since;

	Weir::chat($s, 'x', 1);
	$since = Time::HiRes::time();
	push @more, $again->();
	return $since;
};

# Where it is set, the key, the server, what the client does, the reason; and
# what else is said of the server, the upstream, the listener, its time-outs;
# how much later than its time and a tick it may be.
my @rows = (
	[qw(upstream connect), $full, $nothing, 'server.connect.timeout',
	    upstream => 'retry = { tries = 1; };'],
	[qw(listener idle), $echo, $hello, 'weir.relay.idle'],
	[qw(upstream idle), $echo, $hello, 'weir.relay.idle'],
	[qw(listener client_idle), $echo, $hello, 'client.relay.idle'],
	[qw(upstream client_idle), $echo, $hello, 'client.relay.idle'],
	[qw(listener server_idle), $echo, $hello, 'server.relay.idle'],
	[qw(upstream server_idle), $echo, $hello, 'server.relay.idle'],
	[qw(upstream first_byte), $mute, $hello,
	    'server.relay.first_byte_timeout'],
	# What a send has moved is seen when it is looked at.
	[qw(listener send), $source, $nothing, 'client.relay.send_timeout',
	    late => $MS / 8],
	[qw(upstream send), $source, $nothing, 'client.relay.send_timeout',
	    late => $MS / 8],
	[qw(listener send), $slow, $floods, 'server.relay.send_timeout',
	    late => $MS / 8],
	[qw(upstream send), $slow, $floods, 'server.relay.send_timeout',
	    late => $MS / 8],
	[qw(listener half_close), $mute, $ends,
	    'server.relay.half_close_timeout'],
	[qw(upstream half_close), $mute, $ends,
	    'server.relay.half_close_timeout'],
	[qw(listener half_close), $talker, $nothing,
	    'client.relay.half_close_timeout'],
	[qw(upstream half_close), $talker, $nothing,
	    'client.relay.half_close_timeout'],
	[qw(listener lifetime), $echo, $hello, 'weir.relay.lifetime'],
	# These two end what is an answer, with its reason.
	[qw(listener preread), undef, $nothing, 'weir.route.answer',
	    listener => 'return = { body = "hi"; };',
	    timeouts => 'linger = "1ms";'],
	[qw(listener linger), undef, $asks, 'weir.route.answer',
	    listener => 'return = { body = "hi"; };'],
	[qw(upstream queue), $echo, $takes_place, 'weir.queue.timeout',
	    server => 'max_conns = 1;'],
	[qw(upstream wait_up), $echo, $nothing, 'weir.queue.wait_up',
	    server => 'state = "down";'],
);
# What the top level alone has is looked at below; and what is not built is
# refused.
my @TOP = qw(grace drain spread);
my %LATER = (proxy_protocol => ['listener'],
    handshake => ['listener', 'upstream']);

# ---- All that there are ---------------------------------------------------

sub manual
{
	my (%found, $in);

	for (split /\n/, Weir::slurp('contrib/man/weir.conf.5')) {
		$in = $1 eq 'TIME-OUTS' if /^\.Sh (.*)/;
		$found{$1} = 1 if $in && /^\.It Cm (\w+)/;
	}
	return join ' ', sort keys %found;
}

my %row = map { $_->[1] => 1 } @rows;
is(manual(), join(' ', sort keys %row, @TOP, keys %LATER),
    'every time-out of the manual has a row, and no other');
SKIP: {
	my $keys = ($ENV{WEIR_BUILD} // '.') . '/t/unit/keys';

	skip "no $keys", 1 unless -x $keys;
	my @want = qx($keys) =~
	    /^# key:\t((?:listener|upstream)\.timeouts\.\w+)\t/mg;
	my %at = map { ("$_->[0].timeouts.$_->[1]" => 1) } @rows,
	    map { my $key = $_; map { [$_, $key] } @{$LATER{$key}} } keys %LATER;
	is(join(' ', sort keys %at), join(' ', sort @want),
	    'and one wherever it may be set');
}

my $dir = Weir::folder();
for my $key (sort keys %LATER) {
	for my $where ('', @{$LATER{$key}}) {
		my $set = qq(timeouts = { $key = "1s"; };);
		my %at = ('' => '', listener => '', upstream => '',
		    $where => $set);

		Weir::spew("$dir/later.conf", "$at{''}
		    upstreams = { u = { servers = \"127.0.0.1:1\"; $at{upstream} }; };
		    listeners = { l = { listen = \"*:1\"; upstream = \"u\"; $at{listener} }; };");
		my ($status, undef, $said) = Weir::run('-t', '-c',
		    "$dir/later.conf");
		like("$status $said", qr/^1 .*timeouts\.$key: not built yet/,
		    "$key is refused until it is built" .
		    ($where ? " ($where)" : ''));
	}
}

# ---- The rows --------------------------------------------------------------

# One byte at a time, it takes too long until nothing moves any more.
@rows = grep { $_->[1] ne 'send' } @rows if $Weir::CHOP;

my ($upstreams, $listeners) = ('', '');
for my $i (0 .. $#rows) {
	my ($where, $key, $server, undef, undef, %o) = @{$rows[$i]};
	my $set = qq(timeouts = { $key = "${MS}ms"; ) . ($o{timeouts} // '') .
	    ' };';
	my ($on_u, $on_l) = $where eq 'upstream' ? ($set, '') : ('', $set);
	my $to = $o{listener} // "upstream = \"u$i\";";

	$_ //= '' for @o{qw(server upstream)};
	$upstreams .= "u$i = { servers = ( { address = \"" . $server->addr .
	    "\"; $o{server} } ); $o{upstream} $on_u };\n" if $server;
	$listeners .= "l$i = { listen = \"fd:@{[3 + $i]}\"; $to $on_l };\n";
}

# When a line was written, in seconds since 1970.
sub stamp
{
	my ($y, $mon, $d, $h, $min, $s, $ms) = $_[0] =~
	    /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)\.(\d+)Z/ or die "line $_[0]";

	return timegm($s, $min, $h, $d, $mon - 1, $y) + $ms / 1000;
}

my $w = Weir->start(listen => [map { Weir::listener() } @rows],
    conf => "upstreams = { $upstreams };\nlisteners = { $listeners };\n");

# The lines of a row that name its reason.
sub fired
{
	my ($i) = @_;

	return grep { / l$i .* \Q$rows[$i][4]\E$/ } split /\n/,
	    Weir::slurp("$w->{dir}/access.log");
}

my (@early_ms, @late_ms);
for my $round (1 .. $ROUNDS) {
	my (@from, @to, @client);

	for my $i (0 .. $#rows) {
		$from[$i] = Time::HiRes::time();
		push @client, $w->connect($i);
		my $since = $rows[$i][3]->($client[$i],
		    sub { $w->connect($i) });
		$to[$i] = Time::HiRes::time();
		$from[$i] = $to[$i] = $since if $since && $since > 1e9;
	}
	for my $i (0 .. $#rows) {
		my $key = "$rows[$i][1] of the $rows[$i][0]";
		my @lines;

		$w->until("$key, $rows[$i][4]", sub {
			return (@lines = fired($i)) >= $round;
		});
		my $at = stamp($lines[-1]);
		my $early = ($from[$i] + $MS / 1000 - $at) * 1000;
		my $late = ($at - $to[$i]) * 1000 - $MS;
		$early_ms[$i] = $early if $early > ($early_ms[$i] // -1e9);
		$late_ms[$i] = $late if $late < ($late_ms[$i] // 1e9);
	}
	close $_ for @client, @more;
	@more = ();
}
for my $i (0 .. $#rows) {
	my ($where, $key, undef, undef, $reason, %o) = @{$rows[$i]};

	is(scalar fired($i), $ROUNDS, "$key of the $where: $reason");
	# Clocks are read once a turn, and cut to milliseconds.
	cmp_ok($early_ms[$i], '<=', 2, "$key of the $where is not early");
	cmp_ok($late_ms[$i], '<=', $TICK_MS + ($o{late} // 0),
	    "$key of the $where is in time");
}
$w->stop;

# ---- Asked to stop ---------------------------------------------------------

sub asked_to_stop
{
	my ($timeouts, $n) = @_;
	my $w = Weir->start(listen => [Weir::listener()], workers => 1,
	    conf => <<"EOT");
timeouts = { $timeouts };
upstreams = { u = { servers = "@{[$echo->addr]}"; }; };
listeners = { l = { listen = "fd:3"; upstream = "u"; }; };
EOT
	my @held = map { $w->connect } 1 .. $n;

	Weir::chat($_, 'x', 1) for @held;
	$w->signal('QUIT');
	my @lines = $w->access($n);
	my $log = $w->log;
	my ($quit) = $log =~ /^(.* QUIT: stop gracefully)$/m;
	my ($drain) = $log =~ /^(.* draining $n sessions)$/m;
	$w->stop(name => "$timeouts: it ends clean");
	is(scalar(grep { /weir\.relay\.drain$/ } @lines), $n,
	    "$timeouts: weir.relay.drain");
	my ($first, $last) = (sort { $a <=> $b } map { stamp($_) } @lines)
	    [0, -1];
	return map { int($_ * 1000 + 0.5) } stamp($drain) - stamp($quit),
	    $first - stamp($drain), $last - $first;
}

# Not before its time, and in one of a few rounds in time.
sub best
{
	my ($what, $least, $most, $code) = @_;
	my $best;

	for (1 .. $ROUNDS) {
		my $ms = $code->();
		cmp_ok($ms, '>=', $least, "$what is not early");
		$best = $ms if !defined $best || $ms < $best;
		last if $best <= $most;
	}
	cmp_ok($best, '<=', $most, "$what is in time");
}

my $closing;
best('drain', $MS - 2, $MS + $TICK_MS, sub {
	my ($from_quit, $cut) = asked_to_stop(qq(drain = "${MS}ms";), 3);
	$closing = $from_quit if !$closing || $from_quit > $closing;
	return $cut;
});
best('grace', $MS - 2, $MS + $closing + $TICK_MS, sub {
	return (asked_to_stop(qq(grace = "${MS}ms"; drain = "1ms";), 1))[0];
});
best('spread', $MS / 2, $MS + $TICK_MS, sub {
	return (asked_to_stop(qq(drain = "1ms"; spread = "${MS}ms";), 20))[2];
});

# ---- Whom nobody reads -----------------------------------------------------

# A client that does not read for longer than the server may be silent: weir
# does not read the server, which so is not silent.  And the other way round.
SKIP: {
	skip 'one byte at a time fills no buffers', 5 if $Weir::CHOP;
	my $bytes = 24 << 20;
	my $much = Weir::Peer->source($bytes);
	my $lazy = Weir::Peer->slow;
	my $w = Weir->start(listen => [map { Weir::listener() } 1 .. 3],
	    conf => <<"EOT");
upstreams = { much = { servers = "@{[$much->addr]}"; };
  lazy = { servers = "@{[$lazy->addr]}"; };
  echo = { servers = "@{[$echo->addr]}"; }; };
listeners = {
  down = { listen = "fd:3"; upstream = "much";
    timeouts = { server_idle = "${MS}ms"; send = "1m"; }; };
  up = { listen = "fd:4"; upstream = "lazy";
    timeouts = { client_idle = "${MS}ms"; send = "1m"; }; };
  clock = { listen = "fd:5"; upstream = "echo";
    timeouts = { lifetime = "@{[3 * $MS]}ms"; }; };
};
EOT
	my $down = $w->connect(0, rcvbuf => 65536);
	my $up = $w->connect(1);
	$floods->($up);
	# Both wait for three times as long.
	Weir::get($w->connect(2));
	my @lines = $w->access(1);
	like($lines[0], qr/ clock .*weir\.relay\.lifetime$/, 'time has passed');
	is(scalar @lines, 1, 'and nobody was taken for silent');
	my ($got, $block) = (0, '');
	while (sysread $down, $block, 1 << 20) {
		$got += length $block;
	}
	is($got, $bytes, 'all comes when it is read');
	close $down;
	$lazy->ask('read', 1 << 30);
	@lines = $w->access(3);
	is(scalar(grep { / down .* server\.relay\.eof$/ } @lines), 1,
	    'and the end');
	# It is read again, and says nothing.
	is(scalar(grep { / up .* client\.relay\.idle$/ } @lines), 1,
	    'who is read and silent is idle');
	close $up;
	$w->stop;
}
done_testing();
