#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A debugger of the master, such as strace that is ended, can lose the signal
# that a worker has died.
use strict;
use warnings;
use lib 't/lib';
use POSIX qw(SIGCHLD);
use Test::More;
use Weir;
use Weir::Peer;

use constant { PTRACE_CONT => 7, PTRACE_DETACH => 17, PTRACE_SEIZE => 0x4206 };

my ($os, undef, undef, undef, $machine) = POSIX::uname();
my %number = (x86_64 => [101, 61], aarch64 => [117, 260]);

plan(skip_all => "system calls have no known numbers on $os $machine")
    if $os ne 'Linux' || !$number{$machine};
my ($PTRACE, $WAIT4) = @{$number{$machine}};
Weir::not_under_valgrind('its signals are not those of the program');

sub ptrace
{
	my ($what, $pid, $signo) = @_;

	return syscall($PTRACE, $what, $pid, 0, $signo) == 0;
}

# The signal that it is stopped for; perl's own waitpid does not tell.
sub stopped_for
{
	my ($pid) = @_;
	my $status = pack 'i', 0;

	return 0 if syscall($WAIT4, $pid, $status, 0, 0) != $pid;
	$status = unpack 'i', $status;
	return ($status & 0xff) == 0x7f ? $status >> 8 & 0xff : 0;
}

my $echo = Weir::Peer->echo;
my $w = Weir->start(listen => [Weir::listener()], workers => 1,
    conf => <<"EOT");
upstreams = { e = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = "fd:3"; upstream = "e"; }; };
EOT
my ($worker) = $w->workers;
my $master = $w->master;

plan(skip_all => "no ptrace here: $!") if !ptrace(PTRACE_SEIZE, $master, 0);
kill 'KILL', $worker;
my $signo;
while (($signo = stopped_for($master)) && $signo != SIGCHLD) {
	ptrace(PTRACE_CONT, $master, $signo);
}
ok($signo && ptrace(PTRACE_DETACH, $master, 0), 'the signal is lost');
ok($w->logged(qr/worker 0\[$worker\] died of signal 9/), 'the log says so');
is(Weir::chat($w->connect, "hi\n", qr/\n/), "hi\n", 'another one serves');
$w->stop;
done_testing;
