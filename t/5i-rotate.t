#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The addresses of a name change all the time, and what left serves nobody any
# more: no client notices.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Time::HiRes ();
use Weir;
use Weir::Dns;
use Weir::Load;
use Weir::Peer;

my ($TIMES, $EVERY) = $Weir::SLOW ? (30, 2) : (6, 0.5);
my $PORT = 5001;
my @hosts = map { "127.0.0.$_" } 11 .. 16;
my %peer = map { $_ => Weir::Peer->echo(host => $_, port => $PORT) } @hosts;

sub two { my ($i) = @_; return map { $hosts[(2 * $i + $_) % @hosts] } 0, 1 }

my $dns = Weir::Dns->start('app.test' => { A => [two(0)], ttl => 1 });
my $min = $Weir::SLOW ? '1s' : '50ms';
my $w = Weir->start(workers => 4, conf => <<"EOT");
access_log = "off";
resolver = { servers = "@{[$dns->addr]}"; ttl_min = "$min";
    ttl_max = "$min"; family = "ipv4"; };
upstreams = { app = { servers = "app.test:$PORT"; }; };
listeners = { web = { listen = "127.0.0.1:6001"; upstream = "app"; }; };
EOT

sub members
{
	my $s = $w->status->{upstreams}{app}{servers};

	return join ' ', sort map { m{/([\d.]+):\d+$} } keys %$s;
}

sub becomes
{
	my $want = join ' ', sort @_;

	Weir::until_true($want, sub { members() eq $want }, 20);
}

becomes(two(0));
my $load = Weir::Load->start('127.0.0.1:6001', rate => 300, busy => 20,
    keep => 1);
my $begin = Weir::now();
my @took;
for my $i (1 .. $TIMES) {
	my @new = two($i);
	my $from = Weir::now();

	$dns->set('app.test' => { A => [@new], ttl => 1 });
	becomes(@new);
	push @took, Weir::now() - $from;
	# Sessions stay; new ones find nobody there.
	$peer{$_}->ask('refuse') for two($i - 1);
	Weir::until_true('the next time', sub {
		Weir::now() > $from + $EVERY;
	});
	$peer{$_}->ask('listen') for two($i - 1);
}
my $took = Weir::now() - $begin;
my ($text, $n) = $load->end;
is($text, "$n->{ok} ok, 20 ok busy", sprintf
    '%d rotations in %.1f s, and nobody noticed', $TIMES, $took);
cmp_ok($n->{ok}, '>', 200 * $took, 'and many were there');
is(scalar(grep { $peer{$_}->await(accepted => 0) == 0 } @hosts), 0,
    'every address had its part');
@took = sort { $a <=> $b } @took;
diag(sprintf '%d rotations in %.1f s, in use after %.0f ms (median) and ' .
    '%.0f ms at most: %s', $TIMES, $took, 1000 * $took[@took / 2],
    1000 * $took[-1], $text);
$w->stop;
done_testing();
