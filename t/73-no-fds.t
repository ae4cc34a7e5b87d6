#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A worker without descriptors keeps running, does not spin, and recovers.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

plan skip_all => 'no prlimit here'
    if system('prlimit --version >/dev/null 2>&1') != 0;
my $echo = Weir::Peer->echo;
my $w = Weir->start(listen => [Weir::listener()], workers => 1,
    conf => <<"EOT");
events = { connections = 40; };
upstreams = { echo = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = "fd:3"; upstream = "echo"; backlog = 4; }; };
EOT
my ($pid) = $w->workers;

# The limit under which so many descriptors can still be had.
sub limit_for
{
	my ($free) = @_;

	opendir my $dir, "/proc/$pid/fd" or die "fd: $!";
	my %used = map { $_ => 1 } readdir $dir;
	my $n = 0;

	for (;; $n++) {
		return $n if !$used{$n} && $free-- == 0;
	}
}

sub limit
{
	my ($n) = @_;

	# As the user of the worker, who may change what is his own.
	my ($uid, $gid) = Weir::slurp("/proc/$pid/status") =~
	    /^Uid:\s+(\d+).*^Gid:\s+(\d+)/ms;
	my $child = fork // die "fork: $!";
	if ($child == 0) {
		if ($> == 0) {
			$( = $) = "$gid $gid";
			POSIX::setuid($uid);
		}
		exec 'prlimit', "--pid=$pid", "--nofile=$n:" or
		    POSIX::_exit(127);
	}
	waitpid $child, 0;
	is($?, 0, "$n descriptors");
}

my @old = map { $w->connect } 1 .. 10;
is(scalar(grep { Weir::chat($_, "a\n", qr/\n/) eq "a\n" } @old), 10,
    'ten connections');

# What the kernel accepts for io_uring goes by the limit of when it was asked
# to.  It is asked anew when there is little room for more sessions, and by the
# first that comes when there is enough again: which is here under the new one.
my @crowd = map { $w->connect } 1 .. 25;
is(scalar(grep { Weir::chat($_, "a\n", qr/\n/) eq "a\n" } @crowd), 25,
    'a crowd comes');
close $_ for @crowd;
$echo->await(open => 10);
$w->until('it to be gone', sub { $w->status->{total}{sessions} == 10 });

my ($soft) = Weir::slurp("/proc/$pid/limits") =~
    /^Max open files\s+(\d+)/m;
limit(limit_for(4));
for (1 .. 2) {
	push @old, $w->connect;
	is(Weir::chat($old[-1], "a\n", qr/\n/), "a\n", 'descriptors for one');
}

# None left for accept.
my @new = map { $w->connect } 1 .. 5;
is(scalar(grep { Weir::chat($_, "b\n", qr/\n/) eq "b\n" } @old), 12,
    'those from before are served');
my $used = $w->cpu($pid);
ok(!Weir::readable($old[0], 2), 'nothing happens to them');
cmp_ok($w->cpu($pid) - $used, '<', 0.2, 'and nothing spins meanwhile');
is(scalar(grep { Weir::readable($_, 0) } @new), 0, 'new ones wait');
limit($soft);
Weir::put($_, "c\n") for @new;
is(scalar(grep { Weir::get($_, qr/\n/) eq "c\n" } @new), 5,
    'they are served when there are descriptors again');
is(Weir::chat($w->connect, "d\n", qr/\n/), "d\n", 'as are new ones');
is(join(' ', $w->workers), $pid, 'by the same worker');
close $_ for @old, @new;
$echo->await(open => 0);

# Who came and who did not get through has a line; and it was said why.
my $came = sub { $w->status->{listeners}{web}{accepted} };
is(scalar $w->access($came->()), $came->(), 'all who came have a line');
like($w->log, qr/accept on \S+: no more for a moment: Too many open files/,
    'that accepting had to wait is said');
my ($worker) = grep { $_->{pid} == $pid } @{$w->status->{processes}};
cmp_ok($worker->{accept_errors}, '>', 0, 'and counted');
cmp_ok(scalar(() = $w->log =~ /no more for a moment/g), '<', 5,
    'and it is not said each time');

# Enough to accept, none to connect: an error of our own machine.
limit(limit_for(1));
my $c = $w->connect;
Weir::put($c, "d\n");
Weir::readable($c, 0.5);
limit($soft);
my $d = $w->connect;
is(Weir::chat($d, "e\n", qr/\n/), "e\n", 'the next one is served');
$w->stop(signal => 'TERM');
done_testing();
