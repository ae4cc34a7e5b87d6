#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The first route that matches, in written order, decides.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my %peer = map { $_ => Weir::Peer->greeting("$_\n", close => 1) }
    qw(one two three other);
my @in = map { Weir::listener() } 1 .. 5;
my @port = map { $_->sockport } @in;
my $upstreams = join '', map { "$_ = { servers = \"" . $peer{$_}->addr .
    "\"; };\n" } sort keys %peer;
my $w = Weir->start(listen => \@in, conf => <<"EOT");
upstreams = { $upstreams };
listeners = {
  edge = {
    listen = [ "fd:3", "fd:4" ];
    routes = (
      { client = "127.0.0.2"; port = $port[1]; upstream = "one"; },
      { client = [ "127.0.0.2", "127.0.0.4/30" ]; upstream = "two"; },
      { client = "127.0.0.8/29"; routes = (
        { port = $port[1]; upstream = "three"; },
        { client = "127.0.0.9"; upstream = "one"; },
        { upstream = "two"; } ); },
      { client = "127.0.0.16"; return = 503; },
      { client = "127.0.0.17"; access = { deny = "all"; };
        upstream = "one"; }
    );
    upstream = "other";
  };
  closed = { listen = "fd:5";
    routes = ( { client = "127.0.0.2"; upstream = "one"; } ); };
  chance = { listen = "fd:6"; upstream = { one = 1; two = 3; three = 0; }; };
  split = { listen = "fd:7"; upstream = "two";
    routes = ( { client = "127.0.0.0/16"; split_on = "client";
      upstream = { one = 1; two = 1; }; } ); };
};
EOT

sub from
{
	my ($client, $i) = @_;
	my $s = IO::Socket::IP->new(LocalHost => "127.0.0.$client",
	    PeerHost => '127.0.0.1', PeerPort => $port[$i]) or
	    die "from $client: $@";

	# Who answers by itself hears the request first.
	return Weir::chat($s, "GET / HTTP/1.0\r\n\r\n") =~ s/\s.*//sr;
}

for (
	[1, 0, 'other', 'no route matches: the upstream of the listener'],
	[2, 1, 'one', 'both conditions hold'],
	[2, 0, 'two', 'one does not: the next route'],
	[5, 0, 'two', 'a list of clients'],
	[8, 1, 'three', 'nested routes'],
	[9, 0, 'one', 'in their order'],
	[9, 1, 'three', 'by port first'],
	[10, 0, 'two', 'down to the last'],
	[16, 0, 'HTTP/1.0', 'a route may answer by itself'],
	[17, 0, '', 'and have its own access'],
	[2, 2, 'one', 'a listener with routes only'],
	[1, 2, '', 'lets nobody else in'],
) {
	my ($client, $i, $want, $name) = @$_;
	is(from($client, $i), $want, $name);
}
like(join("\n", $w->access(12)), qr/weir\.route\.none/, 'and says why');

my %to = (one => 0, two => 0, three => 0);
$to{from(1, 3)}++ for 1 .. 200;
is($to{one} + $to{two}, 200, 'a weighted choice, none of weight 0');
# Six standard deviations and more.
ok($to{one} > 10 && $to{one} < 90, "by chance: $to{one} of 200 for 1 in 4");
my %of = map { $_ => from($_, 4) } 1 .. 40;
is(join(' ', map { from($_, 4) } sort keys %of),
    join(' ', map { $of{$_} } sort keys %of), 'split_on = "client"');
ok((grep { $_ eq 'one' } values %of) > 5 &&
    (grep { $_ eq 'two' } values %of) > 5, 'each has some');
$w->stop;
done_testing();
