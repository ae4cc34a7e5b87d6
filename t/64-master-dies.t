#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The master is killed: its children serve on, can be told to end, and a new
# weir says who is in its way.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Load;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $addr = '127.0.0.1:7640';

sub start
{
	return Weir->start(workers => 2, conf => <<"EOT", @_);
upstreams = { app = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = "$addr"; upstream = "app"; }; };
EOT
}

# Weir.pm waits for nobody whose master has gone.
sub logged
{
	my ($w, $pattern) = @_;

	Weir::until_true("a line like $pattern", sub { $w->log =~ $pattern });
}

sub answers
{
	my $c = Weir::dial($addr, try => 1) // return 'refused';
	Weir::put($c, 'x') or return 'reset';
	return 'time-out' unless Weir::readable($c, 5);
	my $got = Weir::get($c, 1);
	return $got eq 'x' ? 'ok' : 'reset';
}

# The worker that has the session of this connection.
sub owner
{
	my ($c) = @_;
	my $port = $c->sockport;
	my ($pid) = `ss -tnpH dst 127.0.0.1:$port` =~ /pid=(\d+)/;

	return $pid // 0;
}

sub count
{
	my %n;

	$n{answers()}++ for 1 .. $_[0];
	return join ' ', map { "$_=$n{$_}" } sort keys %n;
}

my $w = start();
my $old = Weir::dial($addr);
is(Weir::chat($old, 'x', 1), 'x', 'a session is there');
my @workers = $w->workers;
my ($control) = $w->pids('control');
$w->signal('KILL');
is($w->ended, 'signal 9', 'the master is killed');
logged($w, qr/worker \d\[$_\]: the master is gone; serving on/) for @workers;
is(count(50), 'ok=50', 'fifty more are served');
is(Weir::chat($old, 'y', 1), 'y', 'and the one that was there');

# Nobody takes its place by accident.
my ($st, $out, $err) = Weir::run('-c', $w->{conf}, '-p', $w->{dir});
is($st, 1, 'a new weir is refused');
like($err, qr/master is gone still serve:.*\b$_\b/, "and names $_")
    for @workers, $control;
is(count(10), 'ok=10', 'they still serve');
($st, $out, $err) = $w->ask('reload');
is($st, 1, 'a reload finds nobody');
like($err, qr/the master is gone/, 'and says so');

# A new master beside what is left.
($st, $out, $err) = Weir::run('-d', '--beside', '-c', $w->{conf});
is($st, 0, '--beside: a new one starts') or diag($err);
is(count(20), 'ok=20', 'and all are served');
is(($w->ask('status'))[0], 0, 'it is the one that answers');
is(($w->ask('quit'))[0], 0, 'and can be told to quit');
Weir::until_true('it to end', sub { !-e "$w->{dir}/weir.pid.sock" });
is(count(20), 'ok=20', 'the old ones serve on');

# One worker dies, too: what it owned is refused, nothing hangs.
my ($spare) = grep { my $p = $_; $p != owner($old) } @workers;
kill 'KILL', $spare;
Weir::until_true('it to be gone', sub { !kill 0, $spare });
unlike(count(40), qr/time-out/, 'no time-out when a worker dies then');

# They are told to end, and take the time they need.
($st, $out, $err) = $w->ask('quit');
is($st, 0, 'quit reaches the orphans');
like($err, qr/2 of its processes were told to quit/, 'both of them');
Weir::until_true('new ones to be refused', sub { answers() eq 'refused' });
is(Weir::chat($old, 'z', 1), 'z', 'a worker with a session drains');
close $old;
Weir::until_true('all to end', sub { !$w->processes });
is_deeply([$w->remains], [], 'nothing is left');
$w->finish;

# Under load: nothing fails when the master dies, and when a worker does after
# it, only what that one had, in its hands or in its queue.
sub had
{
	my ($pid) = @_;
	my @all = `ss -Htnp state established 'sport = :7640'`;

	return grep { !/pid=/ || /pid=$pid,/ } @all;
}

{
	$w = start();
	my $load = Weir::Load->start($addr, rate => 150, idle => 20,
	    busy => 10);
	my ($victim) = $w->workers;
	my $end = Weir::now() + ($Weir::SLOW ? 20 : 1);

	$w->signal('KILL');
	$w->ended;
	logged($w, qr/worker \d\[$_\]: the master is gone/) for $w->workers;
	Weir::until_true('some load', sub { Weir::now() >= $end }, 60);
	is(Weir::Load::harvest(Weir::Load::queue($addr, 50)), '50 ok',
	    'fifty at once are served');
	my ($text) = $load->end;
	is($text =~ s/^\d+ ok, //r, '10 ok busy, 20 ok idle',
	    'the master is killed under load: nothing fails');

	$load = Weir::Load->start($addr, rate => 150, idle => 20, busy => 10);
	$w->signal('STOP', $victim);
	my $counted = Weir::now();
	my $before = had($victim);
	kill 'KILL', $victim;
	# More may have come between the count and the end.
	$before += 10 + 150 * (Weir::now() - $counted);
	Weir::until_true('it to be gone', sub { !kill 0, $victim });
	$end = Weir::now() + ($Weir::SLOW ? 20 : 1);
	Weir::until_true('some load', sub { Weir::now() >= $end }, 60);
	my ($say, $n) = $load->end;
	my $lost = 0;
	$lost += $n->{$_} for grep { /^(?:reset|eof)/ } keys %$n;
	diag(sprintf 'a worker with up to %d connections is killed: %s',
	    $before, $say);
	ok(!(grep { /timeout|wrong|full/ } keys %$n), 'nobody waits in vain');
	cmp_ok($lost, '<=', $before, 'at most its own are lost');
	cmp_ok($n->{refused} // 0, '<=', 10, 'and the others are served');
	cmp_ok($n->{ok}, '>', 50, 'all the time');
	is(($w->ask('stop'))[0], 0, 'stop reaches the one that is left');
	Weir::until_true('all to end', sub { !$w->processes });
	$w->finish;
}

# Stop is at once.
$w = start();
$old = Weir::dial($addr);
Weir::chat($old, 'x', 1);
$w->signal('KILL');
$w->ended;
logged($w, qr/the master is gone/);
is(($w->ask('stop'))[0], 0, 'stop reaches orphans, too');
is(Weir::get($old), '', 'sessions are cut');
Weir::until_true('all to end', sub { !$w->processes });
$w->finish;
done_testing();
