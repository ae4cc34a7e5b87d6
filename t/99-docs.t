#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What the tables of keys know, weir.conf(5) and weir.vim know, and nothing
# else.  A key that is missing is printed as it should stand in the manual.
use strict;
use warnings;
use Test::More;

my $program = ($ENV{WEIR_BUILD} // '.') . '/t/unit/keys';
plan(skip_all => "$program is not built") unless -x $program;
alarm 60;

# By section: how the keys in it begin.
my %SECTION = ('TOP LEVEL' => '', UPSTREAMS => 'upstream.',
    LISTENERS => 'listener.', ROUTES => 'listener.routes.',
    ANSWERS => 'return.', MODULES => '', 'TIME-OUTS' => 'timeouts.');

my (%keys, %groups, @lines);
for (split /\n/, qx($program)) {
	$groups{$1} = 1 if /^# group:\t(\S+)$/;
	push @lines, [split /\t/, $1, -1] if /^# key:\t(.*)$/;
}
my $modules = join '|', map { quotemeta } sort keys %groups;
for (@lines) {
	my ($path, $type, $preset, $effect, $help) = @$_;

	# What may be written at several places is explained once.
	$path =~ s/^listener\.(?:routes\.)?return\./return./;
	$path =~ s/^(?:listener\.(?:routes\.)?|upstream\.)timeouts\./timeouts./;
	$path =~ s/^(?:listener|upstream)\.(?=(?:$modules)(?:\.|$))//
	    if length $modules;
	# Where things lie was chosen when it was configured.
	$preset =~ s{(?:/\S*)?/run/}{/run/};
	$keys{$path} //= { type => $type, preset => $preset,
	    effect => $effect eq 'later' ? 'not built yet' : $effect,
	    help => $help };
}
cmp_ok(scalar keys %keys, '>', 60, 'there are keys');

my (%manual, $prefix, $path);
open my $in, '<', 'contrib/man/weir.conf.5' or die "weir.conf.5: $!";
while (<$in>) {
	chomp;
	if (/^\.Sh (.*)$/) {
		$prefix = $SECTION{$1};
	} elsif (defined $prefix && /^\.It Cm (\S+)$/) {
		$path = $prefix . $1;
		ok(!exists $manual{$path}, "$path is explained once");
		$manual{$path} = '';
	} elsif (defined $path && /^\.Pq (.*)$/) {
		$manual{$path} = $1;
		undef $path;
	}
}

sub facts
{
	my ($k) = @_;

	return join '; ', $k->{type},
	    length $k->{preset} ? "default $k->{preset}" : (), $k->{effect};
}

for my $path (sort keys %keys) {
	my $want = facts($keys{$path});
	my $got = $manual{$path};

	if (!defined $got) {
		fail("$path is in weir.conf(5)");
		diag(".It Cm $path\n.Pq $want\n" . ucfirst($keys{$path}{help}) .
		    '.');
		next;
	}
	# Values of a kind of their own are called what they are.
	if ($keys{$path}{type} eq 'value') {
		$want =~ s/^value; //;
		$got =~ s/^[^;]+; //;
	}
	is($got, $want, "$path is right in weir.conf(5)");
}
for my $path (sort keys %manual) {
	ok(exists $keys{$path}, "$path of weir.conf(5) is a key");
}

# The editor colours the last part of each.
my %leaf = map { (/([^.]+)$/)[0] => 1 } keys %keys;
$leaf{$_} = 1 for qw(include listener upstream);
my %vim;
open $in, '<', 'contrib/weir.vim' or die "weir.vim: $!";
while (<$in>) {
	next unless s/^syn keyword weirKey //;
	$vim{$_} = 1 for split;
}
is(join(' ', grep { !$vim{$_} } sort keys %leaf), '', 'weir.vim has all');
is(join(' ', grep { !$leaf{$_} } sort keys %vim), '', 'and no other');

SKIP: {
	skip 'no mandoc', 1 if system 'command -v mandoc >/dev/null';
	is(qx(mandoc -Tlint -Wwarning contrib/man/weir.conf.5 2>&1), '',
	    'mandoc has no complaint');
}
done_testing();
