#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A process that takes long to start (names of users can come over a network)
# is asked for its stack by the watchdog, and gets what is sent to all: it once
# died of that, because it had no handlers yet.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

plan(skip_all => 'only root changes its user') if $> != 0;
plan(skip_all => 'no strace') if system('strace -V >/dev/null 2>&1') != 0;

my $echo = Weir::Peer->echo;
my $w = Weir->start(listen => [Weir::listener()], workers => 1,
    wrap => ['strace', '-f', '--seccomp-bpf', '-o', '/dev/null', '-e', 'trace=setgroups', '-e',
	'inject=setgroups:delay_enter=600000'], conf => <<"EOT");
watchdog = { interval = "50ms"; limit = "5s"; };
upstreams = { e = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = "fd:3"; upstream = "e"; }; };
EOT
my ($master) = $w->pids('master');

$w->mark;
kill 'KILL', $w->workers;
my ($pid) = $w->logged(qr/worker 0\[\d+\] has not turned/) =~ /0\[(\d+)\]/;
# The watchdog asks by USR2, but nobody who is traced.
kill $_, $pid for 'USR2', 'HUP', 'USR1', 'WINCH', 'QUIT', 'INT';
is(Weir::chat($w->connect, "hi\n", qr/\n/), "hi\n", 'it serves in the end');
is_deeply([$w->workers], [$pid], 'the same process');
ok($w->logged(qr/\[$pid\]: asked for its stack/),
    'which has said where it was');
kill 'QUIT', $master;
$w->stop(signal => 'CONT');
done_testing;
