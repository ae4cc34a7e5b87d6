#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A worker dies: only what it owned is lost, nobody is refused, nobody waits.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Load;
use Weir::Peer;

my $WEB = '127.0.0.1:5001';
my $echo = Weir::Peer->echo;

sub conf
{
	my ($more) = @_;

	$more //= '';
	return <<"EOT";
upstreams = { e = { servers = "${\$echo->addr}"; }; };
listeners = { web = { listen = [ "$WEB", "unix:SOCK" ]; upstream = "e"; }; };
$more
EOT
}

my $dir = Weir::folder();

sub start
{
	my (%o) = @_;
	my $conf = conf($o{more}) =~ s/SOCK/$dir\/s/r;

	return Weir->start(workers => 3, %o, conf => $conf);
}

# However it dies, another takes its place, and its sessions are no longer
# counted.
for my $signal (qw(KILL SEGV ABRT)) {
	my $w = start();
	my @held = map { Weir::dial($WEB) } 1 .. 30;

	Weir::chat($_, "x\n", qr/\n/) for @held;
	is($w->status->{total}{sessions}, 30, 'thirty sessions');
	my ($victim) = $w->workers;
	my ($slot) = grep { $_->{pid} == $victim }
	    @{$w->status->{processes}};
	$w->mark;
	$w->signal($signal, $victim);
	$w->logged(qr/\[$victim\] died of signal/);
	$w->until('another worker', sub { $w->workers == 3 });
	my $left = 30 - $slot->{sessions};
	is($w->status->{total}{sessions}, $left,
	    "$signal: its sessions are counted no more");
	my $alive = 0;
	for my $s (@held) {
		next if Weir::readable($s, 0);
		$alive++ if Weir::chat($s, "y\n", qr/\n/) eq "y\n";
		close $s;
	}
	is($alive, $left, "$signal: the others live");
	is(Weir::Load::harvest(Weir::Load::queue($_, 30)), '30 ok',
	    "$signal: $_ is served") for $WEB, "unix:$dir/s";
	ok(eval { $w->logged(qr/stack/) }, "$signal: the stack is in the log")
	    if $signal ne 'KILL';
	is(scalar $w->reload, '0', "$signal: a reload is done");
	$w->stop(seen => qr/SIGSEGV|SIGABRT/);
}

# Control dies: traffic goes on.
{
	my $w = start();
	my $load = Weir::Load->start($WEB, rate => 100, idle => 20, busy => 5);
	my ($control) = $w->pids('control');

	$w->signal('KILL', $control);
	$w->until('another control', sub {
		my ($now) = $w->pids('control');
		return $now && $now != $control;
	});
	my ($text) = $load->end;
	is($text =~ s/\d+ ok, //r, '5 ok busy, 20 ok idle',
	    'without control nobody lost anything');
	is(scalar $w->reload, '0', 'a reload is done');
	$w->stop;
}

# One after the other, under load: what fails is what the dead owned.
{
	my $w = start();
	my $load = Weir::Load->start($WEB, rate => 150);
	my $end = Weir::now() + ($Weir::SLOW ? 30 : 5);
	my ($dead, $owned, $next) = (0, 0, Weir::now());

	while (Weir::now() < $end || $dead < 6) {
		$w->until('three workers', sub { $w->workers == 3 });
		my @all = $w->workers;
		my $victim = $all[rand @all];
		# Stopped, so that its number of sessions stays what it is.
		$w->signal('STOP', $victim);
		my ($slot) = grep { $_->{pid} == $victim }
		    @{$w->status->{processes}};
		$owned += $slot->{sessions};
		$w->signal('KILL', $victim);
		$dead++;
		$w->until('it to be gone', sub { !kill 0, $victim });
		$next += 0.3;
		$w->drain_stdout($next - Weir::now())
		    if $next > Weir::now();
	}
	my ($text, $n) = $load->end;
	my $failed = ($n->{reset} // 0) + ($n->{eof} // 0);
	diag("$dead workers killed, with $owned sessions: $text");
	cmp_ok($dead, '>', 5, 'workers were killed');
	is($n->{refused} // 0, 0, 'nobody was refused');
	is($n->{timeout} // 0, 0, 'nobody waited');
	# One may have been accepted and not yet counted.
	cmp_ok($failed, '<=', $owned + $dead,
	    'at most those failed that the dead owned');
	$w->stop;
}

# A worker that is gone for longer: the others have its clients.
{
	my $w = start(more => 'watchdog = { interval = "100ms"; ' .
	    'limit = "off"; };');
	my ($victim) = $w->workers;

	# It dies and dies: its next start is half a second away.
	for (1 .. 3) {
		my ($now) = $w->pids('worker 0');
		$w->signal('KILL', $now);
		$w->until('it to be gone', sub {
			return !grep { $_ == $now } $w->pids('worker 0');
		});
		last if !$w->pids('worker 0') && $_ > 1;
		$w->until('another', sub { $w->pids('worker 0') });
	}
	my $t = Weir::now();
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 60)), '60 ok',
	    'while one is away all are served');
	cmp_ok(Weir::now() - $t, '<', 2, 'by the others');
	$w->until('it to be back', sub { $w->workers == 3 });
	$w->stop;
}
done_testing;
