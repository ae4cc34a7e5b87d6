#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What all workers must know together: the fewest sessions, the cap of a
# server, who waits longest; and which server a client belongs to.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my @echo = map { Weir::Peer->echo } 1 .. 3;
my @name = map { "s$_" } 1 .. 3;
my $servers = join ', ', map { qq({ name = "$name[$_]"; address = "@{[
    $echo[$_]->addr]}"; }) } 0 .. 2;
my $capped = $servers =~ s/ }/ max_conns = 3; }/gr;
my $late = Weir::Peer->refuses;
my @listen = map { Weir::listener() } 1 .. 4;
my $w = Weir->start(listen => \@listen, workers => 4, conf => <<"EOT");
upstreams = {
	least = { servers = ( $servers ); balance = "least_conn"; };
	source = { servers = ( $servers ); balance = "source"; };
	capped = { servers = ( $capped ); balance = "least_conn";
	    queue_max = 2; timeouts = { queue = "20s"; }; };
	down = { servers = { address = "@{[$late->addr]}"; state = "down"; };
	    timeouts = { wait_up = "300ms"; }; };
};
listeners = {
	l0 = { listen = "fd:3"; upstream = "least"; };
	l1 = { listen = "fd:4"; upstream = "source"; };
	l2 = { listen = "fd:5"; upstream = "capped"; };
	l3 = { listen = "fd:6"; upstream = "down"; };
};
EOT

# A session that is there when this returns, or undef when it is not.
sub session
{
	my ($i, $wait) = @_;
	my $c = $w->connect($i);

	syswrite $c, "hi\n";
	return $c if $wait;
	my $got = '';
	1 while $got !~ /\n/ && sysread $c, $got, 100, length $got;
	return $got eq "hi\n" ? $c : undef;
}

sub active
{
	my ($upstream) = @_;
	my $of = $w->status->{upstreams}{$upstream}{servers};

	return map { $of->{$_}{active} } @name;
}

# The log has a session of this listener that ended so.
sub ended
{
	my ($listener, $why) = @_;

	ok($w->until($why, sub {
		return Weir::slurp("$w->{dir}/access.log") =~
		    /^\S+ $listener .* \Q$why\E$/m;
	}), "and the log says $why");
}

# Accepted by four workers, one after the other.
my @open = map { session(0) } 1 .. 30;
my @got = active('least');
my ($low, $high) = (sort { $a <=> $b } @got)[0, 2];
ok($high - $low <= 1, "least_conn counts over all workers: @got");
close $_ for @open;

my %seen;
for (1 .. 24) {
	my $c = session(1);
	my @a = active('source');
	$seen{(grep { $a[$_] } 0 .. 2)[0]}++;
	close $c;
	$w->until('an end', sub { !grep { $_ } active('source') });
}
is(scalar(keys %seen), 1, 'source: one client, one server, any worker');

@open = map { session(2) } 1 .. 9;
is_deeply([active('capped')], [3, 3, 3], 'max_conns over all workers');
my @waiting;
for my $n (1, 2) {
	push @waiting, session(2, 1);
	$w->until("$n waiting", sub {
		return $w->status->{upstreams}{capped}{waiting} == $n;
	});
}
my $third = session(2, 1);
ok(!sysread($third, my $none, 100), 'no more than queue_max wait');
ended('l2', 'weir.queue.full');
for my $i (0, 1) {
	my $from = Weir::now();
	close shift @open;
	is(Weir::get($waiting[$i], 3), "hi\n", "who waits longest is served first (@{[$i + 1]})");
	my $ms = 1000 * (Weir::now() - $from);
	cmp_ok($ms, '<', 500, sprintf 'at once (%.1f ms)', $ms);
}
close $_ for @open, @waiting;

my $from = Weir::now();
my $c = session(3, 1);
ok(!sysread($c, $none, 100), 'wait_up: nobody came');
cmp_ok(Weir::now() - $from, '>=', 0.29, 'but it waited');
ended('l3', 'weir.queue.wait_up');

$w->stop;

# A reload that is about something else disturbs neither the turn nor those who
# wait.
{
	my @peer = map { Weir::Peer->greeting("$_\n") } qw(a b c);
	my $conf = sub {
		my ($i) = @_;
		my $in_turn = join ', ', map { my $n = (5, 1, 1)[$_];
			qq({ address = "@{[$peer[$_]->addr]}"; weight = $n; })
		} 0 .. 2;

		return <<"EOT";
upstreams = {
	turn = { servers = ( $in_turn ); };
	one = { servers = { address = "@{[$echo[0]->addr]}"; max_conns = 1; };
	    timeouts = { queue = "20s"; }; };
	other$i = { servers = "127.0.0.1:9"; };
};
listeners = {
	l0 = { listen = "fd:3"; upstream = "turn"; };
	l1 = { listen = "fd:4"; upstream = "one";
	    timeouts = { idle = "${\(100 + $i)}s"; }; };
};
EOT
	};
	my $v = Weir->start(listen => [Weir::listener(), Weir::listener()],
	    workers => 1, conf => $conf->(0));
	my $got = '';
	my $first = $v->connect(1);

	is(Weir::chat($first, "1\n", qr/\n/), "1\n", 'one has the only place');
	my $second = $v->connect(1);
	Weir::put($second, "2\n");
	$v->until('the other to wait', sub {
		return $v->status->{upstreams}{one}{waiting};
	});
	for my $i (1 .. 14) {
		$got .= Weir::get($v->connect(0), qr/\n/) =~ s/\n//r;
		is(scalar $v->reload($conf->($i)), '0', "reload $i");
	}
	is($got, 'aabacaaaabacaa', 'their turns go on');
	close $first;
	is(Weir::get($second, qr/\n/), "2\n", 'and who waited is served');
	close $second;
	$v->stop;
}
done_testing();
