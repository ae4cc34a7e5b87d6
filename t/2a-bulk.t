#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Many who receive much at the same time: every byte, and nearly all of them
# through pipes and not through our hands, as for one alone.
use strict;
use warnings;
use lib 't/lib';
use Digest::MD5;
use IO::Select;
use Test::More;
use Weir;
use Weir::Peer;

plan skip_all => 'with small pieces nothing is bulk'
    if $Weir::CHOP || $ENV{WEIR_CHAOS};
my $BYTES = 16 << 20;
my $N = 12;

my $source = Weir::Peer->source($BYTES);
my $w = Weir->start(listen => [Weir::listener()], workers => 1, conf => <<"EOT");
upstreams = { source = { servers = "@{[$source->addr]}"; }; };
listeners = { source = { listen = "fd:3"; upstream = "source"; }; };
EOT

my (%sum, %got);
my $set = IO::Select->new;
for (1 .. $N) {
	my $c = Weir::dial($w->addr(0));
	$sum{$c} = Digest::MD5->new;
	$set->add($c);
}
while ($set->count) {
	my @ready = $set->can_read(20) or last;
	for my $c (@ready) {
		my $n = sysread $c, my $bytes, 1 << 18;
		if ($n) {
			$got{$c} += $n;
			$sum{$c}->add($bytes);
		} else {
			$set->remove($c);
		}
	}
}
is($set->count, 0, 'all come to their end');
is_deeply([values %got], [($BYTES) x $N], 'with all bytes');
my $right = Weir::Peer::stream_md5($BYTES);
is(scalar(grep { $_->hexdigest eq $right } values %sum), $N, 'and the right ones');

my ($worker) = grep { $_->{role} eq 'worker' } @{$w->status->{processes}};
my $loop = $worker->{loop};
diag("$loop->{splice_bytes} of ", $BYTES * $N, ' bytes were spliced, ',
    "$loop->{recvs} receives");
SKIP: {
	skip 'there are no pipes to splice through', 1
	    if $^O ne 'linux' || $loop->{splice_bytes} == 0
	    && ($ENV{WEIR_EVENTS} // '') !~ /^(?:io_uring|epoll|)$/;
	cmp_ok($loop->{splice_bytes}, '>', 0.9 * $BYTES * $N,
	    'nearly all of them were spliced');
}
$w->stop;
done_testing;
