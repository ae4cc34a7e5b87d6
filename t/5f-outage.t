#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# All servers of a group are gone for a while: retries stay within their
# budget, weir has little to do, and when the servers are back, so is the
# service, for those first who have waited longest.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Time::HiRes ();
use Weir;
use Weir::Load;
use Weir::Peer;

my $RATE = 300;
my $MANY = $Weir::SLOW ? 9000 : 600;
my $WAITING = $Weir::SLOW ? 1500 : 300;

sub cpu { my ($w) = @_; return $w->cpu(map { $_->{pid} } $w->processes) }

sub failed { return grep { $_->[2] ne 'ok' } @_ }

# What clients saw who began in that time.
sub kept
{
	my ($load, $from, $till) = @_;

	return grep { $_->[0] >= $from && $_->[0] < $till } @{$load->{kept}};
}

# The servers are there again: how long it takes until somebody is served.
sub return_of
{
	my ($w, @peer) = @_;
	my $begin = Weir::now();

	$_->ask('listen') for @peer;
	Weir::until_true('the service to be back', sub {
		my $s = Weir::dial('127.0.0.1:6001');

		Weir::put($s, "back?\n");
		return (eval { Weir::get($s, 6) } // '') eq "back?\n";
	});
	return Weir::now() - $begin;
}

# ---- Retries stay within their budget --------------------------------------

{
	my @peer = map { Weir::Peer->echo(port => 5000 + $_) } 1 .. 3;
	my $servers = join ', ', map { qq("$_->{addr}") } @peer;
	my $w = Weir->start(workers => 4, conf => <<"EOT");
access_log = "off";
upstreams = { app = { servers = ( $servers ); eject = "off";
	retry = { tries = 5; }; }; };
listeners = { web = { listen = "127.0.0.1:6001"; upstream = "app"; }; };
EOT
	my $load = Weir::Load->start('127.0.0.1:6001', rate => $RATE,
	    keep => 1);
	my $go_on = sub {
		my ($p, $n) = @_;
		$p->await(accepted => $p->await(accepted => 0) + $n);
	};
	my $app = sub { return $w->status->{upstreams}{app} };
	my $tries = sub {
		my ($st) = @_;
		my $n = 0;
		$n += $_->{failures} for values %{$st->{servers}};
		return $n;
	};
	$go_on->($peer[0], 30);
	my $before = $app->();
	my ($from, $cpu) = (Time::HiRes::time(), cpu($w));
	$_->ask('refuse') for @peer;
	$w->until('many to be refused', sub {
		return $app->()->{picks} - $before->{picks} > $MANY;
	});
	my $after = $app->();
	my $took = Time::HiRes::time() - $from;
	$cpu = (cpu($w) - $cpu) / $took;
	my $retries = $after->{retries};
	my $first = $after->{picks} - $retries;
	# 20 % of the first tries and 10 a second, over any ten seconds; so
	# many workers may have looked at the same time.
	my $budget = 0.2 * $first + 10 * (10 + ($took > 8 ? $took : 0)) + 4;
	cmp_ok($retries, '<=', $budget, sprintf
	    '%d retries for %d sessions in %.1f s are within the budget, ' .
	    '%.0f', $retries, $first, $took, $budget);
	cmp_ok($retries, '>', 0, 'and there were some');
	cmp_ok($tries->($after), '<=', $after->{picks},
	    'no server was tried more often than picked');
	# What weir waits for, it waits for each time; a busy machine is not so
	# steady.
	my $back = return_of($w, @peer);
	for (2 .. 5) {
		last if $back < 0.5;
		$_->ask('refuse') for @peer;
		my $picks = $app->()->{picks};
		$w->until('many to be refused again', sub {
			return $app->()->{picks} - $picks > $MANY;
		});
		$back = return_of($w, @peer);
	}
	$go_on->($_, 20) for @peer;
	my ($text) = $load->end;
	cmp_ok($back, '<', 0.5, sprintf
	    'service is back %.0f ms after the servers', 1000 * $back);
	is(scalar(failed(kept($load, 0, $from - 0.1))), 0,
	    'no error before');
	diag(sprintf 'outage without checks: %d sessions in %.1f s, ' .
	    '%d retries, CPU of weir %.1f %%; then: %s', $first, $took,
	    $retries, 100 * $cpu, $text);
	cmp_ok($cpu, '<', 0.5, 'weir has little to do');
	$w->stop;
}

# ---- A switchover is latency, not errors -----------------------------------

{
	my $interval = 1;
	my $peer = Weir::Peer->echo(port => 5001);
	my $w = Weir->start(workers => 4, conf => <<"EOT");
upstreams = { app = { servers = { name = "one"; address = "$peer->{addr}";
	    max_conns = 1; };
	queue_max = 100000;
	timeouts = { queue = "100s"; wait_up = "100s"; };
	retry = { tries = 100; backoff = "20ms"; max_backoff = "50ms";
	    deadline = "100s"; budget_min = 1000; };
	health = { type = "script"; interval = "${interval}s";
	    fast = "100ms"; fall = 3; rise = 2;
	    steps = ( { send = "PING\\r\\n"; expect = "^PING"; } ); }; }; };
listeners = { web = { listen = "127.0.0.1:6001"; upstream = "app"; }; };
EOT
	$w->logged(qr/one of upstream app is up/);
	# One after the other, which takes a while on a busy machine.
	local $Weir::Load::LIMIT = 100;
	local $Weir::PATIENCE = 90;
	my $load = Weir::Load->start('127.0.0.1:6001', rate => 100,
	    most => $WAITING + 100, keep => 1);
	$peer->await(accepted => 50);
	my $from = Time::HiRes::time();
	$w->mark;
	$peer->ask('refuse');
	my $down = Weir::time_of($w->logged(qr/one of upstream app is down/));
	my $cpu = cpu($w);
	my $since = Time::HiRes::time();
	$w->until('many to wait', sub {
		return $w->status->{upstreams}{app}{waiting} > $WAITING;
	});
	$cpu = (cpu($w) - $cpu) / (Time::HiRes::time() - $since);
	my $back = Time::HiRes::time();
	$peer->ask('listen');
	my $up = Weir::time_of($w->logged(qr/one of upstream app is up/));
	# A busy machine serves no faster than they come.
	$peer->await(accepted => $peer->await(accepted => 0) + 50);
	my ($text, $n) = $load->end;
	my $drained = Time::HiRes::time();
	is($w->status->{upstreams}{app}{waiting}, 0, 'nobody waits any more');
	is($text, "$n->{ok} ok", 'nobody saw an error, from first to last');
	my ($ok) = sort { $a <=> $b } map { $_->[1] }
	    grep { $_->[1] > $back } @{$load->{kept}};
	cmp_ok($ok - $back, '<', $interval + 0.2, sprintf
	    'service is back %.0f ms after the server: within one interval',
	    1000 * ($ok - $back));
	# Those who waited from the begin; others were between two tries when it
	# was found out.  When they were accepted, and sent to the server.
	my @waited;
	for ($w->access($n->{ok})) {
		my ($wait, $total) = / wait=(\d+) .* total=(\d+) / or next;
		my $at = Weir::time_of($_) - $total / 1000;
		push @waited, { at => $at, sent => $at + $wait / 1000 }
		    if $at > $down + 0.05;
	}
	my $i = 0;
	$_->{turn} = $i++ for sort { $a->{at} <=> $b->{at} } @waited;
	my @served = map { $_->{turn} }
	    sort { $a->{sent} <=> $b->{sent} || $a->{at} <=> $b->{at} } @waited;
	my ($late, $high) = (0, 0);
	for (@served) {
		$high = $_ if $_ > $high;
		$late = $high - $_ if $high - $_ > $late;
	}
	cmp_ok(scalar @served, '>=', 20, 'many came in the meantime');
	# One that is not heard of for 10 ms is not waited for.
	cmp_ok($late, '<=', 30, sprintf
	    'who waits longest is served first: of %d nobody was passed ' .
	    'by more than %d', scalar @served, $late) or diag("@served");
	cmp_ok($cpu, '<', 0.5, 'weir has little to do');
	diag(sprintf 'outage with checks: found after %.0f ms, %.0f waited, ' .
	    'CPU of weir %.1f %%; up %.0f ms, first served %.0f ms, queue ' .
	    'empty %.0f ms after the return; %s', 1000 * ($down - $from),
	    $WAITING, 100 * $cpu, 1000 * ($up - $back), 1000 * ($ok - $back),
	    1000 * ($drained - $back), $text);
	$w->stop;
}
done_testing();
