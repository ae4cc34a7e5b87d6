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
Weir::not_under_valgrind('its own calls would fail too');
my $events = $ENV{WEIR_EVENTS} ||= 'epoll';
my $echo = Weir::Peer->echo;

# A kernel that tells of changes (epoll) has no news of a socket that had room
# all the time: when a real send finds none, it promises news of the room to
# come, which an injected EAGAIN cannot.  So that session ends with the
# time-out for bytes that nobody takes; who looks at what is (poll, select,
# io_uring) sees the room at once.
my $is_told = $events eq 'epoll' || $events eq 'kqueue';

# Likewise a real EPIPE comes from a peer that is gone, which reading shows
# too: what it said before is read until then.  This one lives and listens, so
# the session lasts until the time-out for half-closed ones.  And a real
# ENOTCONN of shutdown comes from one that has reset the connection: here it
# waits for an end that it never gets, until weir has waited for a second.
#
# What a call gives, how often, of 40 sessions how many must go through, and
# why the others end.  On io_uring few calls are made that strace could fail.
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
	['recvmsg', 'EINTR', '2+3', 40],
	['sendmsg', 'EINTR', '2+3', 40],
	['sendto', 'EINTR', '5+9', 40],
	['sendto', 'ENOBUFS', '5+9', 20],
	['sendto', 'EAGAIN', '5+9', $is_told ? 20 : 40,
	    qr/(?:client|server)\.relay\.send_timeout/],
	['sendto', 'EPIPE', '5+9', 20, qr/(?:client|server)\.relay\.reset/],
	['shutdown', 'ENOTCONN', '5+9', 40, qr/server\.relay\.reset/],
	['recvfrom', 'ECONNRESET', '5+9', 20],
	['epoll_ctl', 'ENOMEM', '30+9', 10],
) {
	my ($call, $error, $when, $least, $why) = @$_;
	next if $events eq 'io_uring' && $call !~ /^(?:sendto|shutdown)$/;
	next if $events ne 'epoll' && $call =~ /^epoll/;
	my $w = Weir->start(listen => [Weir::listener()], workers => 1,
	    conf => <<"EOT");
timeouts = { send = "250ms"; half_close = "@{[
    $call eq 'shutdown' ? '1m' : '250ms']}"; };
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
		my $got = Weir::get($c, qr/\n/);
		shutdown $c, 1;
		$good++ if $got . Weir::get($c) eq "$i\n";
		# With these it speaks with the master.
		$good = 0 if $call =~ /msg$/ && $i % 8 == 0 && $w->reload != 0;
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
	like(Weir::slurp("$w->{dir}/strace"), qr/INJECTED/, 'it did so');
	is(Weir::chat($w->connect, "end\n", qr/\n/), "end\n",
	    'and serves afterwards');
	if ($why) {
		my @ends = map { (split ' ')[-1] } $w->access(41);
		my @others = grep { $_ ne 'client.relay.eof' } @ends;
		is(scalar(grep { !/^$why$/ } @others), 0, 'the others end ' .
		    'for one reason') or diag(@others);
		cmp_ok(scalar @others, $good < 40 || $call eq 'shutdown' ?
		    '>' : '==', 0, 'which is told');
	}
	$w->stop(name => "$call, $error: it ends clean");
}
done_testing();
