#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Counters belong to names: they survive reloads, more and fewer workers, the
# death of a worker and of its sessions; a name that is gone gives its place
# back, but not while a session is there.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my @echo = map { Weir::Peer->echo } 1 .. 2;

sub conf
{
	my ($workers, @names) = @_;
	my $servers = join ', ', map {
		"{ name = \"$_\"; address = \"" .
		    $echo[$_ eq 'b' ? 1 : 0]->addr . '"; }'
	} @names;

	return <<"EOT";
workers = $workers;
upstreams = { app = { servers = ( $servers ); }; };
listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
EOT
}

my $w = Weir->start(workers => 1, listen => [Weir::listener()],
    conf => conf(1, 'a'));

# The counters of one server once `n` sessions are on it.
sub server
{
	my ($name, $n) = @_;
	my $s;

	$w->until("$n on $name", sub {
		$s = $w->status->{upstreams}{app}{servers}{$name};
		return $s && $s->{active} == $n;
	});
	return $s;
}

sub chat
{
	my ($c) = @_;

	return Weir::chat($c, 'hello', 5) eq 'hello';
}

# ---- More and fewer workers ----------------------------------------------

my @old = map { $w->connect } 1 .. 3;
chat($_) for @old;
my ($connects, $bytes) = (3, 0);    # bytes of sessions that are over
for my $n (4, 1, 4, 1) {
	is(scalar $w->reload(conf($n, 'a')), 0, "to $n workers");
	$w->until("$n workers", sub {
		return $n == grep { $_->{role} eq 'worker' &&
		    $_->{phase} eq 'ready' } @{$w->status->{processes}};
	});
	for (1 .. 5) {
		my $c = $w->connect;
		chat($c);
		close $c;
	}
	push @old, $w->connect;
	chat($_) for @old;
	$connects += 6;
	$bytes += 5 * 5;
	my $s = server('a', scalar @old);
	is($s->{connects}, $connects, 'connects of all who were there');
	$w->until('the bytes', sub {
		return server('a', scalar @old)->{bytes_in} == $bytes;
	});
	pass('and bytes');
	is($w->status->{listeners}{web}{active}, scalar @old, 'and gauges');
}
my @late = grep { $_->{phase} eq 'drain' } @{$w->status->{processes}};
ok(@late <= 3, 'who drains is shown');

# ---- Death ---------------------------------------------------------------

my %was = map { $_->{pid} => $_->{sessions} } @{$w->status->{processes}};
my ($victim) = sort { $was{$b} <=> $was{$a} } keys %was;
$w->signal('KILL', $victim);
my $left = @old - $was{$victim};
my $s = server('a', $left);
is($s->{active}, $left, 'gauges of the dead are dropped');
is($s->{connects}, $connects, 'its counters are kept');
is($w->status->{listeners}{web}{active}, $left, 'of listeners, too');
is($w->status->{total}{sessions}, $left, 'and in all');
close $_ for @old;
server('a', 0);

# ---- Names come and go ---------------------------------------------------

my $one = $w->connect;
chat($one);
server('a', 1);
is(scalar $w->reload(conf(1, 'b')), 0, 'a is removed, b is new');
is(server('b', 0)->{connects}, 0, 'b begins at zero');
ok(chat($one), 'the session on a goes on');
my $two = $w->connect;
chat($two);
is(server('b', 1)->{connects}, 1, 'b counts for itself');
is(scalar $w->reload(conf(1, 'b', 'c')), 0, 'c is new');
is(server('c', 0)->{connects}, 0,
    'it does not get the place of a, where a session is');
is(scalar $w->reload(conf(1, 'a', 'b')), 0, 'a is back');
$s = server('a', 1);
is($s->{connects}, $connects + 1, 'with what it counted');
close $one;
server('a', 0);

# Many names, one after the other: places are used again.
for my $n (1 .. 30) {
	my ($st, $text) = $w->reload(conf(1, 'b', "n$n"));
	if ($st != 0) {
		fail("reload $n: $text");
		last;
	}
}
is(server('n30', 0)->{connects}, 0, 'the last one begins at zero');
is(server('b', 1)->{connects}, 1, 'b is what it was');
ok(chat($two), 'and so is its session');
close $two;
$w->stop;
done_testing();
