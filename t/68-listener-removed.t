#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A listener is removed: who was waiting or on the way is served, later ones
# are refused; put back, it serves at once.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use Test::More;
use Weir;
use Weir::Load;
use Weir::Peer;

my $WEB = '127.0.0.1:5001';
my $OTHER = '127.0.0.1:5002';
my $dir = Weir::folder();
my $echo = Weir::Peer->echo;

sub conf
{
	my ($workers, @web) = @_;
	my $listen = join ', ', map { qq("$_") } @web;
	my $web = @web ?
	    qq(web = { listen = [ $listen ]; upstream = "e"; };) : '';

	return <<"EOT";
workers = $workers;
upstreams = { e = { servers = "${\$echo->addr}"; }; };
listeners = { $web other = { listen = "$OTHER"; upstream = "e"; }; };
EOT
}

sub refused
{
	my ($to) = @_;
	my $s = Weir::dial($to, try => 1, timeout => 1);

	return !$s;
}

# Clients whose last packet of the handshake is late: the kernel knows them
# only half.
sub half_open
{
	my ($n) = @_;

	Weir::Net::rules('tcp dport 5001 tcp flags & (syn | ack) == ack drop');
	return Weir::Load::queue($WEB, $n);
}

# Removed while clients wait.
{
	my $w = Weir->start(workers => 3,
	    conf => conf(3, $WEB, "unix:$dir/s"));
	my $load = Weir::Load->start($OTHER, rate => 50, idle => 10);

	$w->signal('STOP', $w->workers);
	my @queues = map { Weir::Load::queue($_, 50) } $WEB, "unix:$dir/s";
	$w->conf(conf(3));
	$w->signal('HUP');
	$w->logged(qr/told to reload|HUP/);
	$w->signal('CONT', $w->workers);
	is(Weir::Load::harvest($_), '50 ok', 'who waited is served')
	    for @queues;
	ok(!-e "$dir/s", 'the file of a unix socket is gone');
	$w->until('later ones to be refused', sub { refused($WEB) });
	my ($text) = $load->end;
	is($text =~ s/\d+ ok, //r, '10 ok idle',
	    'nobody else lost anything');

	# Back again, before and after it is closed.
	is(scalar $w->reload(conf(3, $WEB, "unix:$dir/s")), '0', 'back again');
	for my $i (1 .. 5) {
		is(scalar $w->reload(conf(3)), '0', 'gone');
		is(scalar $w->reload(conf(3, $WEB, "unix:$dir/s")), '0',
		    'and back');
		is(Weir::Load::harvest(Weir::Load::queue($_, 20)), '20 ok',
		    'it serves at once') for $WEB, "unix:$dir/s";
	}
	my @old = $w->workers;
	is(scalar $w->reload(conf(3)), '0', 'gone for good');
	$w->until('it to be closed', sub { refused($WEB) });
	is_deeply([$w->workers], \@old, 'by the same workers');
	$w->stop;
}

# The socket is closed in all processes in the end.
{
	my $w = Weir->start(workers => 2, conf => conf(2, $WEB));
	my $held = Weir::dial($WEB);

	is(Weir::chat($held, "a\n", qr/\n/), "a\n", 'a session');
	is(scalar $w->reload(conf(2)), '0', 'its listener is removed');
	$w->until('nobody to listen', sub {
		return `ss -Htln 'sport = :5001'` eq '';
	});
	is(Weir::chat($held, "b\n", qr/\n/), "b\n", 'the session goes on');
	my $old = $w->status->{listeners};
	ok(!$old->{web} || $old->{web}{active}, 'and is counted') or
	    diag explain $old;
	close $held;
	$w->stop;
}

SKIP: {
	skip 'no nftables', 8 unless Weir::Net::can_nft();

	# The last packet of forty handshakes is late while workers become
	# fewer, or while the listener is removed.
	for my $case (['workers 4 to 1', conf(1, $WEB)],
	    ['the listener is removed', conf(4)]) {
		my ($name, $conf) = @$case;
		my $w = Weir->start(workers => 4, conf => conf(4, $WEB));
		my $queue = half_open(40);
		my @half = `ss -Htn state syn-recv 'sport = :5001'`;

		is(scalar @half, 40, "$name: 40 handshakes are half done");
		is(scalar $w->reload($conf), '0', "$name: the reload is done");
		# Late by as much as somebody far away.
		my $end = Weir::now() + 0.2;
		$w->drain_stdout($end - Weir::now()) while Weir::now() < $end;
		Weir::Net::rules();
		is(Weir::Load::harvest($queue, 10), '40 ok',
		    "$name: 40 late handshakes are served");
		$w->stop;
	}
}
done_testing;
