#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Lines that ran, one number a file; run where a build with --coverage lies.
# The floors that everything stands on must be above 95 %.
use strict;
use warnings;
use File::Find;

my $MUST = qr{^src/(?:base|wire)/};
my $LEAST = 95;

my @notes;
find({ no_chdir => 1, wanted => sub { push @notes, $_ if /\.gcno$/ } },
    grep { -d } qw(src modules));
my $failed = 0;
for my $note (sort @notes) {
	(my $source = $note) =~ s/\.gcno$/.c/;
	my $out = `gcov -n -o $note $source 2>&1`;
	my ($part, $lines) = $out
	    =~ /^File '\Q$source\E'\nLines executed:([\d.]+)% of (\d+)/m
	    or next;
	my $low = $source =~ $MUST && $part < $LEAST;
	printf "%6.2f %% of %4d  %s%s\n", $part, $lines, $source,
	    $low ? "  (must be $LEAST %)" : '';
	$failed ||= $low;
}
exit($failed ? 1 : 0);
