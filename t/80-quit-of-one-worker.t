#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# QUIT to one worker is no business of the worker's: it once stopped accepting
# while the master counted on it, so that its share of clients waited.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Peer;

my $WEB = '127.0.0.1:5001';
my $echo = Weir::Peer->echo;
my $w = Weir->start(workers => 2, conf => <<"EOT");
upstreams = { e = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = "$WEB"; upstream = "e"; }; };
EOT

sub session
{
	my $c = Weir::dial($WEB);

	return $c if Weir::chat($c, "hi\n", qr/\n/) eq "hi\n";
}

sub sessions
{
	my ($pid) = @_;
	my ($p) = grep { $_->{pid} == $pid } @{$w->status->{processes}};

	return $p->{sessions};
}

my ($one) = my @workers = $w->workers;
my @held;
push @held, session() until sessions($one) > 0;
kill $_, $one for 'QUIT', 'INT';
my $n = @held;
push @held, session() for 1 .. 20;
is(scalar @held, $n + 20, 'all who come are served');
is_deeply([$w->workers], \@workers, 'by the same workers');

# Without a master it is the worker's, even if it has not noticed yet.
close $_ for @held;
my @all = (@workers, $w->pids('control'));
my $master = $w->master;
kill 'KILL', $master;
# It is gone when it is a zombie.
Weir::until_true('the master to die', sub {
	Weir::slurp("/proc/$master/stat") =~ /\) Z/ });
kill 'QUIT', @all;
Weir::until_true('all to end', sub { return !grep { kill 0, $_ } @all });
pass('those whose master is gone take it');
$w->stop(status => 'signal 9');
done_testing;
