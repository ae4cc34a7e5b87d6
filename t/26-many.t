#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# 9,000 connections in one worker, all of them served; what is over
# events.connections waits, and nobody is reset.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $MANY = $Weir::EVENTS eq 'select' ? 400 : 9000;
$MANY = 400 if $Weir::VALGRIND;
my $PER_SERVER = 1000;
my $PER_CLIENT = 3000;
my ($hard) = `bash -c 'ulimit -Hn'` =~ /(\d+)/;

if (defined $hard && $hard < 2 * $MANY + 600) {
	$MANY = int(($hard - 600) / 2 / 100) * 100;
	diag("only $MANY connections: the hard limit is $hard descriptors");
}

# ---- All at a time

my @echo = map { Weir::Peer->echo } 1 .. ($MANY + $PER_SERVER - 1) /
    $PER_SERVER;
my $servers = join ', ', map { '"' . $_->addr . '"' } @echo;
my $w = Weir->start(listen => [Weir::listener()], workers => 1,
    conf => <<"EOT");
upstreams = { echo = { servers = ( $servers ); }; };
listeners = { many = { listen = "fd:3"; upstream = "echo"; }; };
EOT
my ($worker) = $w->workers;

# How many of the connections give back what they are told.
sub all_echo
{
	my ($say, @c) = @_;

	Weir::put($c[$_], "$say $_\n") for 0 .. $#c;
	return scalar grep { Weir::get($c[$_], qr/\n/) eq "$say $_\n" }
	    0 .. $#c;
}

my @jobs;
for (my $left = $MANY; $left > 0; $left -= $PER_CLIENT) {
	my $n = $left < $PER_CLIENT ? $left : $PER_CLIENT;
	push @jobs, Weir::Peer->job(sub {
		my ($ctl) = @_;
		my @c = map { $w->connect } 1 .. $n;
		my %r = (first => all_echo('hello', @c));

		Weir::Peer::reached($ctl, 'connected');
		Weir::Peer::wait_go($ctl);
		$r{second} = all_echo('again', @c);
		return \%r;
	});
}
$_->answer for @jobs;
my $open = 0;
$open += $_->stats->{open} for @echo;
is($open, $MANY, "$MANY connections are through at a time");
cmp_ok($w->fds($worker), '>=', 2 * $MANY, 'in one worker');
diag(sprintf '%.0f bytes of user memory each, with buffers',
    $w->memory($worker)->{Pss} / $MANY);
$_->go for @jobs;
my @r = map { $_->result } @jobs;
for my $turn (qw(first second)) {
	my $sum = 0;
	$sum += $_->{$turn} for @r;
	is($sum, $MANY, "all are served, the $turn time");
}
$_->await(open => 0) for @echo;
$w->stop;

# ---- Too many

my $MAX = 50;
my $over = Weir->start(listen => [Weir::listener()], workers => 1,
    conf => <<"EOT");
events = { connections = $MAX; };
upstreams = { echo = { servers = ( $servers ); }; };
listeners = { many = { listen = "fd:3"; upstream = "echo"; }; };
EOT
sub greet
{
	my ($from, @c) = @_;

	Weir::put($c[$_], 'hello ' . ($from + $_) . "\n") for 0 .. $#c;
	return @c;
}

# A back end that accepts many at a time may be over the limit by those; once
# these are served it has noticed.
my @c = greet(0, map { $over->connect } 1 .. $MAX);
is(scalar(grep { Weir::get($c[$_], qr/\n/) eq "hello $_\n" } 0 .. $#c),
    $MAX, "events.connections = $MAX: so many are served");
push @c, greet($MAX, map { $over->connect } 1 .. 20);
is(scalar(grep { Weir::readable($c[$_], 0) } $MAX .. $#c), 0,
    'the next 20 wait, and are not reset');
close $_ for splice @c, 0, 20;
is(scalar(grep { Weir::get($c[$_], qr/\n/) =~ /^hello \d+\n$/ }
    $MAX - 20 .. $#c), 20, 'and are served when 20 have left');
is(Weir::chat($c[0], "still\n", qr/\n/), "still\n",
    'those from before are still there');
close $_ for @c;
is(Weir::chat($over->connect, "new\n", qr/\n/), "new\n",
    'when all have left, a new one is served');

# ---- Too many at once

# All of them are in the queue before the worker can look.
my ($stopped) = $over->workers;
kill STOP => $stopped;
@c = greet(0, map { $over->connect } 1 .. 30 * $MAX);
kill CONT => $stopped;
my $served = 0;
for my $i (0 .. $#c) {
	$served += Weir::get($c[$i], qr/\n/) eq "hello $i\n";
	close $c[$i];
}
is($served, 30 * $MAX, 'a crowd that comes at once is served in turn');
is($over->status->{listeners}{many}{refused}, 0, 'nobody is turned away');
my ($full) = grep { $_->{role} eq 'worker' } @{$over->status->{processes}};
cmp_ok($full->{full}, '>', 0, 'that all sessions were in use is counted');
my @said = $over->log =~ /(all $MAX sessions are in use)/g;
cmp_ok(scalar @said, '>', 0, 'and said');
cmp_ok(scalar @said, '<', 20, 'but not each time');
$over->stop;

# ---- Too many at once, at many doors

# Hundreds wait at four listeners, and others come while they are accepted;
# nobody leaves.  No back end may let in more than there is room for.
my ($ROOM, $DOORS, $BACKLOG) = (250, 4, 90);
my $server = Weir::Peer->echo;
my $at = join '', map { "  at$_ = { listen = \"fd:" . ($_ + 3) .
    "\"; upstream = \"echo\"; };\n" } 0 .. $DOORS - 1;
my $doors = Weir->start(listen => [map { Weir::listener() } 1 .. $DOORS],
    workers => 1, conf => <<"EOT");
events = { connections = $ROOM; };
defaults = { listener = { backlog = $BACKLOG; }; };
upstreams = { echo = { servers = "@{[$server->addr]}"; }; };
listeners = {
$at};
EOT
for my $turn (1 .. 3) {
	my ($one) = $doors->workers;
	$doors->signal('STOP', $one);
	my @in = map { $doors->connect($_ % $DOORS) } 1 .. $BACKLOG * 2;
	my @storm = map {
		my $i = $_;
		Weir::Peer->job(sub {
			my ($ctl) = @_;
			my @more = map { $doors->connect($i) }
			    1 .. $BACKLOG / 2;

			Weir::Peer::reached($ctl, 'connected');
			Weir::Peer::wait_go($ctl);
			return {};
		});
	} 0 .. $DOORS - 1;
	kill CONT => $one;
	$_->answer for @storm;
	$server->await(accepted => $ROOM * $turn);
	# Whoever is over it would be there some turns later.
	my $turns = sub { $doors->status->{processes}[0]{loop}{turns} };
	my $begin = $turns->();
	for my $n (1 .. 5) {
		Weir::put($_, "hello\n") for @in;
		$doors->until('a turn', sub { $turns->() >= $begin + $n });
	}
	is($server->stats->{open}, $ROOM, "turn $turn: $ROOM of " .
	    $BACKLOG * 4 . ' get in');
	is($doors->status->{total}{sessions}, $ROOM, 'as weir says too');
	$_->go for @storm;
	$_->result for @storm;
	close $_ for @in;
	$server->await(open => 0);
}
$doors->stop;
done_testing();
