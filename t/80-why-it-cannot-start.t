#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A worker that is started again and cannot says why in the log, although no
# reload is there to tell.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

plan(skip_all => 'only root changes its user') if $> != 0;
plan(skip_all => 'no strace') if system('strace -V >/dev/null 2>&1') != 0;

$Weir::PATIENCE = 100;
my $echo = Weir::Peer->echo;
my $w = Weir->start(listen => [Weir::listener()], workers => 1, traced => 1,
    conf => <<"EOT");
upstreams = { e = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = "fd:3"; upstream = "e"; }; };
# A start takes a while when each of its system calls is stopped.
watchdog = { limit = "100s"; };
reload_timeout = "100s";
EOT

# From now on its children cannot change their groups.
my $said = "$w->{dir}/strace";
my $strace = fork // die "fork: $!";
if ($strace == 0) {
	open STDERR, '>', $said;
	exec 'strace', '-f', '-o', '/dev/null', '-e', 'trace=setgroups', '-e',
	    'inject=setgroups:error=EPERM', '-p', $w->master or
	    POSIX::_exit(127);
}
Weir::until_true('strace', sub { Weir::slurp($said) =~ /attached/ });
kill 'KILL', $w->workers;
ok($w->logged(qr/worker 0\[\d+\]: cannot start: initgroups: /),
    'the log says why');
kill 'INT', $strace;
waitpid $strace, 0;
is(Weir::chat($w->connect, "hi\n", qr/\n/), "hi\n", 'then it can');
$w->stop;
done_testing;
