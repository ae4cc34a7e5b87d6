#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A worker that has all the sessions it may have lends its sockets to one that
# has room; if all are full, clients wait and nobody is reset.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Peer;

my $WEB = '127.0.0.1:5001';
my $echo = Weir::Peer->echo;
my $EACH = 256;
my $w = Weir->start(workers => 2, conf => <<"EOT");
events = { connections = $EACH; };
upstreams = { e = { servers = "${\$echo->addr}"; }; };
listeners = { web = { listen = "$WEB"; upstream = "e"; }; };
EOT

sub clients
{
	my ($n) = @_;

	return map {
		my $s = Weir::dial($WEB);
		Weir::put($s, "x\n");
		$s;
	} 1 .. $n;
}

# How many have their answer, in the end.
sub served
{
	my $n = 0;

	for my $s (@_) {
		$n++ if Weir::readable($s, 5) && Weir::get($s, 2) eq "x\n";
	}
	return $n;
}

# The kernel deals them unevenly; nearly all that both can have are served.
my @held = clients(2 * $EACH - 4);
is(served(@held), @held, 'together they serve what both can have');
my @waiting = clients(40);
# Of both workers so many that even an uneven crowd finds room where it waits.
is(scalar(grep { close $_ } splice @held, 0, 160), 160, 'many leave');
is(served(@waiting), 40, 'forty who waited are served');
$w->until('room everywhere', sub {
	return $w->status->{total}{sessions} <= @held + 40;
});
close $_ for @held, @waiting;
is(served(clients(20)), 20, 'and it goes on');
$w->stop;
done_testing;
