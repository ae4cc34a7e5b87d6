#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What a group does when the check of a server fails and when it passes again:
# sessions are closed or kept, others stand in, clients wait, and who is back
# begins slowly; and what happens to sessions of servers that leave a group
# without a word in the file.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(hmac_sha256_hex);
use IO::Select ();
use IO::Socket::IP ();
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir;
use Weir::Dns;
use Weir::Peer;

my $SECRET = 'a secret of some letters';
my $free = Weir::listener();
my $port = $free->sockport;
close $free;
my ($a, $b) = map {
	Weir::Peer->server({
		data => sub {
			my ($p, $c, $bytes) = @_;
			# Only the check finds out.
			return if ($p->{mode} // '') eq 'sick' &&
			    $c->{got} =~ /^P/;
			$p->put($c, $bytes);
		},
		eof => sub { $_[0]->end($_[1]) },
	})
} 1 .. 2;
my $dns = Weir::Dns->start('app.test' => { A => ['127.0.0.1'] });
my $a_port = $a->port;
my $sa = qq({ name = "a"; address = "$a->{addr}"; });
my $sb = qq({ name = "b"; address = "$b->{addr}"; });
my @groups = qw(spread main wait backup weight cap said_keep said_close
    said_late named);

sub conf
{
	my ($slow, $spread) = @_;
	my $health = 'health = { type = "script"; interval = "200ms"; ' .
	    'fast = "50ms"; timeout = "200ms"; fall = 2; rise = 2; steps = ( { send = ' .
	    '"PING\\r\\n"; expect = "^PING"; } ); };';
	my $said = qq(announce = { ttl = "1h"; secret = "$SECRET"; };);
	my $n = 2;
	my $listeners = join "\n", map {
		$n++;
		qq($_ = { listen = "fd:$n"; upstream = "$_"; };)
	} @groups;

	return <<"EOT";
timeouts = { spread = "$spread"; };
resolver = { servers = "@{[$dns->addr]}"; ttl_min = "50ms"; hold = "50ms";
    family = "ipv4"; };
upstreams = {
	spread = { servers = ( $sa, $sb ); on_down = "close"; $health };
	main = { servers = $sa; fallback = "other"; $health };
	other = { servers = $sb; };
	wait = { servers = $sa; timeouts = { wait_up = "30s"; }; $health };
	backup = { servers = ( $sa, { name = "b"; address = "$b->{addr}";
	    backup = true; } ); on_up = "close_backup"; $health };
	weight = { servers = ( $sa, $sb ); slow_start = "$slow"; $health };
	cap = { servers = { name = "a"; address = "$a->{addr}";
	    max_conns = 20; }; slow_start = "$slow";
	    timeouts = { queue = "30s"; }; $health };
	said_keep = { $said };
	said_close = { $said on_remove = "close"; };
	said_late = { $said on_remove = "300ms"; };
	named = { servers = ( "app.test:$a_port" ); on_remove = "close"; };
};
listeners = {
	$listeners
	beats = { listen = "127.0.0.1:$port"; protocol = "heartbeat"; };
};
EOT
}

my $w = Weir->start(listen => [map { Weir::listener() } @groups],
    workers => 2, conf => conf('4s', '400ms'));
my $start = Weir::now();
my %at = map { $groups[$_] => $_ } 0 .. $#groups;

sub group { return $w->status->{upstreams}{$_[0]} }
sub active { my ($u, $s) = @_; return group($u)->{servers}{$s}{active} }

# A session that has had an answer.
sub session
{
	my ($group) = @_;
	my $c = $w->connect($at{$group});

	is(Weir::chat($c, "hi\n", 3), "hi\n", "$group: a session") if
	    !$_[1];
	Weir::chat($c, "hi\n", 3) if $_[1];
	return $c;
}

sub is_open
{
	my ($c) = @_;

	return eval { Weir::chat($c, "still\n", 6) } // '' eq "still\n";
}

# All of them end: after how many seconds each, or undef.
sub ends
{
	my ($from, @c) = @_;
	my $set = IO::Select->new(@c);
	my @when;

	while ($set->count) {
		my @r = $set->can_read($Weir::PATIENCE) or return;
		for my $c (@r) {
			return if sysread $c, my $more, 1;
			push @when, Weir::now() - $from;
			$set->remove($c);
		}
	}
	return @when;
}

sub is_up { $w->logged(qr/server $_[0] of upstream $_ is $_[1]/) for @_[2 .. $#_] }

my @checked = qw(spread main wait backup weight cap);
is_up('a', 'up', @checked);
is_up('b', 'up', 'spread');

# ---- Before ----------------------------------------------------------------

my @spread = map { session('spread', 1) } 1 .. 80;
my $on_a = active('spread', 'a');
ok($on_a > 20 && $on_a < 60, "80 sessions, $on_a on a");
my $main = session('main');
is(active('main', 'a'), 1, 'on its own server');

# ---- The check of a fails --------------------------------------------------

$w->mark;
$a->ask('mode', 'sick');
is_up('a', 'down', @checked);
my $from = Weir::now();
# Those of b stay, so only so many end.
my (@when, $set);
$set = IO::Select->new(@spread);
while (@when < $on_a && (my @r = $set->can_read(10))) {
	push @when, map { Weir::now() - $from } @r;
	$set->remove(@r);
}
is(scalar @when, $on_a, 'on_down = "close": the sessions of a end');
cmp_ok($when[-1] - $when[0], '>', 0.1, sprintf
    'spread over some time, %.0f ms', 1000 * ($when[-1] - $when[0]));
is(scalar(grep { is_open($_) } $set->handles), 80 - $on_a, 'others stay');
ok(is_open($main), 'on_down = "keep": a session of a stays');
my $stands_in = session('main');
is(active('other', 'b'), 1, 'fallback: another group stands in');
my @wait = map {
	my $c = $w->connect($at{wait});
	Weir::put($c, "late\n");
	$c;
} 1 .. 10;
$w->until('all to wait', sub { group('wait')->{waiting} == 10 });
pass('wait_up: who comes now waits');
my @backup = map { session('backup', 1) } 1 .. 10;
is(active('backup', 'b'), 10, 'the backup serves');

# ---- And passes again ------------------------------------------------------

# The others are warm by then.
Weir::until_true('slow_start to be over', sub { Weir::now() > $start + 4.5 });
# So many at once.
sub many
{
	my ($group, $n) = @_;
	my @c = map { $w->connect($at{$group}) } 1 .. $n;

	Weir::put($_, "me\n") for @c;
	return @c;
}

$w->mark;
$a->ask('mode', '');
is_up('a', 'up', 'weight');
# About a tenth of a share at first: one of eleven.
my @cold = many('weight', 44);
Weir::get($_, 3) for @cold;
my $share = active('weight', 'a');
ok($share >= 2 && $share <= 17, "slow_start: $share of 44 for who is back");
is_up('a', 'up', 'cap');
my @few = many('cap', 20);
my $cap = group('cap');
ok($cap->{queued} > 2 && $cap->{servers}{a}{active} < 18,
    "and few at a time, $cap->{servers}{a}{active} of 20");
is_up('a', 'up', @checked);
$from = Weir::now();
is(scalar(grep { Weir::get($_, 5) eq "late\n" } @wait), 10,
    'wait_up: all who waited are served');
is(scalar(ends($from, @backup)), 10,
    'on_up = "close_backup": sessions of the backup end');
my $again = session('main');
is(active('main', 'a'), 2, 'its own server serves again');
ok(is_open($stands_in), 'and who is elsewhere stays there');

is(scalar($w->reload(conf('off', '0s'))), 0, 'no slow start any more');
is(scalar(grep { Weir::get($_, 3) eq "me\n" } @few), 20,
    'then who waited is served');
my @warm = map { session('weight', 1) } 1 .. 20;
my $more = active('weight', 'a') - $share;
ok($more >= 8 && $more <= 12, "and its share is whole: $more of 20");
$_ = undef for @spread, @wait, @backup, @cold, @few, @warm;
my $log = Weir::slurp("$w->{dir}/access.log");
like($log, qr/ $_$/m, "the log says $_")
    for 'weir.relay.server_down', 'weir.relay.close_backup';

# ---- Servers that leave by themselves --------------------------------------

my $udp = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port,
    Type => SOCK_DGRAM) or die "udp: $@";
my $serial = 0;
my @said = grep { /^said/ } @groups;

sub beats
{
	my ($leaving) = @_;

	for my $u (@said) {
		my $text = "address=$a->{addr} leaving=$leaving name=a " .
		    sprintf('nonce=%08x%08x', $$, ++$serial) .
		    " time=@{[time]} upstream=$u";
		$udp->send("$text hmac=" . hmac_sha256_hex($text, $SECRET) .
		    "\n");
	}
	my $n = $leaving ? 0 : 1;
	$w->until('the beats', sub {
		my $of = $w->status->{upstreams};
		return !grep { keys %{$of->{$_}{servers}} != $n } @said;
	});
}

beats(0);
my %said = map { $_ => session($_) } @said;
$from = Weir::now();
beats(1);
is(scalar(ends($from, $said{said_close})), 1,
    'it says that it leaves: on_remove = "close"');
my ($late) = ends($from, $said{said_late});
cmp_ok($late // 0, '>=', 0.29, 'on_remove = TIME: after that time');
ok(is_open($said{said_keep}), 'on_remove = "keep"');
my $named = session('named');
$dns->set('app.test' => { A => ['127.0.0.2'] });
is(scalar(ends($from, $named)), 1,
    'its address left the name: on_remove = "close"');
$log = Weir::slurp("$w->{dir}/access.log");
is(scalar(() = $log =~ / weir\.relay\.server_removed$/mg), 3,
    'the log says so');
%said = ();
($main, $stands_in, $again, $named, $set) = ();
$w->stop;
done_testing();
