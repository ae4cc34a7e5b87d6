#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What README says is so: its files are there, its example is accepted.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;

my $text = Weir::slurp('README.md') . Weir::slurp('contrib/HACKING.md');

# Paths that it names, and functions after the path.
my %path;
$path{$1}++ while $text =~ m{`((?:src|t|conf|contrib|modules|html)/[\w./]*)`}g;
cmp_ok(scalar keys %path, '>', 8, 'README and HACKING name files');
is(join(' ', grep { !-e && !/NAME/ } sort keys %path), '',
    'and all of them are there');
while ($text =~ m{`(src/[\w/]+\.[ch])`[^`]*\(`(wr_\w+)`\)}g) {
	my ($file, $function) = ($1, $2);
	like(Weir::slurp($file), qr/^$function\(/m, "$function is in $file");
}

my ($example) = $text =~ /^```\n(upstreams = .*?)^```/ms;
my $dir = Weir::folder();
my $user = $> == 0 ? 'user = "nobody";' : '';
Weir::spew("$dir/weir.conf", "$example$user\n");
my ($status, $out, $err) = Weir::run('-t', '-c', "$dir/weir.conf");
is($status, 0, 'the example is a good configuration') or diag($out, $err);
cmp_ok(($example =~ tr/\n//), '<=', 10, 'of ten lines');

# Targets of make that it names.
my $make = Weir::slurp('Makefile.am');
my %target = map { $_ => 1 } $text =~ /`make ([\w-]+)/g;
delete $target{install};
is(join(' ', grep { $make !~ /^(?:\.PHONY:.*)?\Q$_\E(?:-local)?:/m }
    sort keys %target), '', 'and so are the targets of make');
done_testing();
