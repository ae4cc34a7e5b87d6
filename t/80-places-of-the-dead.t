#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# After an upgrade the old master is killed, and then its worker: the sessions
# that this one had count no longer, although nobody could reap it.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $w = Weir->start(listen => [Weir::listener()], workers => 1,
    conf => <<"EOT");
upstreams = { e = { servers = { address = "@{[$echo->addr]}"; max_conns = 1; };
    timeouts = { queue = "20s"; }; }; };
listeners = { web = { listen = "fd:3"; upstream = "e"; }; };
EOT

my $c = $w->connect;
is(Weir::chat($c, "hi\n", qr/\n/), "hi\n", 'the only place is taken');
my $master = $w->master;
my ($worker) = $w->workers;
is(($w->ask('upgrade'))[0], 0, 'an upgrade');
$w->follow(Weir::slurp("$w->{dir}/weir.pid") + 0);
kill 'KILL', $master;
Weir::until_true('the master to die', sub {
	waitpid($master, POSIX::WNOHANG()) == $master });
my $d = $w->connect;
Weir::put($d, "ho\n");
$w->until('somebody waits', sub {
	$w->status->{upstreams}{e}{waiting} == 1 });
is(Weir::chat($c, "hi\n", qr/\n/), "hi\n", 'a worker lives on, and counts');
kill 'KILL', $worker;
is(Weir::get($d, qr/\n/), "ho\n", 'it dies: another has the place');
is(scalar(grep { $_->{pid} == $worker } @{$w->status->{processes}}), 0,
    'it is no process of weir');
close $_ for $c, $d;
$w->stop;
done_testing;
