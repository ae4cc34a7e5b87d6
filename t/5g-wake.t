#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Who waits in one process is told by the process in which a place comes free,
# and idle workers are told of a server that fails: at once, not when they
# look the next time.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use IO::Select ();
use Test::More;
use Time::HiRes ();
use Weir;
use Weir::Peer;

my $TIMES = $Weir::SLOW ? 1000 : 100;
# Waiting sessions are looked at every 100 ms in any case, and an idle worker
# wakes up for its beat every 500 ms: half of these would be the median of a
# weir that tells nobody.
my $LOOK = 0.1;

my $echo = Weir::Peer->echo(port => 5001);
my $moody = Weir::Peer->server({
	accept => sub {
		my ($p, $c) = @_;
		$p->drop($c, 1) if ($p->{mode} // '') eq 'sick';
	},
	data => sub { $_[0]->put($_[1], $_[2]) },
	eof => sub { $_[0]->end($_[1]) },
}, port => 5002);
my $w = Weir->start(workers => 4, conf => <<"EOT");
access_log = "off";
watchdog = { limit = "60s"; };
upstreams = {
	one = { servers = { address = "$echo->{addr}"; max_conns = 1; };
	    timeouts = { queue = "60s"; }; };
	sick = { servers = { name = "moody"; address = "$moody->{addr}"; };
	    on_down = "close";
	    health = { type = "script"; interval = "100ms"; fast = "100ms";
		fall = 1; rise = 1;
		steps = ( { send = "PING\\r\\n"; expect = "^PING"; } ); }; };
};
listeners = {
	one = { listen = "127.0.0.1:6001"; upstream = "one"; };
	sick = { listen = "127.0.0.1:6002"; upstream = "sick"; };
};
EOT

# The share of the numbers that is below, in ms.
sub quantile
{
	my ($q, @v) = @_;

	@v = sort { $a <=> $b } @v;
	return 1000 * $v[int($q * $#v + 0.5)];
}

sub figures
{
	return sprintf 'p50 %.2f ms, p99 %.2f ms, of %d',
	    quantile(0.5, @_), quantile(0.99, @_), scalar @_;
}

# ---- A place comes free in another process ---------------------------------

sub session
{
	my $c = Weir::dial('127.0.0.1:6001');

	Weir::put($c, "me\n");
	return $c;
}

my $holder = session();
is(Weir::get($holder, 3), "me\n", 'one has the only place');
my (@here, @there);
for my $i (1 .. 20 * $TIMES) {
	last if @there == $TIMES;
	my $next = session();
	my $same;

	$w->until('it to wait', sub {
		my $st = $w->status;
		$same = grep { $_->{sessions} == 2 } @{$st->{processes}};
		return $st->{upstreams}{one}{waiting} == 1;
	});
	my $from = Weir::now();
	close $holder;
	Weir::get($next, 3) eq "me\n" or die 'no answer';
	push @{$same ? \@here : \@there}, Weir::now() - $from;
	$holder = $next;
}
close $holder;
is(scalar @there, $TIMES, 'another process had the place');
my $text = figures(@there);
cmp_ok(quantile(0.5, @there), '<', 1000 * $LOOK / 4,
    "and who waited had it at once: $text");
diag("a place in another process: $text" .
    (@here ? '; in the same one: ' . figures(@here) : ''));

# ---- Who waits longest is stopped ------------------------------------------

# The others do not wait for it.
sub sessions_are
{
	my ($n) = @_;

	$w->until("$n sessions", sub {
		return $w->status->{total}{sessions} == $n;
	});
}

sessions_are(0);
$holder = session();
Weir::get($holder, 3);
my $busy = (grep { $_->{sessions} > 0 } @{$w->status->{processes}})[0]{pid};
my ($waiter, $stopped);
until ($stopped) {
	$waiter = session();
	$w->until('it to wait', sub {
		return $w->status->{upstreams}{one}{waiting} == 1;
	});
	my @has = grep { $_->{sessions} > 0 } @{$w->status->{processes}};
	# In the process of the holder it is of no use.
	($stopped) = grep { $_ != $busy } map { $_->{pid} } @has;
	last if $stopped;
	# Who waits may only be seen to have left when it has its turn.
	close $holder;
	Weir::get($waiter, 3);
	close $waiter;
	sessions_are(0);
	$holder = session();
	Weir::get($holder, 3);
	$busy = (grep { $_->{sessions} > 0 } @{$w->status->{processes}})[0]{pid};
}
$w->signal('STOP', $stopped);
my @more = map { session() } 1 .. 12;
$w->until('some to wait', sub {
	return $w->status->{upstreams}{one}{waiting} > 1;
});
my $waiting = $w->status->{upstreams}{one}{waiting} - 1;
my $set = IO::Select->new(@more);
my $from = Weir::now();
close $holder;
my $served = 0;
while ($served < $waiting && (my @r = $set->can_read(10))) {
	for my $c (@r) {
		$served++ if sysread $c, my $got, 3;
		$set->remove($c);
		close $c;
	}
}
my $took = Weir::now() - $from;
is($served, $waiting, sprintf
    'a process with the oldest is stopped: %d others are served in %.0f ms',
    $served, 1000 * $took);
cmp_ok($took, '<', 3, 'soon');
$w->signal('CONT', $stopped);
is(Weir::get($waiter, 3), "me\n", 'and it, when it goes on');
close $waiter;
Weir::get($_, 3), close $_ for $set->handles;

# ---- A server fails --------------------------------------------------------

my @late;
my $rounds = $Weir::SLOW ? 50 : 8;
for my $i (1 .. $rounds) {
	$w->logged(qr/moody of upstream sick is up/);
	my @c = map { Weir::dial('127.0.0.1:6002') } 1 .. 40;
	Weir::put($_, "x\n") for @c;
	Weir::get($_, 2) for @c;
	# They do nothing from now on.
	$w->mark;
	$moody->ask('mode', 'sick');
	my %when;
	my $set = IO::Select->new(@c);
	while ($set->count) {
		my @ends = $set->can_read(10) or die 'not closed';
		my $now = Time::HiRes::time();
		for my $c (@ends) {
			$when{$c} = $now;
			$set->remove($c);
		}
	}
	# The line has whole milliseconds, and may be written a bit later.
	my $told = Weir::time_of($w->logged(qr/moody of upstream sick is down/));
	push @late, map { $_ > $told ? $_ - $told : 0 } values %when;
	$moody->ask('mode', '');
}
$text = figures(@late);
cmp_ok(quantile(0.5, @late), '<', 1000 * $LOOK / 4,
    "idle workers close sessions of a server that is down at once: $text");
diag("a server is down: $text sessions");
$w->stop;
done_testing();
