#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What four workers know together stays exact while they are busy, and while
# they are killed: one check per interval, the fewest sessions, the cap.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Time::HiRes ();
use Weir;
use Weir::Load;
use Weir::Peer;

my $WORKERS = 4;
my $TIMES = $Weir::SLOW ? 20 : 2;
my @NAMES = qw(s1 s2 s3);
my @killed; # between these times

# Another one in place of the worker that was killed.
sub kill_one
{
	my ($w) = @_;
	my @was = $w->workers;
	my $victim = $was[rand @was];
	my $from = Time::HiRes::time();

	$w->signal('KILL', $victim);
	$w->until('another worker', sub {
		my @now = $w->workers;
		return @now == @was && !grep { $_ == $victim } @now;
	});
	$w->until('it to be ready', sub {
		my @n = grep { $_->{role} eq 'worker' &&
		    $_->{phase} eq 'ready' } @{$w->status->{processes}};
		return @n == @was;
	});
	push @killed, [$from, Time::HiRes::time()];
}

# Those who lost their session when no worker was killed.
sub hurt
{
	my ($load) = @_;

	return grep {
		my $x = $_;
		$x->[2] ne 'ok' && !grep { $x->[1] >= $_->[0] &&
		    $x->[0] <= $_->[1] } @killed
	} @{$load->{kept}};
}

sub nobody_else_was_hurt
{
	my ($load, $text) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @hurt = hurt($load);

	is(scalar @hurt, 0, "nobody else was hurt: $text") or
	    diag(map { sprintf "%s at %.3f, begun at %.3f\n", $_->[2],
		$_->[1], $_->[0] } @hurt);
}

# ---- One check per interval ------------------------------------------------

{
	my $tmp = Weir::folder();
	my $log = $tmp->dirname . '/checks';
	my $interval = 0.1;
	my $server = Weir::Peer->server({
		data => sub {
			my ($p, $c, $bytes) = @_;
			return $p->put($c, $bytes) if $c->{got} !~ /^GET/;
			return if $c->{got} !~ /\r\n\r\n/;
			open my $out, '>>', $log;
			printf {$out} "%.6f\n", Weir::now();
			close $out;
			$p->put($c, "HTTP/1.1 200 well\r\n\r\n");
			$p->end($c);
		},
		eof => sub { $_[0]->end($_[1]) },
	});
	my $conf = <<"EOT";
access_log = "off";
workers = $WORKERS;
upstreams = { app = { servers = "$server->{addr}"; label = "N";
	health = { type = "http"; interval = "100ms"; fast = "100ms"; }; }; };
listeners = { web = { listen = "127.0.0.1:6001"; upstream = "app"; }; };
EOT
	my $w = Weir->start(conf => $conf);
	my $checks = sub { return split /\n/, Weir::slurp($log) };
	# What is known is known; only then they come regularly.
	my $more = sub {
		my $n = $checks->() + $_[0];
		$w->until('more checks', sub { $checks->() >= $n });
	};
	my $load = Weir::Load->start('127.0.0.1:6001', rate => 100,
	    keep => 1);
	my $n = 0;
	# The end of the first stretch is the begin of the next.
	my $count = sub {
		my ($what, $code) = @_;
		$more->(2);
		my $from = $checks->() - 1;
		for (1 .. $TIMES) {
			$code->() if $code;
			$more->(3);
		}
		my @all = $checks->();
		my $took = $all[-1] - $all[$from];
		my $gaps = $#all - $from;
		# Each is within the first eighth of its own interval.
		cmp_ok($gaps, '<=', $took / $interval + 1, sprintf
		    '%s: %d checks in %.2f s, not more than one each %.1f s',
		    $what, $gaps, $took, $interval);
		cmp_ok($gaps, '>=', 0.6 * $took / $interval - 1,
		    'and none is left out');
	};
	$count->("$WORKERS workers, and load");
	$count->('a worker is killed', sub { kill_one($w) });
	$count->('a reload', sub {
		$n++;
		$w->reload($conf =~ s/"N"/"$n"/r) and die 'reload';
	});
	$count->('fewer workers, and more', sub {
		$n++;
		my $many = $n % 2 ? 2 : $WORKERS;
		$w->reload($conf =~ s/workers = \d+/workers = $many/r) and
		    die 'reload';
	});
	my ($text) = $load->end;
	nobody_else_was_hurt($load, $text);
	$w->stop;
}

# ---- The fewest sessions ---------------------------------------------------

{
	my %peer = map { $_ => Weir::Peer->echo } @NAMES;
	my $servers = join ', ', map {
		qq({ name = "$_"; address = "$peer{$_}{addr}"; })
	} @NAMES;
	my $w = Weir->start(workers => $WORKERS, conf => <<"EOT");
access_log = "off";
upstreams = { app = { servers = ( $servers ); balance = "least_conn"; }; };
listeners = { web = { listen = "127.0.0.1:6001"; upstream = "app"; }; };
EOT
	my $open = sub {
		return map { $peer{$_}->stats->{open} } @NAMES;
	};
	my $even = sub {
		my ($what) = @_;
		my @n = sort { $a <=> $b } $open->();
		cmp_ok($n[2] - $n[0], '<=', $WORKERS,
		    "least_conn, $what: @n at the servers");
	};
	my $agree = sub {
		my $at;
		my $ok = eval {
			Weir::until_true('the counts to agree', sub {
				my $of = $w->status->{upstreams}{app}{servers};
				$at = join ' ', map { $of->{$_}{active} }
				    @NAMES;
				return $at eq join ' ', $open->();
			});
		};
		ok($ok, "and weir counts what they have: $at") or
		    diag(join ' ', $open->());
	};
	my @load;
	# All at once, to all workers.
	push @load, Weir::Load->start('127.0.0.1:6001', rate => 0,
	    idle => 150);
	$even->('150 that come together');
	$agree->();
	for my $i (1 .. $TIMES) {
		kill_one($w);
		$agree->();
		push @load, Weir::Load->start('127.0.0.1:6001', rate => 0,
		    idle => 100);
		$even->('and 100 more after a worker was killed');
		$agree->();
	}
	$_->end for @load;
	@load = ();
	$agree->();
	$w->stop;
}

# ---- The cap ---------------------------------------------------------------

{
	my $cap = 5;
	# It answers after a while, so that there is something to count; so
	# many servers take 333 a second.
	my $late = sub {
		return Weir::Peer->server({
			data => sub {
				my ($p, $c, $bytes) = @_;
				$p->later(0.045, sub { $p->put($c, $bytes) });
			},
			eof => sub { $_[0]->end($_[1]) },
		});
	};
	my %peer = map { $_ => $late->() } @NAMES;
	my $servers = join ', ', map { qq({ name = "$_"; address =
	    "$peer{$_}{addr}"; max_conns = $cap; }) } @NAMES;
	my $w = Weir->start(workers => $WORKERS, conf => <<"EOT");
access_log = "off";
upstreams = { app = { servers = ( $servers ); balance = "least_conn";
	timeouts = { queue = "60s"; }; }; };
listeners = { web = { listen = "127.0.0.1:6001"; upstream = "app"; }; };
EOT
	# A busy machine serves fewer than come.
	local $Weir::Load::LIMIT = 60;
	my $load = Weir::Load->start('127.0.0.1:6001', rate => 300,
	    most => 200, keep => 1);
	my $go_on = sub {
		my ($n) = @_;
		$_->await(accepted => $_->await(accepted => 0) + $n)
		    for values %peer;
	};
	$go_on->(60);
	for (1 .. $TIMES) {
		kill_one($w);
		$go_on->(40);
	}
	my ($text, $of) = $load->end;
	my @max = map { $peer{$_}->stats->{open_max} } @NAMES;
	my $st = $w->status->{upstreams}{app};

	for (@max) {
		cmp_ok($_, '<=', $cap + $WORKERS,
		    "max_conns = $cap: $_ at a time at most");
		cmp_ok($_, '>=', $cap - 1, 'and the cap was reached');
	}
	cmp_ok($st->{queued}, '>', 0, "$st->{queued} had to wait");
	nobody_else_was_hurt($load, $text);
	is($of->{timeout} // 0, 0, 'no place was lost: nobody waits in vain');
	Weir::until_true('no session', sub {
		my $s = $w->status->{upstreams}{app};
		return $s->{waiting} == 0 &&
		    !grep { $s->{servers}{$_}{active} } @NAMES;
	});
	pass('and none is left over');
	$w->stop;
}
done_testing();
