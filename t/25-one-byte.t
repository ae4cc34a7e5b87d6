#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Bytes that come one at a time arrive, in order; in chop mode weir itself
# moves one byte per call.
use strict;
use warnings;
use lib 't/lib';
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $digest = Weir::Peer->digest;

sub try
{
	my ($name, $bytes, %env) = @_;
	my @in = (Weir::listener(), Weir::listener());
	my $w = Weir->start(listen => \@in, env => \%env, conf => <<"EOT");
upstreams = {
  echo = { servers = "@{[$echo->addr]}"; };
  digest = { servers = "@{[$digest->addr]}"; };
};
listeners = {
  echo = { listen = "fd:3"; upstream = "echo"; };
  digest = { listen = "fd:4"; upstream = "digest"; };
};
EOT
	my $c = $w->connect(0);
	my $text = join '', map { chr(33 + $_ % 90) } 1 .. 300;
	my $got = '';

	setsockopt $c, IPPROTO_TCP, TCP_NODELAY, 1;
	for my $b (split //, $text) {
		Weir::put($c, $b);
		$got .= Weir::get($c, 1);
	}
	is($got, $text, "$name: 300 bytes, one at a time, with an answer each");
	Weir::put($c, $_) for split //, $text;
	shutdown $c, 1;
	is(Weir::get($c), $text, "$name: and without waiting, then the end");

	my $d = $w->connect(1);
	Weir::put($d, Weir::Peer::stream($bytes));
	shutdown $d, 1;
	is(Weir::get($d), "$bytes " . Weir::Peer::stream_md5($bytes) . "\n",
	    "$name: $bytes bytes at once");
	$w->stop(name => "$name: it ends clean");
}

try('one-byte client', 1 << 20);
try('chop mode', 20000, WEIR_CHOP => 1);
done_testing();
