#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# One side may end; the other delivers all that it has.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $MIB = $Weir::CHOP ? 1 << 14 : 1 << 20;
my $digest = Weir::Peer->digest;
my $talker = Weir::Peer->talker("that is all\n");
my $source = Weir::Peer->source(4 * $MIB);
my @in = map { Weir::listener() } 1 .. 3;
my $w = Weir->start(listen => \@in, conf => <<"EOT");
upstreams = {
  digest = { servers = "@{[$digest->addr]}"; };
  talker = { servers = "@{[$talker->addr]}"; };
  source = { servers = "@{[$source->addr]}"; };
};
listeners = {
  digest = { listen = "fd:3"; upstream = "digest"; };
  talker = { listen = "fd:4"; upstream = "talker"; };
  source = { listen = "fd:5"; upstream = "source"; };
};
EOT

# printf ... | nc -N: the answer comes only after the client has ended.
my $c = $w->connect(0);
Weir::put($c, Weir::Peer::stream(3 * $MIB));
shutdown $c, 1;
is(Weir::get($c), 3 * $MIB . ' ' . Weir::Peer::stream_md5(3 * $MIB) . "\n",
    'the client ends first and gets its answer');

my $empty = $w->connect(0);
shutdown $empty, 1;
is(Weir::get($empty), "0 d41d8cd98f00b204e9800998ecf8427e\n",
    'also if it had nothing to say');

my $t = $w->connect(1);
is(Weir::get($t), "that is all\n", 'the server ends first');
Weir::put($t, "I had not finished\n");
shutdown $t, 1;
$talker->await(eofs => 1);
is($talker->stats->{got}[0], "I had not finished\n",
    'and the client is heard out');

# The client ended long before the last byte comes.
my $s = $w->connect(2);
shutdown $s, 1;
my $got = Weir::get($s);
ok($got eq Weir::Peer::stream(4 * $MIB),
    'a stream goes on after the client has ended') or
    diag(length($got) . ' bytes');

# Both at a time, many times.
my $good = grep {
	my $s = $w->connect(0);
	Weir::put($s, "$_");
	shutdown $s, 1;
	Weir::get($s) =~ /^\d+ [0-9a-f]{32}\n$/;
} 1 .. 100;
is($good, 100, '100 times');
is(scalar(grep { /client\.relay\.eof/ } $w->access(104)), 103,
    'the log says that the client ended, unless the server did');
$w->stop;
done_testing();
