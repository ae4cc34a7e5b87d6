#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A client goes to the server that it went to before: by any worker, after
# workers were killed, over reloads and an upgrade; when its server cannot be
# used it moves, and stays there.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my %peer = map { $_ => Weir::Peer->greeting("$_\n") } qw(a b c d);
my @clients = map { "127.0.1.$_" } 1 .. 24;

sub conf
{
	my ($servers, $size, $more) = @_;
	my $list = join ', ', map {
		my ($name, $rest) = /^(\w)(.*)$/;
		qq({ name = "$name"; address = "@{[$peer{$name}->addr]}"; $rest })
	} @$servers;

	$more //= '';
	return <<"EOT";
upstreams = {
	app = { servers = ( $list );
	    sticky = { on = "client"; size = $size; }; $more };
	short = { servers = ( $list );
	    sticky = { on = "client"; expire = "1s"; }; };
	tiny = { servers = ( $list );
	    sticky = { on = "client"; size = 1; }; };
	off = { servers = ( $list ); };
};
listeners = {
	l0 = { listen = "fd:3"; upstream = "app"; };
	l1 = { listen = "fd:4"; upstream = "short"; };
	l2 = { listen = "fd:5"; upstream = "tiny"; };
	l3 = { listen = "fd:6"; upstream = "off"; };
};
EOT
}

my $w = Weir->start(listen => [map { Weir::listener() } 1 .. 4],
    workers => 4, conf => conf([qw(a b c)], 1000));

# Which server a client gets.
sub from
{
	my ($client, $i) = @_;
	my ($port) = $w->addr($i // 0) =~ /:(\d+)$/;
	my $c = IO::Socket::IP->new(LocalHost => $client,
	    PeerHost => '127.0.0.1', PeerPort => $port) //
	    die "from $client: $@";

	return (Weir::get($c, 2) // '') =~ s/\n//r;
}

sub map_of { return { map { $_ => from($_) } @clients } }
sub count { return $w->status->{upstreams}{$_[0]}{"sticky_$_[1]"} }

my $home = map_of();
my %n;
$n{$_}++ for values %$home;
is(scalar keys %n, 3, 'new clients are balanced');
is_deeply(map_of(), $home, 'and come back');
is_deeply([map { count('app', $_) } qw(misses hits used evicted)],
    [24, 24, 24, 0], 'which is counted');

# All at once, before anybody knows them.
my @crowd = map { IO::Socket::IP->new(LocalHost => '127.0.2.1',
    PeerHost => '127.0.0.1', PeerPort => $w->addr(0) =~ /:(\d+)$/) } 1 .. 40;
my %seen = map { Weir::get($_, 2) => 1 } @crowd;
is(scalar keys %seen, 1, 'a client that comes by all workers at once');
@crowd = ();
%seen = map { from('127.0.2.2', 3) => 1 } 1 .. 12;
is(scalar keys %seen, 3, 'unlike without it');
is(count('off', 'misses') + count('off', 'used'), 0, 'where nothing is kept');

# ---- Workers die -----------------------------------------------------------

for my $pid ($w->workers) {
	$w->signal('KILL', $pid);
	$w->until('another worker', sub {
		return 4 == $w->workers && !grep { $_ == $pid } $w->workers;
	});
}
is_deeply(map_of(), $home, 'all workers were killed: nothing is forgotten');

# ---- Reloads ---------------------------------------------------------------

is(scalar $w->reload(conf([qw(a b c)], 1000, 'timeouts = { idle = "7m"; };')),
    0, 'a reload that changes the upstream');
is_deeply(map_of(), $home, 'forgets nobody');
is(scalar $w->reload(conf([qw(a b c)], 30000)), 0, 'another size');
is_deeply(map_of(), $home, 'nor does that');
is(scalar $w->reload(conf([qw(a b c)], 100)), 0, 'a smaller one');
is_deeply(map_of(), $home, 'nor that');
my ($st) = $w->reload(conf([qw(a b c)], 200) .
    'listeners = { l9 = { listen = "fd:99"; upstream = "off"; }; };');
is($st, 1, 'a reload that is refused');
is_deeply(map_of(), $home, 'changes nothing');

# ---- Servers ---------------------------------------------------------------

is(scalar $w->reload(conf(['a', 'b state = "drain";', 'c'], 100)), 0,
    'a server drains');
is_deeply(map_of(), $home, 'its clients are served');
%seen = map { from("127.0.3.$_") => 1 } 1 .. 10;
is(join(' ', sort keys %seen), 'a c', 'new ones go elsewhere');

my $before = count('app', 'misses');
is(scalar $w->reload(conf(['a', 'b state = "down";', 'c'], 100)), 0,
    'it is down');
my $moved = map_of();
my @of_b = grep { $home->{$_} eq 'b' } @clients;
is(count('app', 'misses') - $before, @of_b, 'only its clients move');
is_deeply({ map { $_ => $moved->{$_} } grep { $home->{$_} ne 'b' } @clients },
    { map { $_ => $home->{$_} } grep { $home->{$_} ne 'b' } @clients },
    'the others stay');
ok(!grep({ $moved->{$_} eq 'b' } @of_b), 'to others');
is(scalar $w->reload(conf([qw(a b c)], 100)), 0, 'it is back');
is_deeply(map_of(), $moved, 'they stay where they are');

# One that refuses is no server of anybody either.
my @of_c = grep { $moved->{$_} eq 'c' } @clients;
$peer{c}->ask('refuse');
is(scalar(grep { from($_) eq 'c' } @of_c), 0, 'a server refuses');
$moved = map_of();
is_deeply(map_of(), $moved, 'its clients have moved');

# Another server, which may get the cell of the one that is gone.
$before = count('app', 'misses');
my @of_a = grep { $moved->{$_} eq 'a' } @clients;
is(scalar $w->reload(conf([qw(b)], 100)), 0, 'servers are gone');
is(scalar $w->reload(conf([qw(b d)], 100)), 0, 'another one comes');
my $last = map_of();
is(count('app', 'misses') - $before, @of_a, 'and inherits nobody');

# ---- Time and room ---------------------------------------------------------

from($_, 1) for @clients;
is(count('short', 'misses'), 24, 'expire');
ok($w->until('all to be forgotten', sub { count('short', 'used') == 0 }),
    'a client is forgotten');
from($clients[0], 1);
is(count('short', 'misses'), 25, 'and comes as a new one');
from("127.0.4.$_", 2) for 1 .. 40;
is(count('tiny', 'evicted') + count('tiny', 'used'), 40, 'size');
is(count('tiny', 'used'), 16, 'is kept to, with some spare');

# ---- Another binary --------------------------------------------------------

my $old = $w->master;
is(($w->ask('upgrade'))[0], 0, 'an upgrade');
my $heir;
$w->until('its master', sub {
	($heir) = grep { $_ != $old } $w->pids('master');
	return $heir && !grep { $_ == $old } $w->pids('master');
});
$w->follow($heir);
is_deeply(map_of(), $last, 'forgets nobody');

$w->stop;
done_testing();
