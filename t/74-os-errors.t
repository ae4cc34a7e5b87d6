#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Calls of the kernel that fail now and then end one session, never a worker.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

plan skip_all => 'no strace here, or it may not trace'
    if system('strace -qq -o /dev/null true >/dev/null 2>&1') != 0;
plan skip_all => 'io_uring makes no system calls that strace could fail'
    if $Weir::EVENTS eq 'io_uring';
$ENV{WEIR_EVENTS} ||= 'epoll';

my $echo = Weir::Peer->echo;

# What a call gives, how often, and of 40 sessions how many must go through.
for (
	['accept4', 'ECONNABORTED', '3+4', 40],
	['accept4', 'EMFILE', '5+7', 40],
	['accept4', 'ENOMEM', '5+7', 40],
	['accept4', 'EPROTO', '5+7', 40],
	['accept4', 'EINTR', '2+3', 40],
	['connect', 'EADDRNOTAVAIL', '4+8', 20],
	['connect', 'ECONNREFUSED', '4+8', 20],
	['setsockopt', 'ENOBUFS', '40+9', 20],
	['recvfrom', 'EINTR', '5+9', 40],
	['recvmsg', 'EINTR', '9+9', 40],
	['sendmsg', 'EINTR', '20+9', 40],
	['sendto', 'EINTR', '5+9', 40],
	['sendto', 'ENOBUFS', '5+9', 20],
	['recvfrom', 'ECONNRESET', '5+9', 20],
	['epoll_ctl', 'ENOMEM', '30+9', 10],
) {
	my ($call, $error, $when, $least) = @$_;
	my $w = Weir->start(listen => [Weir::listener()], workers => 1,
	    conf => <<"EOT");
upstreams = { echo = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = "fd:3"; upstream = "echo"; }; };
EOT
	my ($pid) = $w->workers;
	my $strace = fork // die "fork: $!";
	if ($strace == 0) {
		open STDERR, '>', "$w->{dir}/strace.err";
		exec 'strace', '-p', $pid, '-o', "$w->{dir}/strace", '-e',
		    "trace=$call", '-e', "inject=$call:error=$error:when=$when"
		    or POSIX::_exit(127);
	}
	$w->until('strace to be attached', sub {
		return Weir::slurp("$w->{dir}/strace.err") =~ /attached/;
	});
	my $good = 0;
	for my $i (1 .. 40) {
		my $c = $w->connect;
		Weir::put($c, "$i\n");
		$good++ if Weir::get($c, qr/\n/) eq "$i\n";
	}
	cmp_ok($good, '>=', $least, "$call gives $error: $good of 40");
	is(join(' ', $w->workers), $pid, 'the worker lives');
	# Each of these clients was told of, whatever became of it.
	my @lines = $w->access(40);
	is(scalar @lines, 40, 'and has told of every client');
	my $st = $w->status;
	is($st->{listeners}{web}{accepted}, 40, 'and counted it');
	kill 'TERM', $strace;
	waitpid $strace, 0;
	is(Weir::chat($w->connect, "end\n", qr/\n/), "end\n",
	    'and serves afterwards');
	$w->stop(name => "$call, $error: it ends clean");
}
done_testing();
