#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The conformance suite of the loop inside the wrapper that makes everything
# late, small and out of order: some seeds on every back end.
#
# WEIR_CHAOS is the one seed to take, WEIR_SLOW takes many.
use strict;
use warnings;
use Test::More;

my $build = $ENV{WEIR_BUILD} // '.';
my ($plain, $kqueue) = map { "$build/t/unit/$_" } qw(conform conform_kqueue);
plan(skip_all => "no program at $plain") unless -x $plain;
alarm($ENV{WEIR_SLOW} ? 1200 : 120);

my @seeds = defined $ENV{WEIR_CHAOS} ? $ENV{WEIR_CHAOS} :
    $ENV{WEIR_SLOW} ? 1 .. 40 : 1 .. 2;
my @backends = $ENV{WEIR_EVENTS} // qw(io_uring epoll poll select);
my @jobs;
for my $seed (@seeds) {
	push @jobs, map { [$plain, $_, $seed] } grep { $_ ne 'kqueue' } @backends;
	push @jobs, [$kqueue, 'kqueue', $seed] if -x $kqueue;
}

# Most of the time they wait, so several at once.
my @running;
sub finish {
	my ($name, $in) = @{shift @running};
	my @lines = <$in>;
	my $fine = close $in;

	return if ok($fine, $name);
	diag($name, ': ', $_) for grep { !/^ok / } @lines;
}
for my $job (@jobs) {
	my ($program, $backend, $seed) = @$job;

	finish() if @running == 6;
	local $ENV{WEIR_CHAOS} = $seed;
	open my $in, '-|', "$program $backend 2>&1" or die "$program: $!";
	push @running, ["$backend, seed $seed", $in];
}
finish() while @running;
done_testing();
