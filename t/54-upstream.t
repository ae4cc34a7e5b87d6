#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Servers get their share by weight; backups wait; drained and downed ones
# get nothing.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my %peer = map { $_ => Weir::Peer->greeting("$_\n", close => 1) }
    qw(one two three spare);
my $none = Weir::Peer->refuses;

sub server
{
	my ($name, $more) = @_;
	my $addr = ref $name ? $name->addr : $peer{$name}->addr;

	return qq({ address = "$addr"; @{[$more // '']} });
}

my @groups = (
	['in turn', [server('one'), server('two'), server('three')],
	    60, 'one=20 three=20 two=20'],
	['by weight', [server('one', 'weight = 3;'), server('two',
	    'weight = 2;'), server('three')], 60, 'one=30 three=10 two=20'],
	['a backup waits', [server('one'), server('spare', 'backup = true;')],
	    20, 'one=20'],
	['and steps in', [server($none), server('spare', 'backup = true;')],
	    20, 'spare=20'],
	['state = "down"', [server('one', 'state = "down";'), server('two')],
	    20, 'two=20'],
	['state = "drain"', [server('one', 'state = "drain";'),
	    server('two')], 20, 'two=20'],
	['weight 0 is drain', [server('one', 'weight = 0;'), server('two')],
	    20, 'two=20'],
	['nobody is up', [server('one', 'state = "down";')], 1, ''],
	['all drained: the backup', [server('one', 'weight = 0;'),
	    server('spare', 'backup = true;')], 10, 'spare=10'],
);
my ($upstreams, $listeners) = ('', '');
for my $i (0 .. $#groups) {
	$upstreams .= "u$i = { servers = ( " . join(', ', @{$groups[$i][1]}) .
	    " ); };\n";
	$listeners .= "l$i = { listen = \"fd:@{[3 + $i]}\"; " .
	    "upstream = \"u$i\"; };\n";
}
# One worker, so that turns can be counted.
my $w = Weir->start(listen => [map { Weir::listener() } @groups],
    workers => 1, conf => <<"EOT");
upstreams = { $upstreams };
listeners = { $listeners };
EOT
my $lines = 0;
for my $i (0 .. $#groups) {
	my ($name, undef, $n, $want) = @{$groups[$i]};
	my %got;

	$got{Weir::get($w->connect($i), undef) =~ s/\n//r}++ for 1 .. $n;
	delete $got{''};
	is(join(' ', map { "$_=$got{$_}" } sort keys %got), $want, $name);
	$lines += $n;
}
like(join("\n", $w->access($lines)), qr/weir\.pick\.no_server/,
    'nobody is up: the log says so');
$w->stop;
done_testing();
