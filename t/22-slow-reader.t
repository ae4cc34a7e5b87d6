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

plan skip_all => 'one byte at a time fills no buffers' if $Weir::CHOP;
my $BYTES = $Weir::SLOW ? 1 << 30 : 64 << 20;
my $SLOW = 500;
my $MIB = 1 << 20;

my $source = Weir::Peer->source($BYTES);
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

# Bytes of the kernel in all TCP buffers of this machine.
sub tcp_mem
{
	my ($pages) = Weir::slurp('/proc/net/sockstat') =~ /^TCP:.* mem (\d+)/m;
	return ($pages // 0) * POSIX::sysconf(POSIX::_SC_PAGESIZE());
}

# Of weir's own sockets, at both ends; undef if nobody can tell.
sub sock_mem
{
	my ($port) = $w->addr(0) =~ /:(\d+)$/;
	my ($n, $sum) = (0, 0);

	for ("sport = :$port", 'dport = :' . $source->port) {
		my $text = `ss -tmnH '$_' 2>/dev/null`;
		while ($text =~ /skmem:\(r(\d+),.*?,f(\d+),w(\d+),/g) {
			$sum += $1 + $2 + $3;
			$n++;
		}
	}
	return $n > 0 ? $sum : undef;
}

# Wait until nothing moves any more.
sub settled
{
	my ($last, $same) = (-1, 0);

	$w->until('traffic to stop', sub {
		my ($p) = grep { $_->{pid} == $pid } @{$w->status->{processes}};
		my $now = $p->{loop}{recv_bytes};
		$same = $now eq $last ? $same + 1 : 0;
		$last = $now;
		return $same > 5;
	});
}

my ($mem, $kernel) = ($w->memory($pid), tcp_mem());
my $n_slow = $Weir::EVENTS eq 'select' ? 350 : $SLOW;
my @slow = map { $w->connect(0, rcvbuf => 32768) } 1 .. $n_slow;
$source->await(accepted => $n_slow);
settled();
my ($mem2, $kernel2, $own) = ($w->memory($pid), tcp_mem(), sock_mem());
my $rss = ($mem2->{Rss} - $mem->{Rss}) / $MIB;
my $pss = ($mem2->{Pss} - $mem->{Pss}) / $MIB;
my $tcp = ($kernel2 - $kernel) / $MIB;

diag(sprintf '%d readers that do not read: weir %+.1f MiB Rss, ' .
    '%+.1f MiB Pss; kernel %+.1f MiB by sockstat, %s MiB in weir\'s sockets',
    $n_slow, $rss, $pss, $tcp, defined $own ? int($own / $MIB) : '?');
# events.buffers and events.spill are 16 and 64 MiB by default.
cmp_ok($rss, '<', 16 + 64 + 8, 'weir keeps within its buffers');
SKIP: {
	skip 'no ss here', 1 unless defined $own;
	cmp_ok($own / $n_slow / $MIB, '<', 1, 'the kernel below 1 MiB each');
}

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
