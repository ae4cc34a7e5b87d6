#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Clients are let in or turned away by address.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $who = Weir::Peer->greeting("hello\n", close => 1);
my @rules = (
	['nothing said: all are let in', '', 1, 1, 1],
	['deny a block', 'deny = [ "127.0.0.2/31" ];', 1, 0, 0],
	['deny one', 'deny = "127.0.0.3";', 1, 1, 0],
	['allow turns all others away', 'allow = [ "127.0.0.2" ];', 0, 1, 0],
	['deny is first', 'allow = [ "127.0.0.0/8" ]; deny = [ "127.0.0.3" ];',
	    1, 1, 0],
	['deny all', 'deny = "all";', 0, 0, 0],
	['allow all', 'allow = "all";', 1, 1, 1],
);
my $listeners = join '', map { my $i = $_; my $rule = $rules[$i][1];
	"l$i = { listen = \"fd:@{[3 + $i]}\"; upstream = \"who\"; " .
	($rule ? "access = { $rule };" : '') . " };\n" } 0 .. $#rules;
my $w = Weir->start(listen => [map { Weir::listener() } @rules],
    conf => <<"EOT");
upstreams = { who = { servers = "@{[$who->addr]}"; }; };
listeners = { $listeners };
EOT

# A client with an address of its own.
sub from
{
	my ($client, $i) = @_;
	my ($port) = $w->addr($i) =~ /:(\d+)$/;
	my $s = IO::Socket::IP->new(LocalHost => $client,
	    PeerHost => '127.0.0.1', PeerPort => $port) or
	    die "from $client: $@";

	return Weir::get($s) eq "hello\n" ? 1 : 0;
}

my ($n, $denied) = (0, 0);
for my $i (0 .. $#rules) {
	my ($name, undef, @want) = @{$rules[$i]};
	my @got = map { from("127.0.0.$_", $i) } 1 .. 3;

	is("@got", "@want", $name);
	$n += 3;
	$denied += grep { !$_ } @want;
}
is(scalar(grep { /client\.accept\.denied/ } $w->access($n)), $denied,
    'the log says who was turned away');
my %count = map { $_ => $w->status->{listeners}{"l$_"}{denied} } 0 .. $#rules;
for my $i (0 .. $#rules) {
	my ($name, undef, @want) = @{$rules[$i]};

	is($count{$i}, scalar(grep { !$_ } @want), "$name: and is counted");
}
is($who->stats->{accepted}, $n - $denied, 'no server has heard of them');
$w->stop;
done_testing();
