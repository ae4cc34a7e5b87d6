#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A server that cannot be connected to is passed over; the client notices
# nothing while another one can.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my ($none, $none2) = map { Weir::Peer->refuses } 1 .. 2;
my $full = Weir::Peer->full;
my $good = Weir::Peer->greeting("good\n", close => 1);
my $echo = Weir::Peer->echo;
my $resets = Weir::Peer->resets(late => 1);
my $dir = Weir::folder();
my @in = map { Weir::listener() } 1 .. 6;
my $w = Weir->start(listen => \@in, workers => 1, conf => <<"EOT");
upstreams = {
  refused = { servers = ( "@{[$none->addr]}", "@{[$none2->addr]}",
                          "@{[$good->addr]}" ); };
  silent = { servers = ( "@{[$full->addr]}", "@{[$good->addr]}" );
             timeouts = { connect = "200ms"; }; };
  nobody = { servers = ( "@{[$none->addr]}", "@{[$none2->addr]}" ); };
  early = { servers = ( "@{[$none->addr]}", "@{[$echo->addr]}" ); };
  gone = { servers = ( "unix:$dir/none.sock", "@{[$good->addr]}" ); };
  resets = { servers = ( "@{[$resets->addr]}" ); };
};
listeners = {
  refused = { listen = "fd:3"; upstream = "refused"; };
  silent = { listen = "fd:4"; upstream = "silent"; };
  nobody = { listen = "fd:5"; upstream = "nobody"; };
  early = { listen = "fd:6"; upstream = "early"; };
  gone = { listen = "fd:7"; upstream = "gone"; };
  resets = { listen = "fd:8"; upstream = "resets"; };
};
EOT
my $n = 0;

sub good { return scalar grep { Weir::get($w->connect($_[0])) eq "good\n" }
    1 .. $_[1] }

is(good(0, 12), 12, 'two of three servers refuse: 12 of 12 are served');
is(good(1, 4), 4, 'one does not answer: 4 of 4 are served');
is(good(4, 6), 6, 'a unix socket is not there: 6 of 6 are served');
$n += 22;

# What the client has said before the connect is not lost.
is(scalar(grep {
	my $c = $w->connect(3);
	Weir::chat($c, "early $_\n", qr/\n/) eq "early $_\n";
} 1 .. 6), 6, 'first bytes wait for the server that takes them');
$n += 6;

my $c = $w->connect(2);
is(Weir::get($c), '', 'nobody can be reached: the client is let go');
like(($w->access(++$n))[-1], qr/server\.connect\.refused/,
    'and the log says why');

# Once a byte of the client is on its way, nothing is tried again.
my $s = $w->connect(5);
Weir::chat($s, "this is on its way\n");
like(($w->access(++$n))[-1], qr/server\.relay\.reset/,
    'a reset after the connect ends the session');
is($resets->stats->{accepted}, 1, 'and is not tried again');
$w->stop;
done_testing();
