#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A slow reader costs bounded memory, in weir and in the kernel, and 500 of
# them do not stop the next client.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $BYTES = $Weir::SLOW ? 1 << 30 : 64 << 20;
$BYTES = 256 << 10 if $Weir::CHOP;
my $SLOW = 500;
my $MIB = 1 << 20;

# What lies in buffers of the peers is not weir's: keep them small.
my $source = Weir::Peer->source($BYTES, sndbuf => 32768);
my $echo = Weir::Peer->echo;
my @in = (Weir::listener(), Weir::listener());
my $w = Weir->start(listen => \@in, workers => 1, conf => <<"EOT");
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

# Pages of the kernel in TCP buffers.
sub tcp_mem
{
	my ($pages) = Weir::slurp('/proc/net/sockstat') =~ /^TCP:.* mem (\d+)/m;
	return ($pages // 0) * POSIX::sysconf(POSIX::_SC_PAGESIZE());
}

# Wait until nothing moves any more: the server's count of sent bytes is not
# known here, so look at what the process has used.
sub settled
{
	my ($last, $same) = (-1, 0);

	$w->until('traffic to stop', sub {
		my $now = $w->cpu($pid) . ' ' . tcp_mem();
		$same = $now eq $last ? $same + 1 : 0;
		$last = $now;
		return $same > 40;
	});
}

my ($mem, $kernel) = ($w->memory($pid), tcp_mem());
my $n_slow = $Weir::EVENTS eq 'select' ? 350 : $SLOW;
my @slow = map { $w->connect(0, rcvbuf => 32768) } 1 .. $n_slow;
$source->await(accepted => $n_slow);
settled();
my ($mem2, $kernel2) = ($w->memory($pid), tcp_mem());
my $rss = ($mem2->{Rss} - $mem->{Rss}) / $MIB;
my $pss = ($mem2->{Pss} - $mem->{Pss}) / $MIB;
my $tcp = ($kernel2 - $kernel) / $MIB;

diag(sprintf '%d readers that do not read: weir %+.1f MiB Rss, ' .
    '%+.1f MiB Pss; kernel %+.1f MiB, %.2f MiB each', $n_slow, $rss, $pss,
    $tcp, $tcp / $n_slow);
# events.buffers and events.spill are 16 and 64 MiB by default.
cmp_ok($rss, '<', 16 + 64 + 8, 'weir keeps within its buffers');
cmp_ok($tcp / $n_slow, '<', 1, 'and the kernel below 1 MiB each');

my $c = $w->connect(1);
is(Weir::chat($c, 'hello', 5), 'hello', "a client beside $n_slow of them");
is(scalar(grep { !Weir::readable($_, 0) } @slow), 0,
    'each of them has something to read');
close $_ for @slow;
$source->await(open => 0);

# One that reads slowly, to the end, without losing a byte.
my $reader = Weir::Peer->job(sub {
	my ($ctl) = @_;
	my $s = $w->connect(0);
	my $md5 = Digest::MD5->new;
	my ($n, $bytes) = (0, '');

	# The first half a little at a time.
	while (my $got = sysread $s, $bytes,
	    $n < $BYTES / 2 ? 4096 : 1 << 20) {
		$n += $got;
		$md5->add($bytes);
	}
	return { bytes => $n, md5 => $md5->hexdigest };
});
my $worst = 0;
until (Weir::readable($reader->{ctl}, 0.1)) {
	my $now = $w->memory($pid)->{Rss};
	$worst = $now if $now > $worst;
}
my $r = $reader->result;
is($r->{bytes}, $BYTES, 'a slow reader gets all of the stream');
is($r->{md5}, Weir::Peer::stream_md5($BYTES), 'unchanged');
diag(sprintf 'one slow reader of %d MiB: weir %+.1f MiB Rss', $BYTES / $MIB,
    ($worst - $mem2->{Rss}) / $MIB) if $worst;
cmp_ok($worst, '<=', $mem2->{Rss} + 8 * $MIB, 'for bounded memory');
$w->stop(signal => 'TERM');
done_testing();
