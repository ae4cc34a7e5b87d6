#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Many servers that announce themselves join and leave at random, by a word or
# by silence, under load: no session is lost, none goes to a server that has
# left, and nothing of those that left stays.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Digest::SHA qw(hmac_sha256_hex);
use IO::Socket::IP ();
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes ();
use Weir;
use Weir::Load;
use Weir::Peer;

my $ASAN = Weir::slurp($Weir::PROGRAM) =~ /__asan_init/;
my $SECRET = 'a secret of some letters';
my ($N, $SECONDS) = $Weir::SLOW ? (1000, 60) : (100, 5);
my ($TTL, $AGAIN) = $Weir::SLOW ? (6, 2) : (1.5, 0.5);
# The servers that are due are looked for so often; and a busy machine.
my $LATE = 0.25 + 1;
my $BATCH = 50;

# All servers are one, which notes where clients came to.
my $echo = Weir::Peer->server({
	data => sub {
		my ($p, $c, $bytes) = @_;
		push @{$p->{notes}}, [$1, $c->{fh}->sockhost]
		    if $c->{got} =~ /^short (\d+)$/;
		$p->put($c, $bytes);
	},
	eof => sub { $_[0]->end($_[1]) },
}, host => '0.0.0.0', port => 5001);

my $w = Weir->start(workers => 4, level => 'notice', conf => <<"EOT");
access_log = "off";
upstreams = { crowd = {
    servers = { name = "stays"; address = "127.1.0.0:5001"; };
    announce = { ttl = "@{[1000 * $TTL]}ms";
	secret = "$SECRET"; };
    health = { type = "tcp"; interval = "5s"; };
    servers_max = 2000; }; };
listeners = {
	web = { listen = "127.0.0.1:6001"; upstream = "crowd"; };
	beats = { listen = "127.0.0.1:7001"; protocol = "heartbeat"; };
};
EOT
my $udp = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => 7001,
    Type => SOCK_DGRAM) or die "udp: $@";
my ($serial, $sent, %spoke) = (0, 0);

sub address { my ($k) = @_; return '127.1.' . int($k / 256) . '.' . $k % 256 }

sub heard
{
	my $b = $w->status->{listeners}{beats};

	return $b->{accepted} + $b->{refused};
}

sub beat
{
	my ($k, $leaving) = @_;
	my $text = join ' ', "address=@{[address($k)]}:5001",
	    "leaving=$leaving", "name=s$k",
	    sprintf('nonce=%08x%08x', $$, ++$serial), "time=@{[time]}",
	    'upstream=crowd';

	$spoke{$k} = Weir::now();
	$udp->send("$text hmac=" . hmac_sha256_hex($text, $SECRET) . "\n");
	$sent++;
}

# All that was sent has been heard; who left is known to have left.
my (@told, %gone);
sub settle
{
	my $ok = eval {
		$w->until('beats to be heard', sub { heard() >= $sent });
	};
	die "beats were lost: $sent sent, @{[heard()]} heard\n" unless $ok;
	my $now = Time::HiRes::time();
	push @{$gone{$_}}, { from => $now, till => 9e99 } for splice @told;
}

# It is there from now on.
sub came { my ($k) = @_; $gone{$k}[-1]{till} = Time::HiRes::time() if $gone{$k} }

sub servers { return scalar keys %{$w->status->{upstreams}{crowd}{servers}} }

sub memory
{
	my ($control) = $w->pids('control');
	my ($worker) = $w->workers;

	return map { { Rss => $w->memory($_)->{Rss}, fds => $w->fds($_) } }
	    $control, $worker;
}

# One stays, so that there is always somebody.
$w->logged(qr/stays of upstream crowd is up/);
my $load = Weir::Load->start('127.0.0.1:6001', rate => 200, busy => 50,
    keep => 1);

# ---- Joining and leaving ---------------------------------------------------

# By server: when its last beat was sent.
my (%here, @before);
my ($begin, $joins, $words, $silent) = (Weir::now(), 0, 0, 0);
while (Weir::now() - $begin < $SECONDS) {
	for (1 .. $BATCH) {
		my $k = 1 + int rand($N - 1);
		my $now = Weir::now();

		# No more than four in a second are heard of one server.
		next if $now - ($spoke{$k} // 0) < 0.4;
		if (!$here{$k}) {
			# What is silent may not have left yet.
			came($k);
			beat($k, 0);
			$here{$k} = $now;
			$joins++;
		} elsif (rand() < 0.5) {
			beat($k, 1);
			delete $here{$k};
			push @told, $k;
			$words++;
		} elsif (rand() < 0.2) {
			# The wall clock, as the sessions have it.
			push @{$gone{$k}}, { till => 9e99, from =>
			    Time::HiRes::time() - ($now - $here{$k}) +
			    $TTL + $LATE };
			delete $here{$k};
			$silent++;
		}
	}
	settle();
	my ($due, $n) = (Weir::now() - $AGAIN, 0);
	for my $k (grep { $here{$_} < $due } keys %here) {
		$here{$k} = Weir::now();
		beat($k, 0);
		settle() if ++$n % $BATCH == 0;
	}
	settle();
	my $at = (Weir::now() - $begin) / $SECONDS;
	@before = memory() if !@before && $at > 0.4;
}
my $most = servers();
# What is left, when it may speak again.
my $free = Weir::now() + 1;
Weir::until_true('the second to be over', sub { Weir::now() > $free });
for my $k (keys %here) {
	beat($k, 1);
	push @told, $k;
	settle() if @told == $BATCH;
}
settle();
my $empty = eval {
	Weir::until_true('all to leave', sub {
		return servers() == 1;
	}, $TTL + 10);
};
ok($empty, "all have left: $most were there, $joins had joined, $words " .
    "said that they leave, $silent were silent") or diag(servers());
my ($text, $counts) = $load->end;

# ---- What became of it -----------------------------------------------------

is($text, "$counts->{ok} ok, 50 ok busy", 'no session was lost');
my %begun = map { $_->[4] => $_->[0] } @{$load->{kept}};
my (%seen, @stale);
for (@{$echo->ask('notes')}) {
	my ($n, $to) = @$_;
	my ($hi, $lo) = $to =~ /^127\.1\.(\d+)\.(\d+)$/ or next;
	my $k = $hi * 256 + $lo;

	$seen{$k}++;
	push @stale, map { sprintf "s%d, %.3f s after it had left", $k,
	    $begun{$n} - $_->{from} } grep { $begun{$n} > $_->{from} &&
	    $begun{$n} < $_->{till} } @{$gone{$k} // []};
}
is(scalar @stale, 0, 'no session went to a server that had left') or
    diag(map { "$_\n" } @stale[0 .. ($#stale > 9 ? 9 : $#stale)]);
cmp_ok(scalar keys %seen, '>', $N / 3, scalar(keys %seen) .
    ' different servers were used');

my @after = memory();
for my $i (0, 1) {
	my $who = (qw(control worker))[$i];
	my $more = $after[$i]{Rss} - $before[$i]{Rss};
	my $fds = $after[$i]{fds} - $before[$i]{fds};

	# Sanitizers and valgrind keep what was freed for a while.
	cmp_ok($more, '<', $ASAN || $Weir::VALGRIND ? 16 << 20 : 1 << 20, sprintf
	    '%s: no more memory than before, %.1f MB and %.0f KB more', $who,
	    $before[$i]{Rss} / 1e6, $more / 1e3);
	# There is less to do than in the middle.
	cmp_ok($fds, '<=', 4, "nor descriptors, $before[$i]{fds}, then " .
	    $after[$i]{fds});
}
unlike($w->log, qr/cannot join|ignored/, 'there was always a cell');
my $st = $w->status;
is($st->{upstreams}{crowd}{no_server}, 0, 'and always a server');
$w->stop;
done_testing();
