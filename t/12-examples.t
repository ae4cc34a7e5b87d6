#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The examples are good, and the manual's is conf/weir.conf.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;

# Pages are taken from this tree, as they are from where weir is installed.
for my $file (glob 'conf/*.conf') {
	my $said = qx('$Weir::PROGRAM' -t -p . -c $file 2>&1);

	is($?, 0, "$file is good") or diag($said);
	like($said, qr/^\Q$file\E: ok$/m, "$file: and weir says so");
	qx('$Weir::PROGRAM' -T -p . -c $file 2>&1);
	is($?, 0, "$file is printed");
}

sub slurp
{
	my ($path) = @_;

	open my $in, '<', $path or die "$path: $!";
	local $/;
	return <$in>;
}

my ($example) = slurp('contrib/man/weir.conf.5') =~
    /^\.Bd -literal[^\n]*\n(.*?)^\.Ed$/ms;
my $conf = slurp('conf/weir.conf');
$conf =~ s/^(?:#.*)?\n//mg;
is($example, $conf, 'the example of weir.conf(5) is conf/weir.conf');

# All examples of the manual are good.
my $dir = Weir::folder();
my @all = slurp('contrib/man/weir.conf.5') =~
    /^\.Bd -literal[^\n]*\n(.*?)^\.Ed$/msg;
cmp_ok(scalar @all, '>=', 3, 'the manual has examples');
mkdir "$dir/html";
Weir::spew("$dir/html/5xx.html", '<p>sorry</p>');
for my $i (0 .. $#all) {
	(my $text = $all[$i]) =~ s{/run/secrets/}{};
	$text =~ s/\\e/\\/g;    # mdoc's backslash
	Weir::spew("$dir/label", "a label\n");
	Weir::spew("$dir/$i.conf", $text);
	my $said = qx('$Weir::PROGRAM' -t -c '$dir/$i.conf' 2>&1);
	is($?, 0, "example $i of weir.conf(5) is good") or diag($said);
}
done_testing();
