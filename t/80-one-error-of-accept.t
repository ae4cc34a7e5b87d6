#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The master runs out of descriptors, once: `weir -s` works again soon.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

plan(skip_all => 'no strace') if system('strace -V >/dev/null 2>&1') != 0;

my $echo = Weir::Peer->echo;
# Without -f: only the master is told so.
my $w = Weir->start(listen => [Weir::listener()], workers => 1,
    wrap => ['strace', '-o', '/dev/null', '-e', 'trace=accept4', '-e',
	'inject=accept4:error=ENFILE:when=1'], conf => <<"EOT");
upstreams = { e = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = "fd:3"; upstream = "e"; }; };
EOT

is(($w->ask('status'))[0], 0, 'who asks has to wait a little') for 1 .. 2;
ok($w->logged(qr/weir -s: cannot accept: /), 'the log says why');
my ($master) = $w->pids('master');
kill 'QUIT', $master;
$w->stop(signal => 'CONT');
done_testing;
