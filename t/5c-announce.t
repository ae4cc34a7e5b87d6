#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Servers that announce themselves join, are checked, and leave; beats that
# are not theirs do nothing.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(hmac_sha256_hex);
use IO::Socket::IP ();
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir;
use Weir::Load;
use Weir::Peer;

my $SECRET = 'a secret of some letters';
my $denied = 2;
my $free = Weir::listener();
my $port = $free->sockport;
close $free;
my @echo = map { Weir::Peer->echo } 1 .. 3;

sub conf
{
	my ($more, $ttl) = @_;

	$ttl //= '1h';
	return <<"EOT";
access_log = { skip = "client.relay.eof"; };
upstreams = {
	app = { announce = { ttl = "$ttl"; secret = "$SECRET"; };
	    health = { interval = "100ms"; fall = 1; };
	    slow_start = "10ms"; servers_max = 2000; };
	mixed = { servers = ( { name = "one"; address = "${\$echo[0]->addr}"; } );
	    announce = { secret = "$SECRET"; }; };
	crowd = { announce = { ttl = "1h"; secret = "$SECRET"; };
	    servers_max = 2000; };
	$more
};
listeners = {
	web = { listen = "fd:3"; upstream = "app"; };
	crowd = { listen = "fd:4"; upstream = "crowd"; };
	beats = { listen = "127.0.0.1:$port"; protocol = "heartbeat";
	    access = { deny = "127.0.0.$denied"; }; };
};
EOT
}

my $w = Weir->start(listen => [Weir::listener(), Weir::listener()],
    conf => conf(''));
my $udp = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port,
    Type => SOCK_DGRAM) or die "udp: $@";
my $serial = 0;

sub beat
{
	my (%f) = @_;
	my $secret = delete $f{secret} // $SECRET;

	%f = (upstream => 'app', time => time,
	    nonce => sprintf('%08x%08x', $$, ++$serial), %f);
	my $text = join ' ', map { "$_=$f{$_}" } sort keys %f;
	return "$text hmac=" . hmac_sha256_hex($text, $secret) . "\n";
}

# Its counters, without the decoding of a thousand servers.
sub heard
{
	my (undef, $out) = $w->ask('status');
	my ($beats) = $out =~ /"beats":\s*\{([^{}]*)/ or die "status: $out";

	return { $beats =~ /"(\w+)":\s*(\d+)/g };
}

# Send, and wait until it was taken or not.
sub tells
{
	my ($line, $what) = @_;
	my $from = heard();

	$udp->send($line);
	Weir::until_true("a beat to be $what",
	    sub { heard()->{$what} > $from->{$what} });
}

sub servers { return $w->status->{upstreams}{$_[0] // 'app'}{servers} }

sub becomes
{
	my ($want, $name) = @_;
	my $ok = eval {
		Weir::until_true($want,
		    sub { join(' ', sort keys %{servers()}) eq $want });
	};

	ok($ok, $name) or diag(join ' ', sort keys %{servers()});
}

sub served
{
	my $c = $w->connect(0);

	Weir::put($c, "hello\n");
	return Weir::get($c, qr/\n/) eq "hello\n";
}

# ---- One server ------------------------------------------------------------

is(Weir::get($w->connect(0), undef), '', 'nobody has announced a server');
my %one = (name => 'one', address => $echo[0]->addr);
tells(beat(%one), 'accepted');
becomes('one', 'a server joins');
Weir::until_true('up', sub { servers()->{one}{health} eq 'up' });
cmp_ok(servers()->{one}{checks}, '>', 0, 'it was checked');
ok(served(), 'and serves');
my $tcp = Weir::dial("127.0.0.1:$port");
Weir::put($tcp, beat(name => 'two', address => $echo[1]->addr, weight => 2));
close $tcp;
becomes('one two', 'another one, by TCP');
is(servers()->{two}{weight}, 2, 'with its weight');
tells(beat(%one, weight => 3), 'accepted');
is(servers()->{one}{weight}, 3, 'which it may change');

# ---- What is not believed --------------------------------------------------

my $good = beat(%one);
tells($good, 'accepted');
my $gone = beat(%one, leaving => 1, nonce => 'replayed0');
tells($good, 'refused');
for ([beat(%one, secret => 'another secret of letters'), 'another secret'],
    [beat(%one, time => time - 100), 'too old'],
    [beat(%one, time => time + 100), 'from the future'],
    [beat(%one, upstream => 'nobody'), 'an unknown upstream'],
    [beat(%one, upstream => 'mixed'), 'named as one in the file'],
    [beat(%one, name => 'x' x 600), 'too long'],
    ["\0" x 300, 'zeros'], ["hmac=\n", 'next to nothing'],
    [beat(%one) =~ s/name=one/name=six/r, 'changed on its way']) {
	tells($_->[0], 'refused');
	pass("$_->[1]: ignored");
}
is(join(' ', sort keys %{servers()}), 'one two', 'nobody came by that');
$tcp = Weir::dial("127.0.0.1:$port");
my $before = heard()->{refused};
Weir::put($tcp, 'x' x 4000);
Weir::until_true('too much', sub { heard()->{refused} > $before });
# It is closed, or reset with what was not read.
Weir::get($tcp, undef);
pass('a line without an end: closed');
ok($w->logged(qr/beats of servers ignored: .*replayed/), 'the log sums it up');

# ---- Who may not speak ------------------------------------------------------

sub from_two
{
	my ($line) = @_;
	my $count = heard();
	my $s = IO::Socket::IP->new(LocalHost => '127.0.0.2',
	    PeerHost => '127.0.0.1', PeerPort => $port, Type => SOCK_DGRAM) or
	    die "from 127.0.0.2: $@";

	$s->send($line);
	Weir::until_true('the datagram to be looked at', sub {
		my $now = heard();
		return grep { $now->{$_} > $count->{$_} }
		    qw(accepted refused denied);
	});
	my $now = heard();
	return join ' ', grep { $now->{$_} > $count->{$_} }
	    qw(accepted refused denied);
}

is(from_two(beat(%one, leaving => 1)), 'denied', 'access: one is not heard');
ok(exists servers()->{one}, 'whatever it says');
$tcp = IO::Socket::IP->new(LocalHost => '127.0.0.2', PeerHost => '127.0.0.1',
    PeerPort => $port) or die "from 127.0.0.2: $@";
is(Weir::get($tcp, undef), '', 'nor by TCP');
cmp_ok(heard()->{denied}, '==', 2, 'which is counted');
$denied = 3;
is($w->reload(conf('')), 0, 'reload: another one is not heard');
is(from_two(beat(%one)), 'accepted', 'this one is');

# ---- Leaving ---------------------------------------------------------------

my $old = $w->connect(0);
Weir::put($old, "old\n");
Weir::get($old, qr/\n/);
tells(beat(name => 'two', address => $echo[1]->addr, leaving => 1),
    'accepted');
ok(!exists servers()->{two}, 'it says that it leaves');
is($w->reload(conf('', '500ms')), 0, 'no time without beats any more');
becomes('', 'no beat in time: it has left too');
ok($w->logged(qr/server one of upstream app leaves: no beat in time/),
    'the log says why');
Weir::put($old, "still\n");
is(Weir::get($old, qr/\n/), "still\n", 'its sessions stay');
close $old;
# What was heard before is too old, whoever says it again.
tells($good, 'refused');

is($w->reload(conf('')), 0, 'as before');
SKIP: {
	skip 'no bash or no openssl', 2 if system
	    'command -v bash openssl >/dev/null';
	my $key = "$w->{dir}/beat.key";

	Weir::spew($key, $SECRET);
	system 'bash', 'contrib/beat.sh', "127.0.0.1:$port", $key, 'app',
	    'shell', $echo[2]->addr, 'weight=4', 'once=1';
	becomes('shell', 'the shell client');
	system 'bash', 'contrib/beat.sh', "127.0.0.1:$port", $key, 'app',
	    'shell', $echo[2]->addr, 'leaving=1';
	becomes('', 'and it leaves');
}

# ---- Many ------------------------------------------------------------------

# They come and go at random; one stays, so that no session is lost.
tells(beat(upstream => 'crowd', name => 'stays', address => $echo[0]->addr),
    'accepted');
my $load = Weir::Load->start($w->addr(1), rate => 200);
my ($n, %here) = (1000);
# All that were heard; of one server four in a second count.
sub looked_at { my $h = heard(); return $h->{accepted} + $h->{refused} }
my ($from, $said) = (looked_at(), 0);

# Not faster than it is heard, or the kernel drops some.
sub say_often
{
	$udp->send($_[0]);
	return if ++$said % 100;
	Weir::until_true('the beats', sub { looked_at() == $from + $said });
}

for my $i (1 .. ($Weir::SLOW ? 20000 : 3000)) {
	my $k = int rand $n;
	my $leaving = $here{$k} ? 1 : 0;
	my $line = beat(upstream => 'crowd', name => "s$k", leaving => $leaving,
	    address => $echo[$k % 3]->addr);

	say_often($line);
	$here{$k} = !$here{$k};
}
my ($text, $counts) = $load->end;
is($text, ($counts->{ok} // 0) . ' ok', 'no session was lost');
my $second = time;
Weir::until_true('another second', sub { time > $second });
say_often(beat(upstream => 'crowd', name => "s$_", leaving => 1,
    address => $echo[0]->addr)) for 0 .. $n - 1;
my $left = eval {
	Weir::until_true('all to leave', sub {
		return keys(%{servers('crowd')}) == 1;
	});
};
ok($left, 'all have left') or diag(scalar keys %{servers('crowd')});

# ---- Control, reload -------------------------------------------------------

tells(beat(%one), 'accepted');
my ($control) = $w->pids('control');
kill 'KILL', $control;
Weir::until_true('another control', sub {
	my ($c) = $w->pids('control');
	return defined $c && $c != $control;
});
ok(exists servers()->{one}, 'control is killed: the server stays');
is($w->reload(conf('other = { servers = "127.0.0.1:1"; };')), 0, 'reload');
ok(exists servers()->{one}, 'and stays');
tells(beat(%one), 'accepted');
pass('beats are heard as before');
$w->stop;
done_testing();
