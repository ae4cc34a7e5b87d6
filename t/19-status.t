#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# weir -s status: the numbers are those of what has happened.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $none = Weir::Peer->refuses;
my @in = map { Weir::listener() } 1 .. 2;
my $w = Weir->start(listen => \@in, conf => <<"EOT");
upstreams = {
  echo = { servers = ( { name = "e1"; address = "@{[$echo->addr]}"; } ); };
  none = { servers = ( { name = "n1"; address = "@{[$none->addr]}"; } ); };
};
listeners = {
  web = { listen = "fd:3"; upstream = "echo"; };
  broken = { listen = "fd:4"; upstream = "none"; };
};
EOT

sub sum { my $n = 0; $n += $_ for @_; return $n }

my $st = $w->status;
my @workers = grep { $_->{role} eq 'worker' } @{$st->{processes}};
is(join(' ', sort map { $_->{pid} } @workers),
    join(' ', sort $w->workers), 'the workers, by pid');
is(join(' ', map { $_->{phase} } @workers), 'ready ready', 'are ready');
is($st->{pid}, $w->{pid}, 'the master');
is($st->{listeners}{web}{accepted}, 0, 'nothing has happened yet');
my $backend = $Weir::EVENTS || $workers[0]{backend};
is(join(' ', map { $_->{backend} } @workers), "$backend $backend",
    "on $backend");

for (1 .. 10) {
	my $c = $w->connect(0);
	Weir::chat($c, 'hello', 5);
	close $c;
}
Weir::get($w->connect(1)) for 1 .. 3;
$echo->await(open => 0);
my $open = $w->connect(0);
Weir::chat($open, 'x', 1);
$w->access(13);

# Counters are published once a turn.
$w->until('the numbers', sub {
	$st = $w->status;
	return $st->{total}{sessions} == 1 && $st->{total}{accepted} == 14;
});
my $web = $st->{listeners}{web};
my $e1 = $st->{upstreams}{echo}{servers}{e1};
is($web->{accepted}, 11, 'accepted');
is($web->{active}, 1, 'one is still there');
is("$e1->{connects} $e1->{failures} $e1->{active}", '11 0 1',
    'connects of the server');
my $n1 = $st->{upstreams}{none}{servers}{n1};
is($n1->{connects}, 0, 'no connect where none was possible');
cmp_ok($n1->{failures}, '>=', 3, 'but failures');
my $ends = $st->{total}{ends};
is($ends->{'client.relay.eof'}, 10, 'reasons: ten clients ended');
is($ends->{'server.connect.refused'}, 3, 'three were refused');
is(sum(map { $_->{accepted} } grep { $_->{role} eq 'worker' }
    @{$st->{processes}}), 14, 'the sum over the workers');
close $open;
$w->until('no session', sub {
	$st = $w->status;
	return $st->{total}{sessions} == 0;
});
for my $cell ($st->{listeners}{web}, $st->{upstreams}{echo}{servers}{e1}) {
	is("$cell->{bytes_in} $cell->{bytes_out} $cell->{active}", '51 51 0',
	    'bytes of all sessions, and no gauge is left');
}
$w->stop;

# Who asks a weir that is not there is told so.
my ($status, $out, $err) = $w->ask('status');
is($status, 1, 'no weir: exit status 1');
like($err, qr/weir\.pid/, 'and which pid file was looked at');
done_testing();
