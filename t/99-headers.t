#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Each header compiles alone, and twice, with every compiler that is here.
use strict;
use warnings;
use Test::More;

my @FLAGS = qw(-std=gnu11 -D_GNU_SOURCE -Isrc -I. -It/unit -fsyntax-only
    -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Werror -xc -);
my @compilers = grep { `$_ --version 2>/dev/null` } qw(gcc clang);
push @compilers, $ENV{CC} // 'cc' unless @compilers;
alarm 300;

my @headers = glob '{src,modules,t}/*.h {src,modules,t}/*/*.h';
plan(tests => @headers * @compilers);
for my $header (@headers) {
	for my $cc (@compilers) {
		# Not as a program's main file, where unused statics count.
		open my $in, '|-', split(' ', $cc), @FLAGS
		    or die "$cc: $!";
		print $in qq{#include "$header"\n} x 2;
		ok(close $in, "$cc $header");
	}
}
