#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Who drains accepts nobody, lets sessions end by themselves, cuts the rest
# at `drain`, and says so.
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
	my (%o) = @_;

	$o{timeouts} //= '';
	$o{more} //= '';
	return <<"EOT";
timeouts = { $o{timeouts} };
upstreams = { e = { servers = "${\$echo->addr}"; }; };
listeners = { web = { listen = "$WEB"; upstream = "e"; }; };
$o{more}
EOT
}

sub refused
{
	my $s = Weir::dial($WEB, try => 1, timeout => 2);

	return !$s;
}

# QUIT: those who are connected go on, nobody else gets in.
{
	my $w = Weir->start(workers => 2, conf => conf());
	my @held = map { Weir::dial($WEB) } 1 .. 20;

	Weir::chat($_, "a\n", qr/\n/) for @held;
	$w->signal('QUIT');
	$w->until('it to refuse', sub { refused() });
	is(scalar(grep { Weir::chat($_, "b\n", qr/\n/) eq "b\n" } @held), 20,
	    'twenty sessions go on');
	my @phases = map { $_->{phase} } grep { $_->{role} eq 'worker' }
	    @{$w->status->{processes}};
	ok(@phases && !grep({ $_ ne 'drain' } @phases),
	    'weir -s status shows processes that drain');
	is(($w->ask('reload'))[0], 1, 'no reload while it ends');
	close $_ for @held;
	$w->stop;
}

# Whoever was in the queue when it was told to end is served.
{
	my $w = Weir->start(workers => 2, conf => conf());

	$w->signal('STOP', $w->workers);
	my $queue = Weir::Load::queue($WEB, 50);
	$w->signal('QUIT');
	$w->logged(qr/QUIT/);
	$w->signal('CONT', $w->workers);
	is(Weir::Load::harvest($queue), '50 ok', 'the queue is served');
	$w->stop;
}

# What lasts too long is cut, and the log says how many and why.
{
	my $w = Weir->start(workers => 2,
	    conf => conf(timeouts => 'drain = "1s";'));
	my @held = map { Weir::dial($WEB) } 1 .. 10;

	Weir::chat($_, "a\n", qr/\n/) for @held;
	my $t = Weir::now();
	$w->mark;
	$w->signal('QUIT');
	$w->ended;
	cmp_ok(Weir::now() - $t, '>=', 0.9, 'sessions have a second');
	cmp_ok(Weir::now() - $t, '<', $Weir::VALGRIND ? 60 : 5, 'and no more');
	my $sum = 0;
	$sum += $_ for $w->log =~ /cut (\d+)/g;
	is($sum, 10, 'the log says how many were cut');
	is(scalar(grep { /weir\.relay\.drain/ } $w->access(10)), 10,
	    'and each of them why');
	$w->stop;
}

# TERM: at once.
{
	my $w = Weir->start(workers => 2, conf => conf());
	my @held = map { Weir::dial($WEB) } 1 .. 10;

	Weir::chat($_, "a\n", qr/\n/) for @held;
	$w->signal('QUIT');
	$w->until('it to refuse', sub { refused() });
	my $t = Weir::now();
	$w->stop(signal => 'TERM', name => 'TERM ends who drains');
	cmp_ok(Weir::now() - $t, '<', $Weir::VALGRIND ? 60 : 3, 'at once');
}

# Grace: asked to stop, still accepting.
{
	my $w = Weir->start(workers => 2,
	    conf => conf(timeouts => 'grace = "1s";'));

	$w->mark;
	$w->signal('QUIT');
	$w->logged(qr/QUIT/);
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 20)), '20 ok',
	    'in its grace it serves');
	$w->until('it to end', sub { $w->gone });
	$w->stop;
}

# Fewer workers: those who retire drain, and come back if they are wanted.
{
	my $w = Weir->start(workers => 4, conf => conf());
	my @all = $w->workers;
	my @held = map { Weir::dial($WEB) } 1 .. 40;

	Weir::chat($_, "a\n", qr/\n/) for @held;
	is(scalar $w->reload(conf(more => 'workers = 1;')), '0', 'to 1');
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 40)), '40 ok',
	    'one worker has all shards');
	is_deeply([$w->workers], \@all, 'the others drain');
	is(scalar $w->reload(conf(more => 'workers = 3;')), '0', 'to 3');
	is_deeply([$w->workers], \@all, 'two of them are had back');
	is(Weir::Load::harvest(Weir::Load::queue($WEB, 40)), '40 ok',
	    'and serve');
	my $ready = grep { $_->{role} eq 'worker' && $_->{phase} eq 'ready' }
	    @{$w->status->{processes}};
	is($ready, 3, 'three are at work');
	is(scalar(grep { Weir::chat($_, "b\n", qr/\n/) eq "b\n" } @held), 40,
	    'no session has noticed');
	close $_ for @held;
	$w->until('the fourth to end', sub { $w->workers == 3 });
	$w->stop;
}

# WINCH: workers end, the master stays; a reload brings them back.
{
	my $w = Weir->start(workers => 2, conf => conf());

	$w->signal('WINCH');
	$w->until('workers to end', sub { $w->workers == 0 });
	my $queue = Weir::Load::queue($WEB, 20);
	is(scalar $w->reload, '0', 'a reload after WINCH');
	is(Weir::Load::harvest($queue), '20 ok',
	    'those who waited meanwhile are served');
	is(scalar $w->workers, 2, 'by new workers');
	$w->stop;
}
done_testing;
