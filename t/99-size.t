#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Small enough to read: how long files and functions are.
use strict;
use warnings;
use Test::More;

my ($FILE, $MEDIAN, $FUNCTION, $USUAL) = (700, 250, 70, 40);
# One exception for a parser at most, by name, with its lines.
my %EXCEPT = ();

sub middle { my @v = sort { $a <=> $b } @_; return $v[@v / 2] // 0 }

my (@files, @functions);
for my $path (glob '{src,modules}/*.[ch] {src,modules}/*/*.[ch]
    modules/*/*/*.[ch]') {
	my ($name, $start, @long) = ('');
	open my $in, '<', $path or die "$path: $!";
	while (<$in>) {
		$name = $1 if /^(\w+)\(/;
		$start = $. if /^\{/;
		next unless /^\}/ && defined $start;
		my $lines = $. - $start - 1;
		push @functions, $lines;
		push @long, "$name() has $lines lines"
		    if $lines > ($EXCEPT{$name} // $FUNCTION);
		undef $start;
	}
	push @files, $. if $path =~ /\.c$/;
	push @long, "$. lines in one file" if $. > $FILE;
	is(join("\n", @long), '', $path);
}
cmp_ok(middle(@files), '<=', $MEDIAN, 'half of the files are short');
my $usual = grep { $_ <= $USUAL } @functions;
cmp_ok($usual, '>=', 0.9 * @functions, 'nine of ten functions are short');
my $sum = 0;
$sum += $_ for @files;
diag(sprintf '%d files, %d lines, median %d; %d functions, median %d',
    scalar @files, $sum, middle(@files), scalar @functions,
    middle(@functions));
done_testing();
