#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A process that does not turn any more is noticed, explained in the log, and
# replaced; its clients are served by the one after it.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Load;
use Weir::Peer;

Weir::not_under_valgrind('its stacks are those of valgrind');

my $WEB = '127.0.0.1:5001';
my $echo = Weir::Peer->echo;

sub start
{
	my (%o) = @_;

	$o{limit} //= '1s';
	return Weir->start(workers => 2, %o, conf => <<"EOT");
watchdog = { interval = "100ms"; limit = "$o{limit}"; };
upstreams = { e = { servers = "${\$echo->addr}"; }; };
listeners = { web = { listen = "$WEB"; upstream = "e"; }; };
EOT
}

# Stopped: said so, replaced after the limit, its queue is served.
{
	my $w = start();
	my ($other, $victim) = $w->workers;
	my $t = Weir::now();

	$w->mark;
	$w->signal('STOP', $victim);
	my $queue = Weir::Load::queue($WEB, 60);
	like($w->logged(qr/\[$victim\] has not turned/),
	    qr/worker 1\[\d+\] has not turned for \d+ ms: state T \(stopped\)/,
	    'a stopped worker is told in the log');
	is(Weir::Load::harvest($queue), '60 ok', 'its queue is served');
	cmp_ok(Weir::now() - $t, '>=', 0.9, 'not before the limit');
	ok(eval { $w->logged(qr/\[$victim\] died of signal 9/) },
	    'by another, it was killed');
	$w->until('two workers', sub { $w->workers == 2 });
	ok((grep { $_ == $other } $w->workers), 'the other worker lives');
	is(scalar $w->reload, '0', 'a reload is done');
	$w->stop;
}

# Stopped for a shorter time: nothing but a line.
{
	my $w = start(limit => '10s');
	my @all = $w->workers;
	my $s = Weir::dial($WEB);

	Weir::chat($s, "a\n", qr/\n/);
	$w->mark;
	$w->signal('STOP', @all);
	$w->logged(qr/\[$_\] has not turned/) for @all;
	$w->signal('CONT', @all);
	is(Weir::chat($s, "b\n", qr/\n/), "b\n", 'it goes on: so do sessions');
	is(scalar $w->reload, '0', 'a reload is done');
	is_deeply([$w->workers], \@all, 'by the same workers');
	close $s;
	$w->stop;
}

# Many stopped at once are all replaced.
{
	my $w = start(workers => 4);
	my @all = $w->workers;

	$w->signal('STOP', @all, $w->pids('control'));
	my $queue = Weir::Load::queue($WEB, 100);
	is(Weir::Load::harvest($queue, 10), '100 ok', 'all are served');
	$w->until('all to be new', sub {
		my %now = map { $_ => 1 } $w->workers;
		return keys %now == 4 && !grep { $now{$_} } @all;
	});
	$w->stop;
}

# The master is stopped with all others, for longer than the limit: nobody is
# killed when all go on.
{
	my $w = start();
	my @all = $w->workers;
	my $s = Weir::dial($WEB);

	Weir::chat($s, "a\n", qr/\n/);
	$w->signal('STOP', $w->{pid}, @all, $w->pids('control'));
	# As a machine that sleeps: nothing can tell us when it is over.
	my $end = Weir::now() + 1.5;
	Weir::readable($s, $end - Weir::now()) while Weir::now() < $end;
	$w->signal('CONT', $w->{pid}, @all, $w->pids('control'));
	is(Weir::chat($s, "b\n", qr/\n/), "b\n", 'after a sleep all go on');
	is(scalar $w->reload, '0', 'a reload is done');
	is_deeply([$w->workers], \@all, 'nobody was killed for it');
	close $s;
	$w->stop;
}
done_testing;
