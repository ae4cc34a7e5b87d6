#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Who waits for a place hears of every place that comes: one that a session
# leaves which took it before there was a limit, and one that time brings.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $late = Weir::Peer->refuses;

sub conf
{
	my ($cap) = @_;

	return <<"EOT";
upstreams = {
	app = { servers = { address = "@{[$echo->addr]}"; $cap };
	    timeouts = { queue = "20s"; }; };
	late = { servers = "@{[$late->addr]}"; retry = { tries = 1; };
	    eject = { failures = 1; for = "1s"; max_percent = 100;
		panic = false; };
	    timeouts = { wait_up = "20s"; }; };
};
listeners = {
	web = { listen = "fd:3"; upstream = "app"; };
	late = { listen = "fd:4"; upstream = "late"; };
};
EOT
}

my $w = Weir->start(listen => [Weir::listener(), Weir::listener()],
    workers => 1, conf => conf(''));

# The answer to a client, and whether it came long before the time is over.
sub served_soon
{
	my ($c, $what) = @_;
	my $began = Weir::now();

	is(Weir::get($c, qr/\n/), "me\n", $what);
	cmp_ok(Weir::now() - $began, '<', 10, 'soon');
}

my @before = map { $w->connect } 1 .. 2;
is(Weir::chat($_, "hi\n", qr/\n/), "hi\n", 'without a limit') for @before;
is(scalar $w->reload(conf('max_conns = 1;')), '0', 'now there is one');
my $c = $w->connect;
Weir::put($c, "me\n");
ok($w->until('somebody waits', sub {
	$w->status->{upstreams}{app}{waiting} == 1;
}), 'one more has to wait');
close $_ for @before;
served_soon($c, 'until those from before have left');

is(Weir::get($w->connect(1)), '', 'a server refuses, and is ejected');
my $d = $w->connect(1);
Weir::put($d, "me\n");
ok($w->until('somebody waits', sub {
	$w->status->{upstreams}{late}{waiting} == 1;
}), 'the next has to wait');
listen $late->{sock}, 10 or die "listen: $!";
my $job = Weir::Peer->job(sub {
	my $s = $late->{sock}->accept;
	Weir::put($s, Weir::get($s, qr/\n/));
	return {};
});
served_soon($d, 'until the ejection is over');
close $_ for $c, $d;
$job->result;
$w->stop;
done_testing();
