#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# All workers are stopped, a hundred clients connect (the kernel completes
# their handshakes, nobody accepts), then something happens.  Every one of
# them is served: when the workers go on, or by others if they never do.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Load;
use Weir::Peer;

Weir::not_under_valgrind('who looks for leaks seems to hang');

my $CLIENTS = 100;
my $echo = Weir::Peer->echo;
my $port = 5000;

sub conf
{
	my ($c, $workers, $listen) = @_;

	$listen //= qq(web = { listen = "127.0.0.1:$c->{port}"; upstream = "e"; };);
	return <<"EOT";
workers = $workers;
watchdog = { interval = "100ms"; limit = "3s"; };
upstreams = { e = { servers = "${\$echo->addr}"; }; };
listeners = { $listen
  other = { listen = "127.0.0.1:$c->{other}"; upstream = "e"; };
};
EOT
}

sub reload
{
	my ($to, $listen) = @_;

	return sub {
		my ($c, $w) = @_;
		$w->conf(conf($c, $to, $listen));
		$w->signal('HUP');
		$c->{wait} = qr/generation 2 is in use/;
	};
}

sub upgrade
{
	my ($to, $listen) = @_;

	return sub {
		my ($c, $w) = @_;
		$w->conf(conf($c, $to, $listen));
		$w->signal('USR2');
		$c->{wait} = qr/all is ours/;
		$c->{follow} = 1;
	};
}

sub killed
{
	my ($n) = @_;

	return sub {
		my ($c, $w) = @_;
		$w->signal('KILL', @{$c->{old}}[0 .. $n - 1]);
		$c->{killed} = $n;
	};
}

my @CASES = (
	['reload 4 to 4', 4, reload(4)],
	['reload 4 to 1', 4, reload(1)],
	['reload 1 to 4', 1, reload(4)],
	['reload 3 to 2', 3, reload(2)],
	['reload 2 to 7', 2, reload(7)],
	['upgrade 4 to 4', 4, upgrade(4)],
	['upgrade 4 to 1', 4, upgrade(1)],
	['upgrade 1 to 4', 1, upgrade(4)],
	['one of 4 killed', 4, killed(1)],
	['all of 4 killed', 4, killed(4)],
	['listener removed', 4, reload(4, '')],
	['upgrade and listener removed', 4, upgrade(4, '')],
);

# Those of one kind at the same time, each weir on a port of its own.
sub begin
{
	my ($name, $from, $act) = @_;
	my $c = { name => $name, act => $act, port => ++$port,
		other => $port + 1000 };

	$c->{w} = Weir->start(workers => $from, conf => conf($c, $from));
	$c->{old} = [$c->{w}->workers];
	return $c;
}

sub stopped
{
	my ($pid) = @_;

	return Weir::slurp("/proc/$pid/stat") =~ /\) T /;
}

# The answer of all who wait, and the line that says that it was done.
sub check
{
	my ($c, $how) = @_;
	my $w = $c->{w};

	is(Weir::Load::harvest($c->{clients}, 20), "$CLIENTS ok",
	    "$c->{name}, $how");
	ok(eval { $w->logged($c->{wait}) }, "$c->{name}, $how: it was done")
	    if $c->{wait};
	is(Weir::Load::harvest(Weir::Load::queue("127.0.0.1:$c->{other}",
	    10)), '10 ok', "$c->{name}, $how: it serves");
	if ($c->{follow}) {
		$w->follow(Weir::slurp("$w->{dir}/weir.pid") + 0);
		$w->until('the old ones to end', sub {
			my %left = map { $_->{pid} => 1 } $w->processes;
			return !grep { $left{$_} } $w->{pid}, @{$c->{old}};
		});
	}
	$w->stop(name => "$c->{name}, $how: it ends clean");
}

# Clients of stopped workers.  On a machine so busy that these are missed and
# replaced before the last client is there, others serve them: once more then.
sub stop_workers
{
	my ($c) = @_;
	my $w = $c->{w};

	for (1 .. 10) {
		my @pids = @{$c->{old}};
		$w->signal('STOP', @pids);
		$c->{clients} = Weir::Load::queue("127.0.0.1:$c->{port}",
		    $CLIENTS);
		return if !grep { !stopped($_) } @pids;
		is(Weir::Load::harvest($c->{clients}, 20), "$CLIENTS ok",
		    "$c->{name}: missed before that, and others serve");
		$w->until('others in their place', sub {
			my %old = map { $_ => 1 } @pids;
			$c->{old} = [map { $_->{pid} } grep {
				$_->{role} eq 'worker' && !$old{$_->{pid}} &&
				    $_->{phase} eq 'ready'
			} @{$w->status->{processes}}];
			return @{$c->{old}} == @pids;
		});
	}
	die "$c->{name}: workers were replaced again and again\n";
}

sub play
{
	my ($how, @cases) = @_;

	for my $c (@cases = map { begin(@$_) } @cases) {
		stop_workers($c);
		$c->{act}->($c, $c->{w});
	}
	if ($how eq 'they go on') {
		# Long enough for whatever is to go wrong: until they are
		# missed.
		for my $c (@cases) {
			$c->{w}->logged(qr/has not turned/)
			    unless ($c->{killed} // 0) == @{$c->{old}};
		}
		kill 'CONT', map { @{$_->{old}} } @cases;
	}
	check($_, $how) for @cases;
}

for my $how ('they go on', 'they do not') {
	my @cases = @CASES;

	# So few at a time that io_uring has memory for all.
	play($how, splice @cases, 0, 6) while @cases;
}
done_testing;
