# SPDX-License-Identifier: BSD-2-Clause
#
# Weir::Net - a network of the test's own: fixed ports on really bound
# addresses that disturb nobody, and rules that lose packets.
#
#	use Weir::Net;                       # before Weir: it starts over
#	Weir::Net::rules('tcp dport 5001 drop');
#
# The test runs once more inside the namespace, so that all it starts is in
# there, and nothing of it is left when the last process ends.  It is skipped
# with a reason where that cannot be had.
package Weir::Net;

use strict;
use warnings;

use POSIX ();
use Test::More ();

sub import
{
	return if ($ENV{WEIR_NETNS} // '') eq 'in';
	my @enter = ('unshare', '-n', '--');
	Test::More::plan(skip_all => 'a network namespace needs root')
	    if $> != 0;
	Test::More::plan(skip_all => 'no network namespace: unshare -n fails')
	    if system("unshare -n true 2>/dev/null") != 0;
	$ENV{WEIR_NETNS} = 'in';
	exec @enter, $^X, (map { "-I$_" } @INC), $0, @ARGV or
	    die "unshare: $!\n";
}

# Run a command that must succeed.
sub must
{
	my @cmd = @_;

	system(@cmd) == 0 or die "@cmd: exit status " . ($? >> 8) . "\n";
}

# More addresses of this machine.
sub address
{
	must('ip', 'addr', 'add', $_, 'dev', 'lo') for @_;
}

sub can_nft
{
	return !system('nft list ruleset >/dev/null 2>&1');
}

# nftables rules for what this machine sends to itself, replacing those
# before: "tcp dport 5001 drop".  None: all goes through.
sub rules
{
	my $text = "table inet weir\ndelete table inet weir\n";

	$text .= join "\n", 'table inet weir {', 'chain in {',
	    'type filter hook input priority 0;', @_, '}', '}' if @_;
	open my $nft, '|-', 'nft', '-f', '-' or die "nft: $!\n";
	print {$nft} "$text\n";
	close $nft or die "nft refused: @_\n";
}

if (($ENV{WEIR_NETNS} // '') eq 'in') {
	must(qw(ip link set lo up));
}

1;
