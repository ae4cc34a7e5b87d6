#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# When readers are slow and buffers run out, weir goes on serving.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

plan skip_all => 'one byte at a time fills no buffers' if $Weir::CHOP;
my $MANY = $Weir::EVENTS eq 'select' ? 300 : 400;
my $source = Weir::Peer->source(64 << 20);
my $echo = Weir::Peer->echo;
my @in = (Weir::listener(), Weir::listener());
my $w = Weir->start(listen => \@in, workers => 1, conf => <<"EOT");
events = { buffers = "1m"; spill = "1m"; };
upstreams = {
  source = { servers = "@{[$source->addr]}"; };
  echo = { servers = "@{[$echo->addr]}"; };
};
listeners = {
  source = { listen = "fd:3"; upstream = "source"; };
  echo = { listen = "fd:4"; upstream = "echo"; };
};
EOT
my ($pid) = $w->workers;
my $before = $w->memory($pid)->{Rss};
my @slow = map { $w->connect(0) } 1 .. $MANY;
$source->await(accepted => $MANY);

my $text = Weir::Peer::stream(1 << 18);
for my $turn (1 .. 3) {
	my $c = $w->connect(1);
	my $writer = Weir::Peer->job(sub {
		Weir::put($c, $text);
		shutdown $c, 1;
		return {};
	});
	ok(Weir::get($c) eq $text, "a client is served, turn $turn");
	$writer->result;
}
my $more = ($w->memory($pid)->{Rss} - $before) / (1 << 20);
diag(sprintf '%d slow readers with 2 MiB of buffers: %+.1f MiB', $MANY, $more);
cmp_ok($more, '<', 16, 'memory is bounded');
# Those that had to go are named, and nobody else.
close $_ for @slow;
$source->await(open => 0);
my @lines = $w->access($MANY + 3);
is(scalar(grep { / source .* client\.relay\.reset$/ ||
    / source .* weir\.relay\.no_buffers$/ } @lines), $MANY,
    'slow readers leave, or are let go when buffers run out');
is(scalar(grep { / echo .* client\.relay\.eof$/ } @lines), 3,
    'nobody else is');
$w->stop;
done_testing();
