#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Servers by name: every address is a server, and comes and goes as DNS says,
# whatever DNS says.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Dns;
use Weir::Load;
use Weir::Peer;

# One port, on several addresses.
my @echo = Weir::Peer->echo(host => '127.0.0.11');
my $port = $echo[0]->port;
push @echo, map { Weir::Peer->echo(host => "127.0.0.$_", port => $port) }
    12 .. 14;
my $all = [map { "127.0.0.$_" } 11 .. 14];

my $dns = Weir::Dns->start(
	'app.test' => { how => 'hold', A => ['127.0.0.11', '127.0.0.12'] },
	'_app._tcp.test' => { SRV => [[10, 5, $port, 'one.test'],
	    [10, 1, $port, 'two.test'], [20, 1, $port, 'far.test']] },
	'one.test' => { A => ['127.0.0.11'] },
	'two.test' => { A => ['127.0.0.12'] },
	'far.test' => { A => ['127.0.0.13'] },
	'many.test' => { A => [map { "127.0.1.$_" } 1 .. 200] },
	'gone.test' => { rcode => 3 });
my @names = ("app.test:$port", 'srv:_app._tcp.test', "many.test:$port",
	"gone.test:$port");
my @groups = qw(app srv many gone);

sub conf
{
	my ($more) = @_;
	my ($u, $l) = ('', '');

	for my $i (0 .. $#groups) {
		my $max = $groups[$i] eq 'many' ? 'servers_max = 100;' : '';
		$u .= "$groups[$i] = { servers = \"$names[$i]\"; $max };\n";
		$l .= "$groups[$i] = { listen = \"fd:@{[3 + $i]}\"; " .
		    "upstream = \"$groups[$i]\"; };\n";
	}
	return <<"EOT";
resolver = { servers = "@{[$dns->addr]}"; ttl_min = "50ms"; hold = "400ms";
    timeout = "2s"; family = "ipv4"; };
access_log = { skip = "client.relay.eof"; };
upstreams = { $u $more };
listeners = { $l };
EOT
}

my $w = Weir->start(listen => [map { Weir::listener() } @groups],
    conf => conf(''));

# The last octets of the servers that a group has.
sub members
{
	my ($group) = @_;
	my $s = $w->status->{upstreams}{$group}{servers};

	return join ' ', sort map { m{/[\d.]+\.(\d+):\d+$} } keys %$s;
}

sub becomes
{
	my ($group, $want, $name) = @_;
	my $ok = eval {
		Weir::until_true($want, sub { members($group) eq $want });
	};

	ok($ok, $name) or diag("$group: " . members($group));
}

sub served
{
	my ($i) = @_;
	my $c = $w->connect($i);

	Weir::put($c, "hello\n");
	return Weir::get($c, qr/\n/) eq "hello\n";
}

# ---- Beginning -------------------------------------------------------------

my $early = $w->connect(0);
Weir::put($early, "early\n");
Weir::until_true('a session in the queue',
    sub { $w->status->{upstreams}{app}{waiting} == 1 });
pass('a session waits for the first answer');
my %app = (A => ['127.0.0.11', '127.0.0.12']);
$dns->set('app.test' => { %app });
is(Weir::get($early, qr/\n/), "early\n", 'and is served when it is there');
becomes('app', '11 12', 'every address is a server');
my $s = $w->status->{upstreams}{app}{servers};
is($s->{"app.test:$port/127.0.0.11:$port"}{address} // '',
    "app.test:$port/127.0.0.11:$port", 'with a name of its own');
is($s->{"app.test:$port"}{health}, 'up', 'and the name is known');

# ---- Services, many addresses, none ----------------------------------------

becomes('srv', '11 12 13', 'a service: all its hosts');
$s = $w->status->{upstreams}{srv}{servers};
is(join(' ', map { $s->{"srv:_app._tcp.test/127.0.0.$_:$port"}{weight} }
    11 .. 13), '5 1 1', 'with their weights');
ok(served(1), 'a service serves') for 1 .. 12;
$s = $w->status->{upstreams}{srv}{servers};
# Each worker has a turn of its own: about ten, two and none.
my @picks = map { $s->{"srv:_app._tcp.test/127.0.0.$_:$port"}{picks} } 11 .. 13;
ok($picks[0] + $picks[1] == 12 && $picks[0] >= 9 && $picks[1] >= 1 &&
    $picks[2] == 0, "and the second priority is a backup: @picks");
Weir::until_true('many', sub {
	my $m = $w->status->{upstreams}{many}{servers};
	return keys(%$m) == 101;
});
pass('an answer that does not fit comes by TCP; servers_max is the limit');
cmp_ok($dns->ask('count', 'tcp many.test'), '>', 0, 'by TCP indeed');
is(Weir::get($w->connect(3), undef), '', 'a name that is none: no server');
ok($w->logged(qr/name gone\.test:\d+ of upstream gone: no such name/),
    'the log says so');

# ---- Coming and going ------------------------------------------------------

my $old = $w->connect(0);
Weir::put($old, "old\n");
Weir::get($old, qr/\n/);
my $load = Weir::Load->start($w->addr(0), rate => 300);
for my $i (0 .. 9) {
	my @now = map { $all->[($i + $_) % 4] } 0, 1;
	my $want = join ' ', sort map { /(\d+)$/ } @now;

	$dns->set('app.test' => { A => \@now });
	becomes('app', $want, "rotation: $want");
}
my ($text, $n) = $load->end;
is($text, ($n->{ok} // 0) . ' ok', 'nobody noticed');
cmp_ok($n->{ok}, '>', 100, 'and many were there');
Weir::put($old, "still\n");
is(Weir::get($old, qr/\n/), "still\n", 'a session of an address that left');

$dns->set('app.test' => { rcode => 2 });
$dns->asked('app.test', 3);
my $before = members('app');
ok(length $before, "SERVFAIL: the last good answer stays ($before)");
ok(served(0), 'and serves');
my $begin = Weir::now();
$dns->set('app.test' => { rcode => 3 });
becomes('app', '', 'no such name: it goes');
cmp_ok(Weir::now() - $begin, '>=', 0.4, 'but stays for a while');
is(Weir::get($w->connect(0), undef), '', 'no server');
$dns->set('app.test' => { %app });
becomes('app', '11 12', 'and back');
ok($w->logged(qr/name app\.test:\d+ of upstream app is resolved again/),
    'the log says so');

# ---- Hostile answers -------------------------------------------------------

my ($control) = $w->pids('control');
for my $how (qw(wrong_id wrong_name loop short empty noise lies)) {
	$dns->set('app.test' => { A => ['127.0.0.13'], how => $how });
	$dns->asked('app.test', 1);
	ok(served(0), "$how: served");
	is(members('app'), '11 12', "$how: nothing was believed");
	# The question is still open; it gets a good answer the next time.
	$dns->set('app.test' => { %app });
	$dns->asked('app.test', 1);
}
is(($w->pids('control'))[0], $control, 'control has not noticed');

# ---- Control and file ------------------------------------------------------

kill 'KILL', $control;
Weir::until_true('another control', sub {
	my ($c) = $w->pids('control');
	return defined $c && $c != $control;
});
ok(served(0), 'control is killed: its servers stay');
is(members('app'), '11 12', 'all of them');
$dns->set('app.test' => { A => ['127.0.0.12'] });
becomes('app', '12', 'and its successor goes on');
$names[0] = "one.test:$port";
is($w->reload(conf('')), 0, 'another name in the file');
becomes('app', '11', 'takes the place of the first');
ok(served(0), 'and serves');
close $_ for $early, $old;
$w->stop;

# ---- Nobody answers --------------------------------------------------------

my $no = Weir::listener();
my $dead = $no->sockport;
close $no;
$w = Weir->start(listen => [map { Weir::listener() } 1 .. 2],
    conf => <<"EOT");
resolver = { servers = "127.0.0.1:$dead"; ttl_min = "50ms";
    timeout = "100ms"; };
upstreams = {
	both = { servers = ( "app.test:$port", "127.0.0.14:$port" ); };
	app = { servers = "app.test:$port"; };
};
listeners = {
	both = { listen = "fd:3"; upstream = "both"; };
	app = { listen = "fd:4"; upstream = "app"; };
};
EOT
ok(served(0), 'DNS is down at start: what is known serves');
is(Weir::get($w->connect(1), undef), '', 'what is not, does not wait long');
my $late = Weir::Dns->start(port => $dead, 'app.test' => { %app });
becomes('app', '11 12', 'until DNS is back');
ok(served(1), 'and serves');
$w->stop;
done_testing();
