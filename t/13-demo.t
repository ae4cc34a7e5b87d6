#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The first command of a stranger works.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;

plan skip_all => 'no curl here' if system('curl -V >/dev/null 2>&1') != 0;
my $dir = Weir::folder();
# Ports that were free a moment ago.
my @free = map { Weir::listener() } 1 .. 4;

$ENV{WEIR} = $Weir::PROGRAM;
$ENV{WEIR_DEMO} = "$dir";
@ENV{qw(WEIR_FRONT WEIR_ONE WEIR_TWO WEIR_STATUS)} = map { $_->sockport } @free;
close $_ for @free;
my $out = `sh contrib/demo --check 2>&1`;
is($?, 0, 'contrib/demo --check') or diag($out);
like($out, qr/^demo: ok/m, 'both servers have answered');
done_testing();
