#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Own addresses: one that is not ours any more is passed over and is nobody's
# fault; a configuration that needs more ports than there are is told so.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $w = Weir->start(listen => [map { Weir::listener() } 1 .. 2],
    workers => 2, conf => <<"EOT");
upstreams = {
	some = { servers = { name = "s"; address = "@{[$echo->addr]}"; };
	    source = [ "192.0.2.77", "127.0.0.9", "192.0.2.78" ]; };
	none = { servers = { name = "s"; address = "@{[$echo->addr]}"; };
	    source = "192.0.2.77"; retry = { tries = 2; backoff = "1ms"; }; };
};
listeners = {
	l0 = { listen = "fd:3"; upstream = "some"; };
	l1 = { listen = "fd:4"; upstream = "none"; };
};
EOT

my $good = 0;
for (1 .. 12) {
	my $c = $w->connect(0);

	$good++ if Weir::chat($c, 'hello', 5) eq 'hello';
}
is($good, 12, 'an address that is not ours is passed over');
like($w->logged('192\.0\.2\.7\d: '), qr/upstream some: cannot connect from /,
    'which is logged');
is(Weir::get($w->connect(1)), '', 'none is left');
like((grep { / l1 / } $w->access(13))[0], qr/tries=2 weir\.connect\.failed$/,
    'after retries, as the log says');
for my $u (qw(some none)) {
	my $n = $w->status->{upstreams}{$u};

	is($n->{servers}{s}{failures} + $n->{servers}{s}{ejections}, 0,
	    "no fault of the server of $u");
	is($n->{retries}, $u eq 'some' ? 0 : 1, "retries of $u");
}
$w->stop;

# ---- At load ---------------------------------------------------------------

my $dir = Weir::folder();

# What weir -t says of an upstream, with so many sessions per worker.
sub notices
{
	my ($connections, $upstream) = @_;

	my $workers = $connections =~ /auto/ ? 60 : 4;

	Weir::spew("$dir/c.conf", <<"EOT");
workers = $workers;
events = { connections = $connections; };
upstreams = { u = { $upstream }; };
listeners = { l = { listen = "*:1"; upstream = "u"; }; };
EOT
	my ($st, $out, $err) = Weir::run('-t', '-c', "$dir/c.conf");
	is($st, 0, 'it is good');
	return join "\n", map { /upstreams\.u: (.*)/ } split /\n/, $err;
}

my $two = 'source = [ "10.9.0.1", "10.9.0.2", "[::1]" ];';
my $all = qr/workers may have 64000 sessions together, but there are ports for/;
is(notices(7000, 'servers = "10.0.0.1:80";'), '', 'enough for one server');
like(notices(16000, 'servers = "10.0.0.1:80";'), qr/^$all about 28000 /,
    'not enough');
is(notices(16000, 'servers = ( "10.0.0.1:80", "10.0.0.2:80", ' .
    '"10.0.0.3:80" );'), '', 'enough for three');
like(notices(16000, "servers = \"10.0.0.1:80\"; $two"), qr/^$all about 56000 /,
    'two addresses');
like(notices(16000, "servers = \"[::2]:80\"; $two"), qr/^$all about 28000 /,
    'of the family that counts');
like(notices('"auto"', 'servers = "10.0.0.1:80"; source = "10.9.0.1";'),
    qr/^workers may have \d+ .* about 28000 /, 'or as many as there may be');
is(notices('"auto"', 'servers = "10.0.0.1:80";'), '', 'if anybody cares');
is(notices(16000, 'servers = { address = "10.0.0.1:80"; max_conns = 20000; };'),
    '', 'a server that gets fewer');
is(notices(16000, 'servers = ( "unix:/run/x", "10.0.0.1:80" );'), '',
    'a path needs no port');
like(notices('"auto"', 'servers = ( { name = "big"; address = "10.0.0.1:80"; ' .
    'max_conns = 30000; }, "10.0.0.2:80" );'),
    qr/^server big may get max_conns = 30000 .* ports for about 28000: /,
    'a server that may get more');

done_testing();
