#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What goes in comes out on the other side, both ways, whoever speaks first.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $first = Weir::Peer->greeting("220 ready\r\n");
my $six = Weir::Peer->echo(host => '::1');
my $dir = Weir::folder();
my $unix = Weir::Peer->echo(unix => "$dir/echo.sock");
my @in = (map({ Weir::listener() } 1 .. 3), Weir::listener(host => '::1'));

my $w = Weir->start(listen => \@in, conf => <<"EOT");
upstreams = {
  echo = { servers = "@{[$echo->addr]}"; };
  first = { servers = "@{[$first->addr]}"; };
  unix = { servers = "@{[$unix->addr]}"; };
  six = { servers = "@{[$six->addr]}"; };
};
listeners = {
  echo = { listen = "fd:3"; upstream = "echo"; };
  first = { listen = "fd:4"; upstream = "first"; };
  unix = { listen = "fd:5"; upstream = "unix"; };
  six = { listen = "fd:6"; upstream = "six"; };
};
EOT

my $c = $w->connect(0);
is(Weir::chat($c, 'x', 1), 'x', 'one byte there and back');
is(Weir::chat($c, 'more', 4), 'more', 'and more on the same connection');
shutdown $c, 1;
is(Weir::get($c), '', 'the end comes back too');

my $s = $w->connect(1);
is(Weir::get($s, qr/\n/), "220 ready\r\n", 'a server may speak first');
is(Weir::chat($s, "QUIT\r\n", qr/\n/), "QUIT\r\n", 'and go on');
close $s;

for (['a unix socket', 2], ['IPv6 on both sides', 3]) {
	my $s = $w->connect($_->[1]);
	is(Weir::chat($s, 'ping', 4), 'ping', $_->[0]);
	close $s;
}

# A megabyte in both directions at a time; the writer is a process.
my $bytes = $Weir::CHOP ? 1 << 14 : 1 << 20;
my $text = Weir::Peer::stream($bytes);
my $big = $w->connect(0);
my $writer = Weir::Peer->job(sub {
	Weir::put($big, $text) or die "put: $!";
	shutdown $big, 1;
	return { sent => length $text };
});
my $got = Weir::get($big);
is($writer->result->{sent}, $bytes, "$bytes bytes were sent");
ok($got eq $text, 'and came back unchanged') or
    diag(length($got) . ' bytes');

my @c = map { $w->connect(0) } 1 .. 50;
Weir::put($c[$_], "I am $_\n") for 0 .. $#c;
is(join(' ', grep { Weir::get($c[$_], qr/\n/) ne "I am $_\n" } reverse
    0 .. $#c), '', '50 at a time are not mixed up');
close $_ for @c;

my $short = grep {
	my $s = $w->connect(0);
	Weir::chat($s, "$_\n", qr/\n/) eq "$_\n";
} 1 .. 200;
is($short, 200, '200 short ones, one after the other');

close $w->connect(0) for 1 .. 20;
is(Weir::chat($w->connect(0), 'on', 2), 'on',
    'clients who say nothing and leave do no harm');
$echo->await(open => 0);
pass('no connection to the server is left');
$w->stop;
done_testing();
