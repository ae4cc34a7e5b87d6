#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Connections on which nothing happens cost no CPU.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $IDLE = $Weir::EVENTS eq 'select' ? 400 : 5000;
Weir::not_under_valgrind('it measures CPU');
my $SECONDS = $Weir::SLOW ? 30 : 5;
my $PERCENT = 0.5;

my @echo = map { Weir::Peer->echo } 1 .. 5;
my $servers = join ', ', map { '"' . $_->addr . '"' } @echo;
my $w = Weir->start(listen => [Weir::listener()], workers => 1,
    conf => <<"EOT");
upstreams = { echo = { servers = ( $servers ); }; };
listeners = { idle = { listen = "fd:3"; upstream = "echo"; }; };
EOT

# Seconds on a CPU, of all processes; the kernel counts nanoseconds.
sub used
{
	my $ns = 0;

	for my $p ($w->processes) {
		my $sched = Weir::slurp("/proc/$p->{pid}/schedstat");
		return $w->cpu(map { $_->{pid} } $w->processes)
		    if $sched !~ /^(\d+)/;
		$ns += $1;
	}
	return $ns / 1e9;
}

# Each session is looked at when it is a second old, and ten seconds later; for
# poll(2), which takes milliseconds for so many, this alone is too much.
sub settled
{
	my ($s) = @_;
	my $last = 1e9;

	Weir::readable($s, 15) if $Weir::SLOW || $Weir::EVENTS eq 'poll';
	for (1 .. 20) {
		my ($p) = grep { $_->{role} eq 'worker' }
		    @{$w->status->{processes}};
		my $fired = $p->{loop}{timers_fired};
		return if $fired - $last >= 0 && $fired - $last < 5;
		$last = $fired;
		Weir::readable($s, 1);
	}
}

# Time passes while one waits for bytes that do not come.
sub percent
{
	my ($s, $seconds) = @_;
	my ($began, $used, $turns) = (Weir::now(), used(), turns());

	ok(!Weir::readable($s, $seconds), 'nothing comes');
	my $took = Weir::now() - $began;
	return (100 * (used() - $used) / $took, (turns() - $turns) / $took);
}

sub turns
{
	my ($p) = grep { $_->{role} eq 'worker' } @{$w->status->{processes}};

	return $p->{loop}{turns};
}

my $first = $w->connect;
Weir::chat($first, 'x', 1);
my ($alone) = percent($first, 2);
my @c = map { $w->connect } 1 .. $IDLE - 1;

sub all_echo
{
	my ($what) = @_;

	Weir::put($_, $what) for @c;
	return scalar grep { Weir::get($_, 1) eq $what } @c;
}

is(all_echo('x'), $IDLE - 1, "$IDLE connections, each has been used once");
settled($first);
my ($many, $turns) = percent($first, $SECONDS);
diag(sprintf 'CPU with 1 idle connection %.3f %%, with %d %.3f %%, %.1f turns a ' .
    'second', $alone, $IDLE, $many, $turns);
my ($slow, $polls) = (Weir::slowness(), $Weir::EVENTS eq 'poll');
cmp_ok($alone, '<', $PERCENT * $slow, "one idle connection: under $PERCENT %");
cmp_ok($turns, '<', $polls ? 4 : 20, 'few turns for all of them');
SKIP: {
	# A turn makes the kernel look at all of them, for milliseconds.
	skip 'the kernel would be measured', 1 if $polls;
	cmp_ok($many, '<', $PERCENT * $slow,
	    "$IDLE idle connections: under $PERCENT %");
}
is(all_echo('y'), $IDLE - 1, 'and all of them still work');
close $_ for $first, @c;
$w->stop;
done_testing();
