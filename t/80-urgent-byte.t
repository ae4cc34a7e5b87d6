#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# An urgent byte in the middle of bulk: what comes after it is delivered, and
# the worker does not spin over it (splice() never goes past the mark).
use strict;
use warnings;
use lib 't/lib';
use Socket qw(MSG_OOB);
use Test::More;
use Weir;

my $BULK = $Weir::CHOP ? 256 << 10 : 16 << 20;
my $AFTER = 'after' x 200;

my $server = Weir::listener();
my $w = Weir->start(listen => [Weir::listener()], workers => 1,
    conf => <<"EOT");
upstreams = { app = { servers = "127.0.0.1:@{[$server->sockport]}"; }; };
listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
EOT

my $c = $w->connect;
my $s = $server->accept;
my ($got, $tail) = (0, '');

# Read so much of what the client says.
sub take
{
	my ($want) = @_;

	while ($got < $want && Weir::readable($s, 5)) {
		my $n = sysread $s, my $bytes, 1 << 20;
		last if !$n;
		$got += $n;
		$tail = substr $tail . $bytes, -length $AFTER;
	}
	return $got;
}

# What is delivered in large pieces went through a pipe by then.
my $piece = 'x' x (256 << 10);
for (my $said = 0; $said < $BULK; $said += length $piece) {
	Weir::put($c, $piece);
	take($said);
}
send $c, 'U', MSG_OOB;
Weir::put($c, $AFTER);
is(take($BULK + length $AFTER), $BULK + length $AFTER,
    'what comes after an urgent byte is delivered');
ok($tail eq $AFTER, 'and it is that');

my $turns = $w->status->{processes}[0]{loop}{turns};
Weir::put($c, 'x');
take($got + 1);
cmp_ok($w->status->{processes}[0]{loop}{turns} - $turns, '<', 200,
    'nothing spins');
close $_ for $c, $s;
$w->stop;
done_testing();
