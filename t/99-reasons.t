#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# weir(8) explains every reason why a session ends, and no other.
use strict;
use warnings;
use Test::More;

sub slurp
{
	open my $in, '<', $_[0] or die "$_[0]: $!";
	local $/;
	return scalar <$in>;
}

my $list = slurp('src/proxy/end.h') =~ s/\\\n/ /gr;
my %code = map { $_ => 1 }
    $list =~ /X\(\s*\w+,\s*"(\w+\.\w+\.\w+)",\s*"[^"]+"\s*\)/g;
my %page = map { $_ => 1 }
    slurp('contrib/man/weir.8') =~ /^\.It (\w+\.\w+\.\w+)$/gm;

cmp_ok(scalar keys %code, '>', 30, 'the list is found');
is(join(' ', grep { !$page{$_} } sort keys %code), '',
    'all that end.h has are explained');
is(join(' ', grep { !$code{$_} } sort keys %page), '',
    'and nothing else is');

# And what a line may hold.
my %field = map { $_ => 1 } slurp('modules/accesslog.c') =~
    /^\tX\((\w+), "[^"]*", put_\w+\)/gm;
my ($about) = slurp('contrib/man/weir.8') =~
    /^\.Sh ACCESS LOG\n(.*?)^\.Bl -tag -width Ds$/ms;
my %told = map { $_ => 1 } $about =~ /^\.It Cm (\w+)$/gm;
cmp_ok(scalar keys %field, '>', 15, 'the fields are found');
is(join(' ', grep { !$told{$_} } sort keys %field), '',
    'all fields are explained');
is(join(' ', grep { !$field{$_} } sort keys %told), '', 'and no others');

SKIP: {
	skip 'no mandoc here', 1 if system('command -v mandoc >/dev/null') != 0;
	is(`mandoc -Tlint -Wwarning contrib/man/weir.8 2>&1`, '',
	    'the page is well formed');
}
done_testing();
